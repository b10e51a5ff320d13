//! The way of one node: cordoned, listed, emptied, looked at once more, detached, replaced.

use std::collections::BTreeSet;

use super::{
    State, Target,
    event::{At, Command, Note, Outcome, Reply},
    pods::Standing,
};

/// How often a node is listed that cannot be watched, in milliseconds.
const POLL_EVERY: i64 = 2_000;

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Being marked unschedulable.
    Cordoning {
        /// Earliest time of the next try, while none is on its way.
        retry: Option<At>,
    },
    /// Cordoned; others come first.
    Queued,
    /// The consistent list after the cordon is awaited.
    Listing,
    /// Pods are asked to go.
    Draining,
    /// Seen empty; a fresh list must agree.
    Confirming,
    /// Empty; volumes are still attached.
    Detaching,
    /// Empty; replacements are not yet Ready.
    Replacing {
        /// When waiting ends.
        until: At,
    },
    /// Empty.
    Done,
    /// Given up.
    Ended {
        /// Why.
        why: String,
        /// What this means for the run as a whole, if nothing was evicted anywhere.
        outcome: Outcome,
    },
}

/// One node of the run.
#[derive(Debug)]
pub struct Node {
    /// What preflight handed over.
    pub target: Target,
    /// Where it stands.
    pub phase: Phase,
    /// This run made it unschedulable.
    pub cordoned_by_us: bool,
    /// A fresh list is wanted.
    pub wants_list: bool,
    /// A fresh list is on its way.
    pub listing: bool,
    /// When it is listed next, where it cannot be watched.
    pub poll_at: Option<At>,
    /// Failed tries to cordon it.
    pub tries: u32,
    /// Volumes that are still attached.
    pub attached: BTreeSet<String>,
    /// When work on it began.
    pub began: Option<At>,
    /// When it was empty, or given up.
    pub ended: Option<At>,
}

impl Node {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            phase: Phase::Queued,
            cordoned_by_us: false,
            wants_list: false,
            listing: false,
            poll_at: None,
            tries: 0,
            attached: BTreeSet::new(),
            began: None,
            ended: None,
        }
    }

    /// Whether nothing more will be done for it.
    pub(super) fn over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Ended { .. })
    }

    /// Whether it is one of those that are being emptied.
    pub(super) fn active(&self) -> bool {
        !self.over() && !matches!(self.phase, Phase::Queued | Phase::Cordoning { .. })
    }

    pub(super) fn ended_as(&self) -> Option<Outcome> {
        match &self.phase {
            Phase::Ended { outcome, .. } => Some(*outcome),
            _ => None,
        }
    }
}

impl State {
    /// Moves every node on as far as it goes.
    pub(super) fn walk_nodes(&mut self) {
        self.skip_long_deleted();
        let all_cordoned = self.nodes.iter().all(|n| !matches!(n.phase, Phase::Cordoning { .. }));
        for index in 0..self.nodes.len() {
            let name = self.nodes[index].target.name.clone();
            match self.nodes[index].phase.clone() {
                Phase::Cordoning { retry: Some(at) } if at <= self.now => self.cordon(index),
                Phase::Cordoning { retry: Some(at) } => self.wake_at(at),
                Phase::Queued if all_cordoned && self.has_slot() => {
                    self.nodes[index].phase = Phase::Listing;
                    self.nodes[index].began = Some(self.now);
                    self.out.push(Command::Watch { node: name });
                }
                Phase::Draining if !self.pods.pending(&name) => {
                    self.nodes[index].phase = Phase::Confirming;
                    self.nodes[index].wants_list = true;
                }
                Phase::Confirming if self.pods.pending(&name) => self.nodes[index].phase = Phase::Draining,
                Phase::Detaching => self.detaching(index),
                Phase::Replacing { until } => self.replacing(index, until),
                _ => {}
            }
            self.poll(index);
        }
        self.send_lists();
    }

    /// Without the right to watch, the node is listed in an interval.
    pub(super) fn poll_node(&mut self, name: &str) {
        if let Some(index) = self.index(name) {
            self.nodes[index].poll_at = Some(self.now);
            let seconds = POLL_EVERY / 1_000;
            self.cannot_watch("pods", &format!("the node is listed every {seconds}s instead"));
        }
    }

    /// Says once that news about something will not come by itself.
    pub(super) fn cannot_watch(&mut self, resource: &'static str, consequence: &str) {
        if self.unwatched.insert(resource) {
            self.tell(Note::Warning(format!("cannot watch {resource}, so {consequence}")));
        }
    }

    fn poll(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(at) = node.poll_at.filter(|_| node.active()) else {
            return;
        };
        if at <= self.now {
            node.wants_list = true;
            node.poll_at = Some(self.now.saturating_add(POLL_EVERY));
        }
        let next = self.nodes[index].poll_at.unwrap_or(self.now);
        self.wake_at(next);
    }

    fn has_slot(&self) -> bool {
        self.nodes.iter().filter(|n| n.active()).count() < self.settings.parallel.max(1)
    }

    /// The list after the cordon has come: nothing forbids the work, so it begins.
    pub(super) fn node_listed(&mut self, name: &str) {
        let Some(index) = self.index(name) else { return };
        if self.nodes[index].phase == Phase::Listing {
            self.nodes[index].phase = Phase::Draining;
        }
    }

    /// A list that was asked for has come. It is the last word on whether the node is empty.
    pub(super) fn list_arrived(&mut self, name: &str) {
        let Some(index) = self.index(name) else { return };
        self.nodes[index].listing = false;
        if self.nodes[index].phase != Phase::Confirming || self.nodes[index].wants_list {
            return;
        }
        if self.pods.pending(name) {
            self.nodes[index].phase = Phase::Draining;
            return;
        }
        let held = self
            .pods
            .of(name)
            .filter(|(_, e)| matches!(e.standing, Standing::Held { .. }))
            .count();
        if held > 0 {
            let pods = if held == 1 { "pod remains" } else { "pods remain" };
            self.give_up(index, format!("{held} {pods} on it"), Outcome::Incomplete);
            return;
        }
        self.nodes[index].attached = self.volumes_of(index);
        if self.settings.wait_detach && !self.nodes[index].attached.is_empty() {
            self.nodes[index].phase = Phase::Detaching;
            self.out.push(Command::WatchAttachments { node: name.to_owned() });
        } else {
            self.detached(index);
        }
    }

    pub(super) fn list_failed(&mut self, name: &str, reply: &Reply) {
        let Some(index) = self.index(name) else { return };
        self.nodes[index].listing = false;
        match reply {
            Reply::Forbidden(text) | Reply::Rejected(text) if !self.lately_failing() => {
                let why = format!("its pods can no longer be listed: {text}");
                self.give_up(index, why, Outcome::Incomplete);
            }
            _ => {
                self.nodes[index].wants_list = true;
                self.back_off();
            }
        }
    }

    pub(super) fn emptied(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.phase = Phase::Done;
        node.ended = Some(self.now);
        let name = node.target.name.clone();
        self.out.push(Command::Unwatch { node: name.clone() });
        self.tell(Note::Drained { node: name });
    }

    pub(super) fn give_up(&mut self, index: usize, why: String, outcome: Outcome) {
        let node = &mut self.nodes[index];
        node.phase = Phase::Ended {
            why: why.clone(),
            outcome,
        };
        node.ended = Some(self.now);
        let name = node.target.name.clone();
        self.out.push(Command::Unwatch { node: name.clone() });
        self.tell(Note::NotDrained { node: name, text: why });
    }

    /// Gives one node up from outside of the walk.
    pub(super) fn end_node(&mut self, name: &str, why: String) {
        if let Some(index) = self.index(name).filter(|i| !self.nodes[*i].over()) {
            self.give_up(index, why, Outcome::Incomplete);
        }
    }

    /// Something that preflight could not know forbids the work on this node. Its cordon is taken back.
    pub(super) fn refuse_node(&mut self, name: &str, why: &str) {
        if let Some(index) = self.index(name).filter(|i| !self.nodes[*i].over()) {
            self.give_up(index, why.to_owned(), Outcome::Refused);
            self.uncordon(index);
        }
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.target.name == name)
    }
}
