//! Rows W: waiting for deletions.

use std::time::Duration;

use testsupport::{DEFAULT_TIMEOUT, Live, Shape, wait_for};

use crate::{
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
    w05-a: partly drained in TIME; 0 pods gone; still on it: 1 pod Terminating for longer than --skip-wait-for-delete-timeout
    NODE   POD LEFT   STATE   REASON
    w05-a   w05/rs-HASH   NotAsked   Terminating for longer than --skip-wait-for-delete-timeout
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
