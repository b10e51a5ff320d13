#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::json;
use upkeep::report::Seen;

use super::*;
use crate::{
    facts::Meta,
    preflight::testkit::{facts, names, node, told, unseen},
};

#[test]
fn what_a_node_says_about_its_owners() {
    let taint = |key: &str| json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}});
    let owner = |kind: &str| json!({"metadata": {"ownerReferences": [{"apiVersion": "x/v1", "kind": kind, "name": "m-1", "uid": "u"}]}});
    let ready = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
    let table = [
        (json!({}), None),
        (
            json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}}),
            Some(("node-deleting", "1 node already being deleted")),
        ),
        (
            ready("False"),
            Some(("node-not-ready", "1 node not Ready, with a kubelet that still reports")),
        ),
        (
            taint("ToBeDeletedByClusterAutoscaler"),
            Some((
                "autoscaler-removing",
                "1 node being removed by the cluster autoscaler (taint ToBeDeletedByClusterAutoscaler)",
            )),
        ),
        (taint("DeletionCandidateOfClusterAutoscaler"), None),
        (
            taint("karpenter.sh/disrupted"),
            Some((
                "karpenter-removing",
                "1 node being replaced by Karpenter (taint karpenter.sh/disrupted)",
            )),
        ),
        (
            json!({"metadata": {"annotations": {"cluster.x-k8s.io/machine": "md-7"}}}),
            Some(("managed-by-cluster-api", "1 node managed by Cluster API (machine md-7)")),
        ),
        (
            owner("Machine"),
            Some(("managed-by-cluster-api", "1 node managed by Cluster API (machine m-1)")),
        ),
        (
            json!({"metadata": {"labels": {"karpenter.sh/nodepool": "spot"}}}),
            Some(("managed-by-karpenter", "1 node managed by Karpenter (node pool spot)")),
        ),
        (
            owner("NodeClaim"),
            Some(("managed-by-karpenter", "1 node managed by Karpenter (node claim m-1)")),
        ),
        (owner("Other"), None),
        (
            json!({"metadata": {"annotations": {"weave.works/kured-reboot-in-progress": "x"}}}),
            Some(("kured-reboot", "1 node about to be rebooted by kured")),
        ),
    ];
    for (patch, expected) in table {
        let text = patch.to_string();
        let facts = facts(1, vec![node("t", patch), node("a", json!({}))], vec![]);
        let found = other_owners(&facts);
        assert_eq!(told(&found), expected.into_iter().collect::<Vec<_>>(), "{text}");
        assert!(
            found
                .iter()
                .all(|f| f.severity == Severity::Warning && f.hint.is_some())
        );
    }
}

#[test]
fn only_the_nodes_of_the_run_count_and_are_put_together() {
    let spot = json!({"metadata": {"labels": {"karpenter.sh/nodepool": "spot"}}});
    let nodes = vec![
        node("t", spot.clone()),
        node("u", spot.clone()),
        node("a", spot.clone()),
    ];
    let found = other_owners(&facts(2, nodes, vec![]));
    assert_eq!(
        told(&found),
        [("managed-by-karpenter", "2 nodes managed by Karpenter (node pool spot)")]
    );
    assert_eq!(names(&found[0]), ["t", "u"]);
    assert_eq!(
        other_owners(&facts(1, vec![node("t", json!({})), node("a", spot)], vec![])),
        []
    );
}

#[test]
fn locks_of_kured() {
    let now = 1_800_000_000;
    let table = [
        (r#"{"nodeID":"t","created":"2020-01-01T00:00:00Z","TTL":0}"#, true),
        (r#"{"nodeID":"other","TTL":0}"#, false),
        (
            r#"{"nodeID":"t","created":"2020-01-01T00:00:00Z","TTL":3600000000000}"#,
            false,
        ),
        (
            r#"{"nodeID":"t","created":"2027-01-15T07:59:00Z","TTL":3600000000000}"#,
            true,
        ),
        (
            r#"{"maxOwners":2,"locks":[{"nodeID":"a","TTL":0},{"nodeID":"t","TTL":0}]}"#,
            true,
        ),
        (r#"{"maxOwners":2,"locks":[{"nodeID":"a","TTL":0}]}"#, false),
        ("garbage", false),
    ];
    for (lock, expected) in table {
        assert_eq!(kured_holds(lock, "t", now), expected, "{lock}");
        let mut facts = facts(1, vec![node("t", json!({}))], vec![]);
        assert_eq!(facts.now.as_second(), now);
        facts.daemon_sets = Seen::Known(vec![Meta {
            uid: "k".into(),
            namespace: "kube-system".into(),
            name: "kured".into(),
            annotations: BTreeMap::from([(KURED_LOCK.into(), lock.into())]),
        }]);
        let told_of = [(
            "kured-lock",
            "1 node locked by kured for a reboot (daemonset kube-system/kured)",
        )];
        assert_eq!(
            told(&other_owners(&facts)),
            if expected { &told_of[..] } else { &[] },
            "{lock}"
        );
        facts.daemon_sets = unseen();
        assert_eq!(other_owners(&facts), []);
    }
}

#[test]
fn operators_at_work() {
    let mut facts = facts(1, vec![node("t", json!({})), node("a", json!({}))], vec![]);
    facts.maintenances = vec![("a".into(), "m-a".into())];
    facts.leases = vec![("a".into(), "x".into())];
    assert_eq!(other_owners(&facts), []);
    facts.maintenances.push(("t".into(), "m-t".into()));
    facts.leases.push(("t".into(), "self-node-remediation".into()));
    assert_eq!(
        told(&other_owners(&facts)),
        [
            (
                "node-maintenance",
                "1 node under maintenance by the node maintenance operator (nodemaintenance m-t)"
            ),
            (
                "remediation-lease",
                "1 node held by a remediation or maintenance lease (holder self-node-remediation)"
            ),
        ]
    );
}
