//! Nodes, alive and dead.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::shape::merge;
use crate::wait::{DEFAULT_TIMEOUT, wait_for};

/// kwok plays the kubelet of nodes with this label set to `true`.
pub const ALIVE: &str = "testbed/kubelet-alive";

const LEASE: &str = "coordination.k8s.io/v1/Lease";
const LEASES: &str = "kube-node-lease";

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
fn silent_status() -> Value {
    let since = (Timestamp::now() - SignedDuration::from_secs(60)).to_string();
    let silent = |kind: &str| {
        json!({
            "type": kind,
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastTransitionTime": since,
            "lastHeartbeatTime": since,
        })
    };
    let conditions = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].map(silent);
    json!({"status": {"conditions": conditions}})
}

impl Cluster {
    /// Makes a node and waits until it is Ready; a dead one is Unknown and has the taints of an unreachable node.
    pub fn node(&self, node: &Node) {
        self.create(node.object());
        if node.alive {
            self.wait_node(&node.name, "True");
        } else {
            self.patch_status("v1/Node", "", &node.name, silent_status());
            self.wait_tainted(&node.name);
        }
    }

    /// The node's kubelet stops, as by a power cut: Ready gets Unknown, and its pods stay as they are.
    pub fn kill_node(&self, name: &str) {
        self.patch("v1/Node", "", name, json!({"metadata": {"labels": {ALIVE: null}}}));
        // What the node lifecycle controller does after its grace period.
        self.patch_status("v1/Node", "", name, silent_status());
        self.wait_tainted(name);
        // By then its Lease has run out.
        if self.get(LEASE, LEASES, name).is_some() {
            let renewed = Timestamp::now() - SignedDuration::from_secs(61);
            let renewed = renewed.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
            self.patch(LEASE, LEASES, name, json!({"spec": {"renewTime": renewed}}));
        }
    }

    /// The node's kubelet comes back.
    pub fn revive_node(&self, name: &str) {
        self.patch("v1/Node", "", name, json!({"metadata": {"labels": {ALIVE: "true"}}}));
        self.wait_node(name, "True");
    }

    fn wait_node(&self, name: &str, ready: &str) {
        wait_for(format!("node {name} to be Ready={ready}"), DEFAULT_TIMEOUT, || {
            let node = self.get("v1/Node", "", name)?;
            // The taint of a new node goes a moment after it is Ready; until then nothing is scheduled there.
            let tainted = node["spec"]["taints"].as_array().is_some_and(|taints| {
                taints.iter().any(|t| {
                    t["key"].as_str().is_some_and(|k| {
                        k.starts_with("node.kubernetes.io/not-ready") || k.starts_with("node.kubernetes.io/unreachable")
                    })
                })
            });
            (condition(&node, "Ready") == Some(ready) && !tainted).then_some(())
        });
    }

    fn wait_tainted(&self, name: &str) {
        if !self.options().controller_manager {
            return;
        }
        wait_for(
            format!("node {name} to be tainted as unreachable"),
            DEFAULT_TIMEOUT,
            || {
                let node = self.get("v1/Node", "", name)?;
                let taints = node["spec"]["taints"].as_array()?;
                taints
                    .iter()
                    .find(|t| t["key"] == "node.kubernetes.io/unreachable" && t["effect"] == "NoExecute")
                    .map(drop)
            },
        );
    }
}

/// The status of one condition of an object.
pub fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == kind)?["status"]
        .as_str()
}
