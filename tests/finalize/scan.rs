//! `scan`: on a control plane of its own, where nothing but this is stuck.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{disarm, finalize, kubectl},
    scene::alone,
};

#[test]
fn scan_names_everything_that_is_stuck_or_will_be() {
    let cluster = alone();
    finalize(&cluster, &["scan"]).expect(0).says("nothing is stuck");
    for name in ["disarmed", "forced"] {
        cluster.namespace(name);
    }
    disarm(&cluster, "disarmed");
    // Whoever empties the list while it is being deleted leaves its content behind.
    let held = json!({"name": "held", "namespace": "forced", "finalizers": ["example.com/cleanup"]});
    cluster.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held}));
    kubectl(&cluster, &["delete", "namespace", "forced", "--wait=false"]);
    wait_for("the deletion of its content", DEFAULT_TIMEOUT, || {
        let held = cluster.get("v1/ConfigMap", "forced", "held")?;
        held["metadata"]["deletionTimestamp"].is_string().then_some(())
    });
    disarm(&cluster, "forced");
    cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "guard"}, "webhooks": [{"name": "dead.example.com", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "rules": [],
        "clientConfig": {"service": {"namespace": "default", "name": "nope"}}}]}),
    );
    // Left by runs that were cut off.
    let record = json!({"fields": [{"field": "failurePolicy", "webhook": "dead.example.com", "was": "Fail",
        "needed": [{"target": "namespaces/old", "until": "2020-01-01T00:00:00Z"}]}]})
    .to_string();
    cluster.patch(
        "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration",
        "",
        "guard",
        json!({"metadata": {"annotations": {"kubectl-upkeep/neutralised": record}}}),
    );
    let off = json!({"name": "off", "annotations": {"kubectl-upkeep/out-of-service": "finalize namespaces/old"}});
    cluster.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": off}));
    let ran = finalize(&cluster, &["scan"]).expect(1);
    let ran = ran.says("was changed for namespaces/old, and was not put back yet");
    let ran = ran.says("node/off was tainted as out of service");
    let ran = ran.says("namespace/disarmed has no finalizer");
    let ran = ran.says("in the namespace forced, which does not exist");
    ran.says("the webhook dead.example.com of validatingwebhookconfiguration/guard must answer, and cannot");
    let ran = finalize(&cluster, &["scan", "-o", "json"]).expect(1);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&document["kind"], &document["exitCode"]), (&json!("Scan"), &json!(1)));
    let findings = document["findings"].as_array().unwrap();
    let mut found: Vec<&str> = findings.iter().filter_map(|f| f["id"].as_str()).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        ["disarmed", "neutralised", "orphans", "out-of-service", "webhook-down"]
    );
}
