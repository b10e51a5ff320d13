//! R1: budgets and pods that an operator manages. The test is the operator.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Live, Shape, wait_for};

use crate::{
    kit,
    place::Place,
    rights,
    scene::{self, is_cordoned, text},
};

/// A custom resource, as the operator's users make it; returns a reference to it.
fn custom_resource(place: &Place, name: &str) -> Value {
    let cluster = place.cluster();
    scene::define(cluster, "r01.example.com", "v1", "Cluster");
    let made = wait_for("the kind", DEFAULT_TIMEOUT, || {
        let object = json!({"apiVersion": "r01.example.com/v1", "kind": "Cluster",
            "metadata": {"name": name, "namespace": place.ns.name()}});
        cluster.try_create(object).ok()
    });
    json!({"apiVersion": "r01.example.com/v1", "kind": "Cluster", "name": name, "uid": made["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true})
}

/// A budget `name` over `role: <role>` that the operator owns and that needs all of its pods.
fn budget(place: &Place, name: &str, role: &str, owner: &Value) {
    place.ns.pdb(
        name,
        json!({"minAvailable": 1, "selector": {"matchLabels": {"role": role}}}),
    );
    let owned = json!({"metadata": {"ownerReferences": [owner]}});
    place.ns.patch("policy/v1/PodDisruptionBudget", name, owned);
}

/// Three pods of one custom resource: the primary on the node that is emptied, its replicas elsewhere.
fn postgres(id: &str) -> (Place, Value) {
    let place = Place::new(id);
    let owner = custom_resource(&place, "pg");
    for (pod, node, role) in [
        ("pg-1", &place.node, "primary"),
        ("pg-2", &place.other, "replica"),
        ("pg-3", &place.other, "replica"),
    ] {
        let shape = Shape::new().on(node).owner(owner.clone()).label("role", role);
        place.ns.pod(pod, &shape);
    }
    place.ns.wait_pods_ready(3);
    budget(&place, "pg-primary", "primary", &owner);
    (place, owner)
}

fn role(place: &Place, pod: &str, role: &str) {
    place
        .ns
        .patch("v1/Pod", pod, json!({"metadata": {"labels": {"role": role}}}));
}

/// Waits until the node is cordoned and for three seconds more, as a slow operator does.
fn after_the_cordon(live: &mut Live, place: &Place) {
    live.wait_for(&format!("node/{} cordoned", place.node));
    std::thread::sleep(Duration::from_secs(3));
}

/// The run ends within so many seconds of the operator's act, and only one pod was evicted.
#[track_caller]
fn ends_at_once(live: Live, place: &Place, acted: Instant) -> kit::Ran {
    let ran = live.finish().expect(0);
    let took = acted.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}: {}", ran.text());
    let moves: Vec<String> = place.moves().into_iter().filter(|m| !m.ends_with("429")).collect();
    assert_eq!(moves, ["evict pg-1 201"], "{}", ran.text());
    ran
}

#[test]
fn r01_an_operator_moves_its_primary_after_the_cordon() {
    let (place, _) = postgres("r01");
    let mut live = place.start(&[]);
    after_the_cordon(&mut live, &place);
    role(&place, "pg-2", "primary");
    role(&place, "pg-1", "replica");
    let ran = ends_at_once(live, &place, Instant::now());
    ran.says_line(
        "Warning: budget r01/pg-primary (minAvailable 1) does not allow the eviction of this pod now: minAvailable 1 needs \
         its only pod; the operator of Cluster pg (r01.example.com) can change that (r01/pg-1)",
    );
    ran.says_line(
        "hint: evacuate cordons the node and waits for the operator of Cluster pg (r01.example.com); --timeout=DURATION \
         limits that, --on-blocked=fail refuses instead",
    );
    ran.says_line(
        "Warning: budget r01/pg-primary blocks the eviction of r01/pg-1: it needs 1 healthy pod and has 1; minAvailable 1 \
         needs its only pod; waiting for the operator of Cluster pg (r01.example.com)",
    );
    for word in ["never", "--surge", "delete-after"] {
        ran.says_nothing_of(word);
    }
}

/// As Longhorn does once nothing needs the instance manager any more.
#[test]
fn r01_an_operator_deletes_its_budget_after_the_cordon() {
    let (place, _) = postgres("r01-delete");
    let mut live = place.start(&[]);
    after_the_cordon(&mut live, &place);
    place
        .cluster()
        .delete("policy/v1/PodDisruptionBudget", place.ns.name(), "pg-primary");
    ends_at_once(live, &place, Instant::now());
}

/// As Rook does: for a moment two budgets select the pod, which the eviction API does not support.
#[test]
fn r01_an_operator_swaps_budgets_after_the_cordon() {
    let (place, owner) = postgres("r01-swap");
    let mut live = place.start(&[]);
    live.wait_for("cordoned");
    budget(&place, "pg-all", "primary", &owner);
    live.wait_for("more than one budget matches it (pg-all and pg-primary)");
    std::thread::sleep(Duration::from_secs(1));
    for name in ["pg-primary", "pg-all"] {
        place
            .cluster()
            .delete("policy/v1/PodDisruptionBudget", place.ns.name(), name);
    }
    ends_at_once(live, &place, Instant::now());

    // Beforehand it is no refusal either; that of a user is.
    let (place, owner) = postgres("r01-both");
    budget(&place, "pg-all", "primary", &owner);
    place.evacuate(&["--on-blocked=fail"]).expect(3);
    let ran = place.evacuate(&["--timeout=2s"]).expect(5);
    ran.says_line(
        "Warning: 2 budgets match this pod (pg-all, pg-primary), which the eviction API does not support; the operator of \
         Cluster pg (r01.example.com) can change that: r01-both/pg-1",
    );
}

/// A Deployment of an operator (Rook's OSDs), pinned to its node, under a budget of the user; the caller has just the rights
/// that are published.
#[test]
fn r01_pods_of_an_operator_that_are_pinned_to_a_host() {
    let place = Place::new("r01-pinned");
    let owner = custom_resource(&place, "rook");
    place.ns.deployment("osd", 1, &Shape::new().only(&place.node));
    let owned = json!({"metadata": {"ownerReferences": [owner]}});
    place.ns.patch("apps/v1/Deployment", "osd", owned);
    place.ns.wait_pods_ready(1);
    place.ns.pdb("osd", json!({"minAvailable": 1}));
    let user = rights::user(place.cluster(), "r01-pinned", &["look", "empty", "lock"]);
    let evacuate = |args: &[&str]| kit::run(place.command(&user, args));

    let refused = wait_for("the rights", DEFAULT_TIMEOUT, || {
        let ran = evacuate(&["--on-blocked=fail"]);
        (ran.code == Some(3) && !ran.stderr.contains("not allowed")).then_some(ran)
    });
    let pod = text(&place.ns.wait_pods_ready(1)[0]["metadata"]["name"]);
    let blocked = format!(
        "budget r01-pinned/osd (minAvailable 1) does not allow the eviction of this pod now: minAvailable 1 needs its only \
         pod; the operator of Cluster rook (r01.example.com) can change that; pinned to the node by its node selector \
         kubernetes.io/hostname, so what replaces it stays Pending until the node is back (r01-pinned/{pod})"
    );
    refused.says_line(&format!("cause: {blocked}"));
    refused.says_line(
        "hint: leave out --on-blocked=fail to cordon the node and wait for the operator of Cluster rook (r01.example.com)",
    );
    place.assert_untouched();

    // A dry run says so, and does not call the node drained.
    let shown = evacuate(&["--dry-run=client"]).expect(0);
    shown.says_line(&format!("Warning: {blocked}"));
    shown.says_line("Note: node/r01-pinned-a would wait: 1 pod would stay on it until its budget allows the eviction");
    assert_eq!(shown.stdout, "node/r01-pinned-a cordoned (dry run)\n");

    // Nothing happens for a while: the run says so, with how long.
    let mut live = Live::start(place.command(&user, &[]));
    live.wait_for("Warning: budget r01-pinned/osd has blocked the eviction of r01-pinned/osd-");
    assert!(
        live.said().contains(" for 20s: it needs 1 healthy pod and has 1; "),
        "{}",
        live.said()
    );
    // Its operator stops the daemon.
    place.ns.scale("apps/v1/Deployment", "osd", 0);
    let ran = live.finish().expect(0);
    ran.says_nothing_of("not allowed").says_nothing_of("--surge");
    assert!(is_cordoned(place.cluster(), &place.node));
}

/// A reference that a tenant has made up makes the run wait. It leads to no act, whatever was asked for besides.
#[test]
fn r01_an_owner_that_was_made_up_only_makes_the_run_wait() {
    let place = Place::new("r01-forged");
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    place.ns.pdb("db", json!({"maxUnavailable": 0}));
    let forged = json!([{"apiVersion": "evil.example/v1", "kind": "$(id)", "name": "x;reboot\u{9b}", "uid": "0", "controller": true}]);
    let owned = json!({"metadata": {"ownerReferences": forged}});
    place.ns.patch("policy/v1/PodDisruptionBudget", "db", owned);
    let ran = place.evacuate(&["--timeout=3s", "--surge=force", "--yes"]).expect(5);
    assert!(!ran.stderr.contains('\u{9b}'), "{}", ran.text());
    let moves: Vec<String> = place.moves().into_iter().filter(|m| !m.ends_with("429")).collect();
    assert_eq!(moves, Vec::<String>::new(), "{}", ran.text());
    assert_eq!(place.ns.pods_on(&place.node), ["db-0"]);
}
