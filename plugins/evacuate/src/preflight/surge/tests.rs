//! Which Deployments a surge can move, and the reason for each that it cannot.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    apps::v1 as apps, autoscaling::v2::HorizontalPodAutoscaler, core::v1::ResourceQuota,
    policy::v1::PodDisruptionBudget,
};
use serde_json::{Value, json};
use upkeep::report::{Seen, Severity};

use super::*;
use crate::{
    facts::Scaling,
    preflight::testkit::{self, facts, merge, node, pod, told},
};

/// One pod on the node to be emptied, of the Deployment `web` with one replica, under a budget that needs it.
struct Kit {
    facts: Facts,
}

fn deployment(patch: Value) -> Deployment {
    let mut object = json!({
        "metadata": {"namespace": "default", "name": "web", "uid": "web", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    });
    merge(&mut object, patch);
    serde_json::from_value::<apps::Deployment>(object).unwrap().into()
}

fn budget(spec: Value) -> Budget {
    let mut object = json!({
        "metadata": {"namespace": "default", "name": "b", "uid": "b", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
    });
    merge(&mut object["spec"], spec);
    serde_json::from_value::<PodDisruptionBudget>(object).unwrap().into()
}

impl Kit {
    fn new(pod_patch: Value) -> Self {
        let mut labelled = json!({"metadata": {"labels": {"app": "web"}}});
        merge(&mut labelled, pod_patch);
        let web = pod("web-1", "n1", "rs", labelled);
        let mut facts = facts(1, vec![node("n1", json!({})), node("n2", json!({}))], vec![web]);
        facts.budgets = Seen::Known(vec![budget(json!({"minAvailable": 1}))]);
        facts.scaling = Some(Scaling {
            deployments: Seen::Known(vec![deployment(json!({}))]),
            sets: BTreeMap::from([("rs".to_owned(), "web".to_owned())]),
            copies: BTreeMap::new(),
            scalers: Seen::Known(Vec::new()),
            scaled_objects: BTreeSet::new(),
            quotas: Seen::Known(Vec::new()),
            shared_claims: Seen::Known(BTreeSet::new()),
            busy: BTreeSet::new(),
        });
        Self { facts }
    }

    fn with(mut self, change: impl FnOnce(&mut Scaling)) -> Self {
        change(self.facts.scaling.as_mut().unwrap());
        self
    }

    fn surges(&self, mode: Mode) -> Surges {
        surges(&self.facts, &testkit::on_targets(&self.facts), mode, OnBlocked::Patient)
    }

    /// The reason why not, without its frame.
    fn refused(&self) -> String {
        let surges = self.surges(Mode::On);
        assert!(surges.planned.is_empty() && surges.pods.is_empty());
        let found = &surges.findings[0];
        assert_eq!((found.id, found.severity), ("no-surge", Severity::Refusal));
        let reason = found.evidence.split_once(": ").unwrap().1;
        reason.to_owned()
    }
}

#[test]
fn a_pod_that_its_budget_needs_is_surged() {
    let kit = Kit::new(json!({}));
    let surges = kit.surges(Mode::On);
    assert_eq!(surges.planned[0].deployment.name, "web");
    assert_eq!(surges.pods["web-1"].as_ref().unwrap().name, "b");
    assert_eq!(
        told(&surges.findings),
        [(
            "surge",
            "deployment.apps default/web runs 2 instead of 1 pod for a while: once the new one is Ready on other nodes this \
             pod goes, without an eviction"
        )]
    );
    assert!(kit.surges(Mode::Off).pods.is_empty());
}

#[test]
fn a_pod_that_its_budget_lets_go_is_evicted() {
    let mut kit = Kit::new(json!({}));
    let second = pod("web-2", "n2", "rs", json!({"metadata": {"labels": {"app": "web"}}}));
    kit.facts.pods.push(second);
    assert!(kit.surges(Mode::On).pods.is_empty());
}

#[test]
fn the_reason_of_each_refusal() {
    let changed = |patch: Value| Kit::new(json!({})).with(|s| s.deployments = Seen::Known(vec![deployment(patch)]));
    let strategy = |strategy: Value| changed(json!({"spec": {"strategy": strategy}})).refused();
    assert_eq!(
        strategy(json!({"type": "Recreate"})),
        "its strategy is Recreate: an old and a new pod must not run at the same time"
    );
    for zero in [json!(0), json!("0%")] {
        assert_eq!(
            strategy(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": zero}})),
            "its maxSurge is 0: it must not run more pods than it says"
        );
    }
    assert_eq!(changed(json!({"spec": {"paused": true}})).refused(), "it is paused");
    assert_eq!(
        changed(json!({"status": {"updatedReplicas": 0}})).refused(),
        "a rollout is not finished: of 1 pods 0 are up to date and 1 available"
    );
    assert_eq!(
        changed(json!({"metadata": {"generation": 2}})).refused(),
        "its controller has not looked at its latest change yet"
    );
    assert_eq!(
        changed(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})).refused(),
        "it is being deleted"
    );
}

#[test]
fn what_a_second_pod_cannot_share() {
    let claim = json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
    assert_eq!(
        Kit::new(claim.clone()).refused(),
        "its volume claim data can be used on one node only"
    );
    let shared = Kit::new(claim.clone()).with(|s| {
        s.shared_claims = Seen::Known(BTreeSet::from([("default".to_owned(), "data".to_owned())]));
    });
    assert_eq!(shared.surges(Mode::On).pods.len(), 1);
    let unread = Kit::new(claim).with(|s| s.shared_claims = testkit::unseen());
    assert_eq!(
        unread.refused(),
        "it is not known whether its volume claims can be used on two nodes"
    );
    let own = json!({"spec": {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]}});
    assert_eq!(Kit::new(own).surges(Mode::On).pods.len(), 1);
    let port = json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}]}});
    assert_eq!(Kit::new(port).refused(), "its pods use host port 8080/TCP");
    let tolerant = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
    assert_eq!(
        Kit::new(tolerant).refused(),
        "its pods tolerate a cordon, so new ones may come up on the same node"
    );
}

#[test]
fn room_for_one_more() {
    let quota = |hard: Value, used: Value, scopes: Value| {
        let object = json!({"metadata": {"namespace": "default", "name": "q"}, "spec": {"scopes": scopes},
            "status": {"hard": hard, "used": used}});
        serde_json::from_value::<ResourceQuota>(object).unwrap().into()
    };
    let full = |key: &str| {
        Kit::new(testkit::cpu("1")).with(|s| {
            s.quotas = Seen::Known(vec![quota(json!({key: "1"}), json!({key: "1"}), json!([]))]);
        })
    };
    for key in ["pods", "count/pods", "requests.cpu", "cpu"] {
        assert_eq!(full(key).refused(), format!("quota q has no room for more {key}"));
    }
    assert_eq!(full("requests.memory").surges(Mode::On).pods.len(), 1);
    // Whether it counts this pod is the server's to say.
    let scoped = Kit::new(json!({})).with(|s| {
        s.quotas = Seen::Known(vec![quota(
            json!({"pods": "1"}),
            json!({"pods": "1"}),
            json!(["BestEffort"]),
        )]);
    });
    assert_eq!(scoped.surges(Mode::On).pods.len(), 1);

    // With required anti-affinity the old pod keeps its node until the new one is Ready: the only other one must be free.
    let apart = json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]}}}});
    let mut kit = Kit::new(apart);
    let zone = json!({"metadata": {"labels": {"zone": "a"}}});
    kit.facts.targets = vec![node("n1", zone.clone())];
    kit.facts.nodes = Seen::Known(vec![node("n1", zone.clone()), node("n2", zone)]);
    assert_eq!(
        kit.refused(),
        "no other node can take a new pod while the old one runs: proven impossible: 1 pod anti-affinity"
    );
}

#[test]
fn who_would_work_against_it() {
    let scaler = |owner: Value| {
        let object = json!({"metadata": {"namespace": "default", "name": "hpa", "uid": "hpa", "ownerReferences": owner},
            "spec": {"maxReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}});
        crate::facts::Scaler::from(serde_json::from_value::<HorizontalPodAutoscaler>(object).unwrap())
    };
    let free = Kit::new(json!({})).with(|s| s.scalers = Seen::Known(vec![scaler(json!([]))]));
    let found = free.surges(Mode::On).findings;
    assert!(
        found[0]
            .evidence
            .ends_with("; its autoscaler hpa is kept from going below that meanwhile")
    );
    let keda = json!([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "so", "uid": "so", "controller": true}]);
    let owned = Kit::new(json!({})).with(|s| s.scalers = Seen::Known(vec![scaler(keda)]));
    assert_eq!(
        owned.refused(),
        "ScaledObject so writes the limits of its autoscaler and would take the new pods away"
    );
    let idle = Kit::new(json!({})).with(|s| {
        s.scaled_objects = BTreeSet::from([("default".to_owned(), "Deployment".to_owned(), "web".to_owned())]);
    });
    assert_eq!(idle.refused(), "KEDA scales it and would take the new pods away");
    let two = Kit::new(json!({})).with(|s| s.scalers = Seen::Known(vec![scaler(json!([])), scaler(json!([]))]));
    assert_eq!(two.refused(), "several autoscalers scale it");
    let unread = Kit::new(json!({})).with(|s| s.scalers = testkit::unseen());
    assert_eq!(
        unread.refused(),
        "its autoscaler would work against it, and cannot be read: forbidden"
    );
}

#[test]
fn a_budget_that_more_pods_do_not_open_needs_force() {
    for spec in [json!({"maxUnavailable": 0}), json!({"minAvailable": "100%"})] {
        let mut kit = Kit::new(json!({}));
        kit.facts.budgets = Seen::Known(vec![budget(spec)]);
        assert!(kit.refused().contains("stays shut even with more pods; --surge=force"));
        let forced = kit.surges(Mode::Force);
        assert!(forced.planned[0].force);
        assert_eq!(forced.forced[0].name, "b");
        assert_eq!(forced.findings[1].id, "surge-forced");
    }
}

#[test]
fn only_deployments_have_more_pods_for_a_while() {
    let kit = Kit::new(json!({})).with(|s| s.sets.clear());
    assert_eq!(kit.refused(), "only Deployments can run more pods for a while");
    let unread = Kit::new(json!({})).with(|s| s.deployments = testkit::unseen());
    assert_eq!(unread.refused(), "Deployments cannot be listed: forbidden");
}

#[test]
fn a_surge_that_was_cut_off() {
    let record = |nodes: Value| {
        json!({"run": "r0", "stage": "out", "replicas": 1, "target": 2, "pods": ["web-1"], "nodes": nodes}).to_string()
    };
    let marked = json!({"metadata": {"annotations": {MARK: "{\"run\":\"r0\"}"}}});
    let cut = |nodes: Value| {
        let patch = json!({"metadata": {"annotations": {"kubectl-upkeep/surge": record(nodes)}}, "spec": {"replicas": 2},
            "status": {"replicas": 2}});
        Kit::new(marked.clone()).with(|s| s.deployments = Seen::Known(vec![deployment(patch)]))
    };
    // The rollout is not finished and the budget may be open: it is ended all the same.
    let surges = cut(json!(["n1"])).surges(Mode::On);
    assert_eq!(surges.planned[0].unfinished.as_deref(), Some("r0"));
    // A pod of the same ReplicaSet on another node is part of it.
    let mut sibling = cut(json!(["n1"]));
    let other = pod("web-2", "n2", "rs", json!({"metadata": {"labels": {"app": "web"}}}));
    sibling.facts.pods.push(other);
    sibling.facts.targets = vec![node("n2", json!({}))];
    sibling.facts.scaling = None;
    let refused = sibling.surges(Mode::Off).findings;
    assert_eq!(
        told(&refused),
        [(
            "surge-unfinished",
            "a surge of their Deployment was begun and not ended"
        )]
    );
    let without = cut(json!(["n1"])).surges(Mode::Off);
    assert_eq!(without.findings[0].id, "surge-unfinished");
    assert_eq!(without.findings[0].severity, Severity::Refusal);
    let busy = cut(json!(["n1", "n9"])).with(|s| s.busy = BTreeSet::from(["n9".to_owned()]));
    assert_eq!(
        busy.refused(),
        "the run that is at work on node/n9 moves pods of it now"
    );
}
