//! What an answer means for the pod that it is about.

use std::time::Duration;

use upkeep::ui::human_duration;

use super::{
    OnBlocked, State,
    event::{At, Call, Command, Note, Reply, Verb},
    pods::{Blocked, Key, Standing},
};
use crate::facts::Uid;

/// A Forbidden that follows a failure of the control plane within this time is not taken for missing rights.
const FAILURE_MEMORY: i64 = 30_000;

impl Reply {
    /// The server's words.
    pub fn text(&self) -> String {
        match self {
            Self::Accepted => "accepted".into(),
            Self::NotFound => "it does not exist".into(),
            Self::Throttled { .. } => "the API server sheds load (429)".into(),
            Self::NamespaceTerminating => "its namespace is being terminated".into(),
            Self::OverBudget { message, .. } => message.clone(),
            Self::Conflict(text)
            | Self::Overlap(text)
            | Self::Contended(text)
            | Self::Denied(text)
            | Self::Forbidden(text)
            | Self::Rejected(text)
            | Self::Underway(text)
            | Self::Unavailable(text)
            | Self::Lost(text) => text.clone(),
        }
    }
}

impl State {
    pub(super) fn move_answered(&mut self, call: Call, key: &Key, verb: Verb, budget: Option<Uid>, reply: Reply) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(ledger) = budget.as_deref().and_then(|b| self.ledgers.get_mut(b)) {
            if matches!(reply, Reply::Accepted | Reply::OverBudget { .. }) {
                ledger.decided(call);
            }
            ledger.flying.remove(&call);
            if reply == Reply::Accepted {
                ledger.budget.allowed = (ledger.budget.allowed - 1).max(0);
                ledger.accepted_at = Some(self.now);
                ledger.shut_since = None;
                ledger.reminders = 0;
                ledger.misses = 0;
            }
        }
        if !self.pods.entries.contains_key(key) {
            // The watch was faster than the answer.
            return;
        }
        if self.overrules(key, verb, &reply) {
            return;
        }
        match reply {
            Reply::Accepted => self.accepted(key),
            Reply::NotFound => self.was_gone(key),
            Reply::Conflict(text) if names_uid(&text) => self.was_gone(key),
            Reply::Conflict(text) | Reply::Lost(text) | Reply::Unavailable(text) => self.unknown(key, &text),
            Reply::OverBudget { message, retry_after } => self.over_budget(key, budget, message, retry_after),
            Reply::Throttled { retry_after } => self.throttled(key, retry_after),
            Reply::Overlap(text) if self.gives_up_overlap(key, &[]) => self.hold(key, text),
            Reply::Overlap(text) => {
                self.mark_blocked(key, None, text.clone());
                self.try_later(key, 1_000, Some(text));
            }
            Reply::NamespaceTerminating => {
                let deleted = self.pods.entries.get(key).is_some_and(|e| e.pod.deletion.is_some());
                if deleted {
                    self.set(key, Standing::Terminating { since: self.now });
                } else {
                    self.try_later(
                        key,
                        1_000,
                        Some("its namespace is being terminated; waiting for its deletion".into()),
                    );
                }
            }
            Reply::Contended(_) => self.try_later(key, 500, None),
            Reply::Denied(text) => self.try_later(key, 1_000, Some(text)),
            Reply::Forbidden(text) if self.lately_failing() => self.try_later(key, 1_000, Some(text)),
            Reply::Forbidden(text) | Reply::Rejected(text) | Reply::Underway(text) => {
                let done = if verb == Verb::Evict { "evict" } else { "delete" };
                self.hold(key, format!("cannot {done} it: {text}"));
            }
        }
    }

    /// It had gone before it was asked to.
    fn was_gone(&mut self, key: &Key) {
        self.set(key, Standing::Planned);
        self.depart(key);
    }

    fn accepted(&mut self, key: &Key) {
        let now = self.now;
        if let Some(entry) = self.pods.entries.get_mut(key) {
            entry.standing = Standing::Terminating { since: now };
            entry.accepted = true;
            entry.tries = 0;
            entry.blocked = None;
            entry.told = None;
        }
    }

    /// Whether it took effect is not known: a fresh list tells, before anything is sent again.
    fn unknown(&mut self, key: &Key, text: &str) {
        self.back_off();
        let Some(entry) = self.pods.entries.get_mut(key) else {
            return;
        };
        if entry.pod.deletion.is_some() && !entry.forced {
            entry.standing = Standing::Terminating { since: self.now };
            entry.accepted = true;
            return;
        }
        entry.standing = Standing::Unknown;
        entry.tries = entry.tries.saturating_add(1);
        entry.told = Some(text.to_owned());
        let often = self.failures == 3 || entry.tries == 3;
        // The list must be asked for after this answer.
        entry.epoch = self.epoch;
        let node = entry.node.clone();
        self.want_list(&node);
        if often {
            self.complain(text);
        }
    }

    /// Says that the server does not answer well, but not all the time.
    pub(super) fn complain(&mut self, text: &str) {
        let lately = self
            .complained
            .is_some_and(|at| self.now.saturating_sub(at) < FAILURE_MEMORY);
        if !lately {
            self.complained = Some(self.now);
            self.tell(Note::Warning(format!(
                "the API server does not answer well and is asked again: {text}"
            )));
        }
    }

    fn over_budget(&mut self, key: &Key, budget: Option<Uid>, message: String, retry_after: Option<u64>) {
        let wait = retry_after
            .filter(|s| *s > 0)
            .map(|s| i64::try_from(s).unwrap_or(10).saturating_mul(1_000));
        let not_before = wait.map_or(At::MIN, |w| self.now.saturating_add(w));
        let text = match retry_after.filter(|s| *s > 0) {
            Some(seconds) => format!(
                "{message} (the server asks to wait {})",
                human_duration(Duration::from_secs(seconds))
            ),
            None => message,
        };
        let Some(uid) = budget else {
            // Its budget cannot be seen from here; the server's words are all there is.
            self.mark_blocked(key, None, text.clone());
            match self.settings.on_blocked {
                OnBlocked::Fail => self.hold(key, text),
                _ => {
                    self.say_blocked(key, None, &text);
                    self.try_later(key, 1_000, None);
                    if let Some(entry) = self.pods.entries.get_mut(key)
                        && let Standing::Waiting { until } = &mut entry.standing
                    {
                        *until = (*until).max(not_before);
                    }
                }
            }
            return;
        };
        if let Some(ledger) = self.ledgers.get_mut(&uid) {
            // The server knows better than the watch.
            ledger.budget.allowed = 0;
            ledger.not_before = ledger.not_before.max(not_before);
        }
        self.set(key, Standing::Planned);
        if not_before > self.now {
            self.say_blocked(key, Some(&uid), &text);
            self.wake_at(not_before);
        }
    }

    fn throttled(&mut self, key: &Key, retry_after: Option<u64>) {
        let seconds = i64::try_from(retry_after.unwrap_or(1).clamp(1, 60)).unwrap_or(1);
        let until = self.dice.backoff(self.now, 250, 0).saturating_add(seconds * 1_000);
        if until > self.paused_until.saturating_add(1_000) {
            self.tell(Note::Warning(format!(
                "the API server sheds load (429) and asks to wait {seconds}s"
            )));
        }
        self.last_failure = Some(self.now);
        self.paused_until = self.paused_until.max(until);
        self.set(key, Standing::Planned);
    }

    /// Tries again after a delay that doubles; says why, once per reason.
    pub(super) fn try_later(&mut self, key: &Key, first: i64, text: Option<String>) {
        let now = self.now;
        let Some(entry) = self.pods.entries.get_mut(key) else {
            return;
        };
        let until = self.dice.backoff(now, first, entry.tries);
        entry.tries = entry.tries.saturating_add(1);
        entry.standing = Standing::Waiting { until };
        if let Some(text) = text.filter(|t| entry.told.as_ref() != Some(t)) {
            entry.told = Some(text.clone());
            let pod = entry.pod.reference();
            self.tell(Note::Trouble { pod, text });
        }
    }

    /// This run cannot move the pod.
    pub(super) fn hold(&mut self, key: &Key, why: String) {
        let Some(entry) = self.pods.entries.get_mut(key) else {
            return;
        };
        entry.standing = Standing::Held { why: why.clone() };
        let pod = entry.pod.reference();
        self.out.push(Command::Tell(Note::Failed { pod, text: why }));
    }

    pub(super) fn set(&mut self, key: &Key, standing: Standing) {
        if let Some(entry) = self.pods.entries.get_mut(key) {
            entry.standing = standing;
        }
    }

    pub(super) fn mark_blocked(&mut self, key: &Key, budget: Option<Uid>, text: String) {
        let now = self.now;
        if let Some(entry) = self.pods.entries.get_mut(key) {
            let since = entry.blocked.as_ref().map_or(now, |b| b.since);
            entry.blocked = Some(Blocked { since, budget, text });
        }
    }

    pub(super) fn lately_failing(&self) -> bool {
        self.last_failure
            .is_some_and(|at| self.now.saturating_sub(at) < FAILURE_MEMORY)
    }
}

/// The server's 409 for a UID precondition that does not hold: the name belongs to another pod now.
fn names_uid(text: &str) -> bool {
    text.contains("UID in precondition") || text.contains("uid mismatch")
}
