//! The taint is taken off again, whatever happens.

use std::time::Duration;

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Live, Rule, wait_for};

use super::kit::*;
use crate::scene;

#[test]
fn fence_is_lifted_when_the_pods_are_gone() {
    let dead = Dead::new("fence-gone");
    let live = dead.tainted(&["--powered-off"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(taints(dead.ns.cluster(), &dead.node), [TAINT]);
    dead.collect();
    let ran = live.finish().expect(0);
    dead.assert_lifted(&ran.text());
    assert_run!(ran, @r#"
    node/fence-gone-a cordoned
    evicting pod fence-gone/stuck
    node/fence-gone-a tainted
    pod/stuck evicted
    node/fence-gone-a untainted
    node/fence-gone-a drained
    --- stderr
    Warning: node/fence-gone-a is silent (Ready is Unknown for TIME, it has no Lease) and said to be off: 1 pod on it is removed with the taint node.kubernetes.io/out-of-service, which is taken off again; no budget is asked
    Warning: 1 pod will not come back, for its controller ReplicaSet fence-gone/gone does not exist any more: fence-gone/stuck
      hint: the garbage collector removes such pods, unless they were orphaned on purpose
    fence-gone-a: drained in TIME; 1 pod gone: 1 not replaced yet
    Note: saved in SAVED as it was: fence-gone/stuck
      hint: 'kubectl apply -f SAVED' brings it back
    --- exit Some(0)
    "#);
}

/// Its kubelet is back, and every pod would be thrown out.
#[test]
fn fence_is_lifted_when_the_node_comes_back() {
    let dead = Dead::new("fence-back");
    let live = dead.tainted(&["--powered-off"]);
    set_ready(dead.ns.cluster(), &dead.node, "True");
    let ran = live.finish().expect(4);
    assert!(ran.took < Duration::from_secs(4), "it was noticed late: {:?}", ran.took);
    dead.assert_lifted(&ran.text());
    assert_run!(ran, @r#"
    node/fence-back-a cordoned
    evicting pod fence-back/stuck
    node/fence-back-a tainted
    node/fence-back-a untainted
    --- stderr
    Warning: node/fence-back-a is silent (Ready is Unknown for TIME, it has no Lease) and said to be off: 1 pod on it is removed with the taint node.kubernetes.io/out-of-service, which is taken off again; no budget is asked
    Warning: 1 pod will not come back, for its controller ReplicaSet fence-back/gone does not exist any more: fence-back/stuck
      hint: the garbage collector removes such pods, unless they were orphaned on purpose
    error: unable to drain node "fence-back-a": its kubelet is reporting (Ready is True): the machine is not powered off
    fence-back-a: not drained in TIME; 0 pods gone; 1 pod left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate fence-back-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    fence-back-a   fence-back/stuck   Terminating   TIME of grace left
    Note: saved in SAVED; it was asked to leave and is still there: fence-back/stuck
      hint: once it has left, 'kubectl apply -f SAVED' brings it back
    --- exit Some(4)
    "#);
}

/// Without them nobody can tell whether the machine is heard of again.
#[test]
fn fence_is_lifted_when_leases_may_not_be_read_any_more() {
    let dead = Dead::new("fence-blind");
    let cluster = dead.ns.cluster();
    let mut rules = scene::rights(&[]);
    rules.push(Rule::allow("get", "leases.coordination.k8s.io"));
    let user = cluster.user_kubeconfig("fence-blind", &rules);
    let command = crate::kit::command_with(cluster, &user, &[&dead.node, "--powered-off"]);
    let mut live = Live::start(command);
    live.wait_for("tainted");
    let binding = format!("fence-blind-{}", rules.len() - 1);
    cluster.delete("rbac.authorization.k8s.io/v1/ClusterRoleBinding", "", &binding);
    let ran = live.finish().expect(4);
    let said = "whether its kubelet is reporting again cannot be checked";
    assert!(ran.stderr.contains(said), "{}", ran.text());
    dead.assert_lifted(&ran.text());
}

/// The first sign of life is the Lease; the condition follows later.
#[test]
fn fence_is_lifted_when_the_lease_is_renewed() {
    let dead = Dead::new("fence-lease");
    let live = dead.tainted(&["--powered-off"]);
    dead.renew_lease(0);
    let ran = live.finish().expect(4);
    assert!(
        ran.stderr
            .contains("its kubelet is reporting again (its Lease has changed): the machine is not powered off"),
        "{}",
        ran.text()
    );
    dead.assert_lifted(&ran.text());
}

#[test]
fn fence_is_lifted_by_ctrl_c_and_at_the_deadline() {
    let dead = Dead::new("fence-ends");
    let live = dead.tainted(&["--powered-off"]);
    live.signal("INT");
    let ran = live.finish().expect(130);
    dead.assert_lifted(&ran.text());
    let live = dead.tainted(&["--powered-off", "--timeout=3s"]);
    let ran = live.finish().expect(5);
    dead.assert_lifted(&ran.text());
}

#[test]
fn fence_that_was_cut_off_is_taken_back_or_ended() {
    let dead = Dead::new("fence-cut");
    let cut = || {
        let live = dead.tainted(&["--powered-off"]);
        live.signal("KILL");
        drop(live.finish());
        assert_eq!(taints(dead.ns.cluster(), &dead.node), [TAINT]);
    };
    cut();
    // Who does not force it anew is told what is there.
    let ran = dead.evacuate(&["--powered-off=false"]).expect(3);
    assert!(
        ran.stderr.contains(
            "cause: node/fence-cut-a is tainted as out of service by an evacuation that was cut off: every pod is thrown out of \
             it as soon as it is back"
        ),
        "{}",
        ran.text()
    );
    let ran = dead.evacuate(&["--uncordon"]).expect(0);
    ran.says_line(
        "node/fence-cut-a: removed taint node.kubernetes.io/out-of-service; conditions DrainInProgress, Drained",
    );
    dead.assert_lifted(&ran.text());
    assert!(!scene::is_cordoned(dead.ns.cluster(), &dead.node));
    cut();
    let live = Live::start(crate::kit::command(dead.ns.cluster(), &[&dead.node, "--powered-off"]));
    dead.collect();
    let ran = live.finish().expect(0);
    dead.assert_lifted(&ran.text());
}

/// Somebody else has said that the machine is off: that is theirs to take back.
#[test]
fn fence_of_somebody_else_stays() {
    let dead = Dead::new("fence-theirs");
    let taint = json!({"spec": {"taints": [{"key": TAINT, "value": "nodeshutdown", "effect": "NoExecute"}]}});
    dead.ns.cluster().patch("v1/Node", "", &dead.node, taint);
    let live = Live::start(crate::kit::command(dead.ns.cluster(), &[&dead.node, "--powered-off"]));
    dead.collect();
    let ran = live.finish().expect(0);
    assert!(!ran.stdout.contains("tainted"), "{}", ran.text());
    assert!(
        ran.stderr.contains("that somebody else has put there, and that stays"),
        "{}",
        ran.text()
    );
    assert_eq!(taints(dead.ns.cluster(), &dead.node), [TAINT]);
    let back = dead.evacuate(&["--uncordon"]).expect(4);
    assert!(
        back.stderr.contains("stays tainted as out of service"),
        "{}",
        back.text()
    );
    assert_eq!(taints(dead.ns.cluster(), &dead.node), [TAINT]);
}

/// The server is away while the machine comes back: the taint is taken off as soon as it answers.
#[test]
fn fence_is_lifted_after_the_server_was_away() {
    let dead = Dead::new("fence-away");
    let link = dead.ns.cluster().link();
    let mut live = Live::start(crate::kit::command_with(
        dead.ns.cluster(),
        link.kubeconfig(),
        &[&dead.node, "--powered-off"],
    ));
    live.wait_for("node/fence-away-a tainted");
    link.cut();
    set_ready(dead.ns.cluster(), &dead.node, "True");
    live.wait_for("the API server does not answer well");
    link.heal();
    let ran = live.finish().expect(4);
    dead.assert_lifted(&ran.text());
    wait_for("the pod to be asked", DEFAULT_TIMEOUT, || {
        dead.ns.get("v1/Pod", "stuck").map(drop)
    });
}

/// A clock that was set back renews as well.
#[test]
fn fence_is_lifted_when_the_lease_goes_back() {
    let dead = Dead::new("fence-clock");
    dead.renew_lease(100);
    let live = dead.tainted(&["--powered-off"]);
    dead.renew_lease(5_000);
    let ran = live.finish().expect(4);
    dead.assert_lifted(&ran.text());
}

/// Somebody has ended this run's claim, and nobody else has it: the taint is taken off all the same.
#[test]
fn fence_is_lifted_when_the_claim_is_removed() {
    let dead = Dead::new("fence-claim");
    let live = dead.tainted(&["--powered-off"]);
    crate::scene::unlock(dead.ns.cluster(), &dead.node);
    let ran = live.finish().expect(4);
    assert!(
        ran.stderr.contains("somebody has removed the claim of this run"),
        "{}",
        ran.text()
    );
    dead.assert_lifted(&ran.text());
}

/// Nobody would remove the pods any more.
#[test]
fn fence_whose_taint_somebody_takes_off_ends() {
    let dead = Dead::new("fence-off");
    let live = dead.tainted(&["--powered-off"]);
    let none = json!({"spec": {"taints": null}});
    dead.ns.cluster().patch("v1/Node", "", &dead.node, none);
    let ran = live.finish().expect(4);
    assert!(
        ran.stderr.contains("somebody else has taken its taint off"),
        "{}",
        ran.text()
    );
    dead.assert_lifted(&ran.text());
}

/// Killed after each of the requests that change something, the second run ends the work.
#[test]
fn fence_goes_on_after_a_kill_at_any_step() {
    for (step, verb, subresource, times) in [
        ("cordon", "patch", "", 1),
        ("evict", "create", "eviction", 1),
        ("taint", "patch", "", 2),
        ("untaint", "patch", "", 3),
    ] {
        let id = format!("fence-kill-{step}");
        let dead = Dead::new(&id);
        let mark = dead.ns.cluster().audit().mark();
        let command = || crate::kit::command(dead.ns.cluster(), &[&dead.node, "--powered-off"]);
        let live = Live::start(command());
        if step == "untaint" {
            // A pod that goes before that needs no taint.
            wait_for("the taint", DEFAULT_TIMEOUT, || {
                (taints(dead.ns.cluster(), &dead.node) == [TAINT]).then_some(())
            });
            dead.collect();
        }
        wait_for(format!("the step {step}"), DEFAULT_TIMEOUT, || {
            let asked = scene::asked(&dead.ns, mark).into_iter();
            let done = asked.filter(|r| {
                (r.verb.as_str(), r.subresource.as_str()) == (verb, subresource)
                    && r.resource != "events"
                    && r.code < 300
            });
            (done.count() >= times).then_some(())
        });
        live.signal("KILL");
        drop(live.finish());
        let again = Live::start(command());
        if step != "untaint" {
            dead.collect();
        }
        let ran = again.finish().expect(0);
        assert_eq!(dead.ns.get("v1/Pod", "stuck"), None, "{step}: {}", ran.text());
        dead.assert_lifted(&ran.text());
    }
}

/// The server is killed while the node is tainted, and started again.
#[test]
fn fence_is_lifted_after_the_server_was_killed() {
    let cluster = without_controllers(5);
    let ns = cluster.namespace("fence-killed");
    let node = ns.node(testsupport::Node::new("fence-killed-a").dead());
    ns.pod("stuck", &testsupport::Shape::new().on(&node));
    let mut live = Live::start(crate::kit::command(&cluster, &[&node, "--powered-off", "--force"]));
    live.wait_for("node/fence-killed-a tainted");
    cluster.apiserver().kill();
    live.wait_for("the API server does not answer well");
    cluster.apiserver().restart();
    let at_once = kube::api::DeleteParams::default().grace_period(0);
    cluster.delete_with("v1/Pod", "fence-killed", "stuck", &at_once);
    let ran = live.finish().expect(0);
    assert_lifted(&cluster, &node, &ran.text());
}
