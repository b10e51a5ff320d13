//! Nodes, alive and dead.

use serde_json::{Value, json};

use crate::shape::merge;

/// kwok plays the kubelet of nodes with this label set to `true`.
pub const ALIVE: &str = "testbed/kubelet-alive";

/// A node that a test wants.
#[derive(Debug, Clone)]
pub struct Node {
    pub(crate) name: String,
    pub(crate) alive: bool,
    object: Value,
}

impl Node {
    /// A Ready node with 32 CPUs, 128 GiB and room for 1000 pods.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let object = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
            },
            "spec": {},
            "status": {},
        });
        Self {
            name,
            alive: true,
            object,
        }
        .size("32", "128Gi", 1000)
    }

    /// What pods may use.
    pub fn size(self, cpu: &str, memory: &str, pods: u32) -> Self {
        let size = json!({"cpu": cpu, "memory": memory, "pods": pods.to_string(), "ephemeral-storage": "1Ti"});
        self.merge(json!({"status": {"allocatable": size.clone(), "capacity": size}}))
    }

    /// Adds a label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.merge(json!({"metadata": {"labels": {key: value}}}))
    }

    /// Adds an annotation.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.merge(json!({"metadata": {"annotations": {key: value}}}))
    }

    /// Adds a taint.
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        let taint = json!({"key": key, "value": value, "effect": effect});
        match self.object["spec"]["taints"].as_array_mut() {
            Some(taints) => taints.push(taint),
            None => self.object["spec"]["taints"] = json!([taint]),
        }
        self
    }

    /// The node exists, and its kubelet does not answer: Ready is Unknown, and pods on it never stop.
    pub fn dead(mut self) -> Self {
        self.alive = false;
        self
    }

    /// Merges anything into the object.
    pub fn merge(mut self, patch: Value) -> Self {
        merge(&mut self.object, patch);
        self
    }

    /// The object to create.
    pub(crate) fn object(&self) -> Value {
        let mut object = self.object.clone();
        if self.alive {
            merge(&mut object, json!({"metadata": {"labels": {ALIVE: "true"}}}));
        }
        object
    }
}

/// The status that the node lifecycle controller gives to a node that it has not heard of for long.
pub fn silent_status() -> Value {
    let silent = |kind: &str| {
        json!({
            "type": kind,
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastTransitionTime": "2020-01-01T00:00:00Z",
            "lastHeartbeatTime": "2020-01-01T00:00:00Z",
        })
    };
    let conditions = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].map(silent);
    json!({"status": {"conditions": conditions}})
}
