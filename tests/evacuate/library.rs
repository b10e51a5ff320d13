//! Rows of kubectl's drain package (7.3): waiting for deletions, evicting or deleting, dry runs, filters, namespaces that
//! end, the cordon itself.

use std::{sync::OnceLock, time::Duration};

use kube::api::DeleteParams;
use testsupport::{Cluster, DEFAULT_TIMEOUT, Node, Ns, Options, Request, Shape, wait_for};

use crate::{
    kit::{self, Ran},
    live::Live,
    place::{Place, names},
    scene,
};

/// Two workloads of which one gives its pods the same names again.
#[test]
fn w01_eight_pods_that_go_or_come_back_under_their_names() {
    let place = Place::new("w01");
    let shape = Shape::new().prefers(&place.node).stops_in("1s");
    place.ns.replicaset("rs", 4, &shape);
    place.ns.statefulset("db", 4, &shape);
    let pods = names(&place.ns.wait_pods_ready(8));
    let ran = place.evacuate(&[]).expect(0);
    let mut lines = vec!["node/w01-a cordoned".to_owned(), "node/w01-a drained".to_owned()];
    for pod in &pods {
        lines.extend([format!("evicting pod w01/{pod}"), format!("pod/{pod} evicted")]);
    }
    lines.sort();
    assert_eq!(scene::sorted(&ran.stdout), lines);
    let moves: Vec<String> = pods.iter().map(|pod| format!("evict {pod} 201")).collect();
    assert_eq!(place.moves(), moves);
    assert_eq!(place.ns.pods_on(&place.node), Vec::<String>::new());
}

#[test]
fn w02_same_name_and_another_uid() {
    let place = Place::new("w02");
    place
        .ns
        .statefulset("db", 1, &Shape::new().prefers(&place.node).stops_in("1s"));
    let before = place.ns.wait_pods_ready(1).remove(0);
    let ran = place.evacuate(&[]).expect(0);
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [
            "node/w02-a cordoned",
            "evicting pod w02/db-0",
            "pod/db-0 evicted",
            "node/w02-a drained"
        ]
    );
    let after = wait_for("the pod to be back", DEFAULT_TIMEOUT, || place.ns.get("v1/Pod", "db-0"));
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(place.moves(), ["evict db-0 201"]);
}

#[test]
fn w03_never_deleted_times_out() {
    let place = Place::new("w03");
    place
        .ns
        .replicaset("rs", 1, &Shape::new().prefers(&place.node).never_stops().grace(1));
    let pod = names(&place.ns.wait_pods_ready(1)).remove(0);
    let ran = place.evacuate(&["--timeout=6s"]).expect(5);
    assert!((6..12).contains(&ran.took.as_secs()), "{:?}", ran.took);
    assert_run!(ran, @r#"
    node/w03-a cordoned
    evicting pod w03/rs-HASH
    --- stderr
    w03-a: not drained in TIME; 0 pods gone; 1 pod left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate w03-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    w03-a   w03/rs-HASH   Terminating   TIME over its grace period: the kubelet has not confirmed
    error: the time of --timeout is up
    --- exit Some(5)
    "#);
    assert_eq!(place.moves(), [format!("evict {pod} 201")]);
}

#[test]
fn w04_interrupted() {
    let place = Place::new("w04");
    place
        .ns
        .replicaset("rs", 1, &Shape::new().prefers(&place.node).never_stops().grace(600));
    let pod = names(&place.ns.wait_pods_ready(1)).remove(0);
    let run = place.start(&["--timeout=5m"]);
    place.wait_terminating(&pod);
    run.signal("INT");
    let ran = run.finish().expect(130);
    assert!(ran.took < Duration::from_secs(20), "{:?}", ran.took);
    assert_run!(ran, @r#"
    node/w04-a cordoned
    evicting pod w04/rs-HASH
    --- stderr
    w04-a: not drained in TIME; 0 pods gone; 1 pod left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate w04-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    w04-a   w04/rs-HASH   Terminating   TIME of grace left
    error: interrupted
    --- exit Some(130)
    "#);
}

/// The deletion timestamp is the time of the request plus the grace period.
#[test]
fn w05_does_not_wait_longer_than_asked() {
    let place = Place::new("w05");
    place
        .ns
        .replicaset("rs", 1, &Shape::new().prefers(&place.node).never_stops().grace(1));
    let pod = names(&place.ns.wait_pods_ready(1)).remove(0);
    let ran = place.evacuate(&["--skip-wait-for-delete-timeout=1"]).expect(0);
    assert_run!(ran, @r#"
    node/w05-a cordoned
    evicting pod w05/rs-HASH
    pod "rs-HASH" has DeletionTimestamp older than 1 seconds, skipping
    node/w05-a drained
    --- stderr
    w05-a: drained in TIME; 0 pods gone
    --- exit Some(0)
    "#);
    assert_eq!(place.ns.pods_on(&place.node), [pod]);
}

/// Nothing can be read while the pod goes: kubectl's drain gives up, this asks again.
#[test]
fn w06_failed_lists_are_asked_for_again() {
    let place = Place::new("w06");
    place
        .ns
        .replicaset("rs", 1, &Shape::new().prefers(&place.node).stops_in("1s"));
    let pod = names(&place.ns.wait_pods_ready(1)).remove(0);
    let link = place.cluster().link();
    let mut run = Live::start(place.command(link.kubeconfig(), &[]));
    place.wait_terminating(&pod);
    link.cut();
    place.ns.wait_gone(&pod);
    std::thread::sleep(Duration::from_secs(1));
    assert!(run.is_running(), "{}", run.said());
    link.heal();
    let ran = run.finish().expect(0);
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [
            "node/w06-a cordoned",
            &format!("evicting pod w06/{pod}"),
            &format!("pod/{pod} evicted"),
            "node/w06-a drained"
        ]
    );
    assert_eq!(place.moves(), [format!("evict {pod} 201")]);
}

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
    ran.says("node/e04-preview-a: 1 pod goes, 0 stay, 1 is left out by --pod-selector");
    ran.says(
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
    node/d01-a: 2 pods go, 0 stay
    NAMESPACE   POD   ACTION   BUDGET   GRACE   ROOM
    d01   db-0   evict   10m   fits on 1 node
    d01   db-1   evict   10m   fits on 1 node
    Note: all 2 Ready replicas of d01/db go: d01/db-0, d01/db-1
      hint: no budget keeps them from being away at once; give them one, or spread them over nodes
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
    node/d02-a: 2 pods go, 0 stay
    NAMESPACE   POD   ACTION   BUDGET   GRACE   ROOM
    d02   db-0   delete   10m   fits on 1 node
    d02   db-1   delete   10m   fits on 1 node
    Note: all 2 Ready replicas of d02/db go: d02/db-0, d02/db-1
      hint: no budget keeps them from being away at once; give them one, or spread them over nodes
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

/// Without its controllers a namespace that is deleted stays as it is, with everything in it.
fn without_controllers() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        Cluster::start(Options {
            controller_manager: false,
            scheduler: false,
            ..Options::default()
        })
    })
}

/// A run against a pod whose namespace is being terminated. It has been told so when this returns.
fn in_ending_namespace(id: &str, flags: &[&str]) -> (Live, Ns<'static>) {
    let cluster = without_controllers();
    let ns = cluster.namespace(id);
    let node = ns.node(Node::new(format!("{id}-a")).dead());
    ns.pod("naked", &Shape::new().on(&node));
    cluster.delete("v1/Namespace", "", id);
    let args: Vec<&str> = [node.as_str(), "--force"]
        .into_iter()
        .chain(flags.iter().copied())
        .collect();
    let mut run = Live::start(kit::command(cluster, &args));
    run.wait_for("its namespace is being terminated");
    (run, ns)
}

#[test]
fn n01_namespace_that_ends() {
    let (run, ns) = in_ending_namespace("n01", &[]);
    // What the namespace controller does, and after it the kubelet.
    ns.delete("v1/Pod", "naked");
    std::thread::sleep(Duration::from_secs(1));
    let at_once = DeleteParams::default().grace_period(0);
    ns.cluster().delete_with("v1/Pod", ns.name(), "naked", &at_once);
    let ran = run.finish().expect(0);
    assert_run!(ran, @r#"
    node/n01-a cordoned
    evicting pod n01/naked
    node/n01-a drained
    --- stderr
    Warning: deleting Pods that declare no controller: n01/naked
    Warning: 1 node with a kubelet that is silent (Ready is Unknown): n01-a
      hint: pods there cannot confirm that they have ended: use --skip-wait-for-delete-timeout, or --grace-period=0 --force once the machine is surely off
    Warning: pod n01/naked: its namespace is being terminated; waiting for its deletion
    n01-a: drained in TIME; 1 pod gone: 1 not replaced
    --- exit Some(0)
    "#);
}

#[test]
fn n02_namespace_that_does_not_end() {
    let (run, ns) = in_ending_namespace("n02", &["--timeout=4s"]);
    let ran = run.finish().expect(5);
    assert_run!(ran, @r#"
    node/n02-a cordoned
    evicting pod n02/naked
    --- stderr
    Warning: deleting Pods that declare no controller: n02/naked
    Warning: 1 node with a kubelet that is silent (Ready is Unknown): n02-a
      hint: pods there cannot confirm that they have ended: use --skip-wait-for-delete-timeout, or --grace-period=0 --force once the machine is surely off
    Warning: pod n02/naked: its namespace is being terminated; waiting for its deletion
    n02-a: not drained in TIME; 0 pods gone; 1 pod left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate n02-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    n02-a   n02/naked   Retrying   its namespace is being terminated; waiting for its deletion
    error: the time of --timeout is up
    --- exit Some(5)
    "#);
    assert_eq!(names(&ns.pods()), ["naked"]);
}

#[test]
fn u01_cordoned_before_needs_no_change() {
    let place = Place::new("u01");
    scene::cordon(place.cluster(), &place.node, true);
    place.evacuate(&[]).expect(0);
    assert_eq!(place.cordoned_by(), None, "it is not this tool's");
    assert!(place.is_cordoned());
}

#[test]
fn u02_not_cordoned_is_changed() {
    let place = Place::new("u02");
    place.evacuate(&[]).expect(0);
    assert!(place.is_cordoned() && place.cordoned_by().is_some());
    let patches: Vec<String> = place
        .asked()
        .iter()
        .filter(|r| r.resource == "nodes" && r.subresource.is_empty() && r.is_write())
        .map(|r| format!("{} {}", r.verb, r.code))
        .collect();
    assert_eq!(
        patches,
        ["patch 200", "patch 200"],
        "the cordon with the claim, and the claim given back"
    );
}
