//! Webhooks, rules and writers that make the removal of a finalizer invalid or undo it.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Https, wait_for};

use super::gates::{ALL, MUTATING, VALIDATING, client, entries, nobody, refused, removal, webhook, writes};
use crate::{
    custom::{KIND as DEFINITION, define, version},
    kit::{finalize, kubectl},
    scene::Scene,
};

/// A definition with one field that has to be a small number.
fn strict(scene: &Scene, plural: &str, more: Value) -> String {
    let mut only = version("v1", true);
    only["schema"]["openAPIV3Schema"] = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 3}}}}});
    testsupport::merge(&mut only["schema"]["openAPIV3Schema"], more);
    define(scene, plural, &[only])
}

/// It answers, and whatever it is asked about is not valid any more afterwards.
#[test]
fn r29_a_mutating_webhook_that_makes_every_change_invalid() {
    let scene = Scene::new("r29-change");
    let kind = strict(&scene, "boxes", json!({}));
    let object = json!({"apiVersion": "r29-change.example.com/v1", "kind": "Kindboxes", "metadata": {"name": "b",
        "finalizers": ["example.com/cleanup"]}, "spec": {"size": 1}});
    scene.create(object);
    let backend = Https::start(|asked| {
        let patch = json!([{"op": "replace", "path": "/spec/size", "value": 4}]);
        Some(asked.patched(&patch))
    });
    let name = webhook(
        &scene,
        MUTATING,
        &client(&backend),
        &["UPDATE"],
        "r29-change.example.com",
        "boxes",
    );
    let before = entries(&scene, MUTATING, &name);
    refused(&scene, &["boxes", "b"], "spec.size");
    scene.delete();
    let mark = scene.cluster.audit().mark();
    let ran = scene.finalize(&ALL).expect(4);
    ran.says("the server refuses changes of boxe.r29-change.example.com r29-change/b: it would not be valid")
        .says("spec.size")
        .says("the webhook r29-change.example.com of mutatingwebhookconfiguration/r29-change-webhook")
        .says_nothing_of("re-run with")
        .says_nothing_of("kube-controller-manager");
    let to_it = writes(&scene, mark)
        .into_iter()
        .filter(|r| r.resource == "boxes")
        .count();
    assert_eq!(to_it, 0);
    assert_eq!(entries(&scene, MUTATING, &name), before);
    scene.cluster.delete(MUTATING, "", &name);
    wait_for("it to be out of force", DEFAULT_TIMEOUT, || {
        removal(&scene, &["boxes", "b"]).is_empty().then_some(())
    });
    scene.mended(&["--force-up-to=strip"]);
    scene.cluster.delete(DEFINITION, "", &kind);
}

/// The dry run is taken, and shows that the finalizer would still be there.
#[test]
fn r29_a_mutating_webhook_that_writes_the_finalizer_back() {
    let scene = Scene::new("r29-back");
    scene.config_map("a", &["example.com/cleanup"]);
    let backend = Https::start(|asked| {
        let patch = json!([{"op": "add", "path": "/metadata/finalizers", "value": ["example.com/cleanup"]}]);
        Some(asked.patched(&patch))
    });
    let name = webhook(&scene, MUTATING, &client(&backend), &["UPDATE"], "", "configmaps");
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", "r29-back", "--wait=false"]);
    let target = ["cm/a", "-n", "r29-back"];
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let ran = finalize(scene.cluster, &[&target[..], &["--dry-run"]].concat());
        ran.text().contains("is written back while it is removed").then_some(())
    });
    let mark = scene.cluster.audit().mark();
    let ran = finalize(scene.cluster, &[&target[..], &ALL].concat()).expect(4);
    ran.says("the webhook r29-back.example.com of mutatingwebhookconfiguration/r29-back-webhook may do that");
    assert!(writes(&scene, mark).is_empty());
    scene.cluster.delete(MUTATING, "", &name);
}

/// A rule on the root of a definition that no object meets.
#[test]
fn r29_a_rule_that_refuses_every_change() {
    let scene = Scene::new("r29-rule");
    let kind = strict(&scene, "crates", json!({}));
    scene.create(
        json!({"apiVersion": "r29-rule.example.com/v1", "kind": "Kindcrates", "metadata": {"name": "c",
        "finalizers": ["example.com/cleanup"]}, "spec": {"size": 1}}),
    );
    let mut frozen = scene.cluster.get(DEFINITION, "", &kind).unwrap()["spec"]["versions"].clone();
    frozen[0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] =
        json!([{"rule": "!has(self.spec) || self.spec.size > 9", "message": "crates are frozen"}]);
    scene
        .cluster
        .patch(DEFINITION, "", &kind, json!({"spec": {"versions": frozen}}));
    refused(&scene, &["crates", "c"], "crates are frozen");
    scene.delete();
    let ran = scene.finalize(&ALL).expect(4);
    ran.says("crates are frozen")
        .says("in the schema of customresourcedefinition/crates.r29-rule.example.com is not met")
        .says_nothing_of("re-run with");
    let open = json!([{"rule": "true"}]);
    frozen[0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = open;
    scene
        .cluster
        .patch(DEFINITION, "", &kind, json!({"spec": {"versions": frozen}}));
    wait_for("the rule to be out of force", DEFAULT_TIMEOUT, || {
        removal(&scene, &["crates", "c"]).is_empty().then_some(())
    });
    scene.mended(&["--force-up-to=strip"]);
    scene.cluster.delete(DEFINITION, "", &kind);
}

/// What keeps the configuration as it is in Git undoes the exclusion within a second.
#[test]
fn r29_a_configuration_that_is_written_back() {
    let scene = Scene::new("r29-gitops");
    scene.config_map("a", &[]);
    let name = webhook(&scene, VALIDATING, &nobody(), &["DELETE"], "", "configmaps");
    // As if it had been applied from Git.
    let manager = "--field-manager=argocd-controller";
    let mut made = scene.cluster.get(VALIDATING, "", &name).unwrap();
    scene.cluster.delete(VALIDATING, "", &name);
    made["metadata"] = json!({"name": name});
    crate::kit::kubectl_in(scene.cluster, &["create", manager, "-f", "-"], &made.to_string());
    let before = entries(&scene, VALIDATING, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let ran = finalize(scene.cluster, &["cm/a", "-n", "r29-gitops", "--dry-run"]);
        ran.text().contains("r29-gitops.example.com").then_some(())
    });
    scene.delete();
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                if entries(&scene, VALIDATING, &name) != before {
                    let back = json!({"webhooks": before}).to_string();
                    let kind = "validatingwebhookconfiguration";
                    kubectl(
                        scene.cluster,
                        &["patch", kind, &name, "--type=merge", manager, "-p", &back],
                    );
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        });
        let ran = scene.finalize(&["--force-up-to=neutralise"]);
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        ran.expect(4)
            .says("was written back since (its managedFields name argocd-controller, a name that writers choose themselves)")
            .says("suspend what keeps validatingwebhookconfiguration/r29-gitops-webhook as it is");
    });
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
    scene.finalize(&[]).expect(0);
}
