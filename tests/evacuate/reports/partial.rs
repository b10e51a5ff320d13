//! Runs that leave pods behind on purpose, pods with finalizers or a long grace period, and what is said of pods that cannot
//! leave now.

use serde_json::{Value, json};
use testsupport::{Shape, condition};

use crate::{kit::Ran, place::Place};

/// Status, reason and message of the condition Drained.
fn drained(place: &Place) -> (String, String, String) {
    let node = place.cluster().get("v1/Node", "", &place.node).unwrap();
    assert_eq!(condition(&node, "DrainInProgress"), Some("False"));
    let mut conditions = node["status"]["conditions"].as_array().unwrap().iter();
    let drained = conditions.find(|c| c["type"] == "Drained").unwrap();
    let text = |field: &str| drained[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"), text("message"))
}

/// The node is not called drained, the pod is in the document, and the exit code is kubectl's.
#[track_caller]
fn assert_partial(place: &Place, ran: &Ran, pod: &str, state: &str) {
    let document = ran.json();
    let node = &document["nodes"][0];
    assert_eq!(
        (&document["outcome"], &document["exitCode"]),
        (&json!("done"), &json!(0))
    );
    assert_eq!(
        (&node["state"], &node["left"]),
        (&json!("PartlyDrained"), &json!(1)),
        "{}",
        ran.text()
    );
    let left: Vec<(&Value, &Value)> = document["remaining"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["name"], &row["state"]))
        .collect();
    assert_eq!(left, [(&json!(pod), &json!(state))], "{}", ran.text());
    let (status, reason, message) = drained(place);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "PodsLeft"), "{message}");
    assert!(message.contains("; still on it: 1 pod "), "{message}");
    let back = place.evacuate(&["--uncordon"]).expect(0);
    back.says_line(&format!(
        "node/{}: removed conditions DrainInProgress, Drained",
        place.node
    ));
}

#[test]
fn r08_what_the_selector_leaves_out_is_left() {
    let place = Place::new("r08");
    let shape = Shape::new().prefers(&place.node);
    place.ns.statefulset("db", 1, &shape);
    place.ns.statefulset("web", 1, &shape);
    place.ns.daemonset("ds", &Shape::new());
    place.ns.wait_pods_ready(4);
    let ran = place.evacuate(&["--pod-selector=app=db", "-o", "json"]).expect(0);
    assert_partial(&place, &ran, "web-0", "NotAsked");

    // kubectl's line stays; the report names the pod.
    let ran = place.evacuate(&["--pod-selector=app=db"]).expect(0);
    assert_eq!(ran.stdout, "node/r08-a cordoned\nnode/r08-a drained\n");
    ran.says("r08-a: partly drained in ")
        .says("; still on it: 1 pod left out by --pod-selector")
        .says_line("r08-a  r08/web-0  NotAsked  left out by --pod-selector");
    let names = place.evacuate(&["--pod-selector=app=db", "-o", "name"]).expect(0);
    assert_eq!(names.stdout, "");

    // When the pod has left, the node is drained, selector or not.
    place
        .evacuate(&["--pod-selector=app in (db, web)"])
        .expect(0)
        .says("r08-a: drained in ");
    assert_eq!(drained(&place).0, "True");
}

#[test]
fn r08_what_is_passed_over_is_left() {
    let place = Place::new("r08skip");
    place
        .ns
        .statefulset("db", 1, &Shape::new().prefers(&place.node).never_stops().grace(1));
    place.ns.wait_pods_ready(1);
    place.ns.delete("v1/Pod", "db-0");
    // The run waits until the pod is Terminating for long enough.
    let flags = ["--skip-wait-for-delete-timeout=1", "-o", "json"];
    let ran = place.evacuate(&flags).expect(0);
    assert_partial(&place, &ran, "db-0", "NotAsked");
    let ran = place.evacuate(&flags).expect(0);
    assert_partial(&place, &ran, "db-0", "NotAsked");
}

/// The same kind: a pod that came back runs there, too.
#[test]
fn r08_what_came_back_is_left() {
    let place = Place::new("r08back");
    let shape = Shape::new().only(&place.node).tolerates_all().stops_in("2s");
    place.ns.replicaset("rs", 1, &shape);
    place.ns.wait_pods_ready(1);
    let ran = place.evacuate(&["-o", "json"]).expect(0);
    let on_node = place.ns.pods_on(&place.node);
    assert_partial(&place, &ran, on_node.last().unwrap(), "Returned");
}

#[test]
fn r12_a_finalizer_that_holds_a_pod_is_named_after_its_grace() {
    for (id, finalizer, owner) in [
        ("r12", "example.com/hold", "owner unknown"),
        ("r12k", "kueue.x-k8s.io/managed", "removed by kueue-controller-manager"),
    ] {
        let place = Place::new(id);
        let shape = Shape::new().prefers(&place.node).finalizer(finalizer).grace(1);
        place.ns.statefulset("db", 1, &shape);
        place.ns.wait_pods_ready(1);
        let ran = place.evacuate(&["--timeout=6s"]).expect(5);
        ran.says_line(&format!(
            "Warning: 1 pod has finalizer {finalizer} ({owner}): {id}/db-0"
        ));
        ran.says_line(&format!(
            "Warning: pod {id}/db-0 stays Terminating after its grace period, held by finalizer {finalizer} ({owner})"
        ));
        ran.says_line(&format!("hint: kubectl finalize pod db-0 -n {id}"));
        ran.says_line(&format!(
            "{id}-a  {id}/db-0  Terminating  finalizer {finalizer} ({owner})"
        ));
        place
            .ns
            .patch("v1/Pod", "db-0", json!({"metadata": {"finalizers": null}}));
    }
}

#[test]
fn r12_the_longest_grace_period_is_said_before_and_durations_are_human() {
    let place = Place::new("r12g");
    let week = Shape::new().prefers(&place.node).never_stops().grace(604_800);
    place.ns.statefulset("slow", 1, &week);
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(2);
    let most = "the run takes at most 7d, the longest grace period of a pod";
    let ran = place.evacuate(&["--dry-run=client"]).expect(0);
    ran.says_line(&format!("Warning: {most}: r12g/slow-0"));
    let ran = place.evacuate(&["--timeout=2s"]).expect(5);
    ran.says_line(&format!("Warning: {most}; --timeout ends it after 2s: r12g/slow-0"));
    ran.says("6d23h of grace left").says_nothing_of("6047");
    // A shorter one for all.
    let ran = place.evacuate(&["--dry-run=client", "--grace-period=40"]).expect(0);
    ran.says_nothing_of("at most 7d");
}

/// A budget lets them leave one after another: how long that takes is not known.
#[test]
fn r12_rounds_of_a_budget_take_longer() {
    let place = Place::new("r12w");
    place.ns.statefulset("web", 3, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(3);
    place.ns.pdb("web", json!({"maxUnavailable": 1}));
    place.ns.wait_pdb_allows("web", 1);
    let ran = place.evacuate(&["--dry-run=client"]).expect(0);
    ran.says("Note: the run can take longer than 30s, the longest grace period of a pod, because budgets allow only some evictions at a time: r12w/web-");
}

#[test]
fn r13_pods_that_cannot_leave_now_are_counted_once() {
    let place = Place::new("r13");
    place.ns.pod("alone", &Shape::new().on(&place.node));
    place.ns.wait_pods_ready(1);
    let ran = place.evacuate(&["--dry-run=client"]).expect(3);
    ran.says_line("node/r13-a: 1 pod cannot leave now, 0 stay");
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(2);
    let ran = place.evacuate(&["--dry-run=client"]).expect(3);
    ran.says_line("node/r13-a: 2 pods leave (1 cannot now), 0 stay");
}

/// A budget that never allows an eviction, and two budgets on one pod: each fact is said once, however long the run waits.
#[test]
fn r13_what_was_said_before_the_run_is_not_said_again() {
    let place = Place::new("r13w");
    let shape = Shape::new().prefers(&place.node);
    place.ns.statefulset("db", 1, &shape);
    place.ns.statefulset("web", 1, &shape);
    place.ns.wait_pods_ready(2);
    place.ns.pdb("db", json!({"maxUnavailable": 0}));
    for name in ["one", "two"] {
        let selector = json!({"matchLabels": {"app": "web"}});
        place.ns.pdb(name, json!({"maxUnavailable": 1, "selector": selector}));
    }
    let ran = place.evacuate(&["--on-blocked=wait", "--timeout=6s"]).expect(5);
    for fact in ["can never allow", "which the eviction API does not support: "] {
        let lines: Vec<&str> = ran.stderr.lines().filter(|line| line.contains(fact)).collect();
        assert_eq!(lines.len(), 1, "{fact}\n{}", ran.text());
    }
    ran.says_nothing_of("blocks the eviction").says_nothing_of("is blocked");
}

/// A tip is for a flag that was mistyped, not for one that means something else.
#[test]
fn r13_no_tip_leads_to_another_flag() {
    let place = Place::new("r13t");
    for flag in [
        "--ignore-errors",
        "--delete-local-data",
        "--wait",
        "--force-all",
        "--ignore-pods",
    ] {
        let ran = place.evacuate(&[flag]).expect(2);
        ran.says(&format!("error: unexpected argument '{flag}' found"))
            .says_nothing_of("tip:");
    }
    let tips = [
        ("--ignore-daemonset", "--ignore-daemonsets"),
        ("--dryrun", "--dry-run"),
        ("--dlete", "--delete"),
    ];
    for (flag, meant) in tips {
        place
            .evacuate(&[flag])
            .expect(2)
            .says(&format!("tip: a similar argument exists: '{meant}'"));
    }
}
