//! Budgets that let nothing through: who holds them, what to say about it, and when to give up.

use std::collections::BTreeSet;

use super::{
    OnBlocked, State,
    event::{Command, Note},
    pods::Key,
};
use crate::{
    facts::{Pod, Uid},
    preflight::pdb::{self, Class},
};

/// How often the pods of a shut budget are listed anew, in milliseconds.
const INSPECT_EVERY: i64 = 10_000;

impl State {
    /// A pod waits for its budget. Finds out who holds the budget, and gives up where that was asked for.
    pub(super) fn withhold(&mut self, key: &Key, uid: &str) {
        let now = self.now;
        let Some(ledger) = self.ledgers.get_mut(uid) else {
            return;
        };
        let probe = ledger.probe_at;
        let not_before = ledger.not_before;
        let since = *ledger.shut_since.get_or_insert(now);
        let recovering = ledger.recovering();
        let stale = ledger
            .inspected
            .is_none_or(|at| now.saturating_sub(at) >= INSPECT_EVERY);
        let in_flight = !ledger.flying.is_empty();
        if stale && !in_flight {
            ledger.inspected = Some(now);
            let namespace = ledger.budget.namespace.clone();
            self.out.push(Command::Inspect {
                namespace,
                budget: uid.to_owned(),
            });
        }
        self.wake_at(since.saturating_add(INSPECT_EVERY));
        self.wake_at(not_before);
        if let Some(at) = probe {
            self.wake_at(at);
        }
        let Some(ledger) = self.ledgers.get(uid) else { return };
        let text = format!(
            "has {}, needs {}: budget {}",
            ledger.budget.current, ledger.budget.desired, ledger.budget.name
        );
        let class = ledger.class.clone();
        self.mark_blocked(key, Some(uid.to_owned()), text);
        if in_flight {
            return;
        }
        let name = self.ledgers.get(uid).map(|l| l.budget.name.clone()).unwrap_or_default();
        match (&class, self.settings.on_blocked) {
            (Some(Class::Never { why }), OnBlocked::Patient | OnBlocked::Fail) => {
                let surge = self.surge_words(key, uid);
                self.hold(key, format!("budget {name} can never allow its eviction: {why}{surge}"));
            }
            (Some(Class::Shut { .. } | Class::Stale), OnBlocked::Fail) if !recovering => {
                let text = self.ledgers.get(uid).map(|l| l.budget.needs_has()).unwrap_or_default();
                self.hold(key, format!("budget {name} does not allow its eviction now: it {text}"));
            }
            // Between two waves of our own it is shut as a matter of course; only when that lasts is it worth a word.
            (Some(Class::Shut { .. }), _) if recovering && now.saturating_sub(since) < INSPECT_EVERY => {}
            (Some(class), _) => {
                let text = self.sentence(uid, class);
                self.say_blocked(key, Some(uid), &text);
            }
            (None, _) => {}
        }
    }

    /// What is to be said about a surge of a pod whose budget never lets it go.
    fn surge_words(&self, key: &Key, uid: &str) -> &'static str {
        let entry = self.pods.entries.get(key);
        let owner = entry.and_then(|e| e.pod.owner.as_ref());
        if self.surge_failed(key) {
            return "; its surge was given up";
        }
        if owner.is_none_or(|o| o.kind != "ReplicaSet") {
            return "";
        }
        // Beforehand it looked as if the budget could recover, so none was planned.
        if self.ledgers.get(uid).is_some_and(|l| pdb::is_hopeless(&l.budget)) {
            "; run again with --surge=force to let its Deployment run more pods for a while"
        } else {
            "; run again with --surge to let its Deployment run more pods for a while"
        }
    }

    /// The pods of a shut budget, freshly listed.
    pub(super) fn inspected(&mut self, uid: &str, pods: Option<Vec<Pod>>) {
        let waiting = self
            .pods
            .entries
            .values()
            .filter(|e| e.blocked.as_ref().is_some_and(|b| b.budget.as_deref() == Some(uid)));
        let needed = waiting.count();
        let Some(ledger) = self.ledgers.get_mut(uid) else {
            return;
        };
        ledger.class = Some(match pods {
            Some(pods) => pdb::outlook(&ledger.budget, pods.iter(), needed.max(1), ledger.baseline).class,
            None => Class::Shut { holders: Vec::new() },
        });
    }

    /// More than one budget matches the pod: the eviction API never lets it go.
    pub(super) fn overlapping(&mut self, key: &Key, budgets: &[Uid]) {
        let names: BTreeSet<String> = budgets
            .iter()
            .filter_map(|b| self.budget_reference(b))
            .map(|r| r.name)
            .collect();
        let names = names.into_iter().collect::<Vec<_>>().join(" and ");
        let text = format!("more than one budget matches it ({names}), which the eviction API does not support");
        self.mark_blocked(key, None, text.clone());
        match self.settings.on_blocked {
            OnBlocked::Patient | OnBlocked::Fail => self.hold(key, text),
            OnBlocked::Wait | OnBlocked::DeleteAfter(_) => {
                self.say_blocked(key, None, &text);
                // A change of the budgets is an event; this is only so that the pod is looked at again at all.
                self.wake_at(self.now.saturating_add(INSPECT_EVERY));
            }
        }
    }

    fn sentence(&self, uid: &str, class: &Class) -> String {
        let Some(ledger) = self.ledgers.get(uid) else {
            return String::new();
        };
        let facts = ledger.budget.needs_has();
        match class {
            Class::Never { why } => format!("it {facts}; it can never allow an eviction: {why}"),
            Class::Stale => "the disruption controller has not looked at its latest change yet".into(),
            Class::Shut { holders } if holders.is_empty() => match ledger.budget.disrupted.first() {
                // The server has counted an eviction and was then cut off: the pod stays, and is not asked for.
                Some(pod) => format!(
                    "it {facts}; it counts {pod} as gone for up to two minutes, because an eviction of it was accepted and \
                     not carried out"
                ),
                None => format!("it {facts}"),
            },
            Class::Shut { holders } => {
                let shown: Vec<String> = holders.iter().take(3).map(|h| h.name.clone()).collect();
                let more = holders.len().saturating_sub(shown.len());
                let more = if more > 0 {
                    format!(" and {more} more")
                } else {
                    String::new()
                };
                format!("it {facts}; not Ready: {}{more}", shown.join(", "))
            }
            Class::Open | Class::Waves { .. } => format!("it {facts}"),
        }
    }

    /// Says once per state of a budget (or per pod, where no budget is known) what is waited for.
    pub(super) fn say_blocked(&mut self, key: &Key, uid: Option<&str>, text: &str) {
        let Some(entry) = self.pods.entries.get_mut(key) else {
            return;
        };
        let pod = entry.pod.reference();
        if let Some(blocked) = &mut entry.blocked
            && uid.is_none()
        {
            blocked.text = text.to_owned();
        }
        let told = match uid.and_then(|u| self.ledgers.get_mut(u)) {
            Some(ledger) => &mut ledger.told,
            None => &mut entry.told,
        };
        if told.as_deref() == Some(text) {
            return;
        }
        *told = Some(text.to_owned());
        let budget = uid.and_then(|u| self.budget_reference(u));
        self.tell(Note::Blocked {
            budget,
            pod,
            text: text.to_owned(),
        });
    }
}
