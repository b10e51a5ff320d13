//! Rows F and S: which pods are left out, which are not waited for.

use std::time::Duration;

use testsupport::Shape;

use crate::place::Place;

/// kubectl's library takes filters of its caller; here that is `--pod-selector`, together with the rules.
fn filtered(id: &str, flags: &[&str]) -> Vec<String> {
    let place = Place::new(id);
    place
        .ns
        .statefulset("db", 1, &Shape::new().prefers(&place.node).label("tier", "data"));
    place.ns.daemonset("ds", &Shape::new().label("tier", "agent"));
    place.ns.wait_pods_ready(3);
    place.evacuate(flags).expect(0);
    place.moves()
}

#[test]
fn f01_the_selector_leaves_the_pod_out() {
    assert_eq!(filtered("f01", &["--pod-selector=tier=none"]), Vec::<String>::new());
}

#[test]
fn f02_the_selector_takes_the_pod() {
    assert_eq!(filtered("f02", &["--pod-selector=tier=data"]), ["evict db-0 201"]);
}

#[test]
fn f03_the_selector_takes_a_pod_that_a_rule_leaves_out() {
    assert_eq!(filtered("f03", &["--pod-selector=tier=agent"]), Vec::<String>::new());
}

#[test]
fn f04_no_selector() {
    assert_eq!(filtered("f04", &[]), ["evict db-0 201"]);
}

#[test]
fn s01_pod_that_is_not_deleted() {
    let place = Place::new("s01");
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    place.evacuate(&["--skip-wait-for-delete-timeout=20"]).expect(0);
    assert_eq!(place.moves(), ["evict db-0 201"]);
}

/// kubectl would ask once more; that it terminates is enough here.
#[test]
fn s02_pod_that_was_deleted_lately() {
    let place = Place::new("s02");
    place
        .ns
        .statefulset("db", 1, &Shape::new().prefers(&place.node).stops_in("4s"));
    place.ns.wait_pods_ready(1);
    place.ns.delete("v1/Pod", "db-0");
    let ran = place.evacuate(&["--skip-wait-for-delete-timeout=20"]).expect(0);
    assert_eq!(
        ran.stdout,
        "node/s02-a cordoned\nnode/s02-a drained\n",
        "{}",
        ran.text()
    );
    assert_eq!(place.ns.pods_on(&place.node), Vec::<String>::new());
    assert_eq!(place.moves(), Vec::<String>::new());
}

#[test]
fn s03_pod_that_was_deleted_long_ago() {
    let place = Place::new("s03");
    place
        .ns
        .statefulset("db", 1, &Shape::new().prefers(&place.node).never_stops().grace(1));
    place.ns.wait_pods_ready(1);
    place.ns.delete("v1/Pod", "db-0");
    // Its second of grace, and more than one beyond it.
    std::thread::sleep(Duration::from_millis(3_500));
    let ran = place.evacuate(&["--skip-wait-for-delete-timeout=1"]).expect(0);
    assert_eq!(
        ran.stdout,
        "node/s03-a cordoned\nnode/s03-a drained\n",
        "{}",
        ran.text()
    );
    assert_eq!(place.ns.pods_on(&place.node), ["db-0"]);
    assert_eq!(place.moves(), Vec::<String>::new());
}
