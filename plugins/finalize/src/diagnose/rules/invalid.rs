//! A change that the server refuses because the object would not be valid: whose rule that is, or who has changed it on the way.

use serde_json::Value;
use upkeep::{discovery::Kind, report::ObjRef};

use super::{
    super::{Cause, CauseKey, Found, REFUSED, desk::Desk},
    matching::{self, Asked},
    webhooks::entries,
};
use crate::{
    facts::{Key, Object, is_built_in},
    ladder::{Remedy, Rung},
};

/// How deep a schema is searched for rules.
const DEPTH: usize = 32;
/// How a field is named that a schema wants.
const REQUIRED: &str = ": Required value";

/// The cause. Nothing while it is not known.
pub fn cause(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object, said: &str) -> Option<CauseKey> {
    let subject = desk.reference(kind, object);
    let mut evidence = vec![said.to_owned()];
    let mut remedies = Vec::new();
    match rule(desk, kind, said)? {
        Some((definition, rule)) => {
            evidence.push(format!("the rule {rule:?} in the schema of {definition} is not met"));
            let text = format!("have the owner of {definition} correct or remove that rule (x-kubernetes-validations)");
            remedies.push(Remedy::by_hand(Rung::Repair, text));
        }
        None => {
            for (configuration, webhook) in changers(desk, kind, object)? {
                evidence.push(format!(
                    "the webhook {webhook} of {configuration} may change the object before it is checked"
                ));
                let text = match &object.namespace {
                    Some(namespace) => format!(
                        "have the owner of {configuration} correct the webhook {webhook}, or leave the namespace {namespace} out of it"
                    ),
                    None => format!("have the owner of {configuration} correct the webhook {webhook}"),
                };
                remedies.push(Remedy::by_hand(Rung::Repair, text));
            }
        }
    }
    if remedies.is_empty() {
        let text = "correct what the server names; it refuses the removal of a finalizer as long as that is not valid";
        remedies.push(Remedy::by_hand(Rung::Repair, text));
    }
    let key = CauseKey {
        id: REFUSED,
        subject: subject.clone(),
        detail: String::new(),
    };
    found.cause(Cause {
        key: key.clone(),
        says: format!("the server refuses changes of {subject}: it would not be valid"),
        evidence,
        actor: None,
        holds: vec![subject],
        behind: Vec::new(),
        remedies,
    });
    Some(key)
}

/// Fields that are required and missing in the object as it is stored: those can be filled. Nothing where the server has
/// anything else against it, or misses a field that the object has: then it was changed on the way.
pub fn can_be_filled(said: &str, object: &Value) -> bool {
    let Some((_, wrong)) = said.split_once(" is invalid: ") else {
        return false;
    };
    let each: Vec<&str> = wrong.trim_matches(['[', ']']).split(", ").collect();
    each.iter().all(|one| {
        let field = one.split_once(REQUIRED).map(|(field, _)| field);
        field.is_some_and(|field| object.pointer(&pointer(field)).is_none())
    })
}

/// `spec.items[0].name` as a JSON pointer.
fn pointer(field: &str) -> String {
    let parts = field.split('.').flat_map(|part| part.split('['));
    parts.map(|part| format!("/{}", part.trim_end_matches(']'))).collect()
}

/// The rule of a schema (CEL) that the server names.
fn rule(desk: &Desk<'_>, kind: &Kind, said: &str) -> Option<Option<(ObjRef, String)>> {
    if is_built_in(&kind.group) {
        return Some(None);
    }
    let name = format!("{}.{}", kind.plural, kind.group);
    let definition = match desk.raw(&Key::cluster(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        &name,
    ))? {
        Ok(definition) => definition,
        Err(_) => return Some(None),
    };
    let mut versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let version = versions.find(|v| v["name"] == kind.version.as_str());
    let found = version.and_then(|v| named(&v["schema"]["openAPIV3Schema"], said, 0));
    let uid = definition["metadata"]["uid"].as_str().unwrap_or_default();
    Some(found.map(|rule| (ObjRef::cluster("customresourcedefinition", &name, uid), rule)))
}

/// A rule of which the message, or where it has none the rule itself, stands in what the server said.
fn named(schema: &Value, said: &str, depth: usize) -> Option<String> {
    if depth > DEPTH {
        return None;
    }
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let own = rules.filter_map(|rule| {
        let text = rule["rule"].as_str()?;
        let message = rule["message"].as_str().unwrap_or(text);
        (!message.is_empty() && said.contains(message.trim())).then(|| text.to_owned())
    });
    let fields = schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(|all| all.values());
    let inside = fields.chain([&schema["items"], &schema["additionalProperties"]]);
    own.chain(
        inside
            .filter(|s| s.is_object())
            .filter_map(|s| named(s, said, depth + 1)),
    )
    .next()
}

/// The mutating webhooks that are asked about a change of the object.
fn changers(desk: &Desk<'_>, kind: &Kind, object: &Object) -> Option<Vec<(ObjRef, String)>> {
    let mut all = Vec::new();
    for (configuration, entry) in entries(desk)? {
        if configuration.kind != "mutatingwebhookconfiguration" {
            continue;
        }
        if matching::asked(desk, &entry, kind, object, "UPDATE")? != Asked::No {
            all.push((configuration, entry["name"].as_str().unwrap_or_default().to_owned()));
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_in_the_object_can_be_filled() {
        let object = json!({"spec": {"size": 1, "items": [{}]}});
        for (wrong, fills) in [
            ("spec.mode: Required value", true),
            ("[spec.mode: Required value, spec.items[0].name: Required value]", true),
            // The object has it: it was removed on the way.
            ("spec.size: Required value", false),
            (
                "[spec.mode: Required value, spec.size: Invalid value: 1: too small]",
                false,
            ),
            ("spec: Invalid value: \"object\": no", false),
        ] {
            assert_eq!(
                can_be_filled(&format!("X.g \"a\" is invalid: {wrong}"), &object),
                fills,
                "{wrong}"
            );
        }
        assert!(!can_be_filled("something else", &object));
    }

    #[test]
    fn the_rule_that_the_server_names() {
        let schema = json!({"x-kubernetes-validations": [{"rule": "false", "message": "frozen"}],
            "properties": {"spec": {"x-kubernetes-validations": [{"rule": "self.a > 1"}]}}});
        let said = |why: &str| format!("X.g \"a\" is invalid: <nil>: Invalid value: \"object\": {why}");
        assert_eq!(named(&schema, &said("frozen"), 0).as_deref(), Some("false"));
        assert_eq!(
            named(&schema, &said("failed rule: self.a > 1"), 0).as_deref(),
            Some("self.a > 1")
        );
        assert_eq!(named(&schema, &said("other"), 0), None);
    }
}
