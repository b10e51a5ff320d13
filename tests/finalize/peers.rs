//! What other tools get wrong, done right.

use serde_json::json;
use testsupport::{Cluster, DEFAULT_TIMEOUT, Options, wait_for};

use crate::{
    kit::{disarm, finalize, kubectl},
    scene::Scene,
};

/// One tool reports every object of a healthy cluster as an orphan; another takes each configuration with two webhooks for a
/// broken one.
#[test]
fn a_healthy_cluster_is_healthy() {
    let cluster = Cluster::start(Options {
        scheduler: false,
        kwok: false,
        ..Options::default()
    });
    let ns = cluster.namespace("shop");
    ns.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    let entry = |name: &str| {
        json!({"name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "rules": [],
            "clientConfig": {"url": "https://127.0.0.1:9"}})
    };
    cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "two"}, "webhooks": [entry("a.example.com"), entry("b.example.com")]}),
    );
    finalize(&cluster, &["orphans"]).expect(0).says("there are no orphans");
    finalize(&cluster, &["scan"]).expect(0).says("nothing is stuck");
}

/// A namespace whose name is part of that of a living one is gone all the same.
#[test]
fn orphans_of_a_namespace_whose_name_is_part_of_another() {
    let (whole, part) = (Scene::new("partly"), Scene::new("part"));
    part.config_map("a", &[]);
    kubectl(part.cluster, &["delete", "namespace", "part", "--wait=false"]);
    disarm(part.cluster, "part");
    wait_for("the namespace to be gone", DEFAULT_TIMEOUT, || {
        part.is_gone().then_some(())
    });
    assert!(!whole.is_gone());
    finalize(part.cluster, &["orphans"])
        .expect(1)
        .says("in the namespace part, which does not exist");
    finalize(part.cluster, &["orphans", "part", "--clean", "--yes"]).expect(0);
}

/// Others strip all finalizers at once, those too whose controller is alive and at work.
#[test]
fn a_living_controller_keeps_its_finalizer() {
    let scene = Scene::new("both");
    let cluster = scene.cluster;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "both-node"}});
    cluster.create(node);
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "finalizers":
        ["example.com/cleanup"]}, "spec": {"storageClassName": "none", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {"nodeName": "both-node",
        "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}),
    );
    wait_for("the claim to be protected", DEFAULT_TIMEOUT, || {
        let claim = cluster.get("v1/PersistentVolumeClaim", "both", "data")?;
        (claim["metadata"]["finalizers"].as_array()?.len() == 2).then_some(())
    });
    kubectl(cluster, &["delete", "pvc", "data", "-n", "both", "--wait=false"]);
    // A pod whose kubelet is silent keeps the claim, and is not evicted by this.
    finalize(
        cluster,
        &["pvc/data", "-n", "both", "--force-up-to=strip", "--timeout=20s"],
    );
    let claim = cluster.get("v1/PersistentVolumeClaim", "both", "data").unwrap();
    assert_eq!(
        claim["metadata"]["finalizers"],
        json!(["kubernetes.io/pvc-protection"]),
        "{claim}"
    );
    assert!(cluster.get("v1/Pod", "both", "user").is_some());
}

/// Others replace the namespace by its name alone, and wipe what else stands on it.
#[test]
fn labels_and_annotations_of_the_namespace_stay() {
    let cluster = crate::scene::whole();
    cluster.create(
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept", "labels": {"keep": "me"},
        "annotations": {"keep": "me too"}, "finalizers": ["example.com/later"]}, "spec": {"finalizers": ["example.com/origin"]}}),
    );
    let scene = Scene::of(cluster, "kept".into());
    kubectl(cluster, &["delete", "namespace", "kept", "--wait=false"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    let file = path.to_str().unwrap();
    scene.finalize(&["--force-up-to=strip", "--plan-out", file]).expect(0);
    let mut plan: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    plan["steps"]
        .as_array_mut()
        .unwrap()
        .retain(|s| !s["change"]["finalize"].is_null());
    std::fs::write(&path, plan.to_string()).unwrap();
    finalize(cluster, &["--apply", file, "--force-up-to=strip", "--yes"]);
    let after = cluster.get("v1/Namespace", "", "kept").unwrap();
    let left = after["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
    assert!(!left.contains(&json!("example.com/origin")), "{after}");
    assert_eq!(after["metadata"]["labels"]["keep"], "me");
    assert_eq!(after["metadata"]["annotations"]["keep"], "me too");
    assert_eq!(after["metadata"]["finalizers"], json!(["example.com/later"]));
    scene.finalize(&["--force-up-to=strip"]).expect(0);
}

/// Others work on namespaces that nobody deletes.
#[test]
fn a_namespace_that_nobody_deletes() {
    let scene = Scene::new("untouched");
    scene.config_map("a", &["example.com/cleanup"]);
    let before = scene.cluster.get("v1/Namespace", "", "untouched").unwrap();
    scene
        .finalize(&["--force-up-to=finalize", "--even-if-alive"])
        .expect(3)
        .says("nobody has asked for the deletion");
    assert_eq!(before, scene.cluster.get("v1/Namespace", "", "untouched").unwrap());
}
