//! What an evacuation did to a node, and the patches that undo it. Everything is read from the node itself.

use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt;
use serde_json::{Map, Value, json};
use upkeep::lock::{LOCK, is_run_id};

use crate::{
    drive::{
        fence::without_taint,
        publish::{CONDITIONS, EVACUATION, EXCLUDE_LB, Evacuation, without_conditions},
    },
    facts::{CORDONED, OUT_OF_SERVICE, UNSCHEDULABLE_TAINT},
};

/// Whose cordon there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cordon {
    /// An evacuation's: it is taken back.
    Ours,
    /// Somebody else's: it stays.
    Theirs,
    /// The node can be scheduled to.
    None,
}

/// What there is to undo on a node.
#[derive(Debug)]
pub struct Back {
    /// Whose cordon there is.
    pub cordon: Cordon,
    /// What else goes, in words.
    pub removed: Vec<&'static str>,
    /// The taint that says that its machine is off is removed.
    pub untaints: bool,
    /// Somebody else has tainted it as out of service: every pod is thrown out of it.
    pub tainted: bool,
    /// Somebody else has taken it out of load balancers.
    pub labelled: bool,
    /// The patch of its status.
    pub conditions: Option<Value>,
    /// The patch of everything else, bound to what was looked at.
    pub patch: Option<Value>,
}

/// The words for the label [`EXCLUDE_LB`].
pub const EXCLUDED: &str = "label node.kubernetes.io/exclude-from-external-load-balancers";

/// Decides from the node alone: all that an evacuation did is written there.
pub fn back(node: &core::Node) -> Back {
    let evacuation = Evacuation::of(node);
    let unschedulable = node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true);
    let has = |key: &str| node.annotations().contains_key(key);
    let by_run = |key: &str| node.annotations().get(key).is_some_and(|run| is_run_id(run));
    let cordon = match (unschedulable, by_run(CORDONED)) {
        (true, true) => Cordon::Ours,
        (true, false) => Cordon::Theirs,
        (false, _) => Cordon::None,
    };
    let nothing = Value::Null;
    // Who else writes there that they have tainted the node has still to take that back.
    let annotations: Map<String, Value> = [LOCK, CORDONED, EVACUATION, OUT_OF_SERVICE]
        .into_iter()
        .filter(|key| has(key) && (*key != OUT_OF_SERVICE || by_run(key)))
        .map(|key| (key.to_owned(), nothing.clone()))
        .collect();
    let labelled = evacuation.as_ref().is_some_and(|e| e.excluded_lb) && node.labels().contains_key(EXCLUDE_LB);
    // Of a node that takes pods again they are not true, whoever has taken the cordon and its annotations off. A drain that
    // is in progress is somebody's.
    let mut told = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let draining = told.any(|c| c.type_ == CONDITIONS[0] && c.status == "True");
    let over = cordon == Cordon::None && !draining;
    let conditions = (evacuation.is_some() || over)
        .then(|| without_conditions(node))
        .flatten();
    let mut removed = Vec::new();
    if labelled {
        removed.push(EXCLUDED);
    }
    let fenced = by_run(OUT_OF_SERVICE);
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let tainted = without_taint(node).len() < taints.count();
    if fenced && tainted {
        removed.push("taint node.kubernetes.io/out-of-service");
    }
    if conditions.is_some() {
        removed.push("conditions DrainInProgress, Drained");
    }
    let changes = labelled || !annotations.is_empty();
    let patch = changes.then(|| {
        let mut patch = json!({"metadata": {
            "uid": node.metadata.uid,
            "resourceVersion": node.metadata.resource_version,
            "annotations": annotations,
        }});
        if labelled {
            patch["metadata"]["labels"] = json!({ EXCLUDE_LB: nothing });
        }
        let mut spec = json!({});
        if cordon == Cordon::Ours {
            spec["unschedulable"] = json!(false);
        }
        if fenced {
            spec["taints"] = json!(without_taint(node));
        }
        if spec != json!({}) {
            patch["spec"] = spec;
        }
        patch
    });
    Back {
        cordon,
        removed,
        untaints: tainted && fenced,
        tainted: tainted && !fenced,
        labelled: node.labels().contains_key(EXCLUDE_LB) && !labelled,
        conditions,
        patch,
    }
}

/// A node in its raw form, as it is without what an evacuation has done to it.
pub fn undone(node: &core::Node, raw: &Value) -> Value {
    let Back { cordon, patch, .. } = back(node);
    let mut whole = raw.clone();
    if let Some(patch) = patch {
        merge(&mut whole, &patch);
    }
    // The node controller puts this taint on what is cordoned, and takes it off again.
    let taints = whole.pointer_mut("/spec/taints").and_then(Value::as_array_mut);
    if let Some(taints) = taints.filter(|_| cordon == Cordon::Ours) {
        taints.retain(|taint| taint["key"] != UNSCHEDULABLE_TAINT);
    }
    whole
}

/// A JSON merge patch (RFC 7386) of objects.
fn merge(whole: &mut Value, patch: &Value) {
    for (field, value) in patch.as_object().into_iter().flatten() {
        match (whole.get_mut(field), value) {
            (Some(part), Value::Object(_)) if part.is_object() => merge(part, value),
            (_, Value::Null) => drop(whole.as_object_mut().and_then(|object| object.remove(field))),
            _ => whole[field] = value.clone(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn node(value: Value) -> core::Node {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_an_evacuation_did_is_undone() {
        let evacuation = |excluded: bool| {
            // With the fields of version 0.1.0.
            json!({"run": "r", "user": "u", "host": "h", "since": "2026-01-01T00:00:00Z", "excludedLb": excluded})
                .to_string()
        };
        let whole = node(json!({
            "metadata": {"name": "n", "uid": "u1", "resourceVersion": "7", "labels": {EXCLUDE_LB: "", "a": "b"},
                "annotations": {CORDONED: "r", EVACUATION: evacuation(true), "other": "x"}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Drained", "status": "True"}]},
        }));
        let undone = back(&whole);
        assert_eq!(undone.cordon, Cordon::Ours);
        let patch = undone.patch.unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(
            patch["metadata"]["annotations"],
            json!({CORDONED: null, EVACUATION: null})
        );
        assert_eq!(patch["metadata"]["labels"], json!({EXCLUDE_LB: null}));
        assert_eq!(patch["spec"], json!({"unschedulable": false}));
        let conditions = undone.conditions.unwrap();
        assert_eq!(
            conditions["status"]["conditions"],
            json!([{"type": "Drained", "$patch": "delete"}])
        );

        // With the taint of a machine that was off goes the annotation; other taints stay.
        let fenced = node(json!({
            "metadata": {"name": "n", "uid": "u1", "annotations": {OUT_OF_SERVICE: "r"}},
            "spec": {"taints": [
                {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
                {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"},
            ]},
        }));
        let patch = back(&fenced).patch.unwrap();
        assert_eq!(patch["metadata"]["annotations"], json!({ OUT_OF_SERVICE: null }));
        assert_eq!(
            patch["spec"],
            json!({"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]})
        );

        // kubectl finalize takes its taint back by its own annotation.
        let theirs = node(json!({
            "metadata": {"name": "n", "uid": "u1", "annotations": {OUT_OF_SERVICE: "finalize namespaces/x", CORDONED: "r"}},
            "spec": {"unschedulable": true,
                "taints": [{"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}]},
        }));
        let undone = back(&theirs);
        let patch = undone.patch.unwrap();
        assert_eq!(patch["metadata"]["annotations"], json!({ CORDONED: null }));
        assert!(undone.tainted && patch["spec"]["taints"].is_null(), "{patch}");

        // A cordon, a label and conditions of somebody else stay.
        let foreign = node(json!({
            "metadata": {"name": "n", "uid": "u1", "labels": {EXCLUDE_LB: ""}, "annotations": {EVACUATION: evacuation(false)}},
            "spec": {"unschedulable": true},
        }));
        let undone = back(&foreign);
        assert_eq!(undone.cordon, Cordon::Theirs);
        let forged = node(json!({"metadata": {"annotations": {CORDONED: "a run\n"}}, "spec": {"unschedulable": true}}));
        assert_eq!(back(&forged).cordon, Cordon::Theirs, "no run has such a name");
        let patch = undone.patch.unwrap();
        assert!(
            patch.get("spec").is_none() && patch["metadata"].get("labels").is_none(),
            "{patch}"
        );
        let untouched = node(json!({
            "metadata": {"name": "n", "labels": {EXCLUDE_LB: ""}},
            "status": {"conditions": [{"type": "DrainInProgress", "status": "True"}]},
        }));
        let undone = back(&untouched);
        assert!(undone.patch.is_none() && undone.conditions.is_none() && undone.cordon == Cordon::None);
        // Cordoned without annotations, emptied, and uncordoned by kubectl.
        let emptied = node(json!({
            "metadata": {"name": "n"},
            "status": {"conditions": [
                {"type": "DrainInProgress", "status": "False"}, {"type": "Drained", "status": "True"}]},
        }));
        let undone = back(&emptied);
        assert!(undone.patch.is_none() && undone.conditions.is_some());
    }
}
