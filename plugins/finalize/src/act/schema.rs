//! The least that a schema takes for a field that is required and missing.

use serde_json::{Map, Value, json};
use upkeep::error::status;

/// How deep required fields may lie in each other.
const DEPTH: usize = 8;
/// How many values are filled in at most: lists of lists may want a minimum of items each.
const VALUES: usize = 2_000;

/// The fields that the server misses, as it names them: `spec.size`. Nothing where it has anything else against the object.
pub fn missing(refused: &kube::Error) -> Vec<String> {
    let Some(status) = status(refused).filter(|s| s.code == 422) else {
        return Vec::new();
    };
    let causes = status.details.as_ref().map_or(&[][..], |d| d.causes.as_slice());
    let required = |c: &&kube::core::response::StatusCause| c.reason == "FieldValueRequired";
    if !causes.iter().all(|c| required(&c)) {
        return Vec::new();
    }
    let mut fields: Vec<String> = causes.iter().map(|c| c.field.clone()).collect();
    fields.sort();
    fields.dedup();
    fields
}

/// The operation that fills one of them. Nothing where its schema cannot be found.
pub fn least(schema: &Value, field: &str, object: &Value) -> Option<Value> {
    let mut at = schema;
    let mut pointer = String::new();
    let mut parts = field.split('.').peekable();
    while let Some(part) = parts.next() {
        // `spec.items[0].name`
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, Some(index.trim_end_matches(']').parse::<usize>().ok()?)),
            None => (part, None),
        };
        at = &at["properties"][name];
        pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        if let Some(index) = index {
            at = &at["items"];
            pointer = format!("{pointer}/{index}");
        }
        if parts.peek().is_none() {
            break;
        }
        match object.pointer(&pointer) {
            None => break,
            Some(Value::Object(_) | Value::Array(_)) => {}
            // It nests too deep to be read: what is in it must not be replaced.
            Some(_) => return None,
        }
    }
    let least = value(at, 0, &mut VALUES.clone());
    at.is_object()
        .then(|| json!({"op": "add", "path": pointer, "value": least}))
}

/// At most [`DEPTH`] deep, and no more than `left` values in all; what lies beyond is empty.
fn value(schema: &Value, depth: usize, left: &mut usize) -> Value {
    *left = left.saturating_sub(1);
    if let Some(default) = schema.get("default") {
        return default.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    if schema["nullable"] == true {
        return Value::Null;
    }
    let count = |field: &str| {
        usize::try_from(schema[field].as_u64().unwrap_or(0))
            .unwrap_or(0)
            .min(1_000)
    };
    match schema["type"].as_str() {
        _ if schema["x-kubernetes-int-or-string"] == true => json!(0),
        Some("string") => json!("x".repeat(count("minLength"))),
        Some("integer") => json!(schema["minimum"].as_i64().unwrap_or(0)),
        Some("number") => json!(schema["minimum"].as_f64().unwrap_or(0.0)),
        Some("boolean") => json!(false),
        Some("array") if depth > DEPTH => json!([]),
        Some("array") => {
            let wanted = count("minItems").min(*left);
            let items = (0..wanted).map_while(|_| (*left > 0).then(|| value(&schema["items"], depth + 1, left)));
            Value::Array(items.collect())
        }
        _ if depth > DEPTH || *left == 0 => json!({}),
        _ => {
            let required = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let fields = required.map(|name| (name.to_owned(), value(&schema["properties"][name], depth + 1, left)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_is_valid() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "required": ["size", "mode", "tags", "name"],
            "properties": {"size": {"type": "integer", "minimum": 2}, "mode": {"type": "string", "enum": ["a", "b"]},
                "tags": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 2}}, "more": {"type": "string"},
                "name": {"type": "string"}, "list": {"type": "array", "items": {"type": "object", "required": ["id"],
                    "properties": {"id": {"type": "integer"}}}}}}}});
        let whole = json!({"size": 2, "mode": "a", "tags": ["xx"], "name": ""});
        assert_eq!(
            least(&schema, "spec.size", &json!({"spec": upkeep::client::TOO_DEEP})),
            None
        );
        assert_eq!(
            least(&schema, "spec", &json!({})),
            Some(json!({"op": "add", "path": "/spec", "value": whole}))
        );
        // Where what it lies in is missing as well, that is filled.
        assert_eq!(
            least(&schema, "spec.size", &json!({})),
            Some(json!({"op": "add", "path": "/spec", "value": whole}))
        );
        assert_eq!(
            least(&schema, "spec.size", &json!({"spec": {}})),
            Some(json!({"op": "add", "path": "/spec/size", "value": 2}))
        );
        assert_eq!(
            least(&schema, "spec.list[1].id", &json!({"spec": {"list": [{"id": 1}, {}]}})),
            Some(json!({"op": "add", "path": "/spec/list/1/id", "value": 0}))
        );
        assert_eq!(least(&schema, "status", &json!({})), None);
    }

    /// A schema may be as deep and as wide as etcd takes it.
    #[test]
    fn what_is_filled_in_is_bounded() {
        let mut schema = json!({"type": "string"});
        for _ in 0..100 {
            schema = json!({"type": "array", "minItems": 1_000, "items": schema});
        }
        let whole = json!({"properties": {"spec": schema}});
        let filled = least(&whole, "spec", &json!({})).unwrap_or_default();
        assert!(filled.to_string().len() < VALUES * 4, "{}", filled.to_string().len());
        let mut schema = json!({"type": "string"});
        for _ in 0..100 {
            schema = json!({"type": "object", "required": ["a", "b"], "properties": {"a": schema, "b": schema}});
            if schema.to_string().len() > 100_000 {
                break;
            }
        }
        let whole = json!({"properties": {"spec": schema}});
        let filled = least(&whole, "spec", &json!({})).unwrap_or_default();
        assert!(filled.to_string().len() < VALUES * 16, "{}", filled.to_string().len());
    }
}
