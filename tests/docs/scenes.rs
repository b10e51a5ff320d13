//! What the examples begin with.

use serde_json::json;
use testsupport::{Cluster, DEFAULT_TIMEOUT, Node, Options, Shape, wait_for};

/// Three nodes. On node-1: web pods with a budget, and the pod of a DaemonSet. node-2 is for databases only: there
/// runs one that its budget lets nobody touch.
pub fn three_nodes() -> Cluster {
    let cluster = Cluster::start(Options::default());
    let ns = cluster.namespace("shop");
    let first = ns.node(Node::new("node-1"));
    ns.statefulset("web", 4, &Shape::new().prefers(&first).stops_in("1s"));
    ns.pdb("web", json!({"minAvailable": 3}));
    ns.daemonset("agent", &Shape::new());
    ns.wait_pods_ready(5);
    let second = ns.node(Node::new("node-2").taint("dedicated", "database", "NoSchedule"));
    let tolerates = json!({"tolerations": [{"key": "dedicated", "operator": "Exists"}]});
    ns.deployment(
        "database",
        1,
        &Shape::new().prefers(&second).stops_in("1s").spec(tolerates),
    );
    ns.pdb("database", json!({"minAvailable": 1}));
    ns.wait_pods_ready(6);
    ns.node(Node::new("node-3"));
    ns.wait_pods_ready(7);
    ns.wait_pdb_allows("web", 1);
    cluster
}

/// A namespace that somebody has deleted, held by a webhook that nobody answers for any more and by a finalizer whose controller is
/// gone.
pub fn stuck_namespace() -> Cluster {
    let cluster = Cluster::start(Options::default());
    cluster.strand_namespace();
    // Nothing is called stuck in the first 15 seconds.
    wait_for("the namespace to be stuck", DEFAULT_TIMEOUT, || {
        let namespace = cluster.get("v1/Namespace", "", "legacy")?;
        let since = namespace["metadata"]["deletionTimestamp"]
            .as_str()?
            .parse::<jiff::Timestamp>()
            .ok()?;
        (jiff::Timestamp::now().duration_since(since).as_secs() > 20).then_some(())
    });
    cluster
}
