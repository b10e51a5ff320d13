//! The form of an object that `kubectl apply` restores.

use serde_json::Value;

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
    if object["kind"] == "Pod"
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        for field in POD {
            spec.remove(field);
        }
    }
    object
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
        let object = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"nodeName": "n", "containers": [], "priority": 7,
            "preemptionPolicy": "Never", "overhead": {"cpu": "1"}, "ephemeralContainers": [{"name": "debugger"}]}});
        let expected = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}});
        assert_eq!(restorable(&object), expected);
    }
}
