//! Webhooks and APIs that answer: with a refusal, not at all, or again after a while.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use testsupport::{Asked, Cluster, DEFAULT_TIMEOUT, Https, wait_for};

use crate::{
    custom::{KIND, define, version},
    kit::{command, finalize, kubectl, run},
    scene::{Scene, alone},
};

const WEBHOOKS: &str = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";
const APIS: &str = "apiregistration.k8s.io/v1/APIService";

/// A webhook that lets deletions through, or not.
fn review(asked: &Asked, allowed: bool) -> Value {
    let uid = &asked.body["request"]["uid"];
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": uid, "allowed": allowed,
        "status": {"message": "Bewahrt wird, was wir brauchen", "code": 403}}})
}

/// It is asked about deletions of ConfigMaps in this namespace.
fn guard(scene: &Scene, backend: &Https) -> String {
    let name = format!("{}-answers", scene.name);
    scene.cluster.create(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": [{"name": "guard.example.com", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "clientConfig": {"url": backend.url(), "caBundle": backend.ca_bundle()},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.name}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["configmaps"]}]}]}));
    name
}

fn entries(scene: &Scene, name: &str) -> Value {
    scene.cluster.get(WEBHOOKS, "", name).unwrap()["webhooks"].clone()
}

/// Somebody does not want it to go, and says so: that is no fault.
#[test]
fn a_webhook_that_says_no_is_kept() {
    let scene = Scene::new("denied");
    scene.config_map("wanted", &[]);
    let allowed = Arc::new(AtomicBool::new(false));
    let says = allowed.clone();
    let backend = Https::start(move |asked| Some(review(asked, says.load(Ordering::SeqCst))));
    let name = guard(&scene, &backend);
    let before = entries(&scene, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let refused = finalize(scene.cluster, &["cm/wanted", "-n", "denied", "--dry-run"]);
        refused.text().contains("Bewahrt wird").then_some(())
    });
    scene.delete();
    let ran = scene.finalize(&["--force-up-to=finalize", "--timeout=60s"]).expect(4);
    ran.says("Bewahrt wird").says_nothing_of("neutralise:");
    assert_eq!(entries(&scene, &name), before);
    assert!(scene.cluster.get("v1/ConfigMap", "denied", "wanted").is_some());
    // Whoever has said no says yes now.
    allowed.store(true, Ordering::SeqCst);
    scene.mended(&["--force-up-to=finalize"]).says_nothing_of("neutralise:");
    assert_eq!(entries(&scene, &name), before);
}

/// What it says is its own affair: also the words that the server has for one that does not answer.
#[test]
fn a_webhook_that_says_no_in_the_words_of_the_server() {
    let scene = Scene::new("worded");
    scene.config_map("wanted", &[]);
    let backend = Https::start(|asked| {
        let mut says = review(asked, false);
        says["response"]["status"]["message"] =
            json!("upstream: failed calling webhook \"guard.example.com\": it is down");
        Some(says)
    });
    let name = guard(&scene, &backend);
    let before = entries(&scene, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let refused = finalize(scene.cluster, &["cm/wanted", "-n", "worded", "--dry-run"]);
        refused.text().contains("it is down").then_some(())
    });
    scene.delete();
    let ran = scene.finalize(&["--force-up-to=neutralise"]).expect(4);
    ran.says("does not allow DELETE").says_nothing_of("neutralise:");
    assert_eq!(entries(&scene, &name), before);
    scene.cluster.delete(WEBHOOKS, "", &name);
    scene.finalize(&[]).expect(0);
}

/// A conversion that is refused is meant, and is not taken out of the way.
#[test]
fn a_conversion_webhook_that_says_no() {
    let scene = Scene::apart("refused");
    let name = define(&scene, "bills", &[version("v1", true), version("v2", false)]);
    scene.create(json!({"apiVersion": "refused.example.com/v1", "kind": "Kindbills", "metadata": {"name": "b"}}));
    let backend = Https::start(|asked| {
        let uid = &asked.body["request"]["uid"];
        let result = json!({"status": "Failed", "message": "bill b has no price, refusing to convert"});
        Some(
            json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
            "response": {"uid": uid, "convertedObjects": [], "result": result}}),
        )
    });
    let client = json!({"url": backend.url(), "caBundle": backend.ca_bundle()});
    let conversion =
        json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client}});
    let versions = json!([version("v1", false), version("v2", true)]);
    let spec = json!({"spec": {"conversion": conversion, "versions": versions}});
    scene.cluster.patch(KIND, "", &name, spec);
    let before = scene.cluster.get(KIND, "", &name).unwrap()["spec"]["conversion"].clone();
    wait_for("the conversion", DEFAULT_TIMEOUT, || {
        let ran = finalize(scene.cluster, &[name.as_str(), "b", "-n", "refused", "--dry-run"]);
        ran.text().contains("bill b has no price").then_some(())
    });
    kubectl(scene.cluster, &["delete", "namespace", "refused", "--wait=false"]);
    let ran = wait_for("the cause", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text().contains("answers, and does not convert").then_some(ran)
    });
    ran.says("bill b has no price").says_nothing_of("set the conversion");
    scene.finalize(&["--force-up-to=neutralise", "--timeout=60s"]);
    assert_eq!(
        scene.cluster.get(KIND, "", &name).unwrap()["spec"]["conversion"],
        before
    );
    scene.cluster.patch(
        KIND,
        "",
        &name,
        json!({"spec": {"conversion": {"strategy": "None", "webhook": null}}}),
    );
    scene.finalize(&["--force-up-to=narrow"]).expect(0);
    scene.cluster.delete(KIND, "", &name);
}

/// It is started anew while the namespace goes.
#[test]
fn a_webhook_that_is_away_for_seconds() {
    let scene = Scene::new("away");
    scene.config_map("a", &[]);
    let backend = Https::start(|asked| Some(review(asked, true)));
    let name = guard(&scene, &backend);
    let before = entries(&scene, &name);
    backend.down(true);
    wait_for("the webhook to be seen", DEFAULT_TIMEOUT, || {
        let refused = finalize(scene.cluster, &["cm/a", "-n", "away", "--dry-run"]);
        refused.text().contains("guard.example.com").then_some(())
    });
    scene.delete();
    let going = command(scene.cluster, &["ns", "away", "--force-up-to=finalize"]);
    let going = std::thread::spawn(move || run(going));
    std::thread::sleep(std::time::Duration::from_secs(5));
    backend.down(false);
    let ran = going.join().unwrap().expect(0);
    ran.says("is gone").says_nothing_of("neutralise:");
    assert_eq!(entries(&scene, &name), before);
}

const GROUP: &str = "answered.example.io";

/// An aggregated API with one kind and no objects. Lists of it are never answered while it is `silent`.
fn api(silent: Arc<AtomicBool>) -> Https {
    Https::start(move |asked| {
        let path = asked.path.split('?').next().unwrap_or_default();
        if path == format!("/apis/{GROUP}/v1") {
            return Some(
                json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/v1"),
                "resources": [{"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing",
                    "verbs": ["list", "get", "delete", "deletecollection"]}]}),
            );
        }
        if path.ends_with("/things") {
            let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": []});
            return (!silent.load(Ordering::SeqCst)).then_some(list);
        }
        Some(
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
            "message": "there is no such path"}),
        )
    })
}

fn is_available(cluster: &Cluster, wanted: &str) {
    wait_for("the API's condition", DEFAULT_TIMEOUT * 2, || {
        let api = cluster.get(APIS, "", &format!("v1.{GROUP}"))?;
        let conditions = api["status"]["conditions"].as_array()?.clone();
        let is = |c: &Value| c["type"] == "Available" && c["status"] == wanted;
        conditions.iter().any(is).then_some(())
    });
}

#[test]
fn an_api_that_is_away_for_seconds_and_one_that_hangs() {
    let cluster = alone();
    let silent = Arc::new(AtomicBool::new(false));
    let backend = api(silent.clone());
    let behind = cluster.namespace("behind");
    behind.create(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": backend.port()}]}}),
    );
    let spec = json!({"group": GROUP, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
        "insecureSkipTLSVerify": true, "service": {"namespace": "behind", "name": "api", "port": backend.port()}});
    let meta = json!({"name": format!("v1.{GROUP}")});
    cluster.create(
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": meta, "spec": spec}),
    );
    is_available(&cluster, "True");
    for name in ["short", "hung"] {
        cluster.namespace(name);
    }

    backend.down(true);
    is_available(&cluster, "False");
    kubectl(&cluster, &["delete", "namespace", "short", "--wait=false"]);
    let going = command(
        &cluster,
        &[
            "ns",
            "short",
            "--force-up-to=finalize",
            "--leave-behind=things.answered.example.io",
        ],
    );
    let going = std::thread::spawn(move || run(going));
    std::thread::sleep(std::time::Duration::from_secs(5));
    backend.down(false);
    // The aggregator tries less and less often; whoever touches the APIService has it look at once.
    let touched = json!({"metadata": {"annotations": {"example.com/touched": "yes"}}});
    cluster.patch(APIS, "", &format!("v1.{GROUP}"), touched);
    let ran = going.join().unwrap().expect(0);
    ran.says("is gone")
        .says_nothing_of("finalize:")
        .says_nothing_of("neutralise:");
    assert!(cluster.get(APIS, "", &format!("v1.{GROUP}")).is_some());

    is_available(&cluster, "True");
    silent.store(true, Ordering::SeqCst);
    kubectl(&cluster, &["delete", "namespace", "hung", "--wait=false"]);
    let args = [
        "ns",
        "hung",
        "--force-up-to=strip",
        "--request-timeout=3s",
        "--timeout=30s",
    ];
    let ran = finalize(&cluster, &args);
    ran.says("things.answered.example.io")
        .says_nothing_of("the API server does not answer");
    silent.store(false, Ordering::SeqCst);
    // The namespace controller has hung with it.
    finalize(&cluster, &["ns", "hung", "--timeout=200s"]).expect(0);
}

/// Once, also where the run fails for what such a server does not have.
#[test]
fn a_server_that_was_not_tested_is_named_once() {
    let server = Https::start(|asked| {
        let version = json!({"major": "1", "minor": "20+", "gitVersion": "v1.20.7-eks-1"});
        let none = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
            "message": "there is no such path"});
        Some(if asked.path == "/version" { version } else { none })
    });
    let address = format!("--server=https://127.0.0.1:{}", server.port());
    let cluster = crate::scene::whole();
    let args = ["scan", &address, "--insecure-skip-tls-verify", "--token=none"];
    let ran = finalize(cluster, &args);
    let named = "Warning: the server is Kubernetes v1.20.7-eks-1; kubectl-finalize is tested with 1.";
    assert_eq!(ran.stderr.matches(named).count(), 1, "{}", ran.text());
    finalize(cluster, &["explain", "example.com/x"]).says_nothing_of("is tested with");
}
