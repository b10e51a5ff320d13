//! Whether a webhook is asked about a request, as the API server decides it (apiserver/pkg/admission/plugin/webhook): rules,
//! selectors, operations. Match conditions are CEL, which is not evaluated here: then it is not known.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::LabelSelector};
use kube::core::{Selector, SelectorExt as _};
use serde_json::Value;
use upkeep::discovery::Kind;

use super::super::desk::Desk;
use crate::facts::{CONDITION, Key, Object};

/// How sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// It is not asked.
    No,
    /// Something could not be evaluated.
    Maybe,
    /// It is.
    Yes,
}

type Labels = BTreeMap<String, String>;

/// Nothing while it is not known.
pub fn asked(desk: &Desk<'_>, entry: &Value, kind: &Kind, object: &Object, operation: &str) -> Option<Asked> {
    let mut rules = entry["rules"].as_array().into_iter().flatten();
    if !rules.any(|rule| covers(rule, kind, operation)) {
        return Some(Asked::No);
    }
    if is_left_out(entry, object.namespace.as_deref().unwrap_or(&object.name)) {
        return Some(Asked::No);
    }
    let mut sure = if entry["matchConditions"].as_array().is_some_and(|all| !all.is_empty()) {
        Asked::Maybe
    } else {
        Asked::Yes
    };
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    let of_namespace = match &object.namespace {
        Some(namespace) => Some(Key::cluster("", "namespaces", namespace)),
        None => kind.is("", "Namespace").then(|| key.clone()),
    };
    if let Some(namespace) = of_namespace.filter(|_| restricts(&entry["namespaceSelector"])) {
        let labels = match desk.typed::<core::Namespace>(&namespace)? {
            Ok(namespace) => namespace.metadata.labels.unwrap_or_default(),
            Err(_) => return Some(Asked::Maybe),
        };
        sure = sure.min(selects(&entry["namespaceSelector"], &labels));
    }
    if restricts(&entry["objectSelector"]) {
        let Some(labels) = desk.raw(&key)?.ok().and_then(labels) else {
            return Some(Asked::Maybe);
        };
        sure = sure.min(selects(&entry["objectSelector"], &labels));
    }
    Some(sure)
}

/// Whether a run of this plugin leaves requests for this namespace, or for the object of this name, out of a webhook.
pub fn is_left_out(entry: &Value, name: &str) -> bool {
    let mut conditions = entry["matchConditions"].as_array().into_iter().flatten();
    let quoted = Value::from(name).to_string();
    conditions.any(|c| c["name"] == CONDITION && c["expression"].as_str().is_some_and(|e| e.contains(&quoted)))
}

/// Nothing where they cannot be read: that is not to have none.
fn labels(object: &Value) -> Option<Labels> {
    match &object["metadata"]["labels"] {
        Value::Null => Some(Labels::new()),
        labels => serde_json::from_value(labels.clone()).ok(),
    }
}

/// A request for the object itself, in any version: the default `matchPolicy` converts.
fn covers(rule: &Value, kind: &Kind, operation: &str) -> bool {
    let has = |field: &str, wanted: &[&str]| {
        let mut all = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        all.any(|one| one == "*" || wanted.contains(&one))
    };
    let scope = match rule["scope"].as_str() {
        Some("Namespaced") => kind.namespaced,
        Some("Cluster") => !kind.namespaced,
        _ => true,
    };
    scope
        && has("operations", &[operation])
        && has("apiGroups", &[&kind.group])
        && has("resources", &[&kind.plural, "*/*", &format!("{}/*", kind.plural)])
}

fn restricts(selector: &Value) -> bool {
    let filled = |field: &str| match &selector[field] {
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
        _ => false,
    };
    filled("matchLabels") || filled("matchExpressions")
}

fn selects(selector: &Value, labels: &Labels) -> Asked {
    let selector = serde_json::from_value::<LabelSelector>(selector.clone()).ok();
    match selector.and_then(|s| Selector::try_from(s).ok()) {
        None => Asked::Maybe,
        Some(selector) if selector.matches(labels) => Asked::Yes,
        Some(_) => Asked::No,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_read_as_the_api_server_reads_them() {
        let maps = Kind {
            plural: "configmaps".into(),
            namespaced: true,
            ..Kind::default()
        };
        let rule = |operations: &[&str], resources: &[&str], scope: &str| json!({"operations": operations, "apiGroups": [""], "apiVersions": ["v1"], "resources": resources, "scope": scope});
        let yes = [
            rule(&["DELETE"], &["configmaps"], "*"),
            rule(&["*"], &["*"], "Namespaced"),
            rule(&["UPDATE", "DELETE"], &["*/*"], "*"),
            // Not only its subresources, as rules_test.go has it.
            rule(&["DELETE"], &["configmaps/*"], "*"),
        ];
        assert!(yes.iter().all(|rule| covers(rule, &maps, "DELETE")));
        let no = [
            rule(&["UPDATE"], &["configmaps"], "*"),
            rule(&["*"], &["configmaps/status"], "*"),
            rule(&["*"], &["pods/*"], "*"),
            rule(&["*"], &["*"], "Cluster"),
        ];
        assert!(!no.iter().any(|rule| covers(rule, &maps, "DELETE")));
    }

    #[test]
    fn what_a_run_leaves_out_is_not_asked() {
        let condition = |name: &str| json!({"name": name, "expression": r#"!(request.namespace == "s")"#});
        assert!(is_left_out(&json!({"matchConditions": [condition(CONDITION)]}), "s"));
        assert!(!is_left_out(&json!({"matchConditions": [condition(CONDITION)]}), "t"));
        assert!(!is_left_out(&json!({"matchConditions": [condition("own")]}), "s"));
        assert!(!is_left_out(&json!({}), "s"));
    }

    #[test]
    fn labels_that_cannot_be_read_are_not_none() {
        let of = |metadata: Value| labels(&json!({"metadata": metadata}));
        let one = Labels::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(of(json!({"labels": {"a": "1"}, "managedFields": 7})), Some(one));
        assert_eq!(of(json!({})), Some(Labels::new()));
        assert_eq!(of(json!({"labels": {"a": 1}})), None);
    }

    #[test]
    fn selectors_restrict_when_they_say_something() {
        let labels = Labels::from([("a".to_owned(), "1".to_owned())]);
        assert!(!restricts(&json!({})) && !restricts(&json!({"matchLabels": {}})));
        assert_eq!(selects(&json!({"matchLabels": {"a": "1"}}), &labels), Asked::Yes);
        assert_eq!(selects(&json!({"matchLabels": {"a": "2"}}), &labels), Asked::No);
        let not_in = json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]});
        assert_eq!(selects(&not_in, &labels), Asked::No);
        let odd = json!({"matchExpressions": [{"key": "a", "operator": "Odd"}]});
        assert_eq!(selects(&odd, &labels), Asked::Maybe);
    }
}
