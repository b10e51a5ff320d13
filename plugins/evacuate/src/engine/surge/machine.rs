//! One surge: a Deployment runs more pods for a while, so that those on the nodes can go without fewer than before being
//! Ready. No pod is evicted: a ReplicaSet does not count Terminating pods and would start one more for each. Instead the
//! pods that are to go are marked as the ones to be deleted first, and the Deployment is scaled back.
//!
//! What comes next is decided only from what a fresh look shows, so that a second run after a crash takes the same way.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    changes::FORGET,
    record::{Record, Stage, Written},
    sight::{Act, Member, Sight},
};
use crate::{
    engine::event::{At, Reply},
    facts::Uid,
};

/// What a surge is to do.
#[derive(Debug, Clone, Default)]
pub struct Intent {
    /// This run.
    pub run: String,
    /// The pods that are to go.
    pub old: BTreeSet<Uid>,
    /// The nodes that are emptied.
    pub nodes: BTreeSet<String>,
    /// Go on although the budget stays shut.
    pub force: bool,
    /// The run whose unfinished surge is continued, where it is known to be dead.
    pub takes_over: Option<String>,
}

/// What comes next.
pub type Next = crate::engine::next::Next<Act, End>;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The pods have been asked to go by the scale-back, or went by themselves.
    Moved,
    /// The Deployment is being deleted, and its pods with it.
    Gone,
    /// It was given up, and undone as far as possible.
    Stopped(String),
}

/// One surge under way.
#[derive(Debug)]
pub struct Machine {
    pub(super) intent: Intent,
    pub(super) ready: BTreeMap<Uid, At>,
    pub(super) marked: BTreeMap<Uid, At>,
    pub(super) consent: BTreeMap<Uid, At>,
    /// The last no to a dry run.
    pub(super) refusal: Option<String>,
    /// While it is undone: since when none of the pods that were to go would be among the first to go.
    pub(super) safe_since: Option<At>,
    /// Since when it has its own number again and its controller knows, and its pods have not.
    pub(super) back_since: Option<At>,
    /// Since when it has its own number again, and its controller has not looked at that.
    pub(super) unheard_since: Option<At>,
    /// Since when it waits for new pods.
    pub(super) waiting_since: Option<At>,
    /// Its living pods, as last seen.
    living: BTreeSet<Uid>,
    /// Its namespace is being deleted.
    terminating: bool,
    /// The Deployment was seen at its target.
    pub(super) reached: bool,
    /// The Deployment was scaled back; if it has more pods again, somebody else wants that.
    pub(super) scaled_back: bool,
    /// The record as this run has last seen its own.
    last: Option<Record>,
    pub(super) stop: Option<String>,
    pub(super) end: Option<End>,
    failures: u32,
    not_before: At,
    /// What the server will not let this run do, by kind of request.
    pub(super) denied: BTreeMap<&'static str, String>,
    /// What it waits for, for people.
    pub(super) waits_for: String,
}

/// The living pods of the Deployment: those that are to go, and the others.
pub(super) struct Crowd<'a> {
    pub old: Vec<&'a Member>,
    pub others: Vec<&'a Member>,
}

impl<'a> Crowd<'a> {
    pub fn new(sight: &'a Sight, going: &BTreeSet<Uid>) -> Self {
        let living = sight.pods.iter().filter(|p| !p.deleting);
        let (old, others) = living.partition(|p| going.contains(&p.uid));
        Self { old, others }
    }

    pub fn count(&self) -> usize {
        self.old.len() + self.others.len()
    }

    pub fn sets(&self) -> usize {
        let all = self.old.iter().chain(&self.others);
        all.map(|p| &p.set).collect::<BTreeSet<_>>().len()
    }

    pub fn all(&self) -> impl Iterator<Item = &'a Member> {
        self.old.iter().chain(&self.others).copied()
    }
}

impl Machine {
    /// One that has not begun.
    pub fn new(intent: Intent) -> Self {
        Self {
            intent,
            ready: BTreeMap::new(),
            marked: BTreeMap::new(),
            consent: BTreeMap::new(),
            refusal: None,
            safe_since: None,
            back_since: None,
            unheard_since: None,
            waiting_since: None,
            living: BTreeSet::new(),
            terminating: false,
            reached: false,
            scaled_back: false,
            last: None,
            stop: None,
            end: None,
            failures: 0,
            not_before: At::MIN,
            denied: BTreeMap::new(),
            waits_for: String::new(),
        }
    }

    /// Gives it up: what was done is undone, unless the pods are on their way already.
    pub fn stop(&mut self, why: &str) {
        self.stop.get_or_insert_with(|| why.to_owned());
    }

    /// Whether the pod was alive, and not on its way out, at the last look.
    pub fn lives(&self, uid: &str) -> bool {
        self.living.contains(uid)
    }

    /// The pods that are to go.
    pub fn old(&self) -> &BTreeSet<Uid> {
        &self.intent.old
    }

    /// Whether the server has refused something for good.
    pub fn is_denied(&self) -> bool {
        !self.denied.is_empty()
    }

    /// Whether its record was seen on the Deployment, and it has not come to its end since.
    pub fn is_begun(&self) -> bool {
        self.last.is_some() && self.end.is_none()
    }

    /// Whether it has changed anything, or would have to undo it: a record of it, or one that it has taken over.
    pub fn has_worked(&self) -> bool {
        self.last.is_some()
    }

    /// Whether it came as far as the scale-back: pods that are gone went that way, and otherwise by themselves.
    pub fn has_moved(&self) -> bool {
        self.last.as_ref().is_some_and(|record| record.stage == Stage::Back)
    }

    /// What it waits for, for people.
    pub fn waits_for(&self) -> &str {
        &self.waits_for
    }

    /// When the server may be asked again.
    pub fn asks_next(&self) -> Option<At> {
        Some(self.not_before).filter(|at| *at > At::MIN)
    }

    /// What comes next. `None`: the Deployment does not exist any more.
    pub fn next(&mut self, sight: Option<&Sight>, now: At) -> Next {
        let Some(sight) = sight else {
            return Next::Over(End::Gone);
        };
        self.remember(sight, now);
        if self.terminating {
            return Next::Over(End::Gone);
        }
        if now < self.not_before {
            return Next::Wait(self.not_before);
        }
        match &sight.record {
            Written::Unreadable => match self.last.clone() {
                // What was done is known here, and is undone.
                Some(record) => {
                    self.stop("its record was made unreadable by somebody else");
                    self.turn(sight, &record, Stage::Undo)
                }
                None => Next::Over(End::Stopped("the record of a surge on it cannot be read".into())),
            },
            Written::Nothing => self.unwritten(sight, now),
            Written::This(record) if record.run == self.intent.run => {
                self.last = Some(record.clone());
                self.reached |= sight.replicas == record.target;
                let crowd = Crowd::new(sight, &record.pods);
                match record.stage {
                    Stage::Out => self.out(sight, record, &crowd, now),
                    Stage::Back => self.back(sight, record, &crowd, now),
                    Stage::Undo => self.undo(sight, record, &crowd, now),
                }
            }
            Written::This(record) => self.foreign(sight, record, now),
        }
    }

    /// What was answered to a request.
    pub fn answered(&mut self, act: &Act, reply: &Reply, now: At) {
        match (act, reply) {
            (Act::Ask { pod }, Reply::Accepted) => drop(self.consent.insert(pod.uid.clone(), now)),
            (Act::Ask { pod }, Reply::OverBudget { .. }) if self.intent.force => {
                self.consent.insert(pod.uid.clone(), now);
            }
            (
                Act::Ask { pod },
                Reply::OverBudget { .. } | Reply::Denied(_) | Reply::Overlap(_) | Reply::Contended(_),
            ) => {
                self.waits_for = format!("the consent to move pod {}: {}", pod.name, reply.text());
                self.refusal = Some(self.waits_for.clone());
                self.not_before = now.saturating_add(1_000);
            }
            (Act::Scale { replicas, .. }, Reply::Accepted) => {
                self.scaled_back |= self.last.as_ref().is_some_and(|r| r.replicas == *replicas);
                self.failures = 0;
            }
            (_, Reply::Accepted) => self.failures = 0,
            (
                _,
                Reply::NotFound
                | Reply::Conflict(_)
                | Reply::Lost(_)
                | Reply::Unavailable(_)
                | Reply::Throttled { .. }
                | Reply::Contended(_),
            ) => {
                // Somebody else came first once in a while; what fails again and again is asked less and less often.
                if self.failures > 0 || !matches!(reply, Reply::Conflict(_) | Reply::NotFound) {
                    let delay = 250_i64 << self.failures.min(5);
                    self.not_before = now.saturating_add(delay);
                }
                self.failures = self.failures.saturating_add(1);
            }
            (_, Reply::NamespaceTerminating) => self.terminating = true,
            (act, reply) => {
                self.stop(&format!("it is not allowed to {}: {}", act.words(), reply.text()));
                self.denied.insert(act.words(), reply.text());
            }
        }
    }

    fn remember(&mut self, sight: &Sight, now: At) {
        let live = || sight.pods.iter().filter(|p| !p.deleting);
        let keep = |known: &mut BTreeMap<Uid, At>, wanted: &dyn Fn(&Member) -> bool| {
            let present: BTreeSet<Uid> = live().filter(|p| wanted(p)).map(|p| p.uid.clone()).collect();
            known.retain(|uid, _| present.contains(uid));
            for uid in present {
                known.entry(uid).or_insert(now);
            }
        };
        self.living = live().map(|p| p.uid.clone()).collect();
        keep(&mut self.ready, &|pod| pod.ready);
        keep(&mut self.marked, &|pod| pod.marked());
    }

    fn unwritten(&mut self, sight: &Sight, now: At) -> Next {
        // Without a record on the Deployment a copy means nothing, whoever has left it.
        if let Some(copy) = sight.copies.first().filter(|_| !self.denied.contains_key(FORGET)) {
            let replica_set = copy.clone();
            return Next::Do(Act::ForgetCopy { replica_set });
        }
        if let Some(end) = self.end.clone() {
            return Next::Over(end);
        }
        if let Some(record) = self.last.clone() {
            // Somebody has removed it. What was done is known here, and is undone.
            self.stop("its record was removed by somebody else");
            return self.turn(sight, &record, Stage::Undo);
        }
        let crowd = Crowd::new(sight, &self.intent.old);
        if crowd.old.is_empty() {
            return Next::Over(End::Moved);
        }
        if let Some(why) = &self.stop {
            return Next::Over(End::Stopped(why.clone()));
        }
        if let Some(why) = &sight.unsettled {
            let text = format!("it to settle: {why}");
            return self.wait(sight, now, text, At::MAX);
        }
        let extra = i32::try_from(crowd.old.len()).unwrap_or(i32::MAX);
        self.waiting_since = None;
        let record = Record {
            run: self.intent.run.clone(),
            stage: Stage::Out,
            replicas: sight.replicas,
            target: sight.replicas.saturating_add(extra),
            pods: crowd.old.iter().map(|p| p.uid.clone()).collect(),
            nodes: self.intent.nodes.clone(),
        };
        self.write(sight, record)
    }

    /// The record of another run: continued where that run is dead, waited for where it is not.
    fn foreign(&mut self, sight: &Sight, record: &Record, now: At) -> Next {
        if self.intent.takes_over.as_ref() != Some(&record.run) {
            let stopped = self.stop.clone().map(End::Stopped);
            return match self.end.clone().or(stopped) {
                Some(end) => Next::Over(end),
                None => self.wait(sight, now, "another run that moves pods of it".into(), At::MAX),
            };
        }
        let crowd = Crowd::new(sight, &record.pods);
        let raised = sight.autoscaler.as_ref().and_then(|a| a.raised.this()).is_some();
        if !crowd.all().any(|p| p.mark.this().is_some()) && !raised && sight.replicas != record.target {
            // A copy that a rollback has brought back, or a surge that had ended but for this.
            return Next::Do(Act::Write {
                version: sight.version.clone(),
                record: None,
            });
        }
        let ours = crowd.old.iter().all(|p| self.intent.old.contains(&p.uid));
        let stage = if ours { record.stage } else { Stage::Undo };
        if stage == Stage::Undo {
            // The pods are looked at anew after that.
            self.end = Some(End::Moved);
        }
        let record = Record {
            run: self.intent.run.clone(),
            stage,
            ..record.clone()
        };
        self.write(sight, record)
    }
}
