//! How many evictions each budget has room for right now.
//!
//! Every eviction that the server refuses costs a request and helps nobody, so no more are being decided on than the
//! budget allows. The server decrements `disruptionsAllowed` with each accepted eviction, and the watch tells us so;
//! between the answer and that news the own count stands in.
//!
//! Each eviction writes the budget's status, and so does the disruption controller after each pod that goes, comes and
//! gets Ready. An eviction that meets such a write sleeps half a second on the server before its next try, and again if
//! it meets another (`EvictionsRetry` in the eviction registry). Under a busy budget most of those in flight are asleep;
//! if they took up its room it would stand unused, so one that was overtaken takes none.

use std::collections::BTreeMap;

use super::event::{At, Call};
use crate::{
    facts::{Budget, Pod, Uid},
    preflight::pdb,
};

/// How many evictions may be young at the same time under one budget, so that they do not meet each other.
const YOUNG_AT_ONCE: usize = 2;
/// How long an eviction is young, in milliseconds. One that was answered although it was sent so much later has
/// overtaken.
const YOUNG: i64 = 40;

/// A budget and the own bookkeeping about it.
#[derive(Debug)]
pub struct Ledger {
    /// As last seen.
    pub budget: Budget,
    /// When each eviction that is not answered yet was asked for.
    pub flying: BTreeMap<Call, At>,
    /// When the latest-sent of those that were answered was sent.
    answered: At,
    /// The most it has allowed in this run.
    most: usize,
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
    /// The controllers of its pods are read as well: without them that look tells too little.
    pub reads_controllers: bool,
    /// How often it was said how long it has let nothing through.
    pub reminders: u32,
    /// What was last said about it.
    pub told: Option<String>,
    /// Present in the cluster.
    pub exists: bool,
}

impl Ledger {
    /// How many more evictions may be sent. Those that sleep on the server take no room, but once awake they may be
    /// refused: all together there are fewer than twice the most that it has allowed, so one for a budget of one.
    pub fn room(&self) -> usize {
        if !self.budget.observed {
            return 0;
        }
        let overtaken = |sent: &&At| sent.saturating_add(YOUNG) <= self.answered;
        let awake = self.flying.len() - self.flying.values().filter(overtaken).count();
        let bound = (2 * self.most).saturating_sub(1);
        self.allowed()
            .saturating_sub(awake)
            .min(bound.saturating_sub(self.flying.len()))
    }

    fn allowed(&self) -> usize {
        usize::try_from(self.budget.allowed).unwrap_or(0)
    }

    /// The server has decided on an eviction.
    pub fn decided(&mut self, call: Call) {
        if let Some(sent) = self.flying.get(&call) {
            self.answered = self.answered.max(*sent);
        }
    }

    /// Until when the server is busy with evictions under this budget, if it is.
    pub fn busy_until(&self, now: At) -> Option<At> {
        let young = self.flying.values().map(|sent| sent.saturating_add(YOUNG));
        let young: Vec<At> = young.filter(|until| *until > now).collect();
        young.iter().min().copied().filter(|_| young.len() >= YOUNG_AT_ONCE)
    }

    /// Whether it is below the health it had before, because replacements are on their way.
    pub fn recovering(&self) -> bool {
        !self.flying.is_empty() || self.healthy_before.is_some_and(|before| self.budget.current < before)
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
            flying: BTreeMap::new(),
            answered: At::MIN,
            most: 0,
            accepted_at: None,
            healthy_before: None,
            baseline: None,
            shut_since: None,
            inspected: None,
            class: None,
            not_before: At::MIN,
            probe_at: None,
            misses: 0,
            reads_controllers: false,
            reminders: 0,
            told: None,
            exists: true,
        });
        ledger.exists = true;
        if !ledger.budget.counts_as(&budget) {
            ledger.class = None;
            ledger.inspected = None;
        }
        ledger.budget = budget;
        ledger.most = ledger.most.max(ledger.allowed());
        if ledger.room() > 0 {
            ledger.shut_since = None;
            ledger.reminders = 0;
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
