//! One object as a value, although a part of it may nest deeper than a parser goes: kinds with free fields can be nested a
//! thousand levels deep by whoever may write them, and such an object has to be told from others, and be rid of.

use std::collections::BTreeMap;

use serde_json::{Map, Value, value::RawValue};

/// What stands for a field that nests too deep. It is no object and no list: nobody takes the field for empty.
pub const TOO_DEEP: &str = "(nests too deep to be read)";

/// An object without what nests too deep.
#[derive(Debug, Clone, PartialEq)]
pub struct Shallow {
    /// The object, with [`TOO_DEEP`] for each field that is left out.
    pub object: Value,
    /// Which fields these are: `spec`, `metadata.managedFields`.
    pub left_out: Vec<String>,
}

impl Shallow {
    /// Reads the text of one object.
    ///
    /// # Errors
    /// What is no JSON, and what is no object and nests too deep.
    pub fn read(text: &str) -> serde_json::Result<Self> {
        let error = match serde_json::from_str(text) {
            Ok(object) => {
                return Ok(Self {
                    object,
                    left_out: Vec::new(),
                });
            }
            Err(error) => error,
        };
        let mut left_out = Vec::new();
        match fields(text, "", &mut left_out) {
            Some(object) if !left_out.is_empty() => Ok(Self { object, left_out }),
            _ => Err(error),
        }
    }
}

/// Each field by itself; those of the metadata, too, for they say who the object is.
fn fields(text: &str, within: &str, left_out: &mut Vec<String>) -> Option<Value> {
    // Finding the end of a value takes no recursion, whatever is in it.
    let parts: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let mut object = Map::new();
    for (name, part) in parts {
        let path = format!("{within}{name}");
        let value = match serde_json::from_str(part.get()) {
            Ok(value) => Some(value),
            Err(_) if path == "metadata" => fields(part.get(), "metadata.", left_out),
            Err(_) => None,
        };
        object.insert(
            name,
            value.unwrap_or_else(|| {
                left_out.push(path);
                TOO_DEEP.into()
            }),
        );
    }
    Some(Value::Object(object))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nests_too_deep_is_left_out_and_named() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text =
            format!(r#"{{"kind":"Well","spec":{deep},"metadata":{{"name":"w","finalizers":["x"],"y":{deep}}}}}"#);
        let read = Shallow::read(&text).unwrap();
        assert_eq!(
            read.object,
            json!({"kind": "Well", "spec": TOO_DEEP, "metadata": {"name": "w", "finalizers": ["x"], "y": TOO_DEEP}})
        );
        assert_eq!(read.left_out, ["metadata.y", "spec"]);
        let whole = Shallow::read(r#"{"kind":"Well"}"#).unwrap();
        assert_eq!((whole.object, whole.left_out.len()), (json!({"kind": "Well"}), 0));
        for bad in ["", "{", r#"{"a":}"#, deep.as_str()] {
            assert!(Shallow::read(bad).is_err());
        }
    }
}
