//! What a budget will do to the evictions that are planned, decided from the pods themselves.
//!
//! The status of a budget is evidence, not the judge: `expectedPods` counts Terminating pods, so a budget that looks as
//! if it had room may never have any (seen: 3 expected, 1 healthy, 1 desired).

use upkeep::report::ObjRef;

use crate::facts::{Budget, Pod, Threshold, Unhealthy};

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
    },
    /// Even with every pod healthy it allows no eviction.
    Never {
        /// Why, as a sentence fragment.
        why: String,
    },
    /// The disruption controller has not yet seen the present spec.
    Stale,
}

/// A budget, what it will do, and for how many of the planned pods.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// What to expect.
    pub class: Class,
    /// Planned pods that need the budget to let them go.
    pub needed: usize,
}

/// Judges one budget. `all` are the pods of its namespace; `needed` counts the planned ones that need it. `baseline` is
/// how many living pods it had before this run evicted any: with fewer than that, replacements are still to come and
/// nothing can be said for ever.
pub fn outlook<'a>(
    budget: &Budget,
    all: impl Iterator<Item = &'a Pod>,
    needed: usize,
    baseline: Option<usize>,
) -> Outlook {
    let living: Vec<&Pod> = all
        .filter(|p| p.deletion.is_none() && !p.finished() && budget.matches(p))
        .collect();
    let holders: Vec<ObjRef> = living.iter().filter(|p| !p.ready).map(|p| p.reference()).collect();
    let total = living.len();
    let desired = desired_healthy(&budget.threshold, total);
    let allowed = usize::try_from(budget.allowed).unwrap_or(0);
    let replaced = baseline.is_none_or(|before| total >= before);
    let class = if let Some(message) = &budget.sync_failed {
        Class::Never {
            why: format!("the disruption controller cannot count its pods: {message}"),
        }
    } else if !budget.observed {
        Class::Stale
    } else if let Some(why) = never(budget, total, desired, holders.is_empty() && replaced) {
        Class::Never { why }
    } else if needed == 0 || allowed >= needed {
        Class::Open
    } else if allowed > 0 {
        Class::Waves {
            rounds: needed.div_ceil(allowed),
        }
    } else {
        Class::Shut { holders }
    };
    Outlook { class, needed }
}

/// Whether the budget would allow an eviction if there were `extra` more pods than now, all of them healthy.
pub fn opens_with<'a>(budget: &Budget, all: impl Iterator<Item = &'a Pod>, extra: usize) -> bool {
    let living = all.filter(|p| p.deletion.is_none() && !p.finished() && budget.matches(p));
    let total = living.count().saturating_add(extra);
    budget.sync_failed.is_none() && total > desired_healthy(&budget.threshold, total)
}

/// How many pods must stay healthy if `total` exist. Percentages round up on both sides, as in the disruption
/// controller (`GetScaledValueFromIntOrPercent(.., true)`).
fn desired_healthy(threshold: &Threshold, total: usize) -> usize {
    let scaled = |text: &str| match text.strip_suffix('%').map(str::parse::<usize>) {
        Some(percent) => (percent.unwrap_or(0) * total).div_ceil(100),
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

/// Some statements never allow anything; the others are only judged when everything that belongs there is there and
/// healthy.
fn never(budget: &Budget, total: usize, desired: usize, settled: bool) -> Option<String> {
    let stated = budget.stated();
    if is_hopeless(budget) {
        return Some(format!("{stated} allows no eviction at all"));
    }
    (settled && total > 0 && total <= desired).then(|| match (total, desired) {
        (1, 1) => format!("{stated} needs its only pod"),
        (total, desired) if total == desired => format!("{stated} needs all of its {total} pods"),
        (total, _) => format!("{stated} needs more than the {total} that there are"),
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
