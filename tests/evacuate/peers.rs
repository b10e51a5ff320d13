//! Rows of other tools that drain nodes (7.4). What a real server cannot be made to show at will is in the engine's own
//! tests (`engine::scripted`).

use std::time::Duration;

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Request, Shape, wait_for};

use crate::place::{Place, names};

/// Two pods of which one may be missing: the second goes when the first is back, and nothing is asked in vain.
#[test]
fn p03_budget_that_allows() {
    let place = Place::new("p03");
    place
        .ns
        .statefulset("db", 2, &Shape::new().prefers(&place.node).stops_in("500ms"));
    place.ns.wait_pods_ready(2);
    place.ns.pdb("db", json!({"minAvailable": 1}));
    place.ns.wait_pdb_allows("db", 1);
    let ran = place.evacuate(&[]).expect(0);
    assert_eq!(place.moves(), ["evict db-0 201", "evict db-1 201"], "{}", ran.text());
    assert_eq!(place.ns.pods_on(&place.node), Vec::<String>::new());
}

#[test]
fn p04_budget_that_blocks_is_named() {
    let place = Place::new("p04");
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    place.ns.pdb("db", json!({"maxUnavailable": 0}));
    let ran = place.evacuate(&[]).expect(3);
    assert_run!(ran, @r#"
    --- stderr
    error: refused to evacuate p04-a; nothing was changed
      cause: budget p04/db (maxUnavailable 0) can never allow the eviction of this pod: maxUnavailable 0 allows no eviction at all: p04/db-0
      hint: run more replicas, change the budget, or say what to do with --on-blocked=wait or --on-blocked=delete-after=DURATION
    --- exit Some(3)
    "#);
    place.assert_untouched();

    let mut ran = place.evacuate(&["--on-blocked=wait", "--timeout=2s"]).expect(5);
    // Whether the budget was asked although it seems shut is a matter of time.
    ran.stdout = ran.stdout.replace("evicting pod p04/db-0\n", "");
    assert_run!(ran, @r#"
    node/p04-a cordoned
    --- stderr
    Warning: budget p04/db (maxUnavailable 0) can never allow the eviction of this pod: maxUnavailable 0 allows no eviction at all: p04/db-0
      hint: run more replicas or change the budget; until then this waits
    Warning: budget p04/db blocks the eviction of p04/db-0: it needs 1 healthy pod and has 1; it can never allow an eviction: maxUnavailable 0 allows no eviction at all
    p04-a: not drained in TIME; 0 pods gone; 1 pod left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate p04-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    p04-a   p04/db-0   Blocked   has 1, needs 1: budget db
    error: the time of --timeout is up
    --- exit Some(5)
    "#);
    assert_eq!(place.ns.pods_on(&place.node), ["db-0"]);
}

#[test]
fn p05_two_budgets_are_explained() {
    let place = Place::new("p05");
    place.ns.statefulset("db", 2, &Shape::new().prefers(&place.node));
    place.ns.statefulset("web", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(3);
    for name in ["one", "two"] {
        place.ns.pdb(
            name,
            json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "db"}}}),
        );
        place.ns.wait_pdb_allows(name, 1);
    }
    let ran = place.evacuate(&[]).expect(3);
    assert_run!(ran, @r#"
    --- stderr
    error: refused to evacuate p05-a; nothing was changed
      cause: 2 budgets match this pod (one, two), which the eviction API does not support: p05/db-0
      cause: 2 budgets match this pod (one, two), which the eviction API does not support: p05/db-1
      hint: make their selectors disjoint, or delete one of them
    --- exit Some(3)
    "#);
    place.assert_untouched();

    // Others go, and what cannot go is named in the end.
    let ran = place.evacuate(&["--on-blocked=wait", "--timeout=3s"]).expect(5);
    assert_run!(ran, @r#"
    node/p05-a cordoned
    evicting pod p05/web-0
    pod/web-0 evicted
    --- stderr
    Warning: 2 budgets match this pod (one, two), which the eviction API does not support: p05/db-0
      hint: make their selectors disjoint, or delete one of them
    Warning: 2 budgets match this pod (one, two), which the eviction API does not support: p05/db-1
      hint: make their selectors disjoint, or delete one of them
    Warning: the eviction of p05/db-0 is blocked: more than one budget matches it (one and two), which the eviction API does not support
    Warning: the eviction of p05/db-1 is blocked: more than one budget matches it (one and two), which the eviction API does not support
    p05-a: not drained in TIME; 1 pod gone: 1 to p05-b; 2 pods left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate p05-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    p05-a   p05/db-0   Blocked   more than one budget matches it (one and two), which the eviction API does not support
    p05-a   p05/db-1   Blocked   more than one budget matches it (one and two), which the eviction API does not support
    error: the time of --timeout is up
    --- exit Some(5)
    "#);
    assert_eq!(place.moves(), ["evict web-0 201"]);
}

/// When the server was asked to evict each pod, and when the kubelet deleted it. Times are of one clock and sort as text.
fn times(place: &Place, mark: testsupport::Mark) -> Vec<(String, &'static str)> {
    let of = |requests: Vec<Request>, word: &'static str| {
        let ours = requests
            .into_iter()
            .filter(|r| r.namespace == place.ns.name() && r.resource == "pods");
        let ours = ours
            .filter(move |r| (r.subresource == "eviction") == (word == "asked") && r.verb != "patch" && r.is_write());
        ours.map(|r| (r.received, r.name, word)).collect::<Vec<_>>()
    };
    let audit = place.cluster().audit();
    let mut all = of(audit.since(mark, "kubectl-evacuate"), "asked");
    let kwok = audit
        .since(mark, "kwok")
        .into_iter()
        .filter(|r| r.verb == "delete")
        .collect();
    all.extend(of(kwok, "gone"));
    all.sort();
    all.into_iter().map(|(_, name, word)| (name, word)).collect()
}

/// Asserts that all pods of one tier are gone before the first of the next is asked.
#[track_caller]
fn assert_tiers(times: &[(String, &'static str)], tiers: &[&[&str]]) {
    let mut expected = Vec::new();
    for tier in tiers {
        for word in ["asked", "gone"] {
            expected.extend(tier.iter().map(|pod| ((*pod).to_owned(), word)));
        }
    }
    // Within a tier all are asked at once, so their order is left to chance.
    let mut seen = times.to_vec();
    let mut from = 0;
    for tier in tiers {
        for _ in 0..2 {
            let until = (from + tier.len()).min(seen.len());
            seen[from..until].sort();
            from = until;
        }
    }
    assert_eq!(seen, expected, "{times:#?}");
}

#[test]
fn p06_the_next_tier_goes_when_the_previous_is_gone() {
    let place = Place::new("p06");
    for (name, value) in [("p06-high", 1_000), ("p06-low", -5)] {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value});
        place.cluster().apply_value(class);
    }
    let shape = Shape::new().prefers(&place.node).stops_in("1s");
    place
        .ns
        .statefulset("high", 2, &shape.clone().priority_class("p06-high"));
    place.ns.statefulset("low", 2, &shape.clone().priority_class("p06-low"));
    place.ns.statefulset("usual", 2, &shape);
    place.ns.wait_pods_ready(6);
    let mark = place.cluster().audit().mark();
    let ran = place.evacuate(&["--order=priority"]).expect(0);
    let tiers: [&[&str]; 3] = [&["low-0", "low-1"], &["usual-0", "usual-1"], &["high-0", "high-1"]];
    assert_tiers(&times(&place, mark), &tiers);
    let going = ran.stdout.lines().filter_map(|l| l.strip_prefix("evicting pod p06/"));
    assert_eq!(going.collect::<Vec<_>>(), tiers.concat(), "{}", ran.text());
    for class in ["p06-high", "p06-low"] {
        place.cluster().delete("scheduling.k8s.io/v1/PriorityClass", "", class);
    }
}

#[test]
fn p07_critical_pods_go_last() {
    let place = Place::new("p07");
    let shape = Shape::new().prefers(&place.node).stops_in("1s");
    place
        .ns
        .statefulset("dns", 1, &shape.clone().priority_class("system-cluster-critical"));
    place
        .ns
        .statefulset("net", 1, &shape.clone().priority_class("system-node-critical"));
    place.ns.statefulset("web", 1, &shape);
    place.ns.wait_pods_ready(3);
    let mark = place.cluster().audit().mark();
    place.evacuate(&["--order=priority"]).expect(0);
    assert_tiers(&times(&place, mark), &[&["web-0"], &["dns-0"], &["net-0"]]);

    // Without the flag all are asked at once.
    let place = Place::new("p07-none");
    let shape = Shape::new().prefers(&place.node).stops_in("2s");
    place
        .ns
        .statefulset("dns", 1, &shape.clone().priority_class("system-cluster-critical"));
    place.ns.statefulset("web", 1, &shape);
    place.ns.wait_pods_ready(2);
    let mark = place.cluster().audit().mark();
    place.evacuate(&[]).expect(0);
    assert_tiers(&times(&place, mark), &[&["dns-0", "web-0"]]);
}

/// The API image of a static pod belongs to the kubelet; the API cannot stop it.
#[test]
fn p08_static_pods_are_left_alone() {
    let place = Place::new("p08");
    let shape = Shape::new()
        .on(&place.node)
        .empty_dir()
        .annotation("kubernetes.io/config.mirror", "abc");
    place.ns.pod("etcd-a", &shape);
    place.ns.wait_pods_ready(1);
    let ran = place.evacuate(&[]).expect(0);
    assert_run!(ran, @r#"
    node/p08-a cordoned
    node/p08-a drained
    --- stderr
    p08-a: drained in TIME; 0 pods gone
    --- exit Some(0)
    "#);
    assert_eq!(place.moves(), Vec::<String>::new());
    assert_eq!(place.ns.pods_on(&place.node), ["etcd-a"]);
}

/// A budget holds the pod back; it is deleted meanwhile and comes back elsewhere under its name. That one stays.
#[test]
fn p09_new_pod_with_the_old_name_stays() {
    let place = Place::new("p09");
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    place.ns.pdb("db", json!({"minAvailable": 1}));
    let mut run = place.start(&["--on-blocked=wait"]);
    run.wait_for("blocks the eviction");
    place.ns.delete("v1/Pod", "db-0");
    let ran = run.finish().expect(0);
    let fresh = wait_for("the pod to be back", DEFAULT_TIMEOUT, || {
        place
            .ns
            .get("v1/Pod", "db-0")
            .filter(|p| p["spec"]["nodeName"] == *place.other)
    });
    assert_eq!(fresh["metadata"]["deletionTimestamp"], Value::Null);
    // What was asked before was refused.
    let moves = place.moves();
    assert!(moves.iter().all(|m| m == "evict db-0 429"), "{moves:?}");
    ran.never_says("pod/db-0 evicted");
    assert!(ran.stdout.ends_with("node/p09-a drained\n"), "{}", ran.text());
}

/// A pod that hangs in Terminating ends a run only where that was asked for.
#[test]
fn p10_stuck_pod_is_passed_over_on_request() {
    let place = Place::new("p10");
    place.ns.statefulset(
        "db",
        1,
        &Shape::new()
            .prefers(&place.node)
            .finalizer("example.com/stuck")
            .grace(1),
    );
    place.ns.wait_pods_ready(1);
    place.ns.delete("v1/Pod", "db-0");
    let ran = place.evacuate(&["--timeout=4s"]).expect(5);
    assert_run!(ran, @r#"
    node/p10-a cordoned
    --- stderr
    Warning: 1 pod has finalizers (example.com/stuck): p10/db-0
      hint: they stay Terminating until whoever set these takes them off
    p10-a: not drained in TIME; 0 pods gone; 1 pod left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate p10-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    p10-a   p10/db-0   Terminating   finalizer example.com/stuck
    error: the time of --timeout is up
    --- exit Some(5)
    "#);
    let ran = place.evacuate(&["--skip-wait-for-delete-timeout=1"]).expect(0);
    assert_eq!(
        ran.stdout,
        "node/p10-a already cordoned\nnode/p10-a drained\n",
        "{}",
        ran.text()
    );
    assert_eq!(place.moves(), Vec::<String>::new());
    place
        .ns
        .patch("v1/Pod", "db-0", json!({"metadata": {"finalizers": null}}));
}

/// A pod that its budget never lets go, and the grace period that it got from a run with these flags, which is
/// interrupted then.
fn deleted_with(id: &str, grace: i64, flags: &[&str]) -> (i64, Duration, Vec<String>) {
    let place = Place::new(id);
    place
        .ns
        .statefulset("db", 1, &Shape::new().prefers(&place.node).never_stops().grace(grace));
    place.ns.wait_pods_ready(1);
    place.ns.pdb("db", json!({"minAvailable": 1}));
    let began = std::time::Instant::now();
    let run = place.start(flags);
    let pod = place.wait_terminating("db-0");
    let after = began.elapsed();
    run.signal("INT");
    let ran = run.finish().expect(130);
    assert!(ran.stdout.contains("cordoned"), "{}", ran.text());
    let seconds = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
    let moves: Vec<String> = place.moves().into_iter().filter(|m| !m.ends_with(" 429")).collect();
    (seconds.expect("a terminating pod has one"), after, moves)
}

const DELETED: [&str; 1] = ["delete db-0 200"];

/// The pod is deleted so early that its grace period ends with the run's time.
#[test]
fn p11_deletes_early_enough_for_the_grace_period() {
    let (grace, after, moves) = deleted_with("p11", 10, &["--on-blocked=delete-after=1h", "--timeout=30s", "--yes"]);
    assert_eq!((grace, moves.as_slice()), (10, DELETED.map(str::to_owned).as_slice()));
    assert!((18..30).contains(&after.as_secs()), "{after:?}");
}

/// There is no time for the whole grace period: the budget has half of the time, and the pod gets what is left.
#[test]
fn p11_gives_what_is_left_where_time_is_short() {
    let (grace, after, moves) = deleted_with(
        "p11-short",
        600,
        &["--on-blocked=delete-after=1h", "--timeout=30s", "--yes"],
    );
    assert_eq!(moves, DELETED);
    assert!((8..=15).contains(&grace) && after.as_secs() >= 14, "{grace} {after:?}");
}

#[test]
fn p11_says_what_is_deleted_without_asking_a_budget() {
    let place = Place::new("p11-said");
    let shape = Shape::new().prefers(&place.node).stops_in("1s");
    place.ns.statefulset("db", 1, &shape);
    place.ns.wait_pods_ready(1);
    place.ns.pdb("db", json!({"minAvailable": 1}));
    let ran = place
        .evacuate(&["--on-blocked=delete-after=1s", "--yes", "-o", "wide"])
        .expect(0);
    // The budget may or may not have been asked once before.
    let lines = ran.stdout.lines().filter(|line| !line.starts_with("evicting"));
    let lines: Vec<&str> = lines.take(4).collect();
    assert_eq!(
        lines,
        [
            "node/p11-said-a cordoned",
            "deleting pod p11-said/db-0",
            "pod/db-0 deleted",
            "node/p11-said-a drained"
        ]
    );
    assert!(
        ran.stderr
            .contains("; 1 pod gone (1 deleted without asking a budget): "),
        "{}",
        ran.text()
    );
}

/// Whichever comes first, the patience or the time for the grace period.
#[test]
fn p13_the_earlier_deadline_wins() {
    let (grace, after, moves) = deleted_with("p13", 30, &["--on-blocked=delete-after=2s", "--timeout=10m", "--yes"]);
    assert_eq!((grace, moves.as_slice()), (30, DELETED.map(str::to_owned).as_slice()));
    assert!((2..30).contains(&after.as_secs()), "{after:?}");
}

/// The scheduler had chosen the node before it was cordoned, and bound the pod after that.
#[test]
fn p14_pod_that_is_bound_after_the_cordon() {
    let place = Place::new("p14");
    place
        .ns
        .statefulset("db", 1, &Shape::new().prefers(&place.node).stops_in("3s"));
    place.ns.wait_pods_ready(1);
    let run = place.start(&["--force"]);
    place.wait_terminating("db-0");
    assert!(place.is_cordoned());
    place.ns.pod("late", &Shape::new().on(&place.node));
    let ran = run.finish().expect(0);
    assert_eq!(place.moves(), ["evict db-0 201", "evict late 201"], "{}", ran.text());
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [
            "node/p14-a cordoned",
            "evicting pod p14/db-0",
            "evicting pod p14/late",
            "pod/late evicted",
            "pod/db-0 evicted",
            "node/p14-a drained"
        ]
    );
}

/// kubectl shows only the last warning about each pod.
#[test]
fn p17_every_warning_is_kept() {
    let place = Place::new("p17");
    place.ns.pod("naked", &Shape::new().on(&place.node).empty_dir());
    place.ns.daemonset("ds", &Shape::new().empty_dir());
    place.ns.wait_pods_ready(3);
    let ran = place.evacuate(&["--force", "--delete-emptydir-data"]).expect(0);
    assert_run!(ran, @r#"
    node/p17-a cordoned
    evicting pod p17/naked
    pod/naked evicted
    node/p17-a drained
    --- stderr
    Warning: deleting Pods with local storage: p17/naked
    Warning: deleting Pods that declare no controller: p17/naked
    Warning: ignoring DaemonSet-managed Pods: p17/ds-HASH
    p17-a: drained in TIME; 1 pod gone: 1 not replaced
    --- exit Some(0)
    "#);
    assert_eq!(names(&place.ns.pods()).len(), 2, "those of the DaemonSet");
    let place = Place::new("p17-refused");
    place.ns.pod("naked", &Shape::new().on(&place.node).empty_dir());
    place.ns.wait_pods_ready(1);
    let ran = place.evacuate(&[]).expect(3);
    assert_run!(ran, @r#"
    --- stderr
    error: refused to evacuate p17-refused-a; nothing was changed
      cause: cannot delete Pods with local storage (use --delete-emptydir-data to override): p17-refused/naked
      cause: cannot delete Pods that declare no controller (use --force to override): p17-refused/naked
    --- exit Some(3)
    "#);
}
