//! Webhooks that are dead and policies that are meant.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{Ran, command, finalize, kubectl},
    scene::Scene,
};

const KIND: &str = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";

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

fn webhooks(scene: &Scene, name: &str) -> Value {
    scene.cluster.get(KIND, "", name).unwrap()["webhooks"].clone()
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

/// Waits until the diagnosis names this.
fn seen(scene: &Scene, text: &str) -> Ran {
    wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text().contains(text).then_some(ran)
    })
}

/// It is asked about the namespace itself as well: no condition can be written.
#[test]
fn s40_a_dead_webhook_that_is_asked_about_everything() {
    let scene = Scene::new("s40");
    scene.config_map("a", &[]);
    let name = dead_webhook(&scene, &["UPDATE", "DELETE"], "*/*");
    // A selector of namespaces says nothing about what has none, and other tests are at work on that.
    let rules = |operations: &[&str]| {
        json!([{"apiGroups": ["*"], "apiVersions": ["*"], "operations": operations, "resources": ["*/*"], "scope": "Namespaced"},
            {"apiGroups": [""], "apiVersions": ["*"], "operations": operations, "resources": ["namespaces", "namespaces/*"]}])
    };
    let mut scoped = webhooks(&scene, &name);
    scoped[1]["rules"] = rules(&["UPDATE", "DELETE"]);
    scene.cluster.patch(KIND, "", &name, json!({"webhooks": scoped}));
    let before = webhooks(&scene, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let refused = scene.finalize(&["--dry-run"]).expect(0);
        refused.text().contains("deny.example.com").then_some(())
    });
    // Nobody can even ask for the deletion.
    scene.finalize(&[]).expect(3).says("the webhook deny.example.com");
    let mut narrower = before.clone();
    narrower[1]["rules"] = rules(&["UPDATE"]);
    scene.cluster.patch(KIND, "", &name, json!({"webhooks": narrower}));
    let narrower = webhooks(&scene, &name);
    wait_for("the deletion to be let through", DEFAULT_TIMEOUT, || {
        let deleted = scene.finalize(&["--dry-run"]).expect(0);
        (!deleted.text().contains("deny.example.com")).then_some(())
    });
    kubectl(scene.cluster, &["delete", "namespace", "s40", "--wait=false"]);
    seen(&scene, "the webhook deny.example.com of validatingwebhookconfiguration");
    scene.mended(&["--force-up-to=neutralise"]);
    assert_eq!(webhooks(&scene, &name), narrower);
}

/// Only some of the objects are asked about: each is tried.
#[test]
fn s50_a_dead_webhook_for_some_objects_only() {
    let scene = Scene::new("s50");
    for name in ["a", "b", "c"] {
        scene.config_map(name, &[]);
    }
    scene.cluster.patch(
        "v1/ConfigMap",
        "s50",
        "b",
        json!({"metadata": {"labels": {"guarded": "yes"}}}),
    );
    let name = dead_webhook(&scene, &["DELETE"], "configmaps");
    let narrower = json!({"objectSelector": {"matchLabels": {"guarded": "yes"}},
        "matchConditions": [{"name": "deletions", "expression": "request.operation == 'DELETE'"}]});
    let mut entries = webhooks(&scene, &name);
    testsupport::merge(&mut entries[1], narrower);
    scene.cluster.patch(KIND, "", &name, json!({"webhooks": entries}));
    let before = webhooks(&scene, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let refused = finalize(scene.cluster, &["cm/b", "-n", "s50", "--dry-run"]);
        let free = finalize(scene.cluster, &["cm/a", "-n", "s50", "--dry-run"]);
        (refused.text().contains("deny.example.com") && !free.text().contains("deny.example.com")).then_some(())
    });
    scene.delete();
    seen(&scene, "the webhook deny.example.com")
        .says("s50/b")
        .says_nothing_of("s50/a");
    scene.mended(&["--force-up-to=neutralise"]);
    assert_eq!(webhooks(&scene, &name), before);
}

/// Nobody has asked for the deletion: somebody does not let them.
#[test]
fn s51_a_policy_that_keeps_the_namespace() {
    let scene = Scene::new("s51");
    let policy = "admissionregistration.k8s.io/v1";
    scene.cluster.create(json!({"apiVersion": policy, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "s51-keep"},
        "spec": {"failurePolicy": "Fail", "validations": [{"expression": "oldObject.metadata.name != 's51'", "message": "kept"}],
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"],
            "resources": ["namespaces"]}]}}}));
    scene.cluster.create(
        json!({"apiVersion": policy, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "s51-binding"},
        "spec": {"policyName": "s51-keep", "validationActions": ["Deny"]}}),
    );
    seen(&scene, "s51-keep with the binding s51-binding does not allow DELETE");
    scene
        .finalize(&["--force-up-to=finalize"])
        .expect(3)
        .says("is not being deleted");
}

/// What was taken out of the way is put back by the next run, whatever became of the first.
#[test]
fn neutralised_and_killed_is_put_back_by_the_next_run() {
    let scene = Scene::new("killed");
    scene.config_map("a", &[]);
    scene.config_map("held", &["example.com/cleanup"]);
    let name = dead_webhook(&scene, &["DELETE"], "configmaps");
    let before = webhooks(&scene, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let refused = finalize(scene.cluster, &["cm/a", "-n", "killed", "--dry-run"]);
        refused.text().contains("deny.example.com").then_some(())
    });
    scene.delete();
    seen(&scene, "the webhook deny.example.com");
    // The lock of a finalizer that somebody else takes off keeps it at work.
    let args = ["ns", "killed", "--force-up-to=neutralise"];
    let mut child = command(scene.cluster, &args).spawn().unwrap();
    wait_for("the webhook to be taken out of the way", DEFAULT_TIMEOUT, || {
        (webhooks(&scene, &name) != before).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let scanned = finalize(scene.cluster, &["scan"]).expect(1);
    if webhooks(&scene, &name) != before {
        scanned.says(&format!(
            "{name} was changed for namespaces/killed, and was not put back yet"
        ));
    }
    finalize(scene.cluster, &["ns", "killed", "--force-up-to=strip"]).expect(0);
    assert_eq!(webhooks(&scene, &name), before);
    let annotations = scene.cluster.get(KIND, "", &name).unwrap()["metadata"]["annotations"].clone();
    assert!(annotations["kubectl-upkeep/neutralised"].is_null(), "{annotations}");
}
