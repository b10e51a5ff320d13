//! Objects that use another, where the knowledge base says how they name it: a Gateway its class, a snapshot its claim. What
//! uses it is the least that can be deleted.

use serde_json::Value;
use upkeep::{
    discovery::Kind,
    ui::{command, plural},
};

use super::super::desk::Desk;
use crate::{
    facts::{Ask, Object},
    knowledge::Use,
};

/// How many users are named.
const SHOWN: usize = 3;

/// What uses the object: in words, and what deletes it. Nothing inside where nothing does, and nothing at all while it is not
/// known. A kind that is not served or may not be listed is passed over.
pub fn users(desk: &Desk<'_>, object: &Object, uses: &[Use]) -> Option<Option<(String, String)>> {
    let mut found = Vec::new();
    for of in uses {
        let kinds = desk.discovery().preferred();
        let kinds =
            kinds.filter(|kind| kind.group == of.group && of.plural.as_deref().is_none_or(|p| p == kind.plural));
        for kind in kinds.filter(|kind| kind.can("list") && !of.except.contains(&kind.plural)) {
            // What has a namespace is used within it.
            let namespace = object.namespace.as_deref().filter(|_| kind.namespaced);
            let Ok(all) = desk.all::<Value>(&Ask::list(&kind.group, &kind.plural, namespace))? else {
                continue;
            };
            found.extend(
                all.into_iter()
                    .filter(|user| is_user(user, of, object))
                    .map(|user| (kind, user)),
            );
        }
    }
    let Some((kind, first)) = found.first() else {
        return Some(None);
    };
    let named: Vec<String> = found.iter().take(SHOWN).map(|(kind, user)| name(kind, user)).collect();
    let more = match found.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = |field: &str| first["metadata"][field].as_str().unwrap_or_default();
    let mut arguments = vec![kind.resource(), text("name").to_owned()];
    if kind.namespaced {
        arguments.extend(["-n".to_owned(), text("namespace").to_owned()]);
    }
    let line = command("kubectl delete", arguments.iter().map(String::as_str));
    let what = if found.len() == 1 {
        "delete it first, if it is not needed".to_owned()
    } else {
        format!(
            "delete these {} first, if they are not needed",
            plural(found.len(), "object")
        )
    };
    Some(Some((
        format!("it is used by {}{more}", named.join(", ")),
        format!("{what}: '{line}'"),
    )))
}

fn is_user(user: &Value, of: &Use, object: &Object) -> bool {
    let names = of
        .at
        .as_deref()
        .is_none_or(|at| user.pointer(at).is_some_and(|named| named == &object.name));
    let done = of
        .unless
        .as_deref()
        .is_some_and(|at| user.pointer(at) == Some(&Value::Bool(true)));
    names && !done && user["metadata"]["uid"] != object.uid.as_str()
}

fn name(kind: &Kind, user: &Value) -> String {
    let text = |field: &str| user["metadata"][field].as_str().unwrap_or_default();
    match text("namespace") {
        "" => format!("{}/{}", kind.one(), text("name")),
        namespace => format!("{} {namespace}/{}", kind.one(), text("name")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_names_it_and_is_not_done() {
        let of = Use {
            group: "snapshot.storage.k8s.io".into(),
            plural: Some("volumesnapshots".into()),
            except: Vec::new(),
            at: Some("/spec/source/persistentVolumeClaimName".into()),
            unless: Some("/status/readyToUse".into()),
        };
        let claim = Object {
            name: "data".into(),
            uid: "u".into(),
            ..Object::default()
        };
        let snapshot = |claim: &str, ready: bool| json!({"metadata": {"uid": "s"}, "spec": {"source": {"persistentVolumeClaimName": claim}}, "status": {"readyToUse": ready}});
        assert!(is_user(&snapshot("data", false), &of, &claim));
        assert!(!is_user(&snapshot("data", true), &of, &claim));
        assert!(!is_user(&snapshot("other", false), &of, &claim));
        let any = Use { at: None, ..of };
        assert!(is_user(&json!({"metadata": {"uid": "x"}}), &any, &claim));
        assert!(!is_user(&json!({"metadata": {"uid": "u"}}), &any, &claim));
    }
}
