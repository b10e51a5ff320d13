//! Surges: the way of a Deployment's pods whose budget can never allow an eviction.
//!
//! [`machine`] is one surge by itself, [`steps`] its three stages, [`changes`] its requests; [`sight`] is what it looks
//! at and asks for, [`record`] what it leaves on objects. Here they meet the rest of the run: which pods are on their way
//! through a surge, and when it looks again; [`course`] is what comes back, and what becomes of the pods when it is over.

mod changes;
mod course;
pub mod machine;
pub mod record;
pub mod sight;
#[cfg(test)]
pub mod sim;
mod steps;

use std::collections::BTreeSet;

use upkeep::report::ObjRef;

use self::{
    machine::{Intent, Machine},
    sight::Act,
};
use super::{
    State,
    event::{At, Command, Note, Outcome, Verb},
    nodes::Phase,
    pods::{Key, Standing},
};
use crate::facts::Uid;

/// How many surges are under way at the same time.
const AT_ONCE: usize = 8;
/// What it takes to undo a surge: a run with a deadline begins so much earlier, in milliseconds.
const UNDO: At = 10_000;
/// And for each pod that moves: the new one goes, and the old one gets its deletion cost back, on a busy server as well.
const UNDO_POD: At = 150;
/// How often a surge begins anew because pods of its Deployment were still there after it.
const TRIES: u32 = 3;

/// A Deployment whose pods may be moved by a surge.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The Deployment.
    pub deployment: ObjRef,
    /// Its pods that are to go.
    pub pods: BTreeSet<Uid>,
    /// Go on although the budget stays shut.
    pub force: bool,
    /// An autoscaler scales it.
    pub autoscaled: bool,
    /// The run whose surge was left unfinished: it is continued whatever the budget says.
    pub unfinished: Option<String>,
}

/// One of them, in this run.
#[derive(Debug)]
pub struct Surge {
    plan: Planned,
    machine: Option<Machine>,
    /// A request is on its way.
    asked: bool,
    /// Something has changed since the last look was asked for.
    stirred: bool,
    looked: At,
    look_at: At,
    tries: u32,
    /// Why its pods are not moved this way any more.
    failed: Option<String>,
    /// There was no time for it.
    late: bool,
    /// It was given up, and could not be undone.
    left: bool,
    /// Its Deployment was deleted in the middle of it.
    orphaned: bool,
    told: String,
}

impl Surge {
    pub(super) fn new(plan: Planned) -> Self {
        Self {
            plan,
            machine: None,
            asked: false,
            stirred: false,
            looked: At::MIN,
            look_at: At::MIN,
            tries: 0,
            failed: None,
            late: false,
            left: false,
            orphaned: false,
            told: String::new(),
        }
    }

    pub(super) fn active(&self) -> bool {
        self.machine.is_some()
    }

    /// When it has to be undone to be over before the deadline.
    fn late_at(&self, deadline: Option<At>) -> Option<At> {
        let pods = At::try_from(self.plan.pods.len()).unwrap_or(At::MAX);
        let takes = UNDO.saturating_add(pods.saturating_mul(UNDO_POD));
        deadline.map(|at| at.saturating_sub(takes))
    }
}

impl State {
    /// A pod that cannot be evicted: whether a surge takes care of it.
    pub(super) fn surges(&mut self, key: &Key) -> bool {
        let Some(index) = self.surges.iter().position(|s| s.plan.pods.contains(&key.2)) else {
            return false;
        };
        let surge = &self.surges[index];
        if surge.orphaned {
            let text = format!(
                "{} was deleted in the middle of its surge, and its pods were not: their ReplicaSet may still run too many; \
                 scale it, remove the annotation {} from its pods, and run again",
                surge.plan.deployment,
                record::MARK
            );
            self.hold(key, text);
            return true;
        }
        if surge.failed.is_some() && !surge.late {
            return false;
        }
        if !surge.active() && !surge.late && self.ending.is_none() {
            if surge.tries >= TRIES {
                self.surges[index].failed = Some(format!("its pods were still there after {TRIES} surges"));
                return false;
            }
            if self.surges.iter().filter(|s| s.active()).count() < AT_ONCE {
                self.begin_surge(index);
            }
        }
        if self.surges[index].late {
            self.mark_blocked(key, None, "there is no time left for its surge".into());
        }
        true
    }

    /// Whether a surge was tried and did not help.
    pub(super) fn surge_failed(&self, key: &Key) -> bool {
        let mut surges = self.surges.iter();
        surges.any(|s| s.plan.pods.contains(&key.2) && s.failed.is_some())
    }

    /// What the surge of a pod waits for.
    pub(super) fn surge_reason(&self, key: &Key) -> String {
        let surge = self.surges.iter().find(|s| s.plan.pods.contains(&key.2));
        let machine = surge.and_then(|s| s.machine.as_ref());
        let text = machine.map_or("", Machine::waits_for);
        if text.is_empty() {
            String::new()
        } else {
            format!("waiting for {text}")
        }
    }

    fn begin_surge(&mut self, index: usize) {
        let late = self.surges[index].late_at(self.settings.deadline);
        if late.is_some_and(|at| at <= self.now) {
            self.surges[index].late = true;
            return;
        }
        let draining: BTreeSet<String> = self
            .nodes
            .iter()
            .filter(|n| n.phase == Phase::Draining)
            .map(|n| n.target.name.clone())
            .collect();
        let now = self.now;
        let mut old = BTreeSet::new();
        for (key, entry) in &mut self.pods.entries {
            let planned = self.surges[index].plan.pods.contains(&key.2) && draining.contains(&entry.node);
            if planned && matches!(entry.standing, Standing::Planned | Standing::Waiting { .. }) {
                entry.standing = Standing::Surging { since: now };
                entry.verb = Some(Verb::Surge);
                entry.blocked = None;
                old.insert(key.2.clone());
            }
        }
        let surge = &mut self.surges[index];
        let intent = Intent {
            run: self.settings.run.clone(),
            old,
            nodes: self.nodes.iter().map(|n| n.target.name.clone()).collect(),
            force: surge.plan.force,
            takes_over: surge.plan.unfinished.clone(),
        };
        surge.machine = Some(Machine::new(intent));
        surge.tries += 1;
        surge.look_at = now;
        let deployment = surge.plan.deployment.clone();
        self.evicting_started = true;
        self.out.push(Command::WatchSurge { deployment });
    }

    /// Looks again where it is time to; gives surges up where their pods are not to go any more.
    pub(super) fn walk_surges(&mut self) {
        self.begin_unfinished();
        for index in 0..self.surges.len() {
            let abandoned = self.is_abandoned(index);
            let late = self.surges[index].late_at(self.settings.deadline);
            let surge = &mut self.surges[index];
            let Some(machine) = &mut surge.machine else { continue };
            if abandoned {
                machine.stop("its node was given up");
            }
            match late {
                Some(at) if at <= self.now => {
                    surge.late = true;
                    machine.stop("the time of --timeout was nearly up");
                }
                Some(at) => self.wake_at(at),
                None => {}
            }
            let surge = &self.surges[index];
            let due = surge.look_at;
            if surge.asked {
                continue;
            }
            if due <= self.now {
                self.surges[index].looked = self.now;
                self.surges[index].stirred = false;
                self.ask(index, Act::Look);
            } else {
                self.wake_at(due);
            }
        }
    }

    /// What an earlier run has left unfinished and no pod asks for.
    fn begin_unfinished(&mut self) {
        let draining = self.nodes.iter().any(|n| n.listed && !n.over());
        for index in 0..self.surges.len() {
            let surge = &self.surges[index];
            let due = surge.plan.unfinished.is_some() && surge.plan.pods.is_empty() && !surge.active() && !surge.late;
            if due && draining && self.ending.is_none() {
                self.begin_surge(index);
            }
        }
    }

    /// None of the nodes that its pods are on is worked on any more.
    fn is_abandoned(&self, index: usize) -> bool {
        let Some(machine) = &self.surges[index].machine else {
            return false;
        };
        let mut entries = self.pods.entries.iter().filter(|(k, _)| machine.old().contains(&k.2));
        let mut any = false;
        let wanted = entries.any(|(_, e)| {
            any = true;
            self.nodes.iter().any(|n| n.target.name == e.node && !n.over())
        });
        any && !wanted
    }

    /// The run ends: what is under way is undone.
    pub(super) fn end_surges(&mut self, outcome: Outcome) {
        let why = match outcome {
            Outcome::Deadline => "the time of --timeout was up",
            Outcome::Interrupted => "interrupted",
            _ => "the run has ended",
        };
        let now = self.now;
        for surge in &mut self.surges {
            if let Some(machine) = &mut surge.machine {
                machine.stop(why);
                surge.look_at = now;
            }
        }
        let active = self.surges.iter().filter(|s| s.active());
        let undone: Vec<Note> = active
            .map(|s| Note::Undoing {
                deployment: s.plan.deployment.clone(),
            })
            .collect();
        undone.into_iter().for_each(|note| self.tell(note));
    }

    /// Deployments whose surge is not ended.
    pub fn surging(&self) -> impl Iterator<Item = &ObjRef> {
        let open = self.surges.iter().filter(|s| s.active() || s.left);
        open.map(|s| &s.plan.deployment)
    }
}
