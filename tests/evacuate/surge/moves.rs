//! Surges that come to their end.

use std::time::Duration;

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Live, Shape, wait_for};

use crate::{place::Place, scene, witness::Witness};

use super::kit::*;

#[test]
fn surge_one_pod_that_is_slow_to_stop() {
    let stage = Stage::new("surge-one", 1, |s| s.stops_in("15s").grace(30));
    let refused = stage.place.evacuate(&[]).expect(3);
    assert!(refused.stderr.contains("--surge"), "{}", refused.text());
    let shown = stage.place.evacuate(&["--surge", "--dry-run=client"]).expect(0);
    let note = "Note: deployment.apps surge-one/web runs 2 instead of 1 pod for a while: once the new one is Ready on other \
        nodes this pod goes, without an eviction (surge-one/web-";
    assert!(shown.stderr.contains(note), "{}", shown.text());
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    assert!(ran.took >= Duration::from_secs(15));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{}", ran.text());
    assert_eq!(lines[1], "deployment.apps/web scaled to 2");
    assert_eq!(lines[2], "deployment.apps/web scaled to 1");
    assert!(
        lines[3].starts_with("pod/web-") && lines[3].ends_with(" surged"),
        "{}",
        ran.text()
    );
    assert_eq!(asked_to_go(&stage.place), [""; 0]);
    stage.moved(&ran);
}

#[test]
fn surge_all_three_pods_of_a_deployment() {
    let stage = Stage::new("surge-three", 3, |s| s.stops_in("2s"));
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    stage.moved(&ran);
}

#[test]
fn surge_waits_for_a_pod_that_is_slow_to_get_ready() {
    let stage = Stage::with("surge-slow", 1, |s| s.ready_after("4s"), json!({"minReadySeconds": 2}));
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    assert!(ran.took >= Duration::from_secs(6), "{}", ran.text());
    stage.moved(&ran);
}

#[test]
fn surge_with_required_anti_affinity() {
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}}});
    let stage = Stage::new("surge-apart", 1, |s| s.spec(apart));
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    stage.moved(&ran);
}

#[test]
fn surge_with_force_where_the_budget_stays_shut() {
    let stage = Stage::new("surge-force", 1, |s| s);
    stage.place.ns.patch(
        "policy/v1/PodDisruptionBudget",
        "web",
        json!({"spec": {"minAvailable": null, "maxUnavailable": 0}}),
    );
    let refused = stage.place.evacuate(&["--surge"]).expect(3);
    assert!(refused.stderr.contains("--surge=force"), "{}", refused.text());
    let unasked = stage.place.evacuate(&["--surge=force"]).expect(3);
    assert!(
        unasked.stderr.contains("--surge=force needs a confirmation"),
        "{}",
        unasked.text()
    );
    let ran = stage.place.evacuate(&["--surge=force", "--yes"]).expect(0);
    stage.moved(&ran);
}

/// The budget that opens for a moment is not used for an eviction, of no pod.
#[test]
fn surge_evicts_nothing() {
    let stage = Stage::new("surge-two", 2, |s| s.ready_after("1s"));
    let mut live: Live = stage.place.start(&["--surge", "-o", "json"]);
    assert!(live.is_running());
    let ran = live.finish().expect(0);
    let moved = &ran.json()["moved"];
    assert_eq!(moved.as_array().unwrap().len(), 2);
    assert!(moved.as_array().unwrap().iter().all(|m| m["by"] == "surge"), "{moved}");
    assert_eq!(asked_to_go(&stage.place), [""; 0]);
    stage.moved(&ran);
}

/// The room that the surge of one makes in a budget is not used to evict the pods of another that waits for its own.
#[test]
fn surge_of_many_deployments_under_one_budget() {
    const MANY: usize = 10;
    let place = Place::new("surge-many");
    for i in 0..MANY {
        let shape = Shape::new().prefers(&place.node).label("tier", "all");
        place.ns.deployment(&format!("web{i}"), 1, &shape);
    }
    scene::wait_all_on(&place.ns, &place.node, MANY);
    let selector = json!({"matchLabels": {"tier": "all"}});
    place.ns.pdb("all", json!({"minAvailable": MANY, "selector": selector}));
    for i in 0..MANY {
        wait_for("the Deployment settles", DEFAULT_TIMEOUT, || {
            let web = place.ns.get("apps/v1/Deployment", &format!("web{i}")).unwrap();
            (web["status"]["availableReplicas"] == 1).then_some(())
        });
    }
    let witness = Witness::of(&place.ns, "tier=all");
    let ran = place.evacuate(&["--surge"]).expect(0);
    let seen = witness.finish();
    assert_eq!(asked_to_go(&place), [""; 0], "{}", ran.text());
    assert_eq!((seen.pods.len(), seen.fewest_ready), (2 * MANY, MANY), "{}", ran.text());
    assert_eq!(place.ns.pods_on(&place.node), [""; 0]);
    nothing_left(&place.ns);
}
