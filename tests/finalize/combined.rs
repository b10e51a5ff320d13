//! Several causes at once, and much of everything.

use futures::StreamExt as _;
use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{finalize, kubectl},
    scene::{Scene, alone},
};

/// Each is named, each is mended on its own rung.
#[test]
fn three_causes_at_once() {
    let scene = Scene::new("three");
    scene.config_map("held", &["example.com/cleanup"]);
    scene.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "guarded"}}));
    scene.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb",
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}));
    let kind = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";
    scene.cluster.create(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "three"}, "webhooks": [{"name": "three.example.com", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "clientConfig": {"service": {"namespace": "default", "name": "nope"}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "three"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["secrets"]}]}]}));
    let before = scene.cluster.get(kind, "", "three").unwrap()["webhooks"].clone();
    scene.delete();
    let ran = wait_for("all of it to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text().contains("3 causes hold it").then_some(ran)
    });
    ran.says("configmap three/held waits for")
        .says("service three/lb waits for")
        .says("the webhook three.example.com");
    let ran = scene.mended(&["--force-up-to=strip"]);
    let (opened, stripped) = (ran.stderr.find("neutralise:"), ran.stderr.find("strip:"));
    assert!(
        opened.is_some() && opened < stripped,
        "the gentler rung comes first: {}",
        ran.text()
    );
    assert_eq!(scene.cluster.get(kind, "", "three").unwrap()["webhooks"], before);
}

/// Five thousand objects, a hundred of them stuck.
#[test]
fn five_thousand_objects() {
    let scene = Scene::new("many");
    let client = scene.cluster.client();
    let made = futures::stream::iter(0..5_000).for_each_concurrent(32, |i| {
        let client = client.clone();
        let finalizers: &[&str] = if i % 50 == 0 { &["example.com/cleanup"] } else { &[] };
        let object = json!({"metadata": {"name": format!("o-{i}"), "finalizers": finalizers}});
        let request = http::Request::post("/api/v1/namespaces/many/configmaps")
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        async move { drop(client.request::<serde_json::Value>(request).await.unwrap()) }
    });
    scene.cluster.block_on(made);
    scene.delete();
    wait_for("the others to be gone", DEFAULT_TIMEOUT * 3, || {
        (scene.cluster.list("v1/ConfigMap", "many", "").len() == 100).then_some(())
    });
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("1 cause holds it").says("100 objects wait for");
    scene.mended(&["--force-up-to=strip"]);
}

/// Three hundred kinds, one object of one of them stuck.
#[test]
fn three_hundred_definitions() {
    let cluster = alone();
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let client = cluster.client();
    let made = futures::stream::iter(0..300).for_each_concurrent(8, |i| {
        let (client, plural, kind) = (client.clone(), format!("kind{i}s"), format!("Kind{i}"));
        let versions = json!([{"name": "v1", "served": true, "storage": true, "schema": schema}]);
        let definition = json!({"metadata": {"name": format!("{plural}.many.example.com")}, "spec": {
            "group": "many.example.com", "scope": "Namespaced", "versions": versions,
            "names": {"plural": plural, "kind": kind, "listKind": format!("{kind}List")}}});
        let request = http::Request::post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
            .header("content-type", "application/json")
            .body(definition.to_string().into_bytes())
            .unwrap();
        async move { drop(client.request::<serde_json::Value>(request).await.unwrap()) }
    });
    cluster.block_on(made);
    let ns = cluster.namespace("kinds");
    let held = json!({"apiVersion": "many.example.com/v1", "kind": "Kind299", "metadata": {"name": "held",
        "finalizers": ["example.com/cleanup"]}});
    wait_for("the last kind to be served", DEFAULT_TIMEOUT * 3, || {
        let served = kubectl(&cluster, &["get", "--raw", "/apis/many.example.com/v1"]);
        served.contains("kind299s").then_some(())
    });
    ns.create(held);
    kubectl(&cluster, &["delete", "namespace", "kinds", "--wait=false"]);
    wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = finalize(&cluster, &["ns", "kinds", "--dry-run"]).expect(0);
        ran.text()
            .contains("kind299.many.example.com kinds/held waits for")
            .then_some(())
    });
    finalize(&cluster, &["ns", "kinds", "--force-up-to=strip"]).expect(0);
    assert!(cluster.get("v1/Namespace", "", "kinds").is_none());
}
