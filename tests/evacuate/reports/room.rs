//! What the simulation of the scheduler does not judge.

use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, Node, Ns, Shape, wait_for};

use crate::kit::{self, Ran};

/// A node of this namespace with so many CPUs.
fn node(ns: &Ns<'_>, suffix: &str, cpu: &str) -> String {
    ns.node(Node::new(format!("{}-{suffix}", ns.name())).size(cpu, "64Gi", 100))
}

fn evacuate(node: &str, args: &[&str]) -> Ran {
    let args: Vec<&str> = std::iter::once(node).chain(args.iter().copied()).collect();
    kit::evacuate(Cluster::shared(), &args).expect(0)
}

/// The condition that says why the scheduler has left a pod where it was.
fn unschedulable(ns: &Ns<'_>) -> String {
    wait_for("a pod that cannot be scheduled", DEFAULT_TIMEOUT, || {
        let pods = ns.pods();
        let conditions = pods
            .iter()
            .flat_map(|pod| pod["status"]["conditions"].as_array().cloned().unwrap_or_default());
        let mut unscheduled = conditions.filter(|c| c["type"] == "PodScheduled" && c["status"] == "False");
        unscheduled.next()?["message"].as_str().map(str::to_owned)
    })
}

/// One pod of a Deployment on each of three nodes, spread with these settings.
fn spread(ns: &Ns<'_>, more: Value) -> [String; 3] {
    let nodes = ns.nodes(["a", "b", "c"]);
    let mut constraint = json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["pod-template-hash"]});
    testsupport::merge(&mut constraint, more);
    let shape = Shape::new().spec(json!({"topologySpreadConstraints": [constraint]}));
    ns.deployment("web", 3, &shape);
    ns.wait_pods_ready(3);
    nodes
}

#[test]
fn r07_topology_spread_with_match_label_keys() {
    let ns = Cluster::shared().namespace("r07-keys");
    let [a, ..] = spread(&ns, json!({}));
    // The node that is emptied stays a domain, and holds the minimum at 0.
    evacuate(&a, &["--dry-run=client"]).says("2 topology spread");
    evacuate(&a, &[]);
    let why = unschedulable(&ns);
    assert!(why.contains("topology spread constraints"), "{why}");
    evacuate(&a, &["--uncordon"]);
}

#[test]
fn r07_topology_spread_over_the_nodes_that_are_left() {
    let ns = Cluster::shared().namespace("r07-taints");
    let [a, ..] = spread(&ns, json!({"nodeTaintsPolicy": "Honor"}));
    evacuate(&a, &["--dry-run=client"]).says("fits on 2 nodes");
    evacuate(&a, &[]);
    ns.wait_pods_ready(3);
    evacuate(&a, &["--uncordon"]);
}

/// A pod elsewhere is to shrink, and its kubelet has not given anything back yet.
#[test]
fn r07_a_pod_that_is_being_resized_holds_what_it_has() {
    let ns = Cluster::shared().namespace("r07-resize");
    let (a, b) = (node(&ns, "a", "4"), node(&ns, "b", "4"));
    ns.pod("shrinks", &Shape::new().requests("1", "1Gi").on(&b));
    ns.deployment("web", 1, &Shape::new().requests("2", "1Gi").prefers(&a));
    ns.wait_pods_ready(2);
    evacuate(&a, &["--dry-run=client"]).says("fits on 1 node");
    let status = json!({"status": {"containerStatuses": [{"name": "app", "image": "app", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {}}, "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}, "allocatedResources": {"cpu": "1", "memory": "1Gi"}}]}});
    ns.cluster().patch_status("v1/Pod", ns.name(), "shrinks", status);
    evacuate(&a, &["--dry-run=client"]).says("1 insufficient cpu");
    evacuate(&a, &[]);
    let why = unschedulable(&ns);
    assert!(why.contains("Insufficient cpu"), "{why}");
    evacuate(&a, &["--uncordon"]);
}

/// A term that looks at the labels of namespaces is judged, or said to be unknown where they may not be read.
#[test]
fn r07_labels_of_namespaces() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("r07-names");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.pod("hermit", &Shape::new().on(&b).label("app", "hermit"));
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "hermit"}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "r07-names"}}});
    let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    ns.deployment("web", 1, &Shape::new().spec(json!({"affinity": affinity})));
    ns.wait_pods_ready(2);
    evacuate(&a, &["--dry-run=client"]).says("1 pod anti-affinity");
    let user = cluster.user_kubeconfig("r07-names", &crate::scene::rights(&[]));
    let ran = kit::run(kit::command_with(cluster, &user, &[&a, "--dry-run=client"])).expect(0);
    ran.says("unknown: the labels of namespaces could not be read");
    ran.says_line("Warning: cannot list namespaces, so it is not known whether the pods fit elsewhere: not allowed");
}
