//! Taints, node selectors and required node affinity (`TaintToleration`, `NodeAffinity`).

use k8s_openapi::api::core::v1 as api;

use super::words::{Doubt, Why, Word};
use crate::facts::{Node, Pod};

/// Taints that controllers put on and take off by themselves, as conditions change or a node gets ready.
const PASSING: [&str; 4] = [
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    // The prefixes by which the cluster autoscaler knows taints that are gone once a node is up.
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
];

/// Whether the node's taints let the pod in. `PreferNoSchedule` does not keep anything out.
pub fn taints(pod: &Pod, node: &Node) -> Word {
    let hard = node
        .taints
        .iter()
        .filter(|t| matches!(t.effect.as_str(), "NoSchedule" | "NoExecute"));
    let against = hard.filter(|taint| !pod.tolerations.iter().any(|t| tolerates(t, taint) == Some(true)));
    against.fold(Word::Pass, |word, taint| {
        if pod.tolerations.iter().any(|t| tolerates(t, taint).is_none()) {
            return word.and(Word::Unsure(Doubt::Operator));
        }
        let passing = PASSING.iter().any(|prefix| taint.key.starts_with(prefix));
        let passing = passing || taint.key.ends_with("/agent-not-ready");
        word.and(if passing {
            Word::Later(Why::Taint)
        } else {
            Word::No(Why::Taint)
        })
    })
}

/// Nothing where the operator is one that this build does not know.
fn tolerates(toleration: &api::Toleration, taint: &api::Taint) -> Option<bool> {
    let agrees = |mine: &Option<String>, theirs: &str| mine.as_deref().is_none_or(|m| m.is_empty() || m == theirs);
    if !(agrees(&toleration.effect, &taint.effect) && agrees(&toleration.key, &taint.key)) {
        return Some(false);
    }
    match toleration.operator.as_deref().unwrap_or("") {
        "" | "Equal" => Some(toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or("")),
        "Exists" => Some(true),
        _ => None,
    }
}

/// Whether the pod's node selector and required node affinity choose the node; nothing where that cannot be told.
pub fn chosen(pod: &Pod, node: &Node) -> Option<bool> {
    let scheduling = &pod.scheduling;
    let affinity = scheduling.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let plain = scheduling
        .node_selector
        .iter()
        .all(|(key, value)| node.labels.get(key) == Some(value));
    match required {
        Some(selector) if plain => judged(selector, node),
        _ => Some(plain),
    }
}

/// Whether any term of a node selector matches. One that cannot be judged counts as matching.
pub fn selects(selector: &api::NodeSelector, node: &Node) -> bool {
    judged(selector, node) != Some(false)
}

/// Whether any term matches; nothing where that cannot be told. An empty term matches nothing.
fn judged(selector: &api::NodeSelector, node: &Node) -> Option<bool> {
    let terms = selector.node_selector_terms.iter().map(|term| {
        let labels = term.match_expressions.as_deref().unwrap_or_default();
        let fields = term.match_fields.as_deref().unwrap_or_default();
        if labels.is_empty() && fields.is_empty() {
            return Some(false);
        }
        let labels = labels
            .iter()
            .map(|r| meets(r, node.labels.get(&r.key).map(String::as_str)));
        let fields = fields.iter().map(|r| match r.key.as_str() {
            "metadata.name" => meets(r, Some(&node.name)),
            _ => None,
        });
        decided(labels.chain(fields), false)
    });
    decided(terms, true)
}

/// The word that decides alone where one has it; nothing where one is missing; else the other word.
fn decided(words: impl Iterator<Item = Option<bool>>, alone: bool) -> Option<bool> {
    let mut is_sure = true;
    for word in words {
        match word {
            Some(word) if word == alone => return Some(alone),
            Some(_) => {}
            None => is_sure = false,
        }
    }
    is_sure.then_some(!alone)
}

/// One requirement against the value, if there is one; nothing for an operator that this build does not know.
fn meets(requirement: &api::NodeSelectorRequirement, value: Option<&str>) -> Option<bool> {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|v| values.iter().any(|listed| listed == v));
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    Some(match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(v, bound)| v > bound),
        "Lt" => numbers().is_some_and(|(v, bound)| v < bound),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preflight::testkit::{node, pod};

    #[test]
    fn requirements_on_labels() {
        let node = node("n", json!({"metadata": {"labels": {"disk": "ssd", "gen": "7"}}}));
        let table = [
            (json!({"key": "disk", "operator": "In", "values": ["hdd", "ssd"]}), true),
            (json!({"key": "disk", "operator": "In", "values": ["hdd"]}), false),
            (json!({"key": "absent", "operator": "In", "values": [""]}), false),
            (json!({"key": "disk", "operator": "NotIn", "values": ["ssd"]}), false),
            (json!({"key": "absent", "operator": "NotIn", "values": ["ssd"]}), true),
            (json!({"key": "disk", "operator": "Exists"}), true),
            (json!({"key": "absent", "operator": "Exists"}), false),
            (json!({"key": "absent", "operator": "DoesNotExist"}), true),
            (json!({"key": "disk", "operator": "DoesNotExist"}), false),
            (json!({"key": "gen", "operator": "Gt", "values": ["6"]}), true),
            (json!({"key": "gen", "operator": "Gt", "values": ["7"]}), false),
            (json!({"key": "gen", "operator": "Lt", "values": ["8"]}), true),
            (json!({"key": "disk", "operator": "Lt", "values": ["8"]}), false),
            (json!({"key": "disk", "operator": "FromTheFuture"}), true),
        ];
        for (requirement, expected) in table {
            let text = requirement.to_string();
            let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [requirement]}]});
            assert_eq!(
                selects(&serde_json::from_value(terms).unwrap(), &node),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn terms_are_alternatives_and_an_empty_one_matches_nothing() {
        let node = node("n", json!({}));
        let field = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        let table = [
            (json!([field("n")]), true),
            (json!([field("m")]), false),
            (json!([field("m"), field("n")]), true),
            (json!([{}]), false),
            (json!([]), false),
        ];
        for (terms, expected) in table {
            let text = terms.to_string();
            let selector = serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap();
            assert_eq!(selects(&selector, &node), expected, "{text}");
        }
    }

    #[test]
    fn taints_and_tolerations() {
        let hard = json!([{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]);
        let table = [
            (hard.clone(), json!([]), Word::No(Why::Taint)),
            (hard.clone(), json!([{"key": "dedicated", "value": "db"}]), Word::Pass),
            (
                hard.clone(),
                json!([{"key": "dedicated", "value": "web"}]),
                Word::No(Why::Taint),
            ),
            (
                hard.clone(),
                json!([{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}]),
                Word::No(Why::Taint),
            ),
            (hard.clone(), json!([{"operator": "Exists"}]), Word::Pass),
            (
                hard,
                json!([{"key": "dedicated", "operator": "Gt", "value": "1"}]),
                Word::Unsure(Doubt::Operator),
            ),
            (
                json!([{"key": "x", "effect": "PreferNoSchedule"}]),
                json!([]),
                Word::Pass,
            ),
            (
                json!([{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]),
                json!([]),
                Word::Later(Why::Taint),
            ),
            (
                json!([{"key": "node.cilium.io/agent-not-ready", "effect": "NoExecute"}]),
                json!([]),
                Word::Later(Why::Taint),
            ),
            (
                json!([{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}, {"key": "x", "effect": "NoExecute"}]),
                json!([]),
                Word::No(Why::Taint),
            ),
        ];
        for (taints_json, tolerations, expected) in table {
            let text = format!("{taints_json} {tolerations}");
            let node = node("n", json!({"spec": {"taints": taints_json}}));
            let pod = pod("p", "x", "web", json!({"spec": {"tolerations": tolerations}}));
            assert_eq!(taints(&pod, &node), expected, "{text}");
        }
    }
}
