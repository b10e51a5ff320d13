//! Nodes that have stopped reporting: how tests make them, and what they look at.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, Mark, Node, wait_for};

use crate::{kit::Ran, scene::Scene};

pub const LEASE: &str = "coordination.k8s.io/v1/Lease";
pub const LEASES: &str = "kube-node-lease";
pub const TAINT: &str = "node.kubernetes.io/out-of-service";

pub fn text_of(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

pub fn ago(seconds: i64) -> String {
    text_of(Timestamp::now() - SignedDuration::from_secs(seconds))
}

/// A node of the test whose Ready is Unknown, and whose Lease was last renewed so many seconds ago.
pub fn silent(cluster: &Cluster, name: &str, renewed: i64) {
    cluster.node(&Node::new(name).dead());
    lease(cluster, name, renewed);
}

pub fn lease(cluster: &Cluster, node: &str, renewed: i64) {
    cluster.create(
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": node, "namespace": LEASES},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": ago(renewed)}}),
    );
}

pub fn renew(cluster: &Cluster, node: &str, renewed: i64) {
    cluster.patch(LEASE, LEASES, node, json!({"spec": {"renewTime": ago(renewed)}}));
}

/// The kubelet renews its Lease every second, by a clock that is so many seconds behind; the status of its node is not posted.
pub struct Renewing {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Renewing {
    pub fn start(cluster: &'static Cluster, node: &str, behind: i64) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ends, node) = (Arc::clone(&over), node.to_owned());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                renew(cluster, &node, behind);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Renewing {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

pub fn pod(namespace: &str, name: &str, node: &str, grace: u32, more: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": {
        "nodeName": node, "terminationGracePeriodSeconds": grace, "containers": [{"name": "c", "image": "i"}]}});
    testsupport::merge(&mut pod, more);
    pod
}

pub fn tainted(cluster: &Cluster, node: &str) -> bool {
    let node = cluster.get("v1/Node", "", node).unwrap();
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    taints.iter().any(|t| t["key"] == TAINT)
        || node["metadata"]["annotations"]["kubectl-upkeep/out-of-service"].is_string()
}

/// Whether a run of the plugin has written to the node since, a dry run or not.
pub fn written(cluster: &Cluster, since: Mark, node: &str) -> bool {
    let requests = cluster.audit().since(since, "kubectl-finalize");
    requests
        .iter()
        .any(|r| r.is_write() && !r.is_dry_run() && r.resource == "nodes" && r.name == node)
}

/// Waits until the grace period is over and the kubelet is what is waited for.
pub fn past_its_grace(scene: &Scene, node: &str) -> Ran {
    wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        let says = format!("the kubelet of node/{node} has not confirmed");
        ran.text().contains(&says).then_some(ran)
    })
}

pub fn removed(cluster: &Cluster, nodes: &[&str]) {
    for node in nodes {
        cluster.delete("v1/Node", "", node);
        if cluster.get(LEASE, LEASES, node).is_some() {
            cluster.delete(LEASE, LEASES, node);
        }
    }
}
