//! Surges that do not come to their end.

use std::time::Duration;

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Shape, wait_for};

use crate::{
    kit::{self},
    scene::rights,
};

use super::kit::*;

#[test]
fn surge_is_undone_when_the_new_pod_does_not_get_ready() {
    let deadline = json!({"progressDeadlineSeconds": 4});
    let stage = Stage::with("surge-sick", 1, Shape::never_ready, deadline);
    let ran = stage.place.evacuate(&["--surge"]).expect(4);
    assert!(
        ran.stderr
            .contains("the surge of deployment.apps surge-sick/web was given up: given up after 4 seconds of waiting for 1 pod elsewhere to be Ready"),
        "{}",
        ran.text()
    );
    stage.undone(&ran);
}

#[test]
fn surge_is_undone_by_ctrl_c() {
    let stage = Stage::new("surge-int", 1, |s| s.ready_after("30s"));
    let mut live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 2);
    live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
    live.signal("INT");
    let ran = live.finish().expect(130);
    stage.undone(&ran);
}

#[test]
fn surge_is_undone_before_the_time_is_up() {
    let stage = Stage::new("surge-late", 1, |s| s.ready_after("60s"));
    let ran = stage.place.evacuate(&["--surge", "--timeout=16s"]).expect(5);
    assert!(ran.took < Duration::from_secs(18), "{}", ran.text());
    stage.undone(&ran);
}

#[test]
fn surge_that_a_quota_stops_is_undone() {
    let stage = Stage::new("surge-quota", 1, |s| s.label("tier", "web"));
    // Preflight cannot tell whether a scoped quota counts these pods; the server says so.
    stage.place.ns.create(json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"},
        "spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]},
    }));
    wait_for("the quota counts", DEFAULT_TIMEOUT, || {
        let quota = stage.place.ns.get("v1/ResourceQuota", "tight").unwrap();
        (quota["status"]["used"]["pods"] == "1").then_some(())
    });
    let ran = stage.place.evacuate(&["--surge"]).expect(4);
    assert!(
        ran.stderr.contains("its new pods cannot be created: ") && ran.stderr.contains("exceeded quota: tight"),
        "{}",
        ran.text()
    );
    let seen = stage.undone(&ran);
    assert_eq!(seen.pods.len(), 1);
}

#[test]
fn surge_is_refused_where_the_rights_are_missing() {
    let stage = Stage::new("surge-rights", 1, |s| s);
    let mut rules = rights(&[]);
    for right in [
        "deployments.apps",
        "horizontalpodautoscalers.autoscaling",
        "resourcequotas",
    ] {
        rules.push(testsupport::Rule::allow("list", right));
    }
    let user = stage.place.cluster().user_kubeconfig("surge-rights", &rules);
    let ran = kit::run(stage.place.command(&user, &["--surge"])).expect(1);
    for missing in ["patch pods", "patch deployments.apps", "update deployments.apps/scale"] {
        assert!(ran.stderr.contains(&format!("missing: {missing} ")), "{}", ran.text());
    }
    assert!(!stage.place.is_cordoned());
}

#[test]
fn surge_keeps_a_deletion_cost_that_was_there() {
    let stage = Stage::with(
        "surge-cost",
        1,
        Shape::never_ready,
        json!({"progressDeadlineSeconds": 3}),
    );
    let pod = stage.place.ns.pods_on(&stage.place.node).remove(0);
    let cost = json!({"metadata": {"annotations": {COST: "42"}}});
    stage.place.ns.patch("v1/Pod", &pod, cost);
    let ran = stage.place.evacuate(&["--surge"]).expect(4);
    let after = stage.place.ns.get("v1/Pod", &pod).expect("the old pod stays");
    let annotations = &after["metadata"]["annotations"];
    assert_eq!(annotations[COST], "42", "{}", ran.text());
    assert!(annotations[MARK].is_null(), "{annotations}");
    assert_eq!(replicas_of(&stage.place.ns), 1);
}

/// Somebody deletes the Deployment, or the whole namespace: its pods go by themselves.
#[test]
fn surge_of_what_is_deleted_meanwhile() {
    for (id, namespace) in [("surge-gone", false), ("surge-ends", true)] {
        let stage = Stage::new(id, 1, |s| s.ready_after("30s"));
        let mut live = stage.place.start(&["--surge"]);
        live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
        if namespace {
            stage.place.cluster().delete("v1/Namespace", "", id);
        } else {
            stage.place.ns.delete("apps/v1/Deployment", "web");
        }
        let ran = live.finish().expect(0);
        assert_eq!(stage.place.ns.pods_on(&stage.place.node), [""; 0], "{}", ran.text());
        drop(stage.witness.finish());
    }
}
