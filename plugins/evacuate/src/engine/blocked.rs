//! Budgets that let nothing through: who holds them, what to say about it, and when to give up.

use std::collections::BTreeSet;

use super::{
    OnBlocked, State,
    event::{At, Command, Note},
    pods::{Key, Standing},
};
use crate::{
    facts::{Budget, Pod, Uid, Workloads},
    preflight::{
        operators::Operator,
        pdb::{self, Class},
    },
};

/// How often the pods of a shut budget are listed again, in milliseconds.
const INSPECT_EVERY: i64 = 10_000;
/// After so many milliseconds without progress the run says how long it has waited, again after twice as many, and so on.
const REMIND_AFTER: i64 = 20_000;

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
            self.out.push(Command::Inspect {
                namespace: ledger.budget.namespace.clone(),
                budget: uid.to_owned(),
                controllers: ledger.reads_controllers,
            });
        }
        self.wake_at(since.saturating_add(INSPECT_EVERY));
        self.wake_at(not_before);
        if let Some(at) = probe {
            self.wake_at(at);
        }
        let Some(ledger) = self.ledgers.get(uid) else { return };
        let text = blocked_by(&ledger.budget);
        let class = ledger.class.clone();
        self.mark_blocked(key, Some(uid.to_owned()), text);
        if in_flight {
            return;
        }
        let name = self.ledgers.get(uid).map(|l| l.budget.name.clone()).unwrap_or_default();
        match (&class, self.settings.on_blocked) {
            (Some(Class::Never { why, .. }), OnBlocked::Patient | OnBlocked::Fail) => {
                let surge = self.surge_words(key, uid);
                self.hold(key, format!("budget {name} can never allow its eviction: {why}{surge}"));
            }
            (Some(Class::Managed { why, .. }), OnBlocked::Fail) => {
                self.hold(key, format!("budget {name} does not allow its eviction now: {why}"));
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
                self.remind(key, Some(uid), since, text);
            }
            (None, _) => {}
        }
    }

    /// Says how long nothing has passed, with growing spacing.
    fn remind(&mut self, key: &Key, uid: Option<&str>, since: At, text: String) {
        let budget = uid.and_then(|u| self.budget_reference(u));
        let Some(entry) = self.pods.entries.get_mut(key) else {
            return;
        };
        let pod = entry.pod.reference();
        let reminders = match uid.and_then(|u| self.ledgers.get_mut(u)) {
            Some(ledger) => &mut ledger.reminders,
            None => &mut entry.reminders,
        };
        let due = since.saturating_add(REMIND_AFTER << (*reminders).min(20));
        if self.now < due {
            self.wake_at(due);
            return;
        }
        *reminders = reminders.saturating_add(1);
        self.tell(Note::StillBlocked {
            budget,
            pod,
            lasting: self.now.saturating_sub(since),
            text,
        });
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

    /// The pods of a shut budget, freshly listed, and their controllers where these were asked for.
    pub(super) fn inspected(&mut self, uid: &str, found: Option<(Vec<Pod>, Option<Workloads>)>) {
        let waiting = self
            .pods
            .entries
            .values()
            .filter(|e| e.blocked.as_ref().is_some_and(|b| b.budget.as_deref() == Some(uid)));
        let needed = waiting.count();
        let Some(ledger) = self.ledgers.get_mut(uid) else {
            return;
        };
        let nothing_known = Class::Shut {
            holders: Vec::new(),
            short: Vec::new(),
        };
        let Some((pods, controllers)) = found else {
            ledger.class = Some(nothing_known);
            return;
        };
        let known = controllers.as_ref();
        let outlook = pdb::outlook(&ledger.budget, pods.iter(), needed.max(1), ledger.baseline, known);
        // What the controllers want decides whether it is "never", and tells what is missing.
        let is_vague = outlook.class == nothing_known || matches!(outlook.class, Class::Never { .. });
        if is_vague && known.is_none() {
            ledger.reads_controllers = true;
            self.out.push(Command::Inspect {
                namespace: ledger.budget.namespace.clone(),
                budget: uid.to_owned(),
                controllers: true,
            });
            return;
        }
        ledger.class = Some(outlook.class);
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
        if self.gives_up_overlap(key, budgets) {
            self.hold(key, text);
            return;
        }
        self.say_blocked(key, None, &text);
        // A change of the budgets is an event; this is only so that the pod is considered again at all.
        self.wake_at(self.now.saturating_add(INSPECT_EVERY));
        let since = self.pods.entries.get(key).and_then(|e| e.blocked.as_ref());
        if let Some(since) = since.map(|blocked| blocked.since) {
            self.remind(key, None, since, text);
        }
    }

    /// Whether nobody but the user ends it that more than one budget matches a pod. Operators replace one budget by another,
    /// and for a moment both are there.
    pub(super) fn gives_up_overlap(&self, key: &Key, budgets: &[Uid]) -> bool {
        let known = Some(&self.workloads);
        let of_pod = |pod: &Pod| Operator::of_pod(pod, known).is_some();
        let managed = self.pods.entries.get(key).is_some_and(|entry| {
            let all = self.ledgers.matching(&entry.pod);
            let ledgers = budgets.iter().chain(&all).filter_map(|uid| self.ledgers.get(uid));
            let mut of_budgets = ledgers.map(|ledger| Operator::of_budget(&ledger.budget, known));
            of_pod(&entry.pod) || of_budgets.any(|operator| operator.is_some())
        });
        match self.settings.on_blocked {
            OnBlocked::Patient => !managed,
            OnBlocked::Fail => true,
            OnBlocked::Wait | OnBlocked::DeleteAfter(_) => false,
        }
    }

    /// A budget is new or has changed.
    pub(super) fn budget_news(&mut self, budget: &Budget) {
        let known = self.ledgers.get(&budget.uid);
        if known.is_none_or(|ledger| !ledger.exists || !ledger.budget.counts_as(budget)) {
            self.ask_now(&budget.namespace);
        }
    }

    /// Which budgets have a say, or how they count, has changed: pods that were to be asked later are asked now.
    pub(super) fn ask_now(&mut self, namespace: &str) {
        let waiting = self.pods.entries.values_mut().filter(|e| e.blocked.is_some());
        for entry in waiting.filter(|e| e.pod.namespace == namespace) {
            if matches!(entry.standing, Standing::Waiting { .. }) {
                entry.standing = Standing::Planned;
            }
        }
    }

    fn sentence(&self, uid: &str, class: &Class) -> String {
        let Some(ledger) = self.ledgers.get(uid) else {
            return String::new();
        };
        let facts = ledger.budget.needs_has();
        match class {
            Class::Never { why, .. } => format!("it {facts}; it can never allow an eviction: {why}"),
            Class::Managed { operator, why, .. } => {
                format!("it {facts}; {why}; waiting for the operator of {operator}")
            }
            Class::Stale => "the disruption controller has not looked at its latest change yet".into(),
            Class::Shut { holders, short } if holders.is_empty() && short.is_empty() => {
                match ledger.budget.disrupted.first() {
                    // The server has counted an eviction and was then cut off: the pod stays, and is not asked for.
                    Some(pod) => format!(
                        "it {facts}; it counts {pod} as gone for up to two minutes, because an eviction of it was accepted and \
                         not carried out"
                    ),
                    None => format!("it {facts}"),
                }
            }
            Class::Shut { holders, short } => format!("it {facts}{}", pdb::held(holders, short)),
            Class::Open | Class::Waves { .. } => format!("it {facts}"),
        }
    }

    /// Whether a person was told a moment ago, before the run, that this never changes by itself. Only the first time counts.
    fn was_said_before(&mut self, key: &Key, uid: Option<&str>) -> bool {
        match uid {
            Some(uid) => {
                let class = self.ledgers.get(uid).and_then(|ledger| ledger.class.as_ref());
                matches!(class, Some(Class::Never { .. })) && self.warned.remove(uid)
            }
            None => self.warned.remove(&key.2),
        }
    }

    /// Says once per state of a budget (or per pod, where no budget is known) what is waited for.
    pub(super) fn say_blocked(&mut self, key: &Key, uid: Option<&str>, text: &str) {
        let said_before = self.was_said_before(key, uid);
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
        if said_before {
            return;
        }
        let budget = uid.and_then(|u| self.budget_reference(u));
        self.tell(Note::Blocked {
            budget,
            pod,
            text: text.to_owned(),
        });
    }
}

/// The reason in the table: `has 1, needs 2: budget web`.
fn blocked_by(budget: &Budget) -> String {
    let name = &budget.name;
    if budget.sync_failed.is_some() {
        return format!("budget {name} cannot be counted");
    }
    if budget.observed && budget.expected == 0 && budget.current > 0 {
        return format!("expects 0 pods: budget {name}");
    }
    format!("has {}, needs {}: budget {name}", budget.current, budget.desired)
}
