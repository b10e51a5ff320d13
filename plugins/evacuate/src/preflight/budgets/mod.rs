//! What the budgets will do to this run, pod by pod, with own bookkeeping: the server's dry run does not count what was
//! asked before, so five pods under a budget of one would all be told "yes".

mod finding;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use upkeep::report::{Finding, ObjRef, Severity};

use self::finding::{Case, waits_for};
use super::{
    operators::Operator,
    pdb::{self, Class, Outlook},
};
use crate::{
    engine::OnBlocked,
    facts::{Budget, Facts, Pod, Uid},
};

/// When a pod can go, as far as budgets are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// At once.
    Now,
    /// After others, when their replacements are ready.
    Later,
    /// When its Job has finished, or the time of `--wait-jobs` is over.
    #[serde(rename = "afterJob")]
    AfterJob,
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

/// What may be done about budgets that allow nothing.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// `--on-blocked`.
    pub on_blocked: OnBlocked,
    /// `--surge` was not given: it may be advised.
    pub advise_surge: bool,
}

/// Plans over all nodes of the run together.
pub fn consent(facts: &Facts, planned: &[&Pod], policy: Policy) -> Consent {
    let budgets = facts.budgets.known().map_or(&[][..], Vec::as_slice);
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
                consent.findings.push(overlap(facts, pod, several, policy.on_blocked));
            }
        }
    }
    for (budget, pods) in needing.into_values() {
        let outlook = pdb::outlook(budget, facts.pods.iter(), pods.len(), None, Some(&facts.workloads));
        let mut room = if budget.observed {
            usize::try_from(budget.allowed).unwrap_or(0)
        } else {
            0
        };
        for pod in &pods {
            let when = match outlook.class {
                Class::Never { .. } | Class::Managed { .. } | Class::Shut { .. } => When::Blocked,
                Class::Stale => When::Later,
                Class::Open | Class::Waves { .. } if room > 0 => When::Now,
                Class::Open | Class::Waves { .. } => When::Later,
            };
            room = room.saturating_sub(1);
            consent.pods.insert(pod.uid.clone(), (when, Some(budget.reference())));
        }
        let case = Case {
            facts,
            budget,
            pods: &pods,
            policy,
        };
        consent.findings.extend(case.finding(&outlook));
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

/// Operators replace one budget by another; for a moment both are there (Rook).
fn overlap(facts: &Facts, pod: &Pod, budgets: &[&Budget], on_blocked: OnBlocked) -> Finding {
    let names: Vec<&str> = budgets.iter().map(|b| b.name.as_str()).collect();
    let known = Some(&facts.workloads);
    let of_budgets = || budgets.iter().find_map(|b| Operator::of_budget(b, known));
    let operator = Operator::of_pod(pod, known).or_else(of_budgets);
    let evidence = format!(
        "{} budgets match this pod ({}), which the eviction API does not support",
        budgets.len(),
        names.join(", ")
    );
    let advice = "make their selectors disjoint, or delete one of them";
    Finding {
        id: "budget-overlap",
        severity: severity(on_blocked, operator.is_none()),
        subjects: vec![pod.reference()],
        evidence: match &operator {
            Some(operator) => format!("{evidence}; the operator of {operator} can change that"),
            None => evidence,
        },
        hint: Some(match operator {
            Some(operator) => format!("{}; otherwise {advice}", waits_for(&operator, on_blocked)),
            None => advice.into(),
        }),
    }
}
