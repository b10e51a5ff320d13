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
    let scene = Scene {
        cluster,
        name: "s14".into(),
    };
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

/// A webhook that is asked about this kind in this namespace, and whose Service does not exist.
fn dead_webhook(scene: &Scene, operations: &[&str], resource: &str) -> String {
    let name = format!("{}-guard", scene.name);
    scene.cluster.create(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": [
            {"name": "living.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
             "clientConfig": {"url": "https://127.0.0.1:9"}, "rules": []},
            {"name": "deny.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
             "clientConfig": {"service": {"namespace": "default", "name": "nope"}},
             "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.name}},
             "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": operations, "resources": [resource]}]}]}));
    name
}

fn webhooks(scene: &Scene, name: &str) -> serde_json::Value {
    let kind = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";
    scene.cluster.get(kind, "", name).unwrap()["webhooks"].clone()
}

#[test]
fn s05_a_dead_webhook_that_is_asked_about_deletions() {
    let scene = Scene::new("s05");
    scene.config_map("a", &[]);
    let name = dead_webhook(&scene, &["DELETE", "UPDATE"], "configmaps");
    let before = webhooks(&scene, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let refused = finalize(scene.cluster, &["cm/a", "-n", "s05", "--dry-run"]);
        refused.text().contains("deny.example.com").then_some(())
    });
    scene.delete();
    wait_for("the controller to have tried", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text()
            .contains("the webhook deny.example.com of validatingwebhookconfiguration")
            .then_some(())
    });
    // Repairs are for people, and nothing more was allowed.
    scene
        .finalize(&["--force-up-to=narrow"])
        .expect(4)
        .says("there is no such Service");
    assert_eq!(webhooks(&scene, &name), before);
    scene.mended(&["--force-up-to=neutralise"]);
    assert_eq!(webhooks(&scene, &name), before);
}

#[test]
fn s06_the_status_is_another_way() {
    let scene = Scene::new("s06");
    scene.create(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web",
        "finalizers": ["ingress.k8s.aws/resources"]}, "spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}}}));
    let name = dead_webhook(&scene, &["UPDATE"], "ingresses");
    let before = webhooks(&scene, &name);
    scene.delete();
    scene
        .finalize(&["--dry-run"])
        .expect(0)
        .says("aws-load-balancer-controller");
    let ran = scene.mended(&["--force-up-to=strip"]);
    ran.says_nothing_of("neutralise:");
    assert_eq!(webhooks(&scene, &name), before);
}
