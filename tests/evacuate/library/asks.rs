//! Rows E, V and D: evicting or deleting, dry runs.

use testsupport::{Request, Shape};

use crate::{
    kit::Ran,
    place::{Place, names},
    scene,
};

/// The grace period that a pod got from a run with these flags, and how it was asked to go.
fn grace(id: &str, flags: &[&str]) -> (i64, Vec<String>) {
    let place = Place::new(id);
    place
        .ns
        .statefulset("db", 1, &Shape::new().prefers(&place.node).never_stops().grace(77));
    place.ns.wait_pods_ready(1);
    let run = place.start(flags);
    let pod = place.wait_terminating("db-0");
    run.signal("INT");
    run.finish().expect(130);
    let seconds = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
    (seconds.expect("a terminating pod has one"), place.moves())
}

#[test]
fn e01_evicts_with_the_grace_period() {
    let asked = vec!["evict db-0 201".to_owned()];
    assert_eq!(grace("e01", &["--grace-period=10"]), (10, asked.clone()));
    assert_eq!(grace("e01", &[]), (77, asked.clone()));
    assert_eq!(grace("e01", &["--grace-period=-1"]), (77, asked));
}

#[test]
fn e03_deletes_with_the_grace_period() {
    let asked = vec!["delete db-0 200".to_owned()];
    assert_eq!(
        grace("e03", &["--disable-eviction", "--grace-period=10"]),
        (10, asked.clone())
    );
    assert_eq!(grace("e03", &["--disable-eviction"]), (77, asked));
}

/// Others are not looked at either: of these two, one has local data and nobody would re-create it.
#[test]
fn e04_two_of_four_pods() {
    for (id, flag, done) in [
        ("e04-evict", None, "evict"),
        ("e04-delete", Some("--disable-eviction"), "delete"),
    ] {
        let place = Place::new(id);
        place.ns.replicaset("rs", 2, &Shape::new().prefers(&place.node));
        place.ns.pod("naked", &Shape::new().on(&place.node).empty_dir());
        place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
        let pods = names(&place.ns.wait_pods_ready(4));
        let wanted: Vec<&String> = pods.iter().filter(|pod| pod.starts_with("rs-")).collect();
        let args: Vec<&str> = std::iter::once("--pod-selector=app=rs").chain(flag).collect();
        let ran = place.evacuate(&args).expect(0);
        let code = if done == "evict" { 201 } else { 200 };
        let moves: Vec<String> = wanted.iter().map(|pod| format!("{done} {pod} {code}")).collect();
        assert_eq!(place.moves(), moves, "{}", ran.text());
        let said: Vec<String> = wanted
            .iter()
            .map(|pod| format!("pod/{pod} {done}{}", if done == "evict" { "ed" } else { "d" }))
            .collect();
        let lines = scene::sorted(&ran.stdout);
        assert_eq!(
            lines.into_iter().filter(|l| l.starts_with("pod/")).collect::<Vec<_>>(),
            said
        );
        assert_eq!(place.ns.pods_on(&place.node), ["db-0", "naked"]);
    }
}

#[test]
fn e04_the_preview_counts_what_is_left_out() {
    let place = Place::new("e04-preview");
    place.ns.pod("naked", &Shape::new().on(&place.node).empty_dir());
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(2);
    let args = ["--pod-selector=app=db", "--grace-period=0", "--dry-run=client"];
    let ran = place.evacuate(&args).expect(0);
    ran.says_line("node/e04-preview-a: 1 pod leaves, 0 stay, 1 is left out by --pod-selector");
    ran.says_line(
        "Warning: --grace-period=0 removes the object of 1 pod from the API at once: no kubelet is waited for, and a pod may \
         still run when its successor starts",
    );
}

/// Only the version that servers of today have can be tried on one; see `gather::access` for the others.
#[test]
fn v01_evictions_go_to_the_subresource() {
    let place = Place::new("v01");
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    place.evacuate(&[]).expect(0);
    let requests: Vec<String> = place
        .requests()
        .iter()
        .map(|r| format!("{} {} {}", r.verb, r.uri, r.code))
        .collect();
    assert_eq!(requests, ["create /api/v1/namespaces/v01/pods/db-0/eviction? 201"]);
}

/// A dry run with these flags: what it said and asked. Pods that never stop would show that it was none, or hold it up.
fn dry_run(id: &str, flags: &[&str]) -> (Ran, Vec<String>) {
    let place = Place::new(id);
    let shape = Shape::new().prefers(&place.node).never_stops().grace(600);
    place.ns.statefulset("db", 2, &shape);
    let before = place.ns.wait_pods_ready(2);
    let ran = place.evacuate(flags).expect(0);
    assert_eq!(place.ns.wait_pods_ready(2), before, "{}", ran.text());
    assert!(!place.is_cordoned());
    assert_eq!(place.cordoned_by(), None);
    let asked = place.asked().into_iter().filter(Request::is_write);
    let mut asked: Vec<String> = asked.map(|r| format!("{} {} {}", r.verb, r.uri, r.code)).collect();
    asked.sort();
    (ran, asked)
}

#[test]
fn d01_server_dry_run_of_evictions() {
    let (ran, asked) = dry_run("d01", &["--dry-run=server"]);
    assert_run!(ran, @r#"
    node/d01-a cordoned (server dry run)
    evicting pod d01/db-0 (server dry run)
    evicting pod d01/db-1 (server dry run)
    node/d01-a drained (server dry run)
    --- stderr
    node/d01-a: 2 pods leave, 0 stay
    NAMESPACE   POD   ACTION   BUDGET   GRACE   ROOM
    d01   db-0   evict   10m   fits on 1 node
    d01   db-1   evict   10m   fits on 1 node
    Note: all 2 Ready replicas of d01/db go: d01/db-0, d01/db-1
      hint: no budget keeps them from being away at once; give them one, or spread them over nodes
    Note: the run takes at most 10m, the longest grace period of a pod: d01/db-0
    --- exit Some(0)
    "#);
    assert_eq!(
        asked,
        [
            "create /api/v1/namespaces/d01/pods/db-0/eviction?&dryRun=All 201",
            "create /api/v1/namespaces/d01/pods/db-1/eviction?&dryRun=All 201",
            "patch /api/v1/nodes/d01-a?&dryRun=All&fieldManager=kubectl-evacuate 200",
        ]
    );
}

#[test]
fn d02_server_dry_run_of_deletions() {
    let (ran, asked) = dry_run("d02", &["--dry-run=server", "--disable-eviction"]);
    assert_run!(ran, @r#"
    node/d02-a cordoned (server dry run)
    pod/db-0 deleted (server dry run)
    pod/db-1 deleted (server dry run)
    node/d02-a drained (server dry run)
    --- stderr
    node/d02-a: 2 pods leave, 0 stay
    NAMESPACE   POD   ACTION   BUDGET   GRACE   ROOM
    d02   db-0   delete   10m   fits on 1 node
    d02   db-1   delete   10m   fits on 1 node
    Note: all 2 Ready replicas of d02/db go: d02/db-0, d02/db-1
      hint: no budget keeps them from being away at once; give them one, or spread them over nodes
    Note: the run takes at most 10m, the longest grace period of a pod: d02/db-0
    --- exit Some(0)
    "#);
    assert_eq!(
        asked,
        [
            "delete /api/v1/namespaces/d02/pods/db-0? 200",
            "delete /api/v1/namespaces/d02/pods/db-1? 200",
            "patch /api/v1/nodes/d02-a?&dryRun=All&fieldManager=kubectl-evacuate 200",
        ]
    );
}
