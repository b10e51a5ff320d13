//! What would hold a namespace if it were deleted now.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    custom::{KIND, define, version},
    kit::finalize,
    scene::Scene,
};

#[test]
fn preflight_of_a_namespace_that_nothing_holds() {
    let scene = Scene::new("pre-free");
    scene.config_map("a", &[]);
    let ran = finalize(scene.cluster, &["preflight", "ns", "pre-free"]).expect(0);
    ran.says("nothing would hold namespace/pre-free");
    finalize(scene.cluster, &["preflight", "ns", "nowhere"])
        .expect(1)
        .says("there is no namespace nowhere");
    finalize(scene.cluster, &["preflight", "pod", "x"]).expect(2);
}

#[test]
fn preflight_names_what_would_hold_it() {
    let scene = Scene::new("pre-held");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "pre-held"}, "webhooks": [{"name": "inside.example.com", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "rules": [],
            "clientConfig": {"service": {"namespace": "pre-held", "name": "guard"}}}]}),
    );
    let name = define(&scene, "gauges", &[version("v1", true), version("v2", false)]);
    let conversion = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "pre-held", "name": "convert"}}}});
    let patch = json!({"spec": {"conversion": conversion}});
    scene.cluster.patch(KIND, "", &name, patch);
    scene
        .cluster
        .create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "pre-held-node"}}));
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranded"}, "spec": {"nodeName": "pre-held-node",
        "containers": [{"name": "c", "image": "i"}]}}),
    );
    let ran = finalize(scene.cluster, &["preflight", "ns/pre-held"]).expect(1);
    ran.says("configmap pre-held/a waits for")
        .says("the webhook inside.example.com of validatingwebhookconfiguration/pre-held is answered from within this namespace")
        .says("the objects of customresourcedefinition/gauges.pre-held.example.com are converted from within this namespace")
        .says("the kubelet of node/pre-held-node");
    scene.cluster.delete(KIND, "", &name);
    wait_for("the definition to be gone", DEFAULT_TIMEOUT, || {
        scene.cluster.get(KIND, "", &name).is_none().then_some(())
    });
    let ran = finalize(scene.cluster, &["preflight", "ns/pre-held", "-o", "json"]).expect(1);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let inside = document["findings"].as_array().unwrap().iter();
    assert_eq!(
        inside.filter(|f| f["id"] == "served-from-inside").count(),
        1,
        "{document}"
    );
    assert_eq!(
        (&document["state"], &document["exitCode"]),
        (&json!("living"), &json!(1))
    );
    let namespace = scene.cluster.get("v1/Namespace", "", "pre-held").unwrap();
    assert!(namespace["metadata"]["deletionTimestamp"].is_null());
}
