//! Namespaces, by the rows of the scenarios.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{finalize, kubectl, kubectl_in},
    scene::Scene,
};

#[test]
fn s01_one_object_with_an_unknown_finalizer() {
    let scene = Scene::new("s01");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.config_map("b", &[]);
    scene.delete();
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("configmap s01/a waits for")
        .says("example.com/cleanup")
        .says_nothing_of("s01/b");
    let ran = scene.finalize(&["--timeout=20s"]).expect(4);
    assert!(!scene.is_gone(), "{}", ran.text());
    scene.mended(&["--force-up-to=strip"]);
}

#[test]
fn s13_a_foreign_finalizer_on_the_namespace() {
    let scene = Scene::new("s13");
    scene.cluster.patch(
        "v1/Namespace",
        "",
        &scene.name,
        json!({"metadata": {"finalizers": ["controller.cattle.io/namespace-auth"]}}),
    );
    scene.delete();
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("controller.cattle.io/namespace-auth").says("Rancher");
    scene.mended(&["--force-up-to=strip"]);
}

#[test]
fn s03_pods_go_first() {
    let scene = Scene::new("s03");
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "finalizers": ["example.com/pod"]},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]}}),
    );
    scene.config_map("untouched", &["example.com/later"]);
    scene.delete();
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    // Its conditions all read success, and nothing else has been asked to go.
    ran.says("pod s03/p waits for").says("not been asked to go yet");
    let ran = scene.mended(&["--force-up-to=strip"]);
    ran.says("pod s03/p").says("configmap s03/untouched");
}

#[test]
fn s12_the_deepest_dependent_is_the_one_that_holds() {
    let scene = Scene::new("s12");
    let owner = scene.config_map("owner", &[]);
    let child = scene.create(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "child",
        "finalizers": ["example.com/child"], "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap",
        "name": "owner", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true}]}}),
    );
    assert!(child["metadata"]["uid"].is_string());
    kubectl(
        scene.cluster,
        &[
            "delete",
            "cm",
            "owner",
            "-n",
            "s12",
            "--cascade=foreground",
            "--wait=false",
        ],
    );
    wait_for("the dependent to be deleted", DEFAULT_TIMEOUT, || {
        let child = scene.cluster.get("v1/ConfigMap", "s12", "child")?;
        child["metadata"]["deletionTimestamp"].is_string().then_some(())
    });
    let ran = finalize(scene.cluster, &["cm/owner", "-n", "s12", "--dry-run"]).expect(0);
    ran.says("configmap s12/child waits for")
        .says("behind it: configmap s12/owner is deleted in the foreground");
    finalize(scene.cluster, &["cm/owner", "-n", "s12", "--force-up-to=strip"]).expect(0);
    assert!(scene.cluster.get("v1/ConfigMap", "s12", "child").is_none());
}

#[test]
fn s14_a_finalizer_in_the_spec_of_the_namespace() {
    let cluster = crate::scene::whole();
    cluster.create(
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "s14", "labels": {"keep": "me"}},
        "spec": {"finalizers": ["kubernetes", "example.com/origin"]}}),
    );
    let scene = Scene::of(cluster, "s14".into());
    scene.delete();
    scene
        .finalize(&["--dry-run"])
        .expect(0)
        .says("spec.finalizers of the namespace has example.com/origin");
    scene.mended(&["--force-up-to=strip"]);
}

#[test]
fn s15_a_zombie_is_deleted_once_more() {
    let scene = Scene::new("s15");
    scene.config_map("live", &[]);
    let mut namespace = scene.cluster.get("v1/Namespace", "", "s15").unwrap();
    namespace["spec"]["finalizers"] = json!([]);
    kubectl_in(
        scene.cluster,
        &["replace", "--raw", "/api/v1/namespaces/s15/finalize", "-f", "-"],
        &namespace.to_string(),
    );
    scene
        .finalize(&["--dry-run"])
        .expect(0)
        .says("spec.finalizers of this namespace is empty");
    kubectl(scene.cluster, &["delete", "namespace", "s15", "--wait=false"]);
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("no finalizers left, and its controller passes it by")
        .says("objects are still in it");
    scene.mended(&["--force-up-to=narrow"]);
    assert!(scene.cluster.list("v1/ConfigMap", "s15", "").is_empty());
}
