//! The form of an object that `kubectl apply` restores.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

/// What the server writes, and what would hold the restored object again: finalizers, and owners that are another object by
/// then.
const SERVER: [&str; 9] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "finalizers",
    "ownerReferences",
];

/// What the server takes in a new pod only from itself: the node, which may be the one that was emptied, or be gone; what it derives
/// from the classes of the pod, whose values may be others by then; containers that were added to the running pod.
const POD: [&str; 5] = [
    "nodeName",
    "priority",
    "preemptionPolicy",
    "overhead",
    "ephemeralContainers",
];

/// The addresses for pods that a node was given. Others may have them by then, and a node that is back has been given new ones.
const NODE: [&str; 2] = ["podCIDR", "podCIDRs"];

/// What the server writes into a Job and its pods to tell them from those of another Job: a new one gets its own.
const JOB: [&str; 4] = [
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
];

/// The same of an object that nests too deep to be read, as JSON, which is YAML as well.
pub fn restorable_text(text: &str) -> serde_json::Result<String> {
    let mut whole: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
    whole.remove("status");
    let mut meta: BTreeMap<String, &RawValue> = match whole.get("metadata") {
        Some(meta) => serde_json::from_str(meta.get())?,
        None => BTreeMap::new(),
    };
    meta.retain(|field, _| !SERVER.contains(&field.as_str()));
    let meta = serde_json::value::to_raw_value(&meta)?;
    whole.insert("metadata".to_owned(), &meta);
    serde_json::to_string(&whole)
}

/// The object without what only the server may write, without finalizers and owners.
pub fn restorable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(whole) = object.as_object_mut() {
        whole.remove("status");
    }
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in SERVER {
            meta.remove(field);
        }
    }
    let fields: &[&str] = match (object["apiVersion"].as_str(), object["kind"].as_str()) {
        (Some("v1"), Some("Pod")) => &POD,
        (Some("v1"), Some("Node")) => &NODE,
        _ => &[],
    };
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        for field in fields {
            spec.remove(*field);
        }
    }
    if fields == POD {
        unpin(&mut object);
    }
    if object["apiVersion"] == "batch/v1" && object["kind"] == "Job" {
        unbind(&mut object);
    }
    object
}

/// A Job selects its pods by its own UID, unless its author has written the selector.
fn unbind(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    if let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("selector");
    }
    for path in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(labels) = job.pointer_mut(path).and_then(Value::as_object_mut) {
            JOB.iter().for_each(|label| drop(labels.remove(*label)));
        }
    }
}

/// A DaemonSet binds each of its pods to a node by the name of that, as a requirement of affinity.
fn unpin(pod: &mut Value) {
    let Some(affinity) = pod
        .pointer_mut("/spec/affinity/nodeAffinity")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let Some(terms) = affinity
        .get_mut(REQUIRED)
        .and_then(|required| required.get_mut("nodeSelectorTerms"))
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    for term in terms.iter_mut().filter_map(Value::as_object_mut) {
        term.remove("matchFields");
    }
    // A term that asks for nothing fits no node, and none but such terms fits none at all.
    terms.retain(|term| term.as_object().is_some_and(|term| !term.is_empty()));
    if terms.is_empty() {
        affinity.remove(REQUIRED);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_writes_is_left_out() {
        let object = json!({"kind": "ConfigMap", "metadata": {"name": "a", "uid": "u", "finalizers": ["x"], "labels": {"l": "1"}},
            "data": {"k": "on"}, "status": {"x": 1}});
        let expected =
            json!({"kind": "ConfigMap", "metadata": {"name": "a", "labels": {"l": "1"}}, "data": {"k": "on"}});
        assert_eq!(restorable(&object), expected);
    }

    #[test]
    fn a_pod_is_as_it_may_be_made() {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"nodeName": "n", "containers": [], "priority": 7,
            "preemptionPolicy": "Never", "overhead": {"cpu": "1"}, "ephemeralContainers": [{"name": "debugger"}]}});
        let expected =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}});
        assert_eq!(restorable(&object), expected);
    }

    #[test]
    fn a_pod_of_a_daemon_set_is_bound_to_no_node() {
        let name = json!([{"key": "metadata.name", "operator": "In", "values": ["n"]}]);
        let zone = json!([{"key": "zone", "operator": "In", "values": ["a"]}]);
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let pod = |terms: Value| {
            let affinity = json!({"nodeAffinity": {required: {"nodeSelectorTerms": terms}}});
            json!({"apiVersion": "v1", "kind": "Pod", "spec": {"affinity": affinity}})
        };
        let of = |pod: &Value| restorable(pod)["spec"]["affinity"]["nodeAffinity"].clone();
        assert_eq!(of(&pod(json!([{"matchFields": name}]))), json!({}));
        let both = pod(json!([{"matchFields": name, "matchExpressions": zone}]));
        assert_eq!(of(&both), of(&pod(json!([{"matchExpressions": zone}]))));
        assert_eq!(
            of(&both)[required]["nodeSelectorTerms"][0],
            json!({"matchExpressions": zone})
        );
    }

    #[test]
    fn a_job_gets_a_selector_of_its_own() {
        let job = |manual: bool| {
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
                "manualSelector": manual,
                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
                "template": {"metadata": {"labels": {"app": "j", "job-name": "j", "batch.kubernetes.io/controller-uid": "u"}}},
            }})
        };
        let restored = restorable(&job(false));
        assert_eq!(restored["spec"]["selector"], Value::Null);
        assert_eq!(restored["spec"]["template"]["metadata"]["labels"], json!({"app": "j"}));
        assert_eq!(restorable(&job(true)), job(true));
    }

    #[test]
    fn what_nests_too_deep_is_restorable_as_text() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!(
            r#"{{"kind":"Well","metadata":{{"name":"w","uid":"u","finalizers":["x"]}},"spec":{deep},"status":1}}"#
        );
        let wanted = format!(r#"{{"kind":"Well","metadata":{{"name":"w"}},"spec":{deep}}}"#);
        assert_eq!(restorable_text(&text).ok(), Some(wanted));
        assert!(restorable_text("[]").is_err());
    }

    #[test]
    fn a_node_has_no_addresses_for_pods_yet() {
        let node = json!({"apiVersion": "v1", "kind": "Node", "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"],
            "providerID": "x"}});
        assert_eq!(restorable(&node)["spec"], json!({"providerID": "x"}));
    }
}
