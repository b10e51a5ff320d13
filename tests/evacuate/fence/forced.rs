//! What is forced goes, with the real controllers.

use std::time::Duration;

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Live, Shape, wait_for};

use super::kit::*;
use crate::{
    gate::Gate,
    kit::{command, evacuate},
    scene::{is_cordoned, wait_all_on},
    volumes::{Attachment, attaching, with_volume},
};

/// Budgets that allow nothing, a StatefulSet, a DaemonSet, a pod that tolerates everything: they all go, and come up
/// elsewhere.
#[test]
fn b17_the_pods_of_a_machine_that_is_off_are_replaced() {
    let ns = whole().namespace("b17");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.statefulset("db", 1, &Shape::new().prefers(&a));
    ns.replicaset("web", 2, &Shape::new().prefers(&a).tolerates_all());
    wait_all_on(&ns, &a, 3);
    ns.daemonset("agent", &Shape::new());
    ns.wait_pods_ready(5);
    ns.pdb("db", json!({"maxUnavailable": 0}));
    ns.pdb("web", json!({"minAvailable": 2}));
    ns.cluster().kill_node(&a);
    ns.patch(
        "apps/v1/ReplicaSet",
        "web",
        json!({"spec": {"template": {"spec": {"tolerations": null}}}}),
    );
    let ran = evacuate(ns.cluster(), &[&a, "--powered-off"]).expect(0);
    // The pod garbage collector looks every 20 seconds.
    assert!(ran.took < Duration::from_secs(40), "{:?}", ran.took);
    assert_eq!(ns.pods_on(&a), [""; 0], "{}", ran.text());
    assert_lifted(ns.cluster(), &a, &ran.text());
    assert!(is_cordoned(ns.cluster(), &a));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let tainted = lines
        .iter()
        .position(|l| *l == "node/b17-a tainted")
        .expect("it is tainted");
    let asked = lines
        .iter()
        .rposition(|l| l.starts_with("evicting pod "))
        .expect("pods are asked");
    assert!(asked < tainted, "every pod is asked before: {}", ran.text());
    assert_eq!(lines[lines.len() - 2..], ["node/b17-a untainted", "node/b17-a drained"]);
    let on = wait_for("the pods to be replaced", DEFAULT_TIMEOUT, || {
        let on = ns.pods_on(&b);
        (on.len() == 4 && ns.wait_pods_ready(4).len() == 4).then_some(on)
    });
    assert!(on.contains(&"db-0".to_owned()), "{on:?}");
}

/// The node said that the volume is in use, and nobody is left to say otherwise. Without the taint it would be detached
/// after six minutes.
#[test]
fn p28_volumes_are_detached_before_the_taint_goes() {
    let ns = whole().namespace("p28");
    let [a, _b] = attaching(&ns, ["a", "b"]);
    with_volume(&ns, &a);
    let attachment = Attachment::held(&ns, &a);
    let cluster = ns.cluster();
    wait_for("the controller to know", DEFAULT_TIMEOUT, || {
        let node = cluster.get("v1/Node", "", &a)?;
        node["status"]["volumesAttached"][0].is_object().then_some(())
    });
    let in_use = json!({"status": {"volumesInUse": ["kubernetes.io/csi/csi.example.com^p28"]}});
    cluster.patch_status("v1/Node", "", &a, in_use);
    cluster.kill_node(&a);
    let live = Live::start(command(cluster, &[&a, "--powered-off"]));
    wait_for("the volume to be detached", Duration::from_secs(60), || {
        let gone = attachment.get()?;
        gone["metadata"]["deletionTimestamp"].is_string().then_some(())
    });
    assert_eq!(taints(cluster, &a), [TAINT], "{}", live.said());
    attachment.let_go();
    let ran = live.finish().expect(0);
    assert_eq!(attachment.get(), None, "{}", ran.text());
    assert_lifted(cluster, &a, &ran.text());
    assert!(
        ran.stderr.contains("node/p28-a is silent (Ready is Unknown for "),
        "{}",
        ran.text()
    );
}

/// Before Kubernetes 1.28 the taint may mean nothing: the pods are removed one by one, those that have never been asked
/// as well. The version is all that is played here.
#[test]
fn b17_an_old_server_does_not_know_the_taint() {
    let dead = Dead::new("b17old");
    dead.ns.pdb(
        "stuck",
        json!({"maxUnavailable": 0, "selector": {"matchLabels": {"app": "stuck"}}}),
    );
    let version = r#"{"major": "1", "minor": "27+", "gitVersion": "v1.27.9", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": ""}"#;
    let asks = |head: &str| head.starts_with("GET /version ");
    let gate = Gate::before(idle(), usize::MAX, asks, "200 OK", "application/json", version);
    let ran = gate.run(&[&dead.node, "--powered-off"]).expect(0);
    ran.says_nothing_of("tainted");
    assert!(
        ran.stderr
            .contains("and said to be off: 1 pod on it is removed by deletion with grace 0; no budget is asked"),
        "{}",
        ran.text()
    );
    assert_eq!(dead.ns.get("v1/Pod", "stuck"), None);
    dead.assert_lifted(&ran.text());
}

/// The taint removes also what somebody else has asked to go: that is saved as well, or nothing is tainted.
#[test]
fn fence_saves_what_it_removes() {
    let dead = Dead::new("fence-save");
    let (cluster, name) = (dead.ns.cluster(), dead.ns.name());
    dead.ns.pod("alone", &Shape::new().on(&dead.node));
    cluster.delete("v1/Pod", name, "alone");
    let single = |head: &str| head.contains("/fence-save/pods?&fieldSelector=metadata.name%3Dalone");
    let body = r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "not this one"}"#;
    let gate = Gate::before(cluster, usize::MAX, single, "403 Forbidden", "application/json", body);
    let ran = gate.run(&[&dead.node, "--powered-off", "--force"]).expect(4);
    ran.says("it could not be tainted as out of service: not this one");
    assert_eq!(taints(cluster, &dead.node), [""; 0]);
    assert!(cluster.get("v1/Pod", name, "alone").is_some());

    let live = dead.tainted(&["--powered-off", "--force"]);
    dead.collect();
    let at_once = kube::api::DeleteParams::default().grace_period(0);
    cluster.delete_with("v1/Pod", name, "alone", &at_once);
    let ran = live.finish().expect(0);
    ran.says(" as they were: fence-save/alone, fence-save/stuck");
}
