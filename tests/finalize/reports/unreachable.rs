//! Webhooks that cannot be reached and are asked about updates, not about deletions.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use super::gates::{VALIDATING, entries, nobody, refused, webhook};
use crate::{
    custom::{KIND as DEFINITION, define, version},
    scene::Scene,
};

/// Asked about updates, not about deletions: the removal itself would fail, and there is no status.
#[test]
fn r23_a_dead_webhook_that_is_asked_about_updates() {
    let scene = Scene::new("r23");
    let kind = define(&scene, "orders", &[version("v1", true)]);
    scene.config_map("a", &["example.com/cleanup"]);
    scene.create(
        json!({"apiVersion": "r23.example.com/v1", "kind": "Kindorders", "metadata": {"name": "o",
        "finalizers": ["example.com/cleanup"]}}),
    );
    let name = webhook(&scene, VALIDATING, &nobody(), &["UPDATE"], "*", "*");
    let before = entries(&scene, VALIDATING, &name);
    refused(&scene, &["cm", "a"], "failed calling webhook");
    scene.delete();
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text().contains("and with it").then_some(ran)
    });
    ran.says("the webhook r23.example.com of validatingwebhookconfiguration/r23-webhook does not answer, and UPDATE is refused without it")
        .says("holds configmap r23/a")
        .says("other users are still refused");
    let ran = scene.mended(&["--force-up-to=strip"]);
    ran.says("neutralise:").says("is as it was");
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
    scene.cluster.delete(DEFINITION, "", &kind);
}

/// The controller is alive, and its own updates fail: once the webhook is out of its way nothing more is needed.
#[test]
fn r23_a_dead_webhook_before_a_living_controller() {
    let scene = Scene::new("r23-alive");
    let cluster = scene.cluster;
    let kind = define(&scene, "invoices", &[version("v1", true)]);
    let ops = cluster.namespace("r23-ops");
    // Its ServiceAccount may change the finalizers of the kind, which is how it is known.
    let resources = "invoices.r23-alive.example.com,invoices.r23-alive.example.com/finalizers";
    let rules = [testsupport::Rule::allow("get,list,update,patch", resources)];
    let config = cluster.token_kubeconfig("r23-ops", "keeper", std::time::Duration::from_secs(900), &rules);
    ops.create(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "keeper"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"app": "keeper"}}, "template": {"metadata": {"labels": {"app": "keeper"}},
            "spec": {"serviceAccountName": "keeper", "containers": [{"name": "c", "image": "i"}]}}}}),
    );
    wait_for("the controller to be Ready", DEFAULT_TIMEOUT, || {
        let deployment = cluster.get("apps/v1/Deployment", "r23-ops", "keeper")?;
        (deployment["status"]["readyReplicas"] == 1).then_some(())
    });
    scene.create(
        json!({"apiVersion": "r23-alive.example.com/v1", "kind": "Kindinvoices", "metadata": {"name": "i",
        "finalizers": ["example.com/cleanup"]}}),
    );
    let name = webhook(
        &scene,
        VALIDATING,
        &nobody(),
        &["UPDATE"],
        "r23-alive.example.com",
        "invoices",
    );
    let before = entries(&scene, VALIDATING, &name);
    refused(&scene, &["invoices", "i"], "failed calling webhook");
    scene.delete();
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text().contains("and with it").then_some(ran)
    });
    ran.says("system:serviceaccount:r23-ops:keeper");
    // As an operator does: it tries all the time.
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                let mut keeper = assert_cmd::Command::new(cluster.kubectl());
                keeper
                    .env("KUBECONFIG", &config)
                    .args(["patch", "invoices", "i", "-n", "r23-alive", "--type=merge"]);
                let _ = keeper.args(["-p", r#"{"metadata": {"finalizers": null}}"#]).output();
                std::thread::sleep(std::time::Duration::from_millis(500));
            }
        });
        let ran = scene.finalize(&["--force-up-to=neutralise"]);
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        ran.expect(0).says("neutralise:").says_nothing_of("strip:");
    });
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
    scene.cluster.delete(DEFINITION, "", &kind);
}
