//! P11 to P17: deadlines, late pods, warnings.

use std::time::Duration;

use serde_json::json;
use testsupport::Shape;

use crate::place::{Place, names};

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
    Note: saved in SAVED as it was: p17/naked
      hint: 'kubectl apply -f SAVED' brings it back
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
