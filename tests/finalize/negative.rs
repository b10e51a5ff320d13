//! What only looks stuck: nothing is forced, whatever is allowed.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{finalize, kubectl},
    scene::Scene,
};

#[test]
fn s22_a_job_goes_by_itself() {
    let scene = Scene::new("s22");
    scene.create(
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "i"}]}}}}),
    );
    wait_for("its pod", DEFAULT_TIMEOUT, || {
        (!scene.cluster.list("v1/Pod", "s22", "").is_empty()).then_some(())
    });
    kubectl(scene.cluster, &["delete", "namespace", "s22", "--wait=false"]);
    let ran = scene.finalize(&["--force-up-to=finalize"]).expect(0);
    ran.says("is gone").says_nothing_of("strip:");
}

#[test]
fn a_pod_that_has_time_left_is_waited_for() {
    let scene = Scene::new("grace");
    // Nobody plays its kubelet, so it takes all of that time.
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "grace-node"}});
    scene.cluster.create(node);
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "slow", "finalizers": ["example.com/cleanup"]},
        "spec": {"nodeName": "grace-node", "terminationGracePeriodSeconds": 3600,
            "containers": [{"name": "c", "image": "i"}]}}),
    );
    kubectl(scene.cluster, &["delete", "pod", "slow", "-n", "grace", "--wait=false"]);
    let ran = finalize(scene.cluster, &["pod/slow", "-n", "grace", "--dry-run"]).expect(0);
    ran.says("left to stop").says_nothing_of("remove this one finalizer");
    let pod = scene.cluster.get("v1/Pod", "grace", "slow").unwrap();
    assert_eq!(pod["metadata"]["finalizers"], json!(["example.com/cleanup"]));
}

/// A namespace that was just deleted is in nobody's way yet.
#[test]
fn a_namespace_that_goes_is_left_to_go() {
    let scene = Scene::new("fresh");
    for name in ["a", "b", "c"] {
        scene.config_map(name, &[]);
    }
    kubectl(scene.cluster, &["delete", "namespace", "fresh", "--wait=false"]);
    let ran = scene.finalize(&["--force-up-to=finalize"]).expect(0);
    ran.says("is gone")
        .says_nothing_of("strip:")
        .says_nothing_of("finalize:");
}

/// A pod that has ended still counts for the claim, and says so.
#[test]
fn a_claim_that_a_pod_that_has_ended_names() {
    let scene = Scene::new("ended");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ended-node"}});
    scene.cluster.create(node);
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "storageClassName": "none", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "done"}, "spec": {"nodeName": "ended-node",
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}),
    );
    scene
        .cluster
        .patch_status("v1/Pod", "ended", "done", json!({"status": {"phase": "Succeeded"}}));
    kubectl(scene.cluster, &["delete", "pvc", "data", "-n", "ended", "--wait=false"]);
    let ran = finalize(scene.cluster, &["pvc/data", "-n", "ended", "--dry-run"]).expect(0);
    ran.says("has ended, but still names it")
        .says_nothing_of("remove this one finalizer");
    finalize(scene.cluster, &["pvc/data", "-n", "ended", "--force-up-to=evict-user"]).expect(0);
}

#[test]
fn namespaces_of_the_cluster_itself_are_refused() {
    let cluster = crate::scene::whole();
    for name in ["default", "kube-system", "kube-public"] {
        let ran = finalize(cluster, &["ns", name, "--force-up-to=finalize"]).expect(3);
        ran.says("belongs to the cluster itself");
    }
}
