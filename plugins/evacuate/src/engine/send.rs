//! Who is asked to go next.
//!
//! A pod is sent when its node's turn has come, nothing of a lower priority is left before it, a request slot is free,
//! and its budget has room. What it must not do stands in one place, [`State::gate`].

use upkeep::report::ObjRef;

use super::{
    Asked, OnBlocked, State,
    event::{At, Command, Note, Verb},
    nodes::Phase,
    pods::{Key, Standing},
};
use crate::{
    facts::{Pod, Uid},
    preflight::pdb,
};

/// How long a pod may be accepted and yet not terminate before a person is told, in milliseconds.
const ACCEPTED_PATIENCE: i64 = 5_000;

/// How long it may take to see that a pod has ended, in milliseconds.
const CONFIRMATION: i64 = 1_000;

/// Whether the server would let a pod go, as far as can be known here.
pub(super) enum Gate {
    /// Nothing stands against it. With a budget: it counts against that one.
    Open(Option<Uid>),
    /// Its budget has room, but the server is busy with others until then.
    Busy(At),
    /// This budget has no room.
    Shut(Uid),
    /// More than one budget matches; the server refuses to choose (500).
    Overlap(Vec<Uid>),
}

impl State {
    pub(super) fn gate(&self, pod: &Pod) -> Gate {
        if self.settings.verb == Verb::Delete || pod.ignores_budgets() || !self.ledgers.known {
            return Gate::Open(None);
        }
        let mut budgets = self.ledgers.matching(pod);
        if budgets.len() > 1 {
            return Gate::Overlap(budgets);
        }
        let Some(uid) = budgets.pop() else {
            return Gate::Open(None);
        };
        let Some(ledger) = self.ledgers.get(&uid) else {
            return Gate::Open(None);
        };
        if !pdb::needs_consent(pod, &ledger.budget) {
            return Gate::Open(None);
        }
        if ledger.room() == 0 || self.now < ledger.not_before {
            return Gate::Shut(uid);
        }
        match ledger.busy_until(self.now) {
            Some(until) => Gate::Busy(until),
            None => Gate::Open(Some(uid)),
        }
    }

    /// Sends whatever may be sent now.
    pub(super) fn pump(&mut self) {
        self.mention_unstarted_terminations();
        self.mention_finalizers();
        if self.now < self.paused_until {
            self.wake_at(self.paused_until);
            return;
        }
        // The next answer comes back here, so nothing is looked through before it.
        if self.in_flight >= self.settings.in_flight {
            return;
        }
        for index in 0..self.nodes.len() {
            if self.nodes[index].phase != Phase::Draining || !self.may_force(index) {
                continue;
            }
            let name = self.nodes[index].target.name.clone();
            // Nothing runs on a machine that is off, so nothing there is better ended before the rest.
            let ordered = self.settings.by_priority && !self.is_off(&name);
            let tier = ordered.then(|| self.pods.lowest_priority(&name)).flatten();
            for key in self.candidates(&name, tier) {
                if self.in_flight >= self.settings.in_flight {
                    return;
                }
                self.consider(&key);
            }
        }
    }

    /// Pods of a node that are to be asked next; wakes the run for those whose time has not come.
    fn candidates(&mut self, node: &str, tier: Option<i32>) -> Vec<Key> {
        let mut due = Vec::new();
        let mut later: Option<At> = None;
        for (key, entry) in self.pods.of(node) {
            if tier.is_some_and(|t| entry.pod.priority > t) {
                continue;
            }
            if entry.standing.sendable(self.now) {
                due.push((entry.pod.ready, key.clone()));
            } else if let Standing::Waiting { until } = entry.standing {
                later = Some(later.map_or(until, |l| l.min(until)));
            }
        }
        if let Some(at) = later {
            self.wake_at(at);
        }
        // Pods that are not Ready go first: they cost no budget, and only as long as it is healthy.
        due.sort_by_key(|(ready, _)| *ready);
        due.into_iter().map(|(_, key)| key).collect()
    }

    fn consider(&mut self, key: &Key) {
        // A pod that was considered before may have taken this one along.
        let now = self.now;
        let Some(entry) = self.pods.entries.get(key).filter(|e| e.standing.sendable(now)) else {
            return;
        };
        if self.is_off(&entry.node) {
            self.force(key);
            return;
        }
        // One that waits for its surge must not use the room that the surge of another makes in the same budget.
        if !entry.pod.ignores_budgets() && self.surges(key) {
            return;
        }
        let Some(entry) = self.pods.entries.get(key) else {
            return;
        };
        match self.gate(&entry.pod) {
            Gate::Open(budget) => self.send(key, self.settings.verb, budget, None),
            Gate::Busy(until) => self.wake_at(until),
            Gate::Shut(budget) => {
                if let Some(grace) = self.deletion_due(key, Some(&budget)) {
                    self.send(key, Verb::Delete, None, grace);
                } else if self.probe_due(&budget) {
                    self.send(key, Verb::Evict, Some(budget), None);
                } else {
                    self.withhold(key, &budget);
                }
            }
            Gate::Overlap(budgets) => {
                if let Some(grace) = self.deletion_due(key, None) {
                    self.send(key, Verb::Delete, None, grace);
                } else {
                    self.overlapping(key, &budgets);
                }
            }
        }
    }

    /// Whether one pod is sent to a budget that seems shut: news may be late, and then nobody would ever ask again.
    fn probe_due(&mut self, budget: &str) -> bool {
        let Some(ledger) = self.ledgers.get_mut(budget) else {
            return false;
        };
        if !ledger.flying.is_empty() || self.now < ledger.not_before {
            return false;
        }
        match ledger.probe_at {
            Some(at) if at <= self.now => {
                ledger.probe_at = None;
                true
            }
            Some(_) => false,
            None => {
                let at = self.dice.backoff(self.now, 1_000, ledger.misses);
                ledger.misses = ledger.misses.saturating_add(1);
                ledger.probe_at = Some(at);
                false
            }
        }
    }

    pub(super) fn send(&mut self, key: &Key, verb: Verb, budget: Option<Uid>, grace: Option<i64>) {
        let call = self.call(Asked::Move {
            key: key.clone(),
            verb,
            budget: budget.clone(),
        });
        let Some(entry) = self.pods.entries.get_mut(key) else {
            return;
        };
        entry.standing = Standing::InFlight { call };
        let repeated = entry.verb.replace(verb) == Some(verb);
        let pod = entry.pod.reference();
        let save = self.settings.rules.to_save(&entry.pod);
        if let Some(ledger) = budget.as_deref().and_then(|uid| self.ledgers.get_mut(uid)) {
            ledger.flying.insert(call, self.now);
            ledger.healthy_before.get_or_insert(ledger.budget.current);
        }
        // A replacement that tolerates the cordon may be back before the answer is here.
        self.pods.note_moved(key);
        self.in_flight += 1;
        self.evicting_started = true;
        // kubectl says nothing before a deletion that was asked for; here a budget was asked before.
        if !repeated && (verb == Verb::Evict || self.settings.verb == Verb::Evict) {
            self.tell(Note::Going { pod: pod.clone(), verb });
        }
        let grace = grace.or(self.settings.grace);
        self.out.push(match verb {
            Verb::Evict | Verb::Surge => Command::Evict { call, pod, save },
            Verb::Delete => Command::Delete { call, pod, grace, save },
        });
    }

    /// With `--on-blocked=delete-after`: whether the time to ask no budget any more has come, and with how much grace.
    /// A run with a deadline deletes early enough for the pod to have its full grace, and never with none at all
    /// (a grace of 0 would give up that at most one of the pod runs).
    fn deletion_due(&mut self, key: &Key, budget: Option<&str>) -> Option<Option<i64>> {
        let OnBlocked::DeleteAfter(patience) = self.settings.on_blocked else {
            return None;
        };
        let entry = self.pods.entries.get(key)?;
        let since = entry.blocked.as_ref()?.since;
        let progress = budget
            .and_then(|b| self.ledgers.get(b))
            .and_then(|l| l.accepted_at)
            .unwrap_or(At::MIN);
        let own_grace = self.settings.grace.unwrap_or(entry.pod.grace);
        let patient_until = since.max(progress).saturating_add(patience);
        let takes = own_grace.saturating_mul(1_000).saturating_add(CONFIRMATION);
        // However long the grace, the budget has half of the run's time to let the pod go by itself.
        let latest = self.settings.deadline.map(|deadline| {
            let half = deadline.saturating_sub(self.started) / 2;
            deadline.saturating_sub(takes.min(half))
        });
        let due = latest.map_or(patient_until, |l| l.min(patient_until));
        if self.now < due {
            self.wake_at(due);
            return None;
        }
        let left = self.settings.deadline.map(|d| (d - self.now) / 1_000);
        Some(left.filter(|left| *left < own_grace).map(|left| left.max(1)))
    }

    /// An admission webhook may accept an eviction and make a dry run of it; then nothing ever happens, or something
    /// else deletes the pod later.
    fn mention_unstarted_terminations(&mut self) {
        if self.now < self.doubts_due {
            self.wake_at(self.doubts_due);
            return;
        }
        let mut notes = Vec::new();
        let mut doubted = Vec::new();
        // What is accepted from now on is due later than all that is looked at here.
        let mut next = self.now.saturating_add(ACCEPTED_PATIENCE);
        for entry in self.pods.entries.values_mut() {
            let Standing::Terminating { since } = entry.standing else {
                continue;
            };
            if entry.pod.deletion.is_some() || entry.told.is_some() {
                continue;
            }
            let due = since.saturating_add(ACCEPTED_PATIENCE);
            if self.now >= due && entry.doubted.is_none() {
                // The watch may be what does not work: a fresh list tells.
                entry.doubted = Some(self.epoch);
                doubted.push(entry.node.clone());
            } else if self.now >= due {
                if !entry.confirmed {
                    continue;
                }
                let text = "accepted, but not terminating yet: an admission webhook may hold it back";
                entry.told = Some(text.into());
                notes.push(Note::Trouble {
                    pod: entry.pod.reference(),
                    text: text.into(),
                });
            } else {
                next = next.min(due);
            }
        }
        self.doubts_due = next;
        self.wake_at(next);
        doubted.iter().for_each(|node| self.want_list(node));
        self.out.extend(notes.into_iter().map(Command::Tell));
    }

    pub(super) fn budget_reference(&self, uid: &str) -> Option<ObjRef> {
        self.ledgers.get(uid).map(|l| l.budget.reference())
    }
}
