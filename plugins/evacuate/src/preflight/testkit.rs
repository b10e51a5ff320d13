//! Builds facts for the tests of the rules: API objects as JSON, read the way the real ones are.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1 as api, jiff::Timestamp};
use serde_json::{Value, json};
use upkeep::report::Seen;

use crate::facts::{Facts, Node, Pod, Volumes, Workloads};

/// Lays `patch` over `base`: objects are merged, everything else is replaced.
pub fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, patch) => *base = patch,
    }
}

/// A Ready pod `default/<name>` on a node, of the ReplicaSet `<owner>` (none where that is empty), without requests.
/// Its UID is its name.
pub fn pod(name: &str, node: &str, owner: &str, patch: Value) -> Pod {
    let mut object = json!({
        "metadata": {"namespace": "default", "name": name, "uid": name, "labels": {}},
        "spec": {"nodeName": node, "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    if !owner.is_empty() {
        object["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}]);
    }
    merge(&mut object, patch);
    serde_json::from_value::<api::Pod>(object).unwrap().into()
}

/// A patch for [`pod`] that asks for CPU.
pub fn cpu(amount: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]}})
}

/// A Ready node with 4 CPUs and room for 10 pods, labelled with its name. Its UID is its name.
pub fn node(name: &str, patch: Value) -> Node {
    let mut object = json!({
        "metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    merge(&mut object, patch);
    serde_json::from_value::<api::Node>(object).unwrap().into()
}

/// A node as [`node`] makes them, in a zone.
pub fn zoned(name: &str, zone: &str) -> Node {
    node(
        name,
        json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}),
    )
}

/// Facts in which everything could be read. The first `targets` nodes are to be emptied.
pub fn facts(targets: usize, nodes: Vec<Node>, pods: Vec<Pod>) -> Facts {
    Facts {
        now: Timestamp::from_second(1_800_000_000).unwrap(),
        targets: nodes[..targets].to_vec(),
        nodes: Seen::Known(nodes),
        pods,
        elsewhere: Seen::Known(()),
        claimed: Vec::new(),
        selected: None,
        budgets: Seen::Known(Vec::new()),
        daemon_sets: Seen::Known(Vec::new()),
        controllers: BTreeMap::new(),
        workloads: Workloads::default(),
        jobs: Seen::Known(BTreeMap::new()),
        webhooks: Seen::Known(Vec::new()),
        volumes: Seen::Known(Volumes::default()),
        attachments: Seen::Known(Vec::new()),
        silence: None,
        maintenances: Vec::new(),
        leases: Vec::new(),
        scaling: None,
        partial: Vec::new(),
        namespaces: unseen(),
        volume_limits: Seen::Known(BTreeMap::new()),
    }
}

/// Something that could not be read.
pub fn unseen<T>() -> Seen<T> {
    Seen::Unknown {
        verb: "list",
        resource: "things".into(),
        reason: "forbidden".into(),
    }
}

/// The pods on the nodes to be emptied, which is what is usually planned.
pub fn on_targets(facts: &Facts) -> Vec<&Pod> {
    facts
        .pods
        .iter()
        .filter(|p| facts.targets.iter().any(|t| t.name == p.node))
        .collect()
}

/// Id and evidence of every finding.
pub fn told(findings: &[upkeep::report::Finding]) -> Vec<(&'static str, &str)> {
    findings.iter().map(|f| (f.id, f.evidence.as_str())).collect()
}

/// Names of a finding's subjects.
pub fn names(finding: &upkeep::report::Finding) -> Vec<&str> {
    finding.subjects.iter().map(|s| s.name.as_str()).collect()
}
