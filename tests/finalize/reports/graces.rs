//! Pods have their grace period, and past it the node that has stopped reporting is what holds them.

use std::time::Duration;

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Node, wait_for};

use super::silence::{pod, removed, silent, tainted};
use crate::{
    kit::{finalize, kubectl},
    scene::Scene,
};

fn claim(scene: &Scene) {
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    );
}

fn uses_it() -> Value {
    json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}})
}

/// An evicted pod has its grace period, however long that is.
#[test]
fn r25_a_pod_that_needs_most_of_its_grace_period() {
    let scene = Scene::new("r25");
    let cluster = scene.cluster;
    cluster.node(&Node::new("r25-node"));
    claim(&scene);
    let mut user = uses_it();
    user["metadata"]["annotations"] = json!({"pod-delete.stage.kwok.x-k8s.io/delay": "19s"});
    scene.create(pod("r25", "user", "r25-node", 25, user));
    wait_for("the pod to run", DEFAULT_TIMEOUT, || {
        (cluster.get("v1/Pod", "r25", "user")?["status"]["phase"] == "Running").then_some(())
    });
    kubectl(cluster, &["delete", "pvc", "data", "-n", "r25", "--wait=false"]);
    let ran = finalize(cluster, &["pvc/data", "-n", "r25", "--force-up-to=evict-user"]).expect(0);
    ran.says("left to stop").says("is gone");
    assert!(ran.took > Duration::from_secs(17), "{}", ran.text());
    cluster.delete("v1/Node", "", "r25-node");
}

/// Past its grace period its node is what holds it, also where a claim is what was named.
#[test]
fn r25_past_its_grace_on_a_node_that_has_stopped_reporting() {
    let scene = Scene::new("r25-off");
    let cluster = scene.cluster;
    silent(cluster, "r25-off-node", 600);
    claim(&scene);
    scene.create(pod("r25-off", "user", "r25-off-node", 3, uses_it()));
    kubectl(cluster, &["delete", "pvc", "data", "-n", "r25-off", "--wait=false"]);
    let of_claim = |args: &[&str]| finalize(cluster, &[&["pvc/data", "-n", "r25-off"], args].concat());
    let ran = of_claim(&["--force-up-to=evict-user"]).expect(4);
    ran.says("evict-user: evict pod r25-off/user")
        .says("the kubelet of node/r25-off-node has not confirmed that its pods have ended")
        .says("to try the next step")
        .says("--powered-off=r25-off-node");
    of_claim(&["--force-up-to=evict-user", "--powered-off=r25-off-node"]).expect(0);
    assert!(cluster.get("v1/PersistentVolumeClaim", "r25-off", "data").is_none());
    assert!(!tainted(cluster, "r25-off-node"));
    removed(cluster, &["r25-off-node"]);
}
