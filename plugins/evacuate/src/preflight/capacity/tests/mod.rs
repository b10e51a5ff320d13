#![allow(clippy::unwrap_used)]

mod constraints;
mod promises;

use serde_json::{Value, json};

use super::*;
use crate::{
    facts::{Volume, Volumes},
    preflight::testkit::{cpu, facts, merge, node, on_targets, pod, unseen, zoned},
};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

fn place(facts: &Facts, planned: &[&Pod]) -> BTreeMap<Uid, Fit> {
    super::place(facts, planned, &BTreeSet::new())
}

/// Texts for the planned pods, by name.
fn texts(facts: &Facts) -> Vec<(String, String)> {
    place(facts, &on_targets(facts))
        .into_iter()
        .map(|(uid, fit)| (uid, fit.text()))
        .collect()
}

/// The text for pod `p`, planned on `t`, with these nodes and other pods.
fn answer(patch: Value, others: Vec<Node>, pods: Vec<Pod>) -> String {
    let mut nodes = vec![zoned("t", "a")];
    nodes.extend(others);
    let mut all = vec![pod("p", "t", "web", patch)];
    all.extend(pods);
    let facts = facts(1, nodes, all);
    place(&facts, &on_targets(&facts))["p"].text()
}

fn with(mut one: Value, other: Value) -> Value {
    merge(&mut one, other);
    one
}

fn anti(key: &str, labels: Value) -> Value {
    json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": key, "labelSelector": {"matchLabels": labels}}]}}}})
}

fn pro(key: &str, labels: Value) -> Value {
    json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": key, "labelSelector": {"matchLabels": labels}}]}}}})
}

fn labels(labels: Value) -> Value {
    json!({"metadata": {"labels": labels}})
}

#[test]
fn counts_like_the_scheduler() {
    let tainted = node(
        "d",
        json!({"spec": {"taints": [{"key": "db", "effect": "NoSchedule"}]}}),
    );
    let others = || {
        vec![
            node("a", json!({})),
            node("b", json!({})),
            node("c", json!({})),
            tainted.clone(),
        ]
    };
    assert_eq!(
        answer(cpu("5"), others(), vec![]),
        "proven impossible: 3 insufficient cpu, 1 taint"
    );
    assert_eq!(answer(cpu("4"), others(), vec![]), "fits on 3 nodes");
    let used = || vec![pod("x", "a", "db", cpu("1")), pod("y", "b", "db", cpu("1"))];
    assert_eq!(answer(cpu("4"), others(), used()), "fits on 1 node");
    let finished = with(cpu("1"), json!({"status": {"phase": "Succeeded"}}));
    assert_eq!(
        answer(cpu("4"), others(), vec![pod("x", "a", "db", finished)]),
        "fits on 3 nodes"
    );
    assert_eq!(answer(cpu("1"), vec![], vec![]), "proven impossible: no other node");
    let closed = vec![
        node("a", json!({"spec": {"unschedulable": true}})),
        node("b", json!({"status": {"conditions": []}})),
        node("c", json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}})),
        node(
            "d",
            json!({"spec": {"taints": [{"key": "db", "effect": "NoSchedule"}]}}),
        ),
        node(
            "e",
            json!({"spec": {"taints": [{"key": "db", "effect": "NoSchedule"}]}}),
        ),
    ];
    assert_eq!(
        answer(cpu("1"), closed, vec![]),
        "proven impossible: 2 taints, 1 being deleted, 1 cordoned, 1 not ready"
    );
}

#[test]
fn resources_and_ports() {
    let one = |patch| vec![node("a", patch)];
    let full = (0..10)
        .map(|i| pod(&format!("x{i}"), "a", "db", json!({})))
        .collect::<Vec<_>>();
    assert_eq!(
        answer(json!({}), one(json!({})), full.clone()),
        "proven impossible: 1 too many pods"
    );
    assert_eq!(answer(json!({}), one(json!({})), full[1..].to_vec()), "fits on 1 node");
    // A node that is overcommitted in what the pod does not ask for takes it.
    assert_eq!(
        answer(json!({}), one(json!({})), vec![pod("x", "a", "db", cpu("9"))]),
        "fits on 1 node"
    );

    let gpu = || json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]}});
    let has = |n: &str| json!({"status": {"allocatable": {"nvidia.com/gpu": n}}});
    assert_eq!(answer(gpu(), one(has("1")), vec![]), "fits on 1 node");
    assert_eq!(
        answer(gpu(), one(has("1")), vec![pod("x", "a", "db", gpu())]),
        "proven impossible: 1 insufficient nvidia.com/gpu"
    );
    // No node reports it: something else hands it out.
    assert_eq!(
        answer(gpu(), one(json!({})), vec![]),
        "unknown: no node reports nvidia.com/gpu"
    );

    let port =
        |n: u16| json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": n, "hostPort": n}]}]}});
    assert_eq!(
        answer(port(80), one(json!({})), vec![pod("x", "a", "db", port(80))]),
        "proven impossible: 1 host port"
    );
    assert_eq!(
        answer(port(80), one(json!({})), vec![pod("x", "a", "db", port(81))]),
        "fits on 1 node"
    );
}

#[test]
fn what_may_go_away_is_no_proof() {
    let one = || vec![node("a", json!({}))];
    let going = json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}});
    let big = |patch| vec![pod("x", "a", "db", with(cpu("4"), patch))];
    assert_eq!(
        answer(cpu("1"), one(), big(json!({}))),
        "proven impossible: 1 insufficient cpu"
    );
    assert_eq!(answer(cpu("1"), one(), big(going)), "tight: 1 insufficient cpu");
    assert_eq!(
        answer(cpu("1"), one(), big(json!({"spec": {"priority": -1}}))),
        "tight: 1 insufficient cpu"
    );
    assert_eq!(
        answer(cpu("1"), one(), big(json!({"spec": {"priority": 1}}))),
        "proven impossible: 1 insufficient cpu"
    );
    let pressed = node(
        "a",
        json!({"spec": {"taints": [{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]}}),
    );
    assert_eq!(answer(cpu("1"), vec![pressed.clone()], vec![]), "tight: 1 taint");
    assert_eq!(
        answer(cpu("5"), vec![pressed], vec![]),
        "proven impossible: 1 insufficient cpu"
    );
}

#[test]
fn room_is_promised_once() {
    let pods = |n: usize| {
        (0..n)
            .map(|i| pod(&format!("p{i}"), "t", "web", cpu("2")))
            .collect::<Vec<_>>()
    };
    let nodes = || vec![node("t", json!({})), node("a", json!({})), node("b", json!({}))];
    assert!(
        texts(&facts(1, nodes(), pods(4)))
            .iter()
            .all(|(_, text)| text == "fits on 2 nodes")
    );
    let five = texts(&facts(1, nodes(), pods(5)));
    let tight: Vec<_> = five.iter().filter(|(_, text)| text != "fits on 2 nodes").collect();
    assert_eq!(tight, [&("p4".to_owned(), "tight: 2 insufficient cpu".to_owned())]);

    // The large one goes first, so that both find a place.
    let mixed = vec![pod("a", "t", "small", cpu("1")), pod("b", "t", "large", cpu("4"))];
    let room = vec![
        node("t", json!({})),
        node("a", json!({})),
        node("b", json!({"status": {"allocatable": {"cpu": "1"}}})),
    ];
    assert_eq!(
        texts(&facts(1, room, mixed)),
        [
            ("a".into(), "fits on 2 nodes".into()),
            ("b".into(), "fits on 1 node".into())
        ]
    );
    // Two nodes of the run share the room that is left.
    let two = vec![node("t", json!({})), node("u", json!({})), node("a", json!({}))];
    let fits = texts(&facts(
        2,
        two,
        vec![pod("p", "t", "web", cpu("3")), pod("q", "u", "api", cpu("3"))],
    ));
    assert_eq!(
        fits,
        [
            ("p".into(), "fits on 1 node".into()),
            ("q".into(), "tight: 1 insufficient cpu".into())
        ]
    );
}

#[test]
fn who_is_not_looked_at() {
    let plain = || vec![node("a", json!({}))];
    let owner = |kind: &str, api: &str| json!({"metadata": {"ownerReferences": [{"apiVersion": api, "kind": kind, "name": "o", "uid": "o", "controller": true}]}});
    let going = json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}});
    let table = [
        (
            json!({"metadata": {"ownerReferences": []}}),
            "not replaced: it has no controller",
        ),
        (
            json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}),
            "not replaced: it is a static pod",
        ),
        (json!({"status": {"phase": "Failed"}}), "not replaced: it has finished"),
        (
            owner("DaemonSet", "apps/v1"),
            "not replaced: its DaemonSet runs one pod per node",
        ),
        (owner("DaemonSet", "apps.kruise.io/v1alpha1"), "fits on 1 node"),
        (
            going.clone(),
            "not replaced: it is Terminating, and its replacement has been started",
        ),
        (with(going, owner("StatefulSet", "apps/v1")), "fits on 1 node"),
        (
            json!({"spec": {"resourceClaims": [{"name": "gpu"}]}}),
            "unknown: it uses dynamic resource claims",
        ),
        (
            json!({"spec": {"schedulingGates": [{"name": "g"}]}}),
            "unknown: it has scheduling gates",
        ),
        (
            json!({"spec": {"schedulerName": "volcano"}}),
            "unknown: the scheduler volcano places it",
        ),
        (
            with(cpu("5"), owner("Cluster", "postgresql.cnpg.io/v1")),
            "unknown: its Cluster may start it differently",
        ),
        (
            with(cpu("5"), json!({"spec": {"tolerations": [{"operator": "Exists"}]}})),
            "unknown: it tolerates a cordon and may come back",
        ),
        (
            json!({"spec": {"tolerations": [{"operator": "Exists"}]}}),
            "fits on 1 node",
        ),
    ];
    for (patch, expected) in table {
        let text = patch.to_string();
        assert_eq!(answer(patch, plain(), vec![]), expected, "{text}");
    }
    let mut blind = facts(1, vec![node("t", json!({}))], vec![pod("p", "t", "web", json!({}))]);
    blind.nodes = unseen();
    assert_eq!(
        place(&blind, &on_targets(&blind))["p"].text(),
        "unknown: nodes could not be listed"
    );
    let mut orphan = facts(1, vec![node("t", json!({}))], vec![pod("p", "t", "web", json!({}))]);
    orphan
        .controllers
        .insert("ReplicaSet", Seen::Known(["other".to_owned()].into()));
    assert_eq!(
        place(&orphan, &on_targets(&orphan))["p"].text(),
        "not replaced: its ReplicaSet does not exist any more"
    );
}

/// An accidental square of pods and nodes would be felt here.
#[test]
fn five_thousand_pods_and_a_thousand_nodes() {
    let nodes: Vec<Node> = (0..1_050)
        .map(|i| zoned(&format!("n{i:04}"), &format!("z{}", i % 3)))
        .collect();
    let pods: Vec<Pod> = (0..5_000)
        .map(|i| {
            let app = format!("app{}", i % 250);
            let shape = with(labels(json!({"app": app})), anti(HOST, json!({"app": app})));
            pod(
                &format!("p{i:04}"),
                &format!("n{:04}", i % 50),
                &app,
                with(shape, cpu("500m")),
            )
        })
        .collect();
    let facts = facts(50, nodes, pods);
    let planned = on_targets(&facts);
    let fits = place(&facts, &planned);
    assert_eq!(fits.len(), 5_000);
    assert!(fits.values().all(|fit| *fit == Fit::Fits { nodes: 1_000 }));
}
