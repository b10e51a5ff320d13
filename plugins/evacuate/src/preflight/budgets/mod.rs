//! What the budgets will do to this run, pod by pod, with own bookkeeping: the server's dry run does not count what was
//! asked before, so five pods under a budget of one would all be told "yes".

#[cfg(test)]
mod tests;

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
    let more = if pdb::is_hopeless(budget) {
        ""
    } else {
        "run more replicas"
    };
    let (id, severity, evidence, hint) = match &outlook.class {
        Class::Open => return None,
        Class::Never { why } => (
            "budget-never",
            severity(on_blocked, true),
            format!("{name} can never allow the eviction of {what}: {why}"),
            Some(match on_blocked {
                OnBlocked::Patient | OnBlocked::Fail => {
                    let more = if more.is_empty() {
                        String::new()
                    } else {
                        format!("{more}, ")
                    };
                    format!(
                        "{more}change the budget, or say what to do with --on-blocked=wait or --on-blocked=delete-after=DURATION"
                    )
                }
                OnBlocked::Wait if more.is_empty() => "change the budget; until then this waits".to_owned(),
                OnBlocked::Wait => format!("{more} or change the budget; until then this waits"),
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
