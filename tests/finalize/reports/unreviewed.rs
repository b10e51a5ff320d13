//! Webhooks that are up and do not review; what is said of other kinds and volumes.

use serde_json::{Value, json};
use testsupport::Https;

use super::gates::{ALL, VALIDATING, client, entries, refused, webhook, writes};
use crate::{
    kit::{command, finalize, kubectl, run},
    scene::Scene,
};

/// Up, and no review: a 404, a 500 and a web page are for a person. A certificate that has expired is the same for every request.
#[test]
fn r31_webhooks_that_are_up_and_do_not_review() {
    let scene = Scene::new("r31-up");
    scene.config_map("a", &["example.com/cleanup"]);
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", "r31-up", "--wait=false"]);
    let target = ["cm/a", "-n", "r31-up"];
    let answer = std::sync::Arc::new(std::sync::Mutex::new(Value::Null));
    let says = answer.clone();
    let backend = Https::start(move |_| Some(says.lock().unwrap().clone()));
    let name = webhook(&scene, VALIDATING, &client(&backend), &["UPDATE"], "", "configmaps");
    let before = entries(&scene, VALIDATING, &name);
    for (said, words) in [
        (json!({"code": 404}), "the server could not find the requested resource"),
        (json!({"code": 500}), "has prevented the request from succeeding"),
        (
            json!("<html><title>Welcome</title></html>"),
            "couldn't get version/kind",
        ),
        (json!({"kind": "Other", "apiVersion": "v1"}), "Other"),
    ] {
        *answer.lock().unwrap() = said;
        refused(&scene, &["cm", "a"], "failed calling webhook");
        let mark = scene.cluster.audit().mark();
        let ran = finalize(scene.cluster, &[&target[..], &ALL].concat()).expect(4);
        ran.says("answers, but not with a review")
            .says(words)
            .says_nothing_of("neutralise");
        assert!(writes(&scene, mark).is_empty());
    }
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
    let expired = Https::expired(|asked| Some(asked.patched(&json!([]))));
    let name = webhook(&scene, VALIDATING, &client(&expired), &["UPDATE"], "", "configmaps");
    let before = entries(&scene, VALIDATING, &name);
    refused(&scene, &["cm", "a"], "certificate has expired");
    let ran = finalize(scene.cluster, &[&target[..], &["--force-up-to=strip"]].concat()).expect(0);
    ran.says("is not trusted by the API server")
        .says("certificate has expired")
        .says("renew the certificate");
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
}

/// Every kind is listed for what a foreground deletion waits for; the old form of EndpointSlices is not.
#[test]
fn r31_no_warning_of_a_version_that_is_not_needed() {
    let scene = Scene::new("r31-kinds");
    scene.config_map("owner", &[]);
    let owner = scene.cluster.get("v1/ConfigMap", "r31-kinds", "owner").unwrap();
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": true});
    scene.create(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned",
        "ownerReferences": [reference], "finalizers": ["example.com/cleanup"]}}),
    );
    let delete = [
        "delete",
        "cm",
        "owner",
        "-n",
        "r31-kinds",
        "--cascade=foreground",
        "--wait=false",
    ];
    kubectl(scene.cluster, &delete);
    let ran = finalize(scene.cluster, &["cm/owner", "-n", "r31-kinds", "--dry-run"]).expect(0);
    ran.says("waits for configmap r31-kinds/owned")
        .says_nothing_of("Endpoints is deprecated");
    finalize(scene.cluster, &["cm/owner", "-n", "r31-kinds", "--force-up-to=strip"]).expect(0);
}

/// A volume of the cluster is not "outside of the cluster".
#[test]
fn r31_what_stays_in_the_cluster() {
    let scene = Scene::new("r31-stays");
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "volumeName": "r31-volume", "storageClassName": "none", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    scene.create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {"nodeName": "live-0",
        "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}));
    kubectl(
        scene.cluster,
        &["delete", "pvc", "data", "-n", "r31-stays", "--wait=false"],
    );
    let mut plan = command(scene.cluster, &["pvc/data", "-n", "r31-stays", "--dry-run"]);
    plan.env("COLUMNS", "400");
    run(plan).expect(0).says_nothing_of("outside of the cluster");
}
