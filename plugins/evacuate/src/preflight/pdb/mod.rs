//! What a budget will do to the evictions that are planned, decided from the pods themselves.
//!
//! The status of a budget is evidence, not the judge: `expectedPods` counts Terminating pods, so a budget that looks as
//! if it had room may never have any (seen: 3 expected, 1 healthy, 1 desired). What is to come is judged from what the
//! controllers of the pods want ([`count`]).

mod count;
#[cfg(test)]
mod tests;
mod uncounted;

use upkeep::report::ObjRef;

use self::count::Count;
pub use self::count::Short;
use super::operators::Operator;
use crate::facts::{Budget, Pod, Threshold, Unhealthy, Workloads};

/// What to expect of one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// All planned evictions that need the budget pass at once.
    Open,
    /// Some pass now, the others when replacements are ready.
    Waves {
        /// How many rounds at least.
        rounds: usize,
    },
    /// None passes now, but it can recover: pods are missing or not Ready.
    Shut {
        /// Matching pods that are not Ready.
        holders: Vec<ObjRef>,
        /// Controllers that have fewer pods than they want.
        short: Vec<Short>,
    },
    /// With the present pods it allows no eviction, and an operator can change that.
    Managed {
        /// Whose operator.
        operator: Operator,
        /// Why it allows none, as a sentence fragment.
        why: String,
        /// What opens it if the operator does not.
        cure: Cure,
    },
    /// Even with every pod healthy it allows no eviction, and nobody but the user changes that.
    Never {
        /// Why, as a sentence fragment.
        why: String,
        /// What opens it.
        cure: Cure,
    },
    /// The disruption controller has not yet seen the present spec.
    Stale,
}

/// What opens a budget that never allows an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cure {
    /// More pods, or another threshold.
    MorePods,
    /// Another threshold; no number of pods opens it.
    Threshold,
    /// What these words say.
    Words(String),
}

impl Class {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waves { .. } => "waves",
            Self::Shut { .. } => "shut",
            Self::Managed { .. } => "managed",
            Self::Never { .. } => "never",
            Self::Stale => "stale",
        }
    }
}

/// A budget, what it will do, and for how many of the planned pods.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// What to expect.
    pub class: Class,
    /// Planned pods that need the budget to let them go.
    pub needed: usize,
}

/// Judges one budget. `all` are at least the pods of its namespace; `needed` counts the planned ones that need it.
/// `baseline` is how many living pods it had before this run evicted any: where the controllers are not known, fewer than
/// that mean that replacements are still to come. `workloads` are the controllers of its namespace, where they were read.
pub fn outlook<'a>(
    budget: &Budget,
    all: impl Iterator<Item = &'a Pod>,
    needed: usize,
    baseline: Option<usize>,
    workloads: Option<&Workloads>,
) -> Outlook {
    let pods: Vec<&Pod> = all.filter(|p| p.namespace == budget.namespace).collect();
    let mut count = Count::of(budget, &pods, workloads);
    let holders: Vec<ObjRef> = count
        .living
        .iter()
        .filter(|p| !p.ready)
        .map(|p| p.reference())
        .collect();
    let (total, expected) = (count.living.len(), count.expected(budget));
    if !count.is_complete && expected > total && count.short.is_empty() {
        count.short.push(Short {
            who: "their controller".into(),
            has: total,
            wants: expected,
            lacks: Vec::new(),
            failure: None,
        });
    }
    let replaced = count.is_complete || baseline.is_none_or(|before| total >= before);
    let settled = holders.is_empty() && count.short.is_empty() && replaced;
    let allowed = usize::try_from(budget.allowed).unwrap_or(0);
    let class = if let Some(message) = &budget.sync_failed {
        let (why, cure) = uncounted::explain(message, &count.selected, workloads);
        unless_managed(budget, &count, workloads, (why, Cure::Words(cure)))
    } else if !budget.observed {
        Class::Stale
    } else if let Some(never) = never(budget, &count, expected, settled) {
        unless_managed(budget, &count, workloads, never)
    } else if needed == 0 || allowed >= needed {
        Class::Open
    } else if allowed > 0 {
        Class::Waves {
            rounds: needed.div_ceil(allowed),
        }
    } else {
        Class::Shut {
            holders,
            short: count.short,
        }
    };
    Outlook { class, needed }
}

/// "Never" is said only where nobody but the user can change it.
fn unless_managed(
    budget: &Budget,
    count: &Count<'_>,
    workloads: Option<&Workloads>,
    (why, cure): (String, Cure),
) -> Class {
    let of_pods = || count.living.iter().find_map(|pod| Operator::of_pod(pod, workloads));
    match Operator::of_budget(budget, workloads).or_else(of_pods) {
        Some(operator) => Class::Managed { operator, why, cure },
        None => Class::Never { why, cure },
    }
}

/// `; not Ready: a, b; StatefulSet db has 2 of 3 pods (db-2 is Terminating on node-3)`.
pub fn held(holders: &[ObjRef], short: &[Short]) -> String {
    const SHOWN: usize = 3;
    let mut parts = Vec::new();
    let names: Vec<&str> = holders.iter().take(SHOWN).map(|h| h.name.as_str()).collect();
    match holders.len().saturating_sub(SHOWN) {
        _ if names.is_empty() => {}
        0 => parts.push(format!("not Ready: {}", names.join(", "))),
        more => parts.push(format!("not Ready: {} and {more} more", names.join(", "))),
    }
    parts.extend(short.iter().take(SHOWN).map(Short::text));
    match short.len().saturating_sub(SHOWN) {
        0 => {}
        more => parts.push(format!("{more} more controllers lack pods")),
    }
    parts.iter().map(|part| format!("; {part}")).collect()
}

/// Whether the budget would allow an eviction if there were `extra` more pods than now, all of them healthy.
pub fn opens_with<'a>(budget: &Budget, all: impl Iterator<Item = &'a Pod>, extra: usize) -> bool {
    let living = all.filter(|p| count::is_living(p) && budget.matches(p));
    let total = living.count().saturating_add(extra);
    budget.sync_failed.is_none() && total > desired_healthy(&budget.threshold, total)
}

/// How many pods must stay healthy if `total` are expected. Percentages round up on both sides, as in the disruption
/// controller (`GetScaledValueFromIntOrPercent(.., true)`).
fn desired_healthy(threshold: &Threshold, total: usize) -> usize {
    let scaled = |text: &str| match text.strip_suffix('%').map(str::parse::<usize>) {
        Some(percent) => percent.unwrap_or(0).saturating_mul(total).div_ceil(100),
        None => text.parse().unwrap_or(0),
    };
    match threshold {
        Threshold::MinAvailable(text) => scaled(text),
        Threshold::MaxUnavailable(text) => total.saturating_sub(scaled(text)),
    }
}

/// Whether it allows no eviction however many pods there are.
pub fn is_hopeless(budget: &Budget) -> bool {
    match &budget.threshold {
        Threshold::MaxUnavailable(text) => matches!(text.as_str(), "0" | "0%"),
        Threshold::MinAvailable(text) => text
            .strip_suffix('%')
            .is_some_and(|p| p.parse().is_ok_and(|p: usize| p >= 100)),
    }
}

/// Some statements never allow anything; the others are only judged when everything that the controllers want is there
/// and healthy.
fn never(budget: &Budget, count: &Count<'_>, expected: usize, settled: bool) -> Option<(String, Cure)> {
    let stated = budget.stated();
    let total = count.living.len();
    if is_hopeless(budget) {
        return Some((format!("{stated} allows no eviction at all"), Cure::Threshold));
    }
    let bare = !count.selected.is_empty() && count.selected.iter().all(|p| p.owner.is_none());
    if bare && !budget.threshold.is_a_number() && budget.allowed <= 0 {
        let has_none = match total {
            1 => "its pod has none".to_owned(),
            total => format!("its {total} pods have none"),
        };
        let why = format!("{stated} is counted from the replicas of controllers, and {has_none}");
        let cure = "state minAvailable as a number, which is counted without controllers";
        return Some((why, Cure::Words(cure.into())));
    }
    let desired = desired_healthy(&budget.threshold, expected);
    (settled && total > 0 && total <= desired).then(|| match (total, desired) {
        _ if expected > total => (
            format!("{stated} is counted from the {expected} replicas of its controllers, and it selects only {total}"),
            Cure::Words(
                "widen its selector to all pods of these controllers, or state minAvailable as a number".into(),
            ),
        ),
        (1, 1) => (format!("{stated} needs its only pod"), Cure::MorePods),
        (total, desired) if total == desired => (format!("{stated} needs all of its {total} pods"), Cure::MorePods),
        (total, _) => (
            format!("{stated} needs more than the {total} that there are"),
            Cure::MorePods,
        ),
    })
}

/// Whether one pod needs the budget's consent, given what is known now.
pub fn needs_consent(pod: &Pod, budget: &Budget) -> bool {
    if pod.ignores_budgets() {
        return false;
    }
    pod.ready || !(unready_is_free(budget))
}

/// Whether a pod that is not Ready may go without a disruption being counted (KEP-3017).
pub fn unready_is_free(budget: &Budget) -> bool {
    match budget.unhealthy {
        Unhealthy::AlwaysAllow => true,
        Unhealthy::IfHealthyBudget => budget.observed && budget.desired > 0 && budget.current >= budget.desired,
    }
}
