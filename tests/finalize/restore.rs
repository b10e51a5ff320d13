//! What a run has changed or deleted comes back.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{Ran, finalize, kubectl},
    scene::Scene,
};

/// The folder that the run has named.
fn folder(ran: &Ran) -> String {
    let said = ran
        .stderr
        .lines()
        .find_map(|l| l.strip_prefix("what was changed is saved in "));
    said.unwrap_or_else(|| panic!("{}", ran.text())).to_owned()
}

#[test]
fn restored_is_what_was_stripped() {
    let scene = Scene::new("restored");
    scene.config_map("a", &["example.com/cleanup"]);
    kubectl(
        scene.cluster,
        &["-n", "restored", "patch", "cm", "a", "-p", r#"{"data": {"k": "kept"}}"#],
    );
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", "restored", "--wait=false"]);
    let ran = finalize(scene.cluster, &["cm/a", "-n", "restored", "--force-up-to=strip"]).expect(0);
    let folder = folder(&ran);
    assert!(scene.cluster.get("v1/ConfigMap", "restored", "a").is_none());
    finalize(scene.cluster, &["restore", &folder]).expect(3).says("--yes");
    let ran = finalize(scene.cluster, &["restore", &folder, "--dry-run"]).expect(0);
    ran.says("configmap restored/a created (dry run)");
    assert!(scene.cluster.get("v1/ConfigMap", "restored", "a").is_none());
    finalize(scene.cluster, &["restore", &folder, "--yes"])
        .expect(0)
        .says("configmap restored/a created");
    let back = wait_for("the object", DEFAULT_TIMEOUT, || {
        scene.cluster.get("v1/ConfigMap", "restored", "a")
    });
    assert_eq!(back["data"]["k"], "kept");
    assert!(back["metadata"]["finalizers"].is_null(), "{back}");
    // It is another object now.
    let ran = finalize(scene.cluster, &["restore", &folder, "--yes"]).expect(0);
    ran.says("is another object by now");
}

/// What was in a namespace comes back with it.
#[test]
fn restored_with_its_namespace() {
    let scene = Scene::new("remade");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let ran = scene.mended(&["--force-up-to=strip"]);
    let folder = folder(&ran);
    let ran = finalize(scene.cluster, &["restore", &folder, "--dry-run"]).expect(0);
    ran.says("namespace/remade created (dry run)")
        .says("configmap remade/a created (dry run)");
    assert!(scene.is_gone());
    let ran = finalize(scene.cluster, &["restore", &folder, "--yes"]).expect(0);
    ran.says("namespace/remade created").says("configmap remade/a created");
    assert!(scene.cluster.get("v1/ConfigMap", "remade", "a").is_some());
}

/// What another run had taken out of the way when it was saved is not brought back.
#[test]
fn restored_is_nothing_that_was_neutralised() {
    let scene = Scene::new("whole-again");
    let kind = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";
    let made = scene.cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "whole-again"}, "webhooks": [{"name": "dead.example.com", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "rules": [],
        "clientConfig": {"service": {"namespace": "default", "name": "nope"}}}]}),
    );
    let mut saved = made.clone();
    saved["apiVersion"] = json!("admissionregistration.k8s.io/v1");
    saved["kind"] = json!("ValidatingWebhookConfiguration");
    saved["webhooks"][0]["failurePolicy"] = json!("Ignore");
    let record = json!({"fields": [{"field": "failurePolicy", "webhook": "dead.example.com", "was": "Fail",
        "needed": [{"target": "namespaces/old", "until": "2020-01-01T00:00:00Z"}]}]});
    saved["metadata"]["annotations"] = json!({"kubectl-upkeep/neutralised": record.to_string()});
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("001-x.json"), saved.to_string()).unwrap();
    let path = folder.path().to_str().unwrap();
    finalize(scene.cluster, &["restore", path, "--yes"])
        .expect(0)
        .says("is as it was");
    let now = scene.cluster.get(kind, "", "whole-again").unwrap();
    assert_eq!(now["webhooks"], made["webhooks"]);
    assert!(now["metadata"]["annotations"].is_null(), "{now}");
    scene.cluster.delete(kind, "", "whole-again");
}

#[test]
fn restored_from_nothing() {
    let cluster = crate::scene::whole();
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    finalize(cluster, &["restore", path])
        .expect(1)
        .says("nothing is saved in");
    finalize(cluster, &["restore", &format!("{path}/nowhere")])
        .expect(1)
        .says("cannot read the folder");
    std::fs::write(empty.path().join("001-x.json"), "garbage").unwrap();
    finalize(cluster, &["restore", path])
        .expect(1)
        .says("001-x.json is not JSON");
}
