//! What is said of one budget: what it will do, why, and what can be done about it.

use std::time::Duration;

use upkeep::{
    report::{Finding, Severity},
    ui::human_duration,
};

use super::{Policy, severity};
use crate::{
    engine::OnBlocked,
    facts::{Budget, Facts, Pod, Unhealthy},
    preflight::{
        operators::Operator,
        pdb::{self, Class, Cure, Outlook},
        pinned::pinned,
    },
};

/// What the run does about a budget that an operator can change.
pub fn waits_for(operator: &Operator, on_blocked: OnBlocked) -> String {
    match on_blocked {
        OnBlocked::Fail => {
            format!("leave out --on-blocked=fail to cordon the node and wait for the operator of {operator}")
        }
        OnBlocked::Patient | OnBlocked::Wait => format!(
            "evacuate cordons the node and waits for the operator of {operator}; --timeout=DURATION limits that, \
             --on-blocked=fail refuses instead"
        ),
        OnBlocked::DeleteAfter(patience) => format!(
            "evacuate cordons the node and waits for the operator of {operator}; {}",
            deleted_after(patience)
        ),
    }
}

/// One budget with the planned pods that need its consent.
pub struct Case<'a> {
    pub facts: &'a Facts,
    pub budget: &'a Budget,
    pub pods: &'a [&'a Pod],
    pub policy: Policy,
}

impl Case<'_> {
    /// What a person should know, where there is anything.
    pub fn finding(&self, outlook: &Outlook) -> Option<Finding> {
        let Self {
            budget, pods, policy, ..
        } = self;
        let on_blocked = policy.on_blocked;
        let what = if pods.len() == 1 {
            "this pod".to_owned()
        } else {
            format!("these {} pods", pods.len())
        };
        let facts = format!("it {}", budget.needs_has());
        let name = format!("budget {}/{} ({})", budget.namespace, budget.name, budget.stated());
        let (id, severity, evidence, hint) = match &outlook.class {
            Class::Open => return None,
            Class::Never { why, cure } => (
                "budget-never",
                severity(on_blocked, true),
                format!("{name} can never allow the eviction of {what}: {why}{}", self.unread()),
                Some(self.never_hint(cure)),
            ),
            Class::Managed { operator, why, cure } => (
                "budget-managed",
                severity(on_blocked, false),
                format!(
                    "{name} does not allow the eviction of {what} now: {why}; the operator of {operator} can change \
                     that{}",
                    self.pinned()
                ),
                Some(match cure {
                    Cure::Words(cure) => format!("{}; otherwise {cure}", waits_for(operator, on_blocked)),
                    Cure::MorePods | Cure::Threshold => waits_for(operator, on_blocked),
                }),
            ),
            Class::Shut { holders, short } => (
                "budget-shut",
                severity(on_blocked, false),
                format!(
                    "{name} does not allow the eviction of {what} now: {facts}{}",
                    pdb::held(holders, short)
                ),
                Some(self.shut_hint()),
            ),
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

    /// What was not looked at before "never" was said: a refusal shows no other warnings.
    fn unread(&self) -> String {
        let unread: Vec<&str> = self.facts.workloads.unread.iter().map(|(r, _)| *r).collect();
        if unread.is_empty() {
            return String::new();
        }
        format!(
            "; you may not list {}, so pods that are still missing and operators are not known",
            unread.join(", ")
        )
    }

    /// Where what replaces the pods has to wait for the node itself.
    fn pinned(&self) -> String {
        let found = self.pods.iter().find_map(|p| pinned(p, &self.facts.volumes));
        found.map_or_else(String::new, |by| {
            format!("; pinned to the node by {by}, so what replaces it stays Pending until the node is back")
        })
    }

    fn never_hint(&self, cure: &Cure) -> String {
        let on_blocked = self.policy.on_blocked;
        let gives_up = matches!(on_blocked, OnBlocked::Patient | OnBlocked::Fail);
        // What has to be changed is known, and nothing else helps.
        let known = matches!(cure, Cure::Words(_));
        let cure = match cure {
            Cure::MorePods if gives_up => "run more replicas, change the budget",
            Cure::MorePods => "run more replicas or change the budget",
            Cure::Threshold => "change the budget",
            Cure::Words(cure) if gives_up => return format!("{cure}; with --on-blocked=wait the run waits for that"),
            Cure::Words(cure) => cure,
        };
        let hint = match on_blocked {
            OnBlocked::Patient | OnBlocked::Fail => {
                format!("{cure}, or say what to do with --on-blocked=wait or --on-blocked=delete-after=DURATION")
            }
            OnBlocked::Wait => format!("{cure}; until then this waits"),
            OnBlocked::DeleteAfter(patience) => deleted_after(patience),
        };
        match self.surge() {
            Some(_) if known => hint,
            Some(surge) if matches!(on_blocked, OnBlocked::DeleteAfter(_)) => {
                format!("let Deployments run more pods for a while with {surge}; otherwise {hint}")
            }
            Some(surge) => format!("let Deployments run more pods for a while with {surge}, {hint}"),
            None => hint,
        }
    }

    /// The way around a budget that never allows an eviction and costs nobody anything. A pod that is pinned to its node
    /// has no other node to run on.
    fn surge(&self) -> Option<&'static str> {
        let movable = |pod: &&&Pod| {
            let of_a_set = pod.owner.as_ref().is_some_and(|o| o.kind == "ReplicaSet");
            of_a_set && pinned(pod, &self.facts.volumes).is_none()
        };
        let may = self.policy.advise_surge && self.pods.iter().any(|pod| movable(&pod));
        // "maxUnavailable 0" and "100%" stay shut however many pods there are.
        may.then_some(match pdb::is_hopeless(self.budget) {
            true => "--surge=force",
            false => "--surge",
        })
    }

    /// What will be done about a budget that has no room now, and what could be.
    fn shut_hint(&self) -> String {
        let mut hint = match self.policy.on_blocked {
            OnBlocked::Patient | OnBlocked::Wait => "evacuate waits until it recovers".to_owned(),
            OnBlocked::Fail => "leave out --on-blocked=fail to wait until it recovers".to_owned(),
            OnBlocked::DeleteAfter(patience) => deleted_after(patience),
        };
        if self.budget.unhealthy != Unhealthy::AlwaysAllow && self.pods.iter().any(|p| !p.ready) {
            hint += "; with unhealthyPodEvictionPolicy: AlwaysAllow in it, pods that are not Ready may go at once";
        }
        hint
    }
}

fn deleted_after(milliseconds: i64) -> String {
    let patience = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
    let patience = human_duration(patience);
    format!("pods that it holds back for {patience}, or less where --timeout is near, are deleted without asking it")
}
