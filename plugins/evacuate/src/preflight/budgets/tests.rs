//! What is decided here, checked.

use k8s_openapi::api::{core::v1 as core, policy::v1::PodDisruptionBudget};
use serde_json::json;

use upkeep::report::Seen;

use super::*;
use crate::preflight::testkit;

/// A pod of a ReplicaSet that was not read.
fn pod(name: &str, ready: bool) -> Pod {
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web", "controller": true});
    let object = json!({
        "metadata": {"namespace": "ns", "name": name, "uid": name, "labels": {"app": "web"}, "ownerReferences": [owner]},
        "spec": {"containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    });
    serde_json::from_value::<core::Pod>(object).unwrap_or_default().into()
}

fn budget(spec: serde_json::Value, allowed: i32, current: i32, desired: i32) -> Budget {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": "web"}});
    let object = json!({
        "metadata": {"namespace": "ns", "name": "web", "uid": "b", "generation": 1},
        "spec": spec,
        "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": current,
            "desiredHealthy": desired, "expectedPods": current},
    });
    serde_json::from_value::<PodDisruptionBudget>(object)
        .unwrap_or_default()
        .into()
}

fn consent(budgets: &[Budget], pods: &[Pod], planned: &[&Pod], on_blocked: OnBlocked) -> Consent {
    let mut facts = testkit::facts(0, Vec::new(), pods.to_vec());
    facts.budgets = Seen::Known(budgets.to_vec());
    let policy = Policy {
        on_blocked,
        advise_surge: true,
    };
    super::consent(&facts, planned, policy)
}

fn class(spec: serde_json::Value, allowed: i32, ready: &[bool]) -> Class {
    let pods: Vec<Pod> = ready
        .iter()
        .enumerate()
        .map(|(i, r)| pod(&format!("p{i}"), *r))
        .collect();
    let healthy = i32::try_from(ready.iter().filter(|r| **r).count()).unwrap_or(0);
    let budget = budget(spec, allowed, healthy, healthy - allowed);
    pdb::outlook(&budget, pods.iter(), 1, None, None).class
}

#[test]
fn p4_classes_of_budgets() {
    let never = |class: &Class| matches!(class, Class::Never { .. });
    assert!(never(&class(json!({"minAvailable": 1}), 0, &[true])));
    assert!(never(&class(json!({"maxUnavailable": 0}), 0, &[true, true])));
    assert!(never(&class(json!({"maxUnavailable": "0%"}), 0, &[true, false])));
    assert!(never(&class(json!({"minAvailable": "100%"}), 0, &[true, true])));
    assert!(
        never(&class(json!({"minAvailable": "50%"}), 0, &[true])),
        "half of one, rounded up, is one"
    );
    assert!(never(&class(json!({"minAvailable": 3}), 0, &[true, true])));
    // One of them may still become Ready, and then there is room.
    assert_eq!(
        class(json!({"minAvailable": 1}), 0, &[true, false]),
        Class::Shut {
            holders: vec![pod("p1", false).reference()],
            short: Vec::new(),
        }
    );
    assert_eq!(class(json!({"minAvailable": 1}), 1, &[true, true]), Class::Open);
    assert_eq!(class(json!({"maxUnavailable": "10%"}), 1, &[true, true]), Class::Open);
}

/// What other tools take for misconfigured from the status alone (five conditions at once) is judged from the pods.
#[test]
fn p20_misconfigured_budgets() {
    let pods = [pod("p0", true), pod("p1", true)];
    let judged = |change: fn(&mut Budget)| {
        let mut seen = budget(json!({"minAvailable": 2}), 0, 2, 2);
        change(&mut seen);
        pdb::outlook(&seen, pods.iter(), 1, None, None).class
    };
    let never = |class: &Class| matches!(class, Class::Never { .. });
    assert!(never(&judged(|_| {})));
    assert_eq!(judged(|b| b.observed = false), Class::Stale);
    // An eviction that was counted and not carried out changes nothing for ever.
    assert!(never(&judged(|b| b.disrupted = vec!["p0".into()])));
    let one_missing = [pod("p0", true), pod("p1", false)];
    let seen = budget(json!({"minAvailable": 2}), 0, 1, 2);
    let class = pdb::outlook(&seen, one_missing.iter(), 1, None, None).class;
    assert!(matches!(class, Class::Shut { .. }), "it may get Ready");
    let none = pdb::outlook(&seen, std::iter::empty(), 0, None, None).class;
    assert_eq!(none, Class::Open, "no pod, nothing to refuse");
}

/// The status counts pods that are Terminating; the pods themselves do not.
#[test]
fn terminating_pods_do_not_count() {
    let mut old = pod("old", true);
    old.deletion = Some(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
    let pods = [old.clone(), old, pod("new", true)];
    let seen = budget(json!({"minAvailable": 1}), 0, 1, 1);
    assert!(matches!(
        pdb::outlook(&seen, pods.iter(), 1, None, None).class,
        Class::Never { .. }
    ));
    // Before any eviction there were two: a replacement is still to come, so nothing is said for ever.
    assert!(matches!(
        pdb::outlook(&seen, pods.iter(), 1, Some(2), None).class,
        Class::Shut { .. }
    ));
}

#[test]
fn b11_each_planned_eviction_is_counted() {
    let pods: Vec<Pod> = (0..3).map(|i| pod(&format!("p{i}"), true)).collect();
    let planned: Vec<&Pod> = pods.iter().collect();
    let consent = consent(
        &[budget(json!({"maxUnavailable": 1}), 1, 3, 2)],
        &pods,
        &planned,
        OnBlocked::Patient,
    );
    let whens: Vec<When> = consent.pods.values().map(|(when, _)| *when).collect();
    assert_eq!(whens, [When::Now, When::Later, When::Later]);
    assert_eq!(consent.findings[0].id, "budget-waves");
}

#[test]
fn what_refuses_depends_on_what_was_asked() {
    let pods = [pod("p0", true)];
    let never = [budget(json!({"maxUnavailable": 0}), 0, 1, 1)];
    let severity = |policy| consent(&never, &pods, &[&pods[0]], policy).findings[0].severity;
    assert_eq!(severity(OnBlocked::Patient), Severity::Refusal);
    assert_eq!(severity(OnBlocked::Fail), Severity::Refusal);
    assert_eq!(severity(OnBlocked::Wait), Severity::Warning);
    assert_eq!(severity(OnBlocked::DeleteAfter(1)), Severity::Warning);
}

#[test]
fn p5_two_budgets_on_one_pod() {
    let pods = [pod("p0", true)];
    let mut other = budget(json!({"maxUnavailable": 1}), 1, 1, 0);
    other.uid = "b2".into();
    other.name = "all".into();
    let budgets = [budget(json!({"maxUnavailable": 1}), 1, 1, 0), other];
    let consent = consent(&budgets, &pods, &[&pods[0]], OnBlocked::Patient);
    assert_eq!(consent.findings[0].id, "budget-overlap");
    assert_eq!(
        consent.findings[0].evidence,
        "2 budgets match this pod (web, all), which the eviction API does not support"
    );
}

#[test]
fn unready_pods_go_by_the_policy_of_the_budget() {
    let unready = pod("p0", false);
    let mut seen = budget(json!({"minAvailable": 1}), 0, 1, 1);
    assert!(!pdb::needs_consent(&unready, &seen), "healthy budget");
    seen.current = 0;
    assert!(pdb::needs_consent(&unready, &seen), "unhealthy budget");
    seen.unhealthy = crate::facts::Unhealthy::AlwaysAllow;
    assert!(!pdb::needs_consent(&unready, &seen), "always allowed");
    assert!(
        pdb::needs_consent(&pod("p1", true), &seen),
        "a healthy pod always needs it"
    );
}
