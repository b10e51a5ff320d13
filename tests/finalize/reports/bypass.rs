//! What somebody with few rights makes an administrator's run open for them.

use std::time::{Duration, Instant};

use serde_json::json;
use testsupport::{Cluster, DEFAULT_TIMEOUT, Https, Live, Rule, wait_for};

use super::gates::{ALL, VALIDATING, client, entries, nobody, webhook, writes};
use crate::{
    kit::{command, finalize, kubectl},
    scene::Scene,
};

/// What the server says to a change of a ConfigMap by this user.
fn annotates(cluster: &Cluster, user: &std::path::Path, namespace: &str, name: &str) -> String {
    let mut kubectl = assert_cmd::Command::new(cluster.kubectl());
    kubectl
        .env("KUBECONFIG", user)
        .args(["annotate", "--overwrite", "cm", name, "-n", namespace]);
    let said = kubectl.arg(format!("at={:?}", Instant::now())).output().unwrap();
    String::from_utf8_lossy(&said.stderr).into_owned()
}

/// The tenant's object makes the webhook of the policy time out; it is up, and so it is for a person.
#[test]
fn r45_a_webhook_that_a_tenant_makes_time_out() {
    let scene = Scene::new("r45-slow");
    scene.config_map("slow", &["example.com/cleanup"]);
    scene.config_map("other", &[]);
    let backend = Https::start(|asked| {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": asked.body["request"]["uid"], "allowed": true}});
        (asked.body["request"]["name"] != "slow").then_some(review)
    });
    let name = webhook(
        &scene,
        VALIDATING,
        &client(&backend),
        &["UPDATE", "DELETE"],
        "",
        "configmaps",
    );
    let before = entries(&scene, VALIDATING, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let ran = finalize(scene.cluster, &["cm/slow", "-n", "r45-slow", "--dry-run"]);
        ran.text()
            .contains(&format!("{}.example.com", scene.name))
            .then_some(())
    });
    scene.delete();
    let mark = scene.cluster.audit().mark();
    let ran = scene.finalize(&ALL).expect(4);
    ran.says(
        "the webhook r45-slow.example.com of validatingwebhookconfiguration/r45-slow-webhook did not answer in time",
    )
    .says("others may be answered, so it stays in force")
    .says_nothing_of("neutralise");
    assert!(writes(&scene, mark).iter().all(|r| r.name != name));
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
    scene.finalize(&["--force-up-to=strip"]).expect(0);
}

/// The pods behind its Service are Ready, and the Service is not reached: also for a person.
#[test]
fn r45_a_backend_that_is_ready() {
    let scene = Scene::new("r45-ready");
    scene.config_map("a", &["example.com/cleanup"]);
    let ops = scene.cluster.namespace("r45-ops");
    ops.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "policy"}, "spec": {"ports": [{"port": 443}]}}));
    ops.create(
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "policy-1", "labels": {"kubernetes.io/service-name": "policy"}}, "ports": [{"port": 443}],
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}]}),
    );
    let name = webhook(
        &scene,
        VALIDATING,
        &json!({"service": {"namespace": "r45-ops", "name": "policy"}}),
        &["UPDATE"],
        "",
        "configmaps",
    );
    let before = entries(&scene, VALIDATING, &name);
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", "r45-ready", "--wait=false"]);
    let target = ["cm/a", "-n", "r45-ready"];
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let ran = finalize(scene.cluster, &[&target[..], &["--dry-run"]].concat());
        ran.text()
            .contains(&format!("{}.example.com", scene.name))
            .then_some(())
    });
    let ran = finalize(scene.cluster, &[&target[..], &ALL].concat()).expect(4);
    ran.says("1 pod behind it is Ready").says_nothing_of("neutralise");
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
}

/// While a dead webhook is out of the way for a run, other users are refused as before.
#[test]
fn r45_another_user_stays_refused() {
    let scene = Scene::new("r45-others");
    let cluster = scene.cluster;
    for name in ["a", "b"] {
        scene.config_map(name, &["example.com/cleanup"]);
    }
    let rules = [Rule::allow("get,list,patch,update,delete", "configmaps")];
    let tenant = cluster.user_kubeconfig("r45-tenant", &rules);
    let name = webhook(&scene, VALIDATING, &nobody(), &["UPDATE", "DELETE"], "", "configmaps");
    let before = entries(&scene, VALIDATING, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        annotates(cluster, &tenant, "r45-others", "a")
            .contains("failed calling webhook")
            .then_some(())
    });
    kubectl(cluster, &["delete", "namespace", "r45-others", "--wait=false"]);
    let args = ["ns", "r45-others", "--force-up-to=neutralise", "--timeout=2m"];
    let running = Live::start(command(cluster, &args));
    wait_for("the webhook to be changed", DEFAULT_TIMEOUT, || {
        (entries(&scene, VALIDATING, &name) != before).then_some(())
    });
    // Frozen, for it is out of the way for a moment only.
    running.signal("STOP");
    wait_for("the webhook to be out of the way of this user", DEFAULT_TIMEOUT, || {
        let said = annotates(cluster, cluster.kubeconfig(), "r45-others", "a");
        said.is_empty().then_some(())
    });
    let changed = entries(&scene, VALIDATING, &name);
    assert_eq!(changed[0]["failurePolicy"], "Fail");
    assert_eq!(changed[0]["namespaceSelector"], before[0]["namespaceSelector"]);
    for _ in 0..3 {
        let said = annotates(cluster, &tenant, "r45-others", "a");
        assert!(said.contains("failed calling webhook"), "{said:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    running.signal("CONT");
    running.finish().expect(4);
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    let meta = cluster.get(VALIDATING, "", &name).unwrap()["metadata"].clone();
    assert!(meta["annotations"]["kubectl-upkeep/neutralised"].is_null(), "{meta}");
    scene.mended(&["--force-up-to=strip"]);
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
}

/// What has no namespace is left out by its name: before, the webhook failed open for the whole cluster.
#[test]
fn r45_another_object_without_a_namespace_stays_guarded() {
    let scene = Scene::new("r45-volumes");
    let cluster = scene.cluster;
    let volume = |name: &str| {
        let labels = json!({"r45": "yes"});
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "labels": labels,
            "finalizers": ["example.com/cleanup"]}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/x"}, "storageClassName": "none"}})
    };
    for name in ["r45-stuck", "r45-other"] {
        cluster.create(volume(name));
    }
    cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "r45-volumes"}, "webhooks": [{"name": "volumes.example.com", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "clientConfig": {"service": {"namespace": "default", "name": "nope"}},
            "objectSelector": {"matchLabels": {"r45": "yes"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
                "resources": ["persistentvolumes", "persistentvolumes/status"]}]}]}),
    );
    let before = entries(&scene, VALIDATING, "r45-volumes");
    kubectl(cluster, &["delete", "pv", "r45-stuck", "--wait=false"]);
    let target = ["pv/r45-stuck"];
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let ran = finalize(cluster, &[&target[..], &["--dry-run"]].concat());
        ran.text().contains("volumes.example.com").then_some(())
    });
    let ran = finalize(cluster, &[&target[..], &["--force-up-to=neutralise"]].concat());
    let before_it = ran
        .text()
        .contains("leave persistentvolume/r45-stuck out of the webhook volumes.example.com");
    assert!(before_it, "{}", ran.text());
    let changes = kubectl(
        cluster,
        &["get", "pv", "r45-other", "-o", "jsonpath={.metadata.finalizers}"],
    );
    assert!(changes.contains("example.com/cleanup"), "{changes}");
    assert_eq!(entries(&scene, VALIDATING, "r45-volumes"), before);
    cluster.delete(VALIDATING, "", "r45-volumes");
    for name in ["r45-stuck", "r45-other"] {
        let free = r#"{"metadata": {"finalizers": null}}"#;
        kubectl(cluster, &["patch", "pv", name, "--type=merge", "-p", free]);
    }
    kubectl(cluster, &["delete", "pv", "r45-other"]);
}
