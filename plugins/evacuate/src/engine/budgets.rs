//! How many evictions each budget has room for right now.
//!
//! Every eviction that the server refuses costs a request and helps nobody, so no more are in flight than the budget
//! allows. The server decrements `disruptionsAllowed` with each accepted eviction, and the watch tells us so; between
//! the answer and that news the own count stands in.

use std::collections::BTreeMap;

use super::event::At;
use crate::{
    facts::{Budget, Pod, Uid},
    preflight::pdb,
};

/// Writes of one budget conflict with each other on the server, which retries them in steps of half a second. Measured
/// with 110 pods under a budget of 11: 1 at a time 13.4 s, 4: 7.1 s, 11: 5.6 to 6.8 s, 16: 7.3 s.
const MAX_IN_FLIGHT: usize = 11;

/// A budget and the own bookkeeping about it.
#[derive(Debug)]
pub struct Ledger {
    /// As last seen.
    pub budget: Budget,
    /// Evictions that were asked for and not answered yet.
    pub in_flight: usize,
    /// When this run's last eviction under it was accepted.
    pub accepted_at: Option<At>,
    /// `currentHealthy` when this run first evicted under it.
    pub healthy_before: Option<i32>,
    /// Living pods when the run began.
    pub baseline: Option<usize>,
    /// Since when it has let nothing through.
    pub shut_since: Option<At>,
    /// When it was last found out who holds it.
    pub inspected: Option<At>,
    /// What the last look said.
    pub class: Option<pdb::Class>,
    /// Nothing is sent before: the server named a Retry-After.
    pub not_before: At,
    /// When one pod is sent although there seems to be no room: the last net against stale news.
    pub probe_at: Option<At>,
    /// How often it was tried in vain since something passed.
    pub misses: u32,
    /// What was last said about it.
    pub told: Option<String>,
    /// Present in the cluster.
    pub exists: bool,
}

impl Ledger {
    /// How many more evictions may be sent.
    pub fn room(&self) -> usize {
        let allowed = usize::try_from(self.budget.allowed).unwrap_or(0);
        if self.budget.observed {
            allowed.min(MAX_IN_FLIGHT).saturating_sub(self.in_flight)
        } else {
            0
        }
    }

    /// Whether it is below the health it had before, because replacements are on their way.
    pub fn recovering(&self) -> bool {
        self.in_flight > 0 || self.healthy_before.is_some_and(|before| self.budget.current < before)
    }

    /// `needs 2 healthy pods and has 1`.
    pub fn needs_has(&self) -> String {
        format!(
            "needs {} healthy pods and has {}",
            self.budget.desired, self.budget.current
        )
    }
}

/// All budgets, by UID, and where to find those of a namespace.
#[derive(Debug, Default)]
pub struct Ledgers {
    by_uid: BTreeMap<Uid, Ledger>,
    /// False where budgets cannot be read: then the server's answers are all there is.
    pub known: bool,
}

impl Ledgers {
    /// Takes the first list.
    pub fn new(budgets: Option<Vec<Budget>>, baseline: &BTreeMap<Uid, usize>) -> Self {
        let mut ledgers = Self {
            known: budgets.is_some(),
            ..Self::default()
        };
        for budget in budgets.into_iter().flatten() {
            let before = baseline.get(&budget.uid).copied();
            ledgers.apply(budget).baseline = before;
        }
        ledgers
    }

    /// A budget was added or changed.
    pub fn apply(&mut self, budget: Budget) -> &mut Ledger {
        let ledger = self.by_uid.entry(budget.uid.clone()).or_insert_with(|| Ledger {
            budget: budget.clone(),
            in_flight: 0,
            accepted_at: None,
            healthy_before: None,
            baseline: None,
            shut_since: None,
            inspected: None,
            class: None,
            not_before: At::MIN,
            probe_at: None,
            misses: 0,
            told: None,
            exists: true,
        });
        ledger.exists = true;
        if ledger.budget.threshold != budget.threshold {
            ledger.class = None;
            ledger.inspected = None;
        }
        ledger.budget = budget;
        if ledger.room() > 0 {
            ledger.shut_since = None;
            ledger.class = None;
            ledger.told = None;
            ledger.probe_at = None;
            ledger.misses = 0;
        }
        ledger
    }

    /// A budget was deleted.
    pub fn remove(&mut self, uid: &str) {
        if let Some(ledger) = self.by_uid.get_mut(uid) {
            ledger.exists = false;
        }
    }

    /// A complete list: what is not in it is gone.
    pub fn replace(&mut self, budgets: Vec<Budget>) {
        self.known = true;
        self.by_uid.values_mut().for_each(|l| l.exists = false);
        for budget in budgets {
            self.apply(budget);
        }
    }

    /// The ledger of one budget.
    pub fn get_mut(&mut self, uid: &str) -> Option<&mut Ledger> {
        self.by_uid.get_mut(uid)
    }

    /// The ledger of one budget, to look at.
    pub fn get(&self, uid: &str) -> Option<&Ledger> {
        self.by_uid.get(uid)
    }

    /// UIDs of all budgets that the server would look at for this pod.
    pub fn matching(&self, pod: &Pod) -> Vec<Uid> {
        let present = self.by_uid.values().filter(|l| l.exists && l.budget.matches(pod));
        present.map(|l| l.budget.uid.clone()).collect()
    }
}
