//! Objects that are no namespaces.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{finalize, kubectl},
    scene::Scene,
};

#[test]
fn an_object_that_nobody_deletes_is_left_alone() {
    let scene = Scene::new("living");
    scene.config_map("a", &["example.com/cleanup"]);
    let ran = finalize(scene.cluster, &["cm/a", "-n", &scene.name, "--force-up-to=strip"]).expect(3);
    ran.says("is not being deleted");
}

#[test]
fn s09_a_volume_that_a_pod_uses() {
    let scene = Scene::new("s09");
    let cluster = scene.cluster;
    cluster.create(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "s09"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, "storageClassName": "none",
        "claimRef": {"namespace": "s09", "name": "data"}}}));
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "volumeName": "s09", "storageClassName": "none", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {"nodeName": "live-0",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}),
    );
    wait_for("the claim to be bound", DEFAULT_TIMEOUT, || {
        let claim = cluster.get("v1/PersistentVolumeClaim", "s09", "data")?;
        let volume = cluster.get("v1/PersistentVolume", "", "s09")?;
        (claim["status"]["phase"] == "Bound" && volume["status"]["phase"] == "Bound").then_some(())
    });
    kubectl(cluster, &["delete", "pvc", "data", "-n", "s09", "--wait=false"]);
    kubectl(cluster, &["delete", "pv", "s09", "--wait=false"]);
    let ran = finalize(cluster, &["pv", "s09", "--dry-run"]).expect(0);
    ran.says("pod s09/user uses")
        .says("behind it: persistentvolume/s09 is kept while persistentvolumeclaim s09/data is bound to it");
    finalize(cluster, &["pvc/data", "-n", "s09"])
        .expect(4)
        .says("evict pod s09/user");
    finalize(cluster, &["pv/s09", "--force-up-to=evict-user"]).expect(0);
    assert!(cluster.get("v1/PersistentVolumeClaim", "s09", "data").is_none());
}
