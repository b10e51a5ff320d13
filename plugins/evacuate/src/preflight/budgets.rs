//! What the budgets will do to this run, pod by pod, with own bookkeeping: the server's dry run does not count what was
//! asked before, so five pods under a budget of one would all be told "yes".

use std::{collections::BTreeMap, time::Duration};

use upkeep::{
    report::{Finding, ObjRef, Severity},
    ui::human_duration,
};

use super::pdb::{self, Class, Outlook};
use crate::{
    engine::OnBlocked,
    facts::{Budget, Pod, Uid, Unhealthy},
};

/// When a pod can go, as far as budgets are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// At once.
    Now,
    /// After others, when their replacements are ready.
    Later,
    /// Not by an eviction: its Deployment runs more pods for a while.
    Surge,
    /// Whatever they say: its machine is off.
    Forced,
    /// Not before something else changes.
    Blocked,
}

/// One budget that has a say.
#[derive(Debug, Clone)]
pub struct BudgetPlan {
    /// The budget.
    pub budget: ObjRef,
    /// As its owner wrote it.
    pub stated: String,
    /// What to expect of it.
    pub outlook: Outlook,
    /// `status.disruptionsAllowed`.
    pub allowed: i32,
    /// What it needs and has, in words.
    pub needs_has: String,
    /// `status.currentHealthy` and `status.desiredHealthy`.
    pub has_needs: (i32, i32),
}

/// What the budgets say to all of it.
#[derive(Debug, Default)]
pub struct Consent {
    /// Budgets that have a say, in the order of their names.
    pub budgets: Vec<BudgetPlan>,
    /// When each pod can go, with its budget, where it needs one.
    pub pods: BTreeMap<Uid, (When, Option<ObjRef>)>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

/// Plans over all nodes of the run together.
pub fn consent(budgets: &[Budget], all: &[Pod], planned: &[&Pod], on_blocked: OnBlocked) -> Consent {
    let mut consent = Consent::default();
    let mut needing = BTreeMap::<&str, (&Budget, Vec<&Pod>)>::new();
    for pod in planned.iter().filter(|p| !p.ignores_budgets()) {
        let matching: Vec<&Budget> = budgets.iter().filter(|b| b.matches(pod)).collect();
        match matching.as_slice() {
            [] => {}
            [one] => {
                if pdb::needs_consent(pod, one) {
                    needing.entry(&one.uid).or_insert((one, Vec::new())).1.push(pod);
                }
            }
            several => {
                consent.pods.insert(pod.uid.clone(), (When::Blocked, None));
                consent.findings.push(overlap(pod, several, on_blocked));
            }
        }
    }
    for (budget, pods) in needing.into_values() {
        let outlook = pdb::outlook(budget, all.iter(), pods.len(), None);
        let mut room = if budget.observed {
            usize::try_from(budget.allowed).unwrap_or(0)
        } else {
            0
        };
        for pod in &pods {
            let when = match outlook.class {
                Class::Never { .. } | Class::Shut { .. } => When::Blocked,
                Class::Stale => When::Later,
                Class::Open | Class::Waves { .. } if room > 0 => When::Now,
                Class::Open | Class::Waves { .. } => When::Later,
            };
            room = room.saturating_sub(1);
            consent.pods.insert(pod.uid.clone(), (when, Some(budget.reference())));
        }
        consent.findings.extend(finding(budget, &outlook, &pods, on_blocked));
        consent.budgets.push(BudgetPlan {
            budget: budget.reference(),
            stated: budget.stated(),
            outlook,
            allowed: budget.allowed,
            needs_has: budget.needs_has(),
            has_needs: (budget.current, budget.desired),
        });
    }
    consent.budgets.sort_by(|a, b| a.budget.cmp(&b.budget));
    consent
}

/// A budget that nothing can satisfy is a refusal, unless waiting for it was asked for.
fn severity(on_blocked: OnBlocked, hopeless: bool) -> Severity {
    match (on_blocked, hopeless) {
        (OnBlocked::Patient, true) | (OnBlocked::Fail, _) => Severity::Refusal,
        _ => Severity::Warning,
    }
}

fn overlap(pod: &Pod, budgets: &[&Budget], on_blocked: OnBlocked) -> Finding {
    let names: Vec<&str> = budgets.iter().map(|b| b.name.as_str()).collect();
    Finding {
        id: "budget-overlap",
        severity: severity(on_blocked, true),
        subjects: vec![pod.reference()],
        evidence: format!(
            "{} budgets match this pod ({}), which the eviction API does not support",
            budgets.len(),
            names.join(", ")
        ),
        hint: Some("make their selectors disjoint, or delete one of them".into()),
    }
}

fn finding(budget: &Budget, outlook: &Outlook, pods: &[&Pod], on_blocked: OnBlocked) -> Option<Finding> {
    let what = if pods.len() == 1 {
        "this pod".to_owned()
    } else {
        format!("these {} pods", pods.len())
    };
    let facts = format!("it {}", budget.needs_has());
    let name = format!("budget {}/{} ({})", budget.namespace, budget.name, budget.stated());
    let (id, severity, evidence, hint) = match &outlook.class {
        Class::Open => return None,
        Class::Never { why } => (
            "budget-never",
            severity(on_blocked, true),
            format!("{name} can never allow the eviction of {what}: {why}"),
            Some(match on_blocked {
                OnBlocked::Patient | OnBlocked::Fail => {
                    "run more replicas, change the budget, or say what to do with --on-blocked=wait or --on-blocked=delete-after=DURATION"
                        .to_owned()
                }
                OnBlocked::Wait => "run more replicas or change the budget; until then this waits".to_owned(),
                OnBlocked::DeleteAfter(patience) => deleted_after(patience),
            }),
        ),
        Class::Shut { holders } => {
            let shown: Vec<String> = holders.iter().take(3).map(|h| h.name.clone()).collect();
            let more = holders.len().saturating_sub(shown.len());
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let held = if shown.is_empty() {
                String::new()
            } else {
                format!("; not Ready: {}{more}", shown.join(", "))
            };
            (
                "budget-shut",
                severity(on_blocked, false),
                format!("{name} does not allow the eviction of {what} now: {facts}{held}"),
                Some(shut_hint(budget, pods, on_blocked)),
            )
        }
        Class::Waves { rounds } => (
            "budget-waves",
            Severity::Info,
            format!(
                "{name} allows {} now and the rest of {what} later, in at least {rounds} rounds",
                budget.allowed
            ),
            None,
        ),
        Class::Stale => (
            "budget-stale",
            Severity::Info,
            format!("{name} was changed and the disruption controller has not looked at it yet"),
            None,
        ),
    };
    Some(Finding {
        id,
        severity,
        subjects: pods.iter().map(|p| p.reference()).collect(),
        evidence,
        hint,
    })
}

fn deleted_after(milliseconds: i64) -> String {
    let patience = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
    let patience = human_duration(patience);
    format!("pods that it holds back for {patience}, or less where --timeout is near, are deleted without asking it")
}

/// What will be done about a budget that has no room now, and what could be.
fn shut_hint(budget: &Budget, pods: &[&Pod], on_blocked: OnBlocked) -> String {
    let mut hint = match on_blocked {
        OnBlocked::Patient | OnBlocked::Wait => "it is waited for until it recovers".to_owned(),
        OnBlocked::Fail => "leave out --on-blocked=fail to wait until it recovers".to_owned(),
        OnBlocked::DeleteAfter(patience) => deleted_after(patience),
    };
    if budget.unhealthy != Unhealthy::AlwaysAllow && pods.iter().any(|p| !p.ready) {
        hint += "; with unhealthyPodEvictionPolicy: AlwaysAllow in it, pods that are not Ready may go at once";
    }
    hint
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{core::v1 as core, policy::v1::PodDisruptionBudget};
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ready: bool) -> Pod {
        let object = json!({
            "metadata": {"namespace": "ns", "name": name, "uid": name, "labels": {"app": "web"}},
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
                "desiredHealthy": desired, "expectedPods": 3},
        });
        serde_json::from_value::<PodDisruptionBudget>(object)
            .unwrap_or_default()
            .into()
    }

    fn class(spec: serde_json::Value, allowed: i32, ready: &[bool]) -> Class {
        let pods: Vec<Pod> = ready
            .iter()
            .enumerate()
            .map(|(i, r)| pod(&format!("p{i}"), *r))
            .collect();
        let healthy = i32::try_from(ready.iter().filter(|r| **r).count()).unwrap_or(0);
        let budget = budget(spec, allowed, healthy, healthy - allowed);
        pdb::outlook(&budget, pods.iter(), 1, None).class
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
                holders: vec![pod("p1", false).reference()]
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
            pdb::outlook(&seen, pods.iter(), 1, None).class
        };
        let never = |class: &Class| matches!(class, Class::Never { .. });
        assert!(never(&judged(|_| {})));
        assert_eq!(judged(|b| b.observed = false), Class::Stale);
        // An eviction that was counted and not carried out changes nothing for ever.
        assert!(never(&judged(|b| b.disrupted = vec!["p0".into()])));
        let one_missing = [pod("p0", true), pod("p1", false)];
        let seen = budget(json!({"minAvailable": 2}), 0, 1, 2);
        let class = pdb::outlook(&seen, one_missing.iter(), 1, None).class;
        assert!(matches!(class, Class::Shut { .. }), "it may get Ready");
        let none = pdb::outlook(&seen, std::iter::empty(), 0, None).class;
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
            pdb::outlook(&seen, pods.iter(), 1, None).class,
            Class::Never { .. }
        ));
        // Before any eviction there were two: a replacement is still to come, so nothing is said for ever.
        assert!(matches!(
            pdb::outlook(&seen, pods.iter(), 1, Some(2)).class,
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
}
