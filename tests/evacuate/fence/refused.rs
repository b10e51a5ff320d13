//! What is not forced.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Live, Node, Shape, wait_for};

use super::kit::*;
use crate::{
    kit::{command, evacuate},
    place::Place,
    scene,
};

#[test]
fn b17_nothing_is_forced_that_nobody_has_confirmed() {
    let dead = Dead::new("b17q");
    let mark = dead.ns.cluster().audit().mark();
    let ran = dead.evacuate(&[]).expect(3);
    assert_run!(ran, @r#"
    --- stderr
    Warning: node/b17q-a is silent (Ready is Unknown for TIME, it has no Lease): once its machine is confirmed to be off, 1 pod on it is removed with the taint node.kubernetes.io/out-of-service, which is taken off again; no budget is asked
    Warning: 1 pod will not come back, for its controller ReplicaSet b17q/gone does not exist any more: b17q/stuck
      hint: the garbage collector removes such pods, unless they were orphaned on purpose
    error: refused to evacuate b17q-a, for it may still run its pods; nothing was changed
      cause: node/b17q-a is silent: Ready is Unknown for TIME, it has no Lease
      hint: add --powered-off once its machine is surely off, not only out of reach
      hint: or go on without forcing anything: --powered-off=false
    --- exit Some(3)
    "#);
    // A yes to every question is no yes to this one.
    let yes = dead.evacuate(&["--yes", "-o", "name"]).expect(3);
    // But for the seconds that go by.
    let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!((yes.stdout.as_str(), words(&yes.stderr)), ("", words(&ran.stderr)));
    assert_eq!(scene::writes(&dead.ns, mark), [""; 0]);
    assert!(!scene::is_cordoned(dead.ns.cluster(), &dead.node));
    // The way of drain is still there.
    let ran = dead.evacuate(&["--grace-period=0", "--force"]).expect(0);
    assert_run!(ran, @r#"
    node/b17q-a cordoned
    evicting pod b17q/stuck
    pod/stuck evicted
    node/b17q-a drained
    --- stderr
    Warning: node/b17q-a is silent (Ready is Unknown for TIME, it has no Lease): pods there cannot confirm that they have ended
      hint: once its machine is surely off, --powered-off gets rid of them
    Warning: 1 pod will not come back, for its controller ReplicaSet b17q/gone does not exist any more: b17q/stuck
      hint: the garbage collector removes such pods, unless they were orphaned on purpose
    Warning: --grace-period=0 removes the object of 1 pod from the API at once: no kubelet is waited for, and a pod may still run when its successor starts
    b17q-a: drained in TIME; 1 pod gone: 1 not replaced yet
    Note: saved in SAVED as it was: b17q/stuck
      hint: 'kubectl apply -f SAVED' brings it back
    --- exit Some(0)
    "#);
}

#[test]
fn b17_what_a_dry_run_shows() {
    let dead = Dead::new("b17d");
    let ran = dead.evacuate(&["--dry-run=client"]).expect(0);
    assert_run!(ran, @r#"
    node/b17d-a cordoned (dry run)
    evicting pod b17d/stuck (dry run)
    node/b17d-a drained (dry run)
    --- stderr
    node/b17d-a: 1 pod leaves, 0 stay
    NAMESPACE   POD   ACTION   BUDGET   GRACE   ROOM
    b17d   stuck   force   30s   not replaced: its ReplicaSet does not exist any more
    Warning: node/b17d-a is silent (Ready is Unknown for TIME, it has no Lease): once its machine is confirmed to be off, 1 pod on it is removed with the taint node.kubernetes.io/out-of-service, which is taken off again; no budget is asked
    Warning: 1 pod will not come back, for its controller ReplicaSet b17d/gone does not exist any more: b17d/stuck
      hint: the garbage collector removes such pods, unless they were orphaned on purpose
    Note: asks first whether the machine of node/b17d-a is off; only its typed name or --powered-off answers
    --- exit Some(0)
    "#);
    let ran = dead.evacuate(&["--dry-run=server", "--powered-off=false"]).expect(0);
    assert_run!(ran, @r#"
    node/b17d-a cordoned (server dry run)
    evicting pod b17d/stuck (server dry run)
    node/b17d-a drained (server dry run)
    --- stderr
    node/b17d-a: 1 pod leaves, 0 stay
    NAMESPACE   POD   ACTION   BUDGET   GRACE   ROOM
    b17d   stuck   evict   30s   not replaced: its ReplicaSet does not exist any more
    Warning: node/b17d-a is silent (Ready is Unknown for TIME, it has no Lease): pods there cannot confirm that they have ended
      hint: once its machine is surely off, --powered-off gets rid of them
    Warning: 1 pod will not come back, for its controller ReplicaSet b17d/gone does not exist any more: b17d/stuck
      hint: the garbage collector removes such pods, unless they were orphaned on purpose
    Note: the run can take longer than 30s, the longest grace period of a pod, because a kubelet has stopped reporting: b17d/stuck
    --- exit Some(0)
    "#);
}

#[test]
fn b18_a_kubelet_that_reports_is_not_off() {
    let place = Place::new("b18");
    place.ns.replicaset("web", 1, &Shape::new().prefers(&place.node));
    scene::wait_all_on(&place.ns, &place.node, 1);
    let refused = place.evacuate(&["--powered-off"]).expect(3);
    assert!(
        refused
            .stderr
            .contains("cause: node/b18-a is not off: its kubelet reports (Ready is True for "),
        "{}",
        refused.text()
    );
    place.assert_untouched();
    // A kubelet that says that it is not Ready ends its pods.
    let alive = Dead::new("b18f");
    set_ready(alive.ns.cluster(), &alive.node, "False");
    let mut live = Live::start(command(alive.ns.cluster(), &[&alive.node]));
    live.wait_for("evicting pod b18f/stuck");
    alive.collect();
    let ran = live.finish().expect(0);
    ran.says_nothing_of("tainted").says_nothing_of("silent");
    assert!(
        ran.stderr
            .contains("1 node not Ready, with a kubelet that still reports"),
        "{}",
        ran.text()
    );
}

#[test]
fn b17_too_many_silent_nodes_speak_against_the_control_plane() {
    let cluster = without_controllers(3);
    let ns = cluster.namespace("many");
    let a = ns.node(Node::new("many-a").dead());
    ns.node(Node::new("many-b").dead());
    ns.pod("stuck", &Shape::new().on(&a));
    let ran = evacuate(&cluster, &[&a, "--powered-off", "--force"]).expect(3);
    assert_run!(ran, @r#"
    --- stderr
    error: refused to evacuate many-a; nothing was changed
      cause: 2 of 5 nodes have stopped reporting: the control plane may be cut off, and not the nodes
      hint: look at the control plane and its network first; --powered-off=false goes on without forcing anything
    --- exit Some(3)
    "#);
    assert!(!scene::is_cordoned(&cluster, &a));
}

/// A kubelet that is back renews its Lease before it says that it is Ready.
#[test]
fn b17_a_lease_that_was_renewed_lately() {
    let dead = Dead::new("b17l");
    dead.renew_lease(5);
    let ran = dead.evacuate(&["--powered-off"]).expect(3);
    assert!(
        ran.stderr
            .contains("cause: node/b17l-a is not off for certain: Ready is Unknown, but its Lease was renewed "),
        "{}",
        ran.text()
    );
    assert!(!scene::is_cordoned(dead.ns.cluster(), &dead.node));
}

/// A question that nobody answers is a refusal, in every form of output.
#[test]
fn b17_a_refusal_is_a_document_too() {
    let dead = Dead::new("b17j");
    let ran = dead.evacuate(&["-o", "json"]).expect(3);
    assert_eq!(ran.json()["outcome"], "refused");
    let ran = dead.evacuate(&["--delete", "--powered-off", "-o", "json"]).expect(3);
    assert_eq!(ran.json()["exitCode"], 3);
}

/// The node of a machine that may run is not removed: whatever is left there would be forced off it.
#[test]
fn b17_a_silent_node_is_not_removed() {
    let dead = Dead::new("b17r");
    dead.ns.delete("v1/Pod", "stuck");
    let at_once = kube::api::DeleteParams::default().grace_period(0);
    dead.ns.cluster().delete_with("v1/Pod", "b17r", "stuck", &at_once);
    dead.evacuate(&["--delete", "--yes"]).expect(3);
    dead.evacuate(&["--delete", "--yes", "--powered-off=false"]).expect(3);
    dead.evacuate(&["--delete", "--yes", "--powered-off"]).expect(0);
}

/// A machine that fails in the middle: the way out is named.
#[test]
fn b18_a_node_that_falls_silent_meanwhile() {
    let place = Place::new("b18s");
    let shape = Shape::new().prefers(&place.node).stops_in("60s").grace(90);
    place.ns.deployment("web", 1, &shape);
    place.ns.wait_pods_ready(1);
    let live = place.start(&["--timeout=30s"]);
    wait_for("the eviction", DEFAULT_TIMEOUT, || {
        place.asked().iter().any(|r| r.subresource == "eviction").then_some(())
    });
    let unheard = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    place.cluster().patch_status("v1/Node", "", &place.node, unheard);
    wait_for("the warning", DEFAULT_TIMEOUT, || {
        live.said().contains("node/b18s-a has gone silent").then_some(())
    });
    live.signal("INT");
    let ran = live.finish().expect(130);
    assert!(ran.stderr.contains("--powered-off"), "{}", ran.text());
}
