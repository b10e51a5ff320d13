//! Aggregated APIs that do not answer: on a control plane of their own, for one of them holds every namespace.

use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{finalize, kubectl},
    scene::alone,
};

const KIND: &str = "apiregistration.k8s.io/v1/APIService";

fn api_service(name: &str, group: &str, namespace: &str) -> Value {
    json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": {
        "group": group, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
        "insecureSkipTLSVerify": true, "service": {"namespace": namespace, "name": "gone"}}})
}

fn deleted(cluster: &Cluster, namespace: &str) {
    kubectl(cluster, &["delete", "namespace", namespace, "--wait=false"]);
}

fn is_gone(cluster: &Cluster, namespace: &str) -> bool {
    cluster.get("v1/Namespace", "", namespace).is_none()
}

#[test]
fn s02_a_dead_api_holds_every_namespace() {
    let cluster = alone();
    for name in ["s02", "s02b"] {
        cluster.namespace(name);
    }
    let name = "v1beta1.custom.example.io";
    cluster.create(api_service(name, "custom.example.io", "kube-system"));
    let before = cluster.get(KIND, "", name).unwrap()["spec"].clone();
    wait_for("the API to be unavailable", DEFAULT_TIMEOUT, || {
        let ran = finalize(&cluster, &["ns", "s02", "--dry-run"]);
        cluster.get(KIND, "", name)?["status"]["conditions"]
            .is_array()
            .then_some(ran)
    });
    deleted(&cluster, "s02");
    deleted(&cluster, "s02b");
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = finalize(&cluster, &["ns", "s02", "--dry-run"]).expect(0);
        ran.text()
            .contains("custom.example.io/v1beta1 does not answer")
            .then_some(ran)
    });
    ran.says("there is no such Service").says("ServiceNotFound");
    // Only a person knows whether it is needed.
    let ran = finalize(&cluster, &["ns", "s02", "--force-up-to=finalize"]).expect(4);
    ran.says("remove the APIService v1beta1.custom.example.io, if what it serves is not needed any more");
    assert_eq!(cluster.get(KIND, "", name).unwrap()["spec"], before);
    // Without it, where somebody says so: everything else is gone.
    wait_for("everything else to be gone", DEFAULT_TIMEOUT, || {
        let ran = finalize(&cluster, &["ns", "s02b", "--dry-run"]).expect(0);
        ran.text().contains("--leave-behind=custom.example.io").then_some(())
    });
    let args = [
        "ns",
        "s02b",
        "--force-up-to=finalize",
        "--leave-behind=custom.example.io",
    ];
    finalize(&cluster, &args).expect(0);
    assert!(is_gone(&cluster, "s02b"));
    kubectl(&cluster, &["delete", "apiservice", name]);
    finalize(&cluster, &["ns", "s02"]).expect(0);
    assert!(is_gone(&cluster, "s02"));
}

#[test]
fn s32_what_answers_is_in_the_namespace_itself() {
    let cluster = alone();
    cluster.namespace("s32");
    let name = "v1beta1.inside.example.io";
    cluster.create(api_service(name, "inside.example.io", "s32"));
    wait_for("the API to be unavailable", DEFAULT_TIMEOUT, || {
        cluster.get(KIND, "", name)?["status"]["conditions"]
            .is_array()
            .then_some(())
    });
    deleted(&cluster, "s32");
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = finalize(&cluster, &["ns", "s32", "--dry-run"]).expect(0);
        ran.text()
            .contains("the very namespace that is being deleted")
            .then_some(ran)
    });
    ran.says("delete the APIService v1beta1.inside.example.io");
    finalize(&cluster, &["ns", "s32", "--force-up-to=neutralise"]).expect(0);
    assert!(is_gone(&cluster, "s32"));
    assert!(cluster.get(KIND, "", name).is_none());
}
