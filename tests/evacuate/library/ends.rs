//! Rows N and U: namespaces that end, the cordon itself.

use std::{sync::OnceLock, time::Duration};

use kube::api::DeleteParams;
use testsupport::{Cluster, Live, Node, Ns, Options, Shape};

use crate::{
    kit::{self},
    place::{Place, names},
    scene,
};

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
    let args: Vec<&str> = [node.as_str(), "--force", "--powered-off=false"]
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
    Warning: node/n01-a is silent (Ready is Unknown for TIME, it has no Lease): pods there cannot confirm that they have ended
      hint: once its machine is surely off, --powered-off gets rid of them
    Warning: pod n01/naked: its namespace is being terminated; waiting for its deletion
    n01-a: drained in TIME; 1 pod gone: 1 not replaced
    Note: saved in SAVED as it was: n01/naked
      hint: 'kubectl apply -f SAVED' brings it back
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
    Warning: node/n02-a is silent (Ready is Unknown for TIME, it has no Lease): pods there cannot confirm that they have ended
      hint: once its machine is surely off, --powered-off gets rid of them
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
