#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use super::*;
use crate::{
    facts::{Budget, Volume, Volumes},
    preflight::testkit::{facts, merge, names, node, on_targets, pod, told},
};

/// Findings for these pods; nodes `t` and `u` are to be emptied.
fn ask(pods: Vec<Pod>) -> Vec<Finding> {
    let facts = facts(
        2,
        vec![node("t", json!({})), node("u", json!({})), node("a", json!({}))],
        pods,
    );
    critical(&facts, &on_targets(&facts), &BTreeSet::new())
}

fn one(patch: Value) -> Vec<Finding> {
    // A second Ready replica elsewhere keeps the replica rules quiet.
    ask(vec![pod("p", "t", "web", patch), pod("x", "a", "web", json!({}))])
}

fn unready() -> Value {
    json!({"status": {"conditions": []}})
}

#[test]
fn cluster_dns() {
    let labels = |key: &str, value: &str| json!({"metadata": {"labels": {key: value}}});
    let dns = |name: &str, node: &str| pod(name, node, "coredns", labels("k8s-app", "kube-dns"));
    let last = [("dns-down", "the last Ready replica of cluster DNS goes")];
    assert_eq!(told(&ask(vec![dns("p", "t")])), last);
    assert_eq!(
        told(&ask(vec![dns("p", "t"), dns("q", "u")])),
        [("dns-down", "all 2 Ready replicas of cluster DNS go")]
    );
    assert_eq!(told(&ask(vec![dns("p", "t"), dns("q", "a")])), []);
    let mut sick = labels("k8s-app", "kube-dns");
    merge(&mut sick, unready());
    assert_eq!(told(&ask(vec![dns("p", "t"), pod("q", "a", "coredns", sick)])), last);
    assert_eq!(
        told(&ask(vec![pod(
            "p",
            "t",
            "dns",
            labels("app.kubernetes.io/name", "coredns")
        )])),
        last
    );
    assert_eq!(ask(vec![dns("p", "t")])[0].severity, Severity::Warning);
}

#[test]
fn all_replicas_of_a_workload() {
    let web = |name: &str, node: &str| {
        pod(
            name,
            node,
            "web-5d4f",
            json!({"metadata": {"labels": {"pod-template-hash": "5d4f"}}}),
        )
    };
    let all = [("all-replicas", "all 2 Ready replicas of default/web go")];
    assert_eq!(told(&ask(vec![web("p", "t"), web("q", "u")])), all);
    assert_eq!(told(&ask(vec![web("p", "t"), web("q", "u"), web("r", "a")])), []);
    assert_eq!(
        told(&ask(vec![
            web("p", "t"),
            web("q", "u"),
            pod("r", "a", "web-5d4f", unready())
        ])),
        all
    );
    let api = |name: &str| pod(name, "t", "api", json!({}));
    assert_eq!(
        told(&ask(vec![web("p", "t"), web("q", "u"), api("r"), api("s"), api("v")])),
        [(
            "all-replicas",
            "all Ready replicas of 2 workloads go: default/api (3), default/web (2)"
        )]
    );
}

#[test]
fn all_replicas_under_a_budget_go_one_after_the_other() {
    let budget = |selector: Value| {
        let object = json!({
            "metadata": {"namespace": "default", "name": "web", "uid": "b", "generation": 1},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
            "status": {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1},
        });
        Budget::from(serde_json::from_value::<PodDisruptionBudget>(object).unwrap())
    };
    let web = |name: &str| {
        pod(
            name,
            "t",
            "web",
            json!({"metadata": {"labels": {"app": "web", "pod": name}}}),
        )
    };
    let asked = |selector: Value| {
        let mut facts = facts(1, vec![node("t", json!({}))], vec![web("p"), web("q")]);
        facts.budgets = Seen::Known(vec![budget(selector)]);
        critical(&facts, &on_targets(&facts), &BTreeSet::new())
    };
    assert_eq!(told(&asked(json!({"app": "web"}))), []);
    // One that protects only some of them does not count.
    let found = asked(json!({"pod": "p"}));
    assert_eq!(
        told(&found),
        [("all-replicas", "all 2 Ready replicas of default/web go")]
    );
    assert!(found[0].hint.as_deref().unwrap().starts_with("no budget"));
}

#[test]
fn the_only_replica() {
    let system = json!({"metadata": {"namespace": "kube-system"}});
    let found = ask(vec![pod("p", "t", "web", json!({})), pod("q", "t", "metrics", system)]);
    assert_eq!(
        told(&found),
        [
            ("system-replica", "the only Ready replica of kube-system/metrics goes"),
            ("only-replica", "the only Ready replica of default/web goes"),
        ]
    );
    assert_eq!(
        found.iter().map(|f| f.severity).collect::<Vec<_>>(),
        [Severity::Warning, Severity::Info]
    );
    let seven: Vec<Pod> = (0..7)
        .map(|i| pod(&format!("p{i}"), "t", &format!("o{i}"), json!({})))
        .collect();
    let found = ask(seven);
    assert_eq!(
        told(&found),
        [(
            "only-replica",
            "the only Ready replica of 7 workloads goes: default/o0, default/o1, default/o2, default/o3, default/o4, 2 more"
        )]
    );
    assert_eq!(names(&found[0]).len(), 7);
    let job = json!({"metadata": {"ownerReferences":
        [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true}]}});
    assert_eq!(
        told(&ask(vec![
            pod("p", "t", "", job),
            pod("q", "t", "", json!({})),
            pod("r", "t", "web", unready())
        ])),
        []
    );
}

#[test]
fn finalizers_hold_pods() {
    let with = |list: Value| json!({"metadata": {"finalizers": list}});
    assert_eq!(
        told(&one(with(json!(["x.io/a"])))),
        [("pod-finalizers", "1 pod has finalizer x.io/a (owner unknown)")]
    );
    assert_eq!(told(&one(with(json!(["batch.kubernetes.io/job-tracking"])))), []);
    let mut done = with(json!(["x.io/a"]));
    merge(&mut done, json!({"status": {"phase": "Succeeded"}}));
    assert_eq!(
        told(&one(done)),
        [("pod-finalizers", "1 pod has finalizer x.io/a (owner unknown)")]
    );
    let pods = vec![
        pod("p", "t", "web", with(json!(["x.io/b", "x.io/a"]))),
        pod("q", "t", "web", with(json!(["x.io/a"]))),
        pod("x", "a", "web", json!({})),
    ];
    assert_eq!(
        told(&ask(pods)),
        [(
            "pod-finalizers",
            "2 pods have finalizers x.io/a (owner unknown), x.io/b (owner unknown)"
        )]
    );
}

#[test]
fn pods_that_come_back() {
    let tolerant = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
    assert_eq!(
        told(&one(tolerant.clone())),
        [("cordon-tolerated", "1 pod tolerates the cordon and may come back")]
    );
    assert_eq!(
        told(&one(
            json!({"spec": {"tolerations": [{"key": "x", "operator": "Exists"}]}})
        )),
        []
    );
    assert_eq!(told(&ask(vec![pod("p", "t", "", tolerant.clone())])), []);
    let mut orphaned = facts(
        1,
        vec![node("t", json!({}))],
        vec![pod("p", "t", "web", tolerant), pod("x", "a", "web", json!({}))],
    );
    orphaned
        .controllers
        .insert("ReplicaSet", Seen::Known(["other".to_owned()].into()));
    assert_eq!(told(&critical(&orphaned, &on_targets(&orphaned), &BTreeSet::new())), []);
}

#[test]
fn data_that_stay() {
    let host = json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/data"}}]}});
    assert_eq!(
        told(&one(host)),
        [(
            "host-path",
            "1 pod uses hostPath volumes: what is in them stays on the node"
        )]
    );
    assert_eq!(
        told(&one(json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}))),
        []
    );
    for local in [true, false] {
        let claimed = json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}});
        let pods = vec![pod("p", "t", "web", claimed), pod("x", "a", "web", json!({}))];
        let mut facts = facts(1, vec![node("t", json!({}))], pods);
        let volume = Volume {
            driver: None,
            name: "v".into(),
            node_affinity: None,
            labels: BTreeMap::new(),
            local,
        };
        facts.volumes = Seen::Known(Volumes {
            claims: BTreeMap::from([(("default".into(), "c".into()), "v".into())]),
            volumes: BTreeMap::from([("v".into(), volume)]),
        });
        let expected: &[_] = if local {
            &[("local-volume", "1 pod has data on local volumes of the node")]
        } else {
            &[]
        };
        assert_eq!(told(&critical(&facts, &on_targets(&facts), &BTreeSet::new())), expected);
    }
}
