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
}
