//! Custom resources: conversion, versions that are gone, policies.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{finalize, kubectl},
    scene::Scene,
};

pub const KIND: &str = "apiextensions.k8s.io/v1/CustomResourceDefinition";

pub fn version(name: &str, stored: bool) -> Value {
    json!({"name": name, "served": true, "storage": stored,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
}

/// A definition with these versions; returns when it is served.
pub fn define(scene: &Scene, plural: &str, versions: &[Value]) -> String {
    let group = format!("{}.example.com", scene.name);
    let name = format!("{plural}.{group}");
    let kind = format!("Kind{plural}");
    scene.cluster.create(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": name}, "spec": {"group": group, "scope": "Namespaced", "versions": versions,
        "names": {"plural": plural, "singular": plural.trim_end_matches('s'), "kind": kind, "listKind": format!("{kind}List")}}}));
    wait_for("the definition", DEFAULT_TIMEOUT, || {
        let conditions = scene.cluster.get(KIND, "", &name)?["status"]["conditions"].clone();
        let established = |c: &Value| c["type"] == "Established" && c["status"] == "True";
        conditions.as_array()?.iter().any(established).then_some(())
    });
    name
}

#[test]
fn s07_a_conversion_webhook_that_is_gone() {
    let scene = Scene::apart("s07");
    let name = define(&scene, "gizmos", &[version("v1", true), version("v2", false)]);
    scene.create(json!({"apiVersion": "s07.example.com/v1", "kind": "Kindgizmos", "metadata": {"name": "g"}}));
    let conversion = json!({"spec": {"conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "default", "name": "nope"}}}}}});
    scene.cluster.patch(KIND, "", &name, conversion);
    let before = scene.cluster.get(KIND, "", &name).unwrap()["spec"].clone();
    scene.delete();
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text()
            .contains("the conversion webhook of gizmos.s07.example.com does not answer")
            .then_some(ran)
    });
    ran.says("through v1, in which it is stored");
    scene.mended(&["--force-up-to=narrow"]);
    assert_eq!(scene.cluster.get(KIND, "", &name).unwrap()["spec"], before);
    scene.cluster.delete(KIND, "", &name);
}

#[test]
fn s28_a_stored_version_that_is_not_there_any_more() {
    let scene = Scene::new("s28");
    let name = define(&scene, "relics", &[version("v1alpha1", true), version("v1", false)]);
    scene.create(json!({"apiVersion": "s28.example.com/v1alpha1", "kind": "Kindrelics", "metadata": {"name": "r"}}));
    scene.cluster.patch(
        KIND,
        "",
        &name,
        json!({"spec": {"versions": [version("v1alpha1", false), version("v1", true)]}}),
    );
    scene
        .cluster
        .patch_status(KIND, "", &name, json!({"status": {"storedVersions": ["v1"]}}));
    scene
        .cluster
        .patch(KIND, "", &name, json!({"spec": {"versions": [version("v1", true)]}}));
    scene.delete();
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text()
            .contains("stored in a version that is not there any more")
            .then_some(ran)
    });
    ran.says("serve the version v1alpha1");
    scene.mended(&["--force-up-to=repair"]);
    scene.cluster.delete(KIND, "", &name);
}

#[test]
fn s19_a_policy_that_somebody_has_made_is_kept() {
    let scene = Scene::new("s19");
    scene.config_map("a", &[]);
    let policy = "admissionregistration.k8s.io/v1";
    scene.cluster.create(json!({"apiVersion": policy, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "s19-no-delete"},
        "spec": {"failurePolicy": "Fail", "validations": [{"expression": "false", "message": "kept"}], "matchConstraints": {
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["configmaps"]}]}}}));
    scene.cluster.create(
        json!({"apiVersion": policy, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "s19-binding"},
        "spec": {"policyName": "s19-no-delete", "validationActions": ["Deny"], "matchResources": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "s19"}}}}}),
    );
    wait_for("the policy", DEFAULT_TIMEOUT, || {
        let ran = crate::kit::finalize(scene.cluster, &["cm/a", "-n", "s19", "--dry-run"]);
        ran.text().contains("s19-no-delete").then_some(())
    });
    scene.delete();
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text()
            .contains("s19-no-delete with the binding s19-binding does not allow DELETE")
            .then_some(ran)
    });
    ran.says("ask its owner");
    // Whatever force is allowed.
    scene
        .finalize(&["--force-up-to=finalize", "--timeout=3s"])
        .says("does not allow DELETE");
    assert!(!scene.is_gone());
    kubectl(
        scene.cluster,
        &["delete", "validatingadmissionpolicybinding", "s19-binding"],
    );
    wait_for("the namespace to go by itself", DEFAULT_TIMEOUT * 3, || {
        scene.is_gone().then_some(())
    });
}

fn is_deleting(scene: &Scene, kind: &str, name: &str) {
    wait_for("the object to be deleted", DEFAULT_TIMEOUT, || {
        let object = scene.cluster.get(kind, &scene.name, name)?;
        object["metadata"]["deletionTimestamp"].is_string().then_some(())
    });
}

/// The definition waits for its objects; to strip it would leave them in etcd (S8b).
#[test]
fn s08_a_definition_that_waits_for_its_objects() {
    let scene = Scene::new("s08");
    let name = define(&scene, "widgets", &[version("v1", true)]);
    scene.create(
        json!({"apiVersion": "s08.example.com/v1", "kind": "Kindwidgets", "metadata": {"name": "w",
        "finalizers": ["example.com/cleanup"]}}),
    );
    kubectl(scene.cluster, &["delete", "crd", &name, "--wait=false"]);
    is_deleting(&scene, "s08.example.com/v1/Kindwidgets", "w");
    let crd = format!("crd/{name}");
    let ran = finalize(scene.cluster, &[&crd, "--dry-run"]).expect(0);
    ran.says("s08/w waits for")
        .says("is kept while there are objects of it")
        .says_nothing_of("customresourcecleanup");
    finalize(scene.cluster, &[&crd]).expect(4);
    finalize(scene.cluster, &[&crd, "--force-up-to=strip"]).expect(0);
    assert!(scene.cluster.get(KIND, "", &name).is_none());
}

/// Its objects cannot even be listed.
#[test]
fn s08c_a_definition_whose_objects_cannot_be_converted() {
    let scene = Scene::apart("s08c");
    let name = define(&scene, "gears", &[version("v1", true), version("v2", false)]);
    scene.create(
        json!({"apiVersion": "s08c.example.com/v1", "kind": "Kindgears", "metadata": {"name": "g",
        "finalizers": ["example.com/cleanup"]}}),
    );
    let broken = json!({"spec": {"versions": [version("v1", false), version("v2", true)], "conversion": {"strategy": "Webhook",
        "webhook": {"conversionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": "default", "name": "nope"}}}}}});
    scene.cluster.patch(KIND, "", &name, broken);
    kubectl(scene.cluster, &["delete", "crd", &name, "--wait=false"]);
    let crd = format!("crd/{name}");
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = finalize(scene.cluster, &[&crd, "--dry-run"]).expect(0);
        ran.text()
            .contains("the conversion webhook of gears.s08c.example.com")
            .then_some(ran)
    });
    ran.says("set the conversion of");
    finalize(scene.cluster, &[&crd, "--force-up-to=strip"]).expect(0);
    assert!(scene.cluster.get(KIND, "", &name).is_none());
}

/// The schema has become stricter, so that every change is refused, that of the finalizers too.
#[test]
fn s27_an_object_that_its_schema_does_not_allow() {
    let scene = Scene::new("s27");
    let name = define(&scene, "stricts", &[version("v1", true)]);
    scene.create(
        json!({"apiVersion": "s27.example.com/v1", "kind": "Kindstricts", "metadata": {"name": "nospec",
        "finalizers": ["example.com/cleanup"]}}),
    );
    let mut stricter = version("v1", true);
    stricter["schema"]["openAPIV3Schema"] = json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object", "required": ["size", "mode"], "properties": {
            "size": {"type": "integer", "minimum": 1}, "mode": {"type": "string", "enum": ["fast", "slow"]}}}}});
    scene
        .cluster
        .patch(KIND, "", &name, json!({"spec": {"versions": [stricter]}}));
    wait_for("the schema", DEFAULT_TIMEOUT, || {
        let mut touch = assert_cmd::Command::new(scene.cluster.kubectl());
        touch.env("KUBECONFIG", scene.cluster.kubeconfig());
        let touch = touch.args(["-n", "s27", "annotate", "--overwrite", &name, "nospec", "touched=yes"]);
        let said = touch.output().unwrap();
        String::from_utf8_lossy(&said.stderr)
            .contains("Required value")
            .then_some(())
    });
    scene.delete();
    scene.finalize(&["--dry-run"]).expect(0).says("s27/nospec waits for");
    scene.mended(&["--force-up-to=strip"]);
    scene.cluster.delete(KIND, "", &name);
}
