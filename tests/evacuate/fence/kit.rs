//! Dead nodes in a cluster in which most live.

use std::sync::OnceLock;

use k8s_openapi::jiff;
use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, Live, Node, Ns, Options, Shape, wait_for};

use crate::{
    kit::{self, Ran},
    scene,
};

pub const ANNOTATION: &str = "kubectl-upkeep/out-of-service";

pub const TAINT: &str = "node.kubernetes.io/out-of-service";

/// A control plane with all its controllers and enough nodes that live.
pub fn whole() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::start(Options::default());
        (0..4).for_each(|i| cluster.node(&Node::new(format!("live-{i}"))));
        cluster
    })
}

/// One whose controllers do nothing: what is tainted stays as it is, however long that takes.
pub fn idle() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| without_controllers(60))
}

/// A control plane of one's own like [`idle`], with so many nodes that live.
pub fn without_controllers(living: usize) -> Cluster {
    let cluster = Cluster::start(Options {
        controller_manager: false,
        scheduler: false,
        ..Options::default()
    });
    for i in 0..living {
        let name = format!("live-{i}");
        cluster.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
        set_ready(&cluster, &name, "True");
    }
    cluster
}

/// What a kubelet, or the controller in its place, says of a node.
pub fn set_ready(cluster: &Cluster, node: &str, ready: &str) {
    let conditions = json!([{"type": "Ready", "status": ready}]);
    cluster.patch_status("v1/Node", "", node, json!({"status": {"conditions": conditions}}));
}

/// A dead node of [`idle`] with one pod that nobody stops.
pub struct Dead {
    pub ns: Ns<'static>,
    pub node: String,
}

impl Dead {
    pub fn new(id: &str) -> Self {
        let ns = idle().namespace(id);
        let node = ns.node(Node::new(format!("{id}-a")).dead());
        ns.pod("stuck", &Shape::new().on(&node).owner(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gone", "uid": "0d9c1f1e-0000-4000-8000-000000000000",
            "controller": true,
        })));
        Self { ns, node }
    }

    #[track_caller]
    pub fn evacuate(&self, args: &[&str]) -> Ran {
        kit::run(kit::command(self.ns.cluster(), &self.with_node(args)))
    }

    /// A run that has tainted the node and waits for controllers that do nothing.
    pub fn tainted(&self, args: &[&str]) -> Live {
        let mut live = Live::start(kit::command(self.ns.cluster(), &self.with_node(args)));
        live.wait_for(&format!("node/{} tainted", self.node));
        assert_eq!(taints(self.ns.cluster(), &self.node), [TAINT]);
        live
    }

    fn with_node<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        std::iter::once(self.node.as_str())
            .chain(args.iter().copied())
            .collect()
    }

    /// Its Lease, renewed so many seconds ago.
    pub fn renew_lease(&self, seconds: i64) {
        let renewed = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        let renewed = renewed.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
        self.ns.cluster().apply_value(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"namespace": "kube-node-lease", "name": self.node},
            "spec": {"holderIdentity": self.node, "renewTime": renewed},
        }));
    }

    /// What the pod garbage collector does.
    pub fn collect(&self) {
        wait_for("the pod to terminate", DEFAULT_TIMEOUT, || {
            let pod = self.ns.get("v1/Pod", "stuck")?;
            pod["metadata"]["deletionTimestamp"].is_string().then_some(())
        });
        let at_once = kube::api::DeleteParams::default().grace_period(0);
        self.ns
            .cluster()
            .delete_with("v1/Pod", self.ns.name(), "stuck", &at_once);
    }

    /// Nothing of a fence is left on the node.
    #[track_caller]
    pub fn assert_lifted(&self, told: &str) {
        assert_lifted(self.ns.cluster(), &self.node, told);
    }
}

/// Keys of the node's taints that say that it is off.
pub fn taints(cluster: &Cluster, node: &str) -> Vec<String> {
    let node = cluster.get("v1/Node", "", node).expect("the node is there");
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let keys = taints.iter().map(|t| scene::text(&t["key"]));
    keys.filter(|key| key == TAINT).collect()
}

#[track_caller]
pub fn assert_lifted(cluster: &Cluster, node: &str, told: &str) {
    assert_eq!(taints(cluster, node), [""; 0], "{told}");
    let node = cluster.get("v1/Node", "", node).expect("the node is there");
    assert_eq!(node["metadata"]["annotations"][ANNOTATION], Value::Null, "{told}");
}
