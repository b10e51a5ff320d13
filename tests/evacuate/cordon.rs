//! Rows 7.2: what kubectl's own tests of `cordon` and `uncordon` say, on real servers. There is no command of its own
//! here: to cordon is a part of evacuating, to uncordon is what `--uncordon-on-abort` does.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Shape, wait_for};

use crate::{
    kit::{self, Ran},
    place::{Place, names},
    scene,
};

/// Deployments of one pod on each node, which a budget never lets go.
fn blocked(place: &Place, nodes: &[&String]) {
    for (index, node) in nodes.iter().enumerate() {
        let name = format!("web-{index}");
        place.ns.deployment(&name, 1, &Shape::new().prefers(node));
        place.ns.pdb(&name, json!({"minAvailable": 1}));
    }
    place.ns.wait_pods_ready(nodes.len());
    for node in nodes {
        assert_eq!(place.ns.pods_on(node).len(), 1, "{node}");
    }
}

/// What is said about nodes, sorted.
fn node_lines(ran: &Ran) -> Vec<&str> {
    let lines = scene::sorted(&ran.stdout).into_iter();
    lines.filter(|line| line.starts_with("node/")).collect()
}

/// Leaves out whether a budget was asked although it seems shut: that is a matter of time.
fn only_nodes(ran: &mut Ran) {
    ran.stdout = node_lines(ran).iter().map(|line| format!("{line}\n")).collect();
}

const GIVE_UP: [&str; 3] = ["--on-blocked=wait", "--timeout=2s", "--uncordon-on-abort"];

#[test]
fn c01_node_as_kubectl_prints_it() {
    let place = Place::new("c01");
    let typed = format!("node/{}", place.node);
    let ran = kit::evacuate(place.cluster(), &[&typed]).expect(0);
    assert_eq!(ran.stdout, format!("{typed} cordoned\n{typed} drained\n"));
    let typed = format!("pod/{}", place.node);
    let ran = kit::evacuate(place.cluster(), &[&typed]).expect(2);
    assert_run!(ran, @r#"
    --- stderr
    error: expected resource of type node, got "pod"
      hint: see 'kubectl evacuate --help' for usage
    --- exit Some(2)
    "#);
}

#[test]
fn c02_uncordons_for_real() {
    let place = Place::new("c02");
    blocked(&place, &[&place.node]);
    let mut ran = place.evacuate(&GIVE_UP).expect(5);
    only_nodes(&mut ran);
    assert_run!(ran, @r#"
    node/c02-a cordoned
    node/c02-a uncordoned
    --- stderr
    Warning: budget c02/web-0 (minAvailable 1) can never allow the eviction of this pod: minAvailable 1 needs its only pod (c02/web-0-HASH)
      hint: let Deployments run more pods for a while with --surge, run more replicas or change the budget; until then this waits
    c02-a: not drained in TIME; 0 pods gone; 1 pod left
    NODE   POD LEFT   STATE   REASON
    c02-a   c02/web-0-HASH   Blocked   has 1, needs 1: budget web-0
    error: the time of --timeout is up
    --- exit Some(5)
    "#);
    assert!(!place.is_cordoned());
    assert_eq!(place.cordoned_by(), None);
    assert!(!scene::is_locked(place.cluster(), &place.node));
    // Without the flag the cordon stays.
    let ran = place.evacuate(&GIVE_UP[..2]).expect(5);
    assert!(!ran.stdout.contains("uncordoned"), "{}", ran.text());
    assert!(place.is_cordoned());
}

#[test]
fn c03_leaves_the_cordon_of_others() {
    let place = Place::new("c03");
    blocked(&place, &[&place.node]);
    scene::cordon(place.cluster(), &place.node, true);
    let ran = place.evacuate(&GIVE_UP).expect(5);
    assert_eq!(node_lines(&ran), ["node/c03-a already cordoned"], "{}", ran.text());
    assert!(place.is_cordoned());
}

#[test]
fn c04_cordoned_already() {
    let place = Place::new("c04");
    scene::cordon(place.cluster(), &place.node, true);
    let node = || {
        place
            .cluster()
            .get("v1/Node", "", &place.node)
            .expect("the node exists")
    };
    // The node lifecycle controller follows a cordon with a taint.
    wait_for("the taint", DEFAULT_TIMEOUT, || {
        node()["spec"]["taints"].is_array().then_some(())
    });
    let before = node();
    let ran = place.evacuate(&[]).expect(0);
    assert_eq!(ran.stdout, "node/c04-a already cordoned\nnode/c04-a drained\n");
    let mut after = node();
    assert_eq!(after["spec"], before["spec"]);
    let said = after["metadata"]["annotations"]
        .as_object_mut()
        .and_then(|a| a.remove("kubectl-upkeep/evacuation"));
    assert!(said.is_some(), "who was at work on it");
    assert_eq!(after["metadata"]["annotations"], before["metadata"]["annotations"]);
}

#[test]
fn c05_cordons_for_real() {
    let place = Place::new("c05");
    place.evacuate(&[]).expect(0);
    assert!(place.is_cordoned());
    assert!(place.cordoned_by().is_some());
    assert!(!scene::is_locked(place.cluster(), &place.node));
    // The next run finds that cordon, and does not take it for one of its own.
    blocked(&place, &[&place.other]);
    let nodes = [place.node.as_str(), place.other.as_str()].into_iter().chain(GIVE_UP);
    let ran = kit::evacuate(place.cluster(), &nodes.collect::<Vec<_>>()).expect(5);
    assert_eq!(
        node_lines(&ran),
        [
            "node/c05-a already cordoned",
            "node/c05-a drained",
            "node/c05-b cordoned",
            "node/c05-b uncordoned"
        ]
    );
    assert!(place.is_cordoned());
}

#[test]
fn c06_node_that_does_not_exist() {
    let place = Place::new("c06");
    let ran = kit::evacuate(place.cluster(), &[&place.node, "c06-missing"]).expect(1);
    assert_run!(ran, @r#"
    --- stderr
    Error from server (NotFound): nodes "c06-missing" not found
    --- exit Some(1)
    "#);
    place.assert_untouched();
}

#[test]
fn c07_node_that_is_deleted_meanwhile() {
    let place = Place::new("c07");
    blocked(&place, &[&place.node]);
    let mut run = place.start(&["--on-blocked=wait", "--uncordon-on-abort"]);
    run.wait_for("evicting pod ");
    place.cluster().delete("v1/Node", "", &place.node);
    let mut ran = run.finish().expect(4);
    only_nodes(&mut ran);
    assert_run!(ran, @r#"
    node/c07-a cordoned
    --- stderr
    Warning: budget c07/web-0 (minAvailable 1) can never allow the eviction of this pod: minAvailable 1 needs its only pod (c07/web-0-HASH)
      hint: let Deployments run more pods for a while with --surge, run more replicas or change the budget; until then this waits
    error: unable to drain node "c07-a": the Node object was deleted
    c07-a: not drained in TIME; 0 pods gone; 1 pod left
    NODE   POD LEFT   STATE   REASON
    c07-a   c07/web-0-HASH   Blocked   has 1, needs 1: budget web-0
    --- exit Some(4)
    "#);
}

#[test]
fn c08_cordons_three_nodes_before_a_pod_moves() {
    let place = Place::new("c08");
    place.ns.replicaset("rs", 1, &Shape::new().prefers(&place.node));
    let pod = names(&place.ns.wait_pods_ready(1)).remove(0);
    let [third, free] = place.ns.nodes(["c", "d"]);
    let ran = kit::evacuate(place.cluster(), &[&place.node, &place.other, &third]).expect(0);
    let (cordons, rest) = ran.stdout.split_once("evicting").unwrap();
    assert_eq!(
        scene::sorted(cordons),
        ["node/c08-a cordoned", "node/c08-b cordoned", "node/c08-c cordoned"]
    );
    assert_eq!(
        rest.lines().collect::<Vec<_>>(),
        [
            &format!(" pod c08/{pod}"),
            &format!("pod/{pod} evicted"),
            "node/c08-a drained",
            "node/c08-b drained",
            "node/c08-c drained"
        ]
    );
    let moved = place.ns.wait_pods_ready(1);
    assert_eq!(moved[0]["spec"]["nodeName"], *free);
}

#[test]
fn c09_uncordons_those_of_three_that_it_has_cordoned() {
    let place = Place::new("c09");
    let [third] = place.ns.nodes(["c"]);
    blocked(&place, &[&place.node]);
    scene::cordon(place.cluster(), &third, true);
    let nodes = [place.node.as_str(), place.other.as_str(), third.as_str()]
        .into_iter()
        .chain(GIVE_UP);
    let ran = kit::evacuate(place.cluster(), &nodes.collect::<Vec<_>>()).expect(5);
    assert_eq!(
        node_lines(&ran),
        [
            "node/c09-a cordoned",
            "node/c09-a uncordoned",
            "node/c09-b cordoned",
            "node/c09-b uncordoned",
            "node/c09-c already cordoned",
        ]
    );
    let cordoned = [&place.node, &place.other, &third].map(|node| scene::is_cordoned(place.cluster(), node));
    assert_eq!(cordoned, [false, false, true]);
}
