#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::{
    facts::{Attachment, Volume, Volumes},
    preflight::testkit::{facts, node, pod, told, unseen},
};

fn plane(name: &str, ready: &str) -> Node {
    node(
        name,
        json!({
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }),
    )
}

/// Ids of the refusals, all pods of the targets going but those of a set `ds`.
fn refusals(facts: &Facts) -> Vec<&'static str> {
    let going: Vec<&Pod> = facts
        .pods
        .iter()
        .filter(|p| facts.targets.iter().any(|t| t.name == p.node))
        .filter(|p| p.owner.as_ref().is_none_or(|o| o.name != "ds"))
        .collect();
    let found = removal(facts, &going, &BTreeSet::new());
    let refused = found.iter().filter(|f| f.severity == Severity::Refusal);
    refused.map(|f| f.id).collect()
}

#[test]
fn b22_the_last_control_plane_stays() {
    let refused = |nodes: Vec<Node>| refusals(&facts(1, nodes, vec![]));
    assert_eq!(refused(vec![node("a", json!({})), plane("b", "True")]), [""; 0]);
    assert_eq!(refused(vec![plane("a", "True"), plane("b", "True")]), [""; 0]);
    assert_eq!(
        refused(vec![plane("a", "True"), node("b", json!({}))]),
        ["last-control-plane"]
    );
    assert_eq!(
        refused(vec![plane("a", "True"), plane("b", "Unknown")]),
        ["last-control-plane"]
    );
    let both = facts(2, vec![plane("a", "True"), plane("b", "True")], vec![]);
    assert_eq!(refusals(&both), ["last-control-plane"]);
    let mut unknown = facts(1, vec![plane("a", "True")], vec![]);
    unknown.nodes = unseen();
    assert_eq!(refusals(&unknown), ["last-control-plane"]);
}

#[test]
fn b22_an_etcd_member_stays() {
    let etcd = |mirror: Value| {
        let labels =
            json!({"metadata": {"labels": {"component": "etcd", "tier": "control-plane"}, "annotations": mirror}});
        facts(
            1,
            vec![plane("a", "True"), plane("b", "True")],
            vec![pod("etcd-a", "a", "", labels)],
        )
    };
    assert_eq!(
        refusals(&etcd(json!({"kubernetes.io/config.mirror": "x"}))),
        ["etcd-member"]
    );
    // One that runs as a pod like others is none of kubeadm's.
    assert_eq!(refusals(&etcd(json!({}))), [""; 0]);
}

fn volume(name: &str, host: Option<&str>) -> Volume {
    let selector = host.map(|host| {
        let term = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]});
        serde_json::from_value(json!({"nodeSelectorTerms": [term]})).unwrap()
    });
    Volume {
        name: name.into(),
        node_affinity: selector,
        labels: Default::default(),
        local: host.is_some(),
        driver: None,
    }
}

fn with_volumes(volumes: Vec<Volume>) -> Volumes {
    Volumes {
        claims: volumes
            .iter()
            .map(|v| (("default".into(), format!("claim-{}", v.name)), v.name.clone()))
            .collect(),
        volumes: volumes.into_iter().map(|v| (v.name.clone(), v)).collect(),
    }
}

#[test]
fn b22_volumes_that_nobody_would_detach() {
    let claim =
        |name: &str| json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}});
    let pods = || {
        vec![
            pod("p", "a", "rs", claim("claim-x")),
            pod("q", "a", "ds", claim("claim-y")),
        ]
    };
    let attached = |names: &[&str]| {
        let mut facts = facts(1, vec![node("a", json!({})), node("b", json!({}))], pods());
        facts.volumes = Seen::Known(with_volumes(vec![volume("x", None), volume("y", None)]));
        let all = names.iter().map(|name| Attachment {
            name: format!("csi-{name}"),
            node: "a".into(),
            volume: Some((*name).to_owned()),
        });
        facts.attachments = Seen::Known(all.collect());
        facts
    };
    assert_eq!(refusals(&attached(&[])), [""; 0]);
    // The pod that uses it goes.
    assert_eq!(refusals(&attached(&["x"])), [""; 0]);
    // The pod that uses it stays; nobody uses it.
    for volumes in [&["x", "y"][..], &["z"]] {
        assert_eq!(refusals(&attached(volumes)), ["volumes-attached"]);
    }
    let found = removal(&attached(&["z", "y"]), &[], &BTreeSet::from(["a"]));
    assert!(
        found.iter().all(|f| f.severity < Severity::Refusal),
        "the taint detaches them: {found:?}"
    );
    let mut unknown = attached(&[]);
    unknown.attachments = unseen();
    assert_eq!(refusals(&unknown), ["volumes-attached"]);
}

#[test]
fn b22_data_that_are_nowhere_else() {
    let with = |volumes: Vec<Volume>| {
        let mut facts = facts(1, vec![node("a", json!({})), node("b", json!({}))], vec![]);
        facts.volumes = Seen::Known(with_volumes(volumes));
        facts
    };
    assert_eq!(
        refusals(&with(vec![volume("net", None), volume("b", Some("b"))])),
        [""; 0]
    );
    let facts = with(vec![volume("a", Some("a"))]);
    assert_eq!(refusals(&facts), ["local-volumes"]);
    let found = removal(&facts, &[], &BTreeSet::new());
    assert_eq!(
        told(&found)[0].1,
        "the data of this claim are on node/a alone, and would be lost to the cluster"
    );
    assert_eq!(found[0].subjects[0].name, "claim-a");
    let mut unclaimed = facts;
    if let Seen::Known(volumes) = &mut unclaimed.volumes {
        volumes.claims.clear();
    }
    assert_eq!(refusals(&unclaimed), [""; 0]);
}
