//! The way of one node: cordoned, listed, emptied, looked at once more, detached, replaced.

use std::collections::BTreeSet;

use super::{
    State, Target,
    event::{At, Command, Note, Outcome, Stage},
    fence::Fence,
    pods::Standing,
};

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
    /// Empty; it is still said to be off.
    Lifting,
    /// Empty; replacements are not yet Ready.
    Replacing {
        /// When waiting ends.
        until: At,
    },
    /// Empty; it is being removed from the cluster.
    Removing {
        /// Earliest time of the next try, while none is on its way.
        retry: Option<At>,
    },
    /// Empty, and not removed although that was asked for.
    Kept {
        /// Why.
        why: String,
    },
    /// Empty, and removed where that was asked for.
    Done,
    /// Empty, but what replaces its pods did not become Ready in time.
    Unreplaced {
        /// What is missing.
        why: String,
    },
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
    /// Failed tries to cordon it, or to take the cordon back.
    pub tries: u32,
    /// A try to cordon it got no answer, so that it may be cordoned all the same.
    pub maybe_cordoned: bool,
    /// When taking back the cordon is tried again.
    pub undo_at: Option<At>,
    /// What the last failed try to cordon it met.
    pub trouble: Option<String>,
    /// It was seen, cordoned, after work on it began. Its watch may run behind that of its pods.
    pub seen: bool,
    /// The consistent list of its pods is there.
    pub listed: bool,
    /// When anything was last heard of its pods.
    pub heard: At,
    /// It was said which Jobs are waited for.
    pub told_jobs: bool,
    /// Volumes that are still attached.
    pub attached: BTreeSet<String>,
    /// It is no longer part of the cluster.
    pub removed: bool,
    /// Its deletion was asked for, and waits for others.
    pub deleting: bool,
    /// Its kubelet reported when the node was last looked at.
    pub reports: bool,
    /// Its machine is off.
    pub fence: Option<Fence>,
    /// What others are told next, once they have heard what is on its way.
    pub to_publish: Option<Stage>,
    /// When work on it began.
    pub began: Option<At>,
    /// When it was empty, or given up.
    pub ended: Option<At>,
}

impl Node {
    pub(super) fn new(target: Target) -> Self {
        let fence = target.fence.clone().map(Fence::new);
        Self {
            target,
            fence,
            removed: false,
            deleting: false,
            reports: false,
            phase: Phase::Queued,
            cordoned_by_us: false,
            wants_list: false,
            listing: false,
            poll_at: None,
            tries: 0,
            maybe_cordoned: false,
            undo_at: None,
            trouble: None,
            seen: false,
            listed: false,
            heard: At::MIN,
            told_jobs: false,
            attached: BTreeSet::new(),
            to_publish: None,
            began: None,
            ended: None,
        }
    }

    /// Whether nothing more will be done for it.
    pub(super) fn over(&self) -> bool {
        let ended = matches!(self.phase, Phase::Ended { .. });
        ended || (self.empty() && !matches!(self.phase, Phase::Removing { .. }))
    }

    /// Whether it is empty for good.
    pub(super) fn empty(&self) -> bool {
        matches!(
            self.phase,
            Phase::Done | Phase::Unreplaced { .. } | Phase::Removing { .. } | Phase::Kept { .. }
        )
    }

    /// Whether it is one of those that are being emptied.
    pub(super) fn active(&self) -> bool {
        !self.over() && !matches!(self.phase, Phase::Queued | Phase::Cordoning { .. })
    }

    pub(super) fn ended_as(&self) -> Option<Outcome> {
        match &self.phase {
            Phase::Ended { outcome, .. } => Some(*outcome),
            Phase::Unreplaced { .. } | Phase::Kept { .. } => Some(Outcome::Incomplete),
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
                    self.nodes[index].heard = self.now;
                    self.out.push(Command::Watch { node: name });
                    self.publish(index, Stage::Begun);
                }
                Phase::Draining if !self.pods.pending(&name) => {
                    self.nodes[index].phase = Phase::Confirming;
                    self.nodes[index].wants_list = true;
                }
                Phase::Confirming if self.pods.pending(&name) => self.nodes[index].phase = Phase::Draining,
                Phase::Detaching => self.detaching(index),
                Phase::Lifting => self.detached(index),
                Phase::Replacing { until } => self.replacing(index, until),
                Phase::Removing { retry: Some(at) } if at <= self.now => self.remove(index),
                Phase::Removing { retry: Some(at) } => self.wake_at(at),
                _ => {}
            }
            if self.nodes[index].phase == Phase::Draining {
                self.walk_jobs(index);
            }
            self.poll(index);
            self.break_silence(index);
        }
        self.send_lists();
    }

    fn has_slot(&self) -> bool {
        self.nodes.iter().filter(|n| n.active()).count() < self.settings.parallel.max(1)
    }

    /// The list after the cordon has come: nothing forbids the work.
    pub(super) fn node_listed(&mut self, name: &str) {
        if let Some(index) = self.index(name) {
            let node = &mut self.nodes[index];
            node.listed = true;
            // From here on the pods themselves are known; there may be thousands.
            node.target.planned = Vec::new();
            self.begin_draining(index);
        }
    }

    /// Begins once the pods are known and the node was seen to be cordoned still: while it was queued, somebody may have
    /// uncordoned it or made it anew.
    pub(super) fn begin_draining(&mut self, index: usize) {
        let unwatched = self.unwatched.contains("nodes");
        let node = &mut self.nodes[index];
        if node.phase == Phase::Listing && node.listed && (node.seen || unwatched) {
            node.phase = Phase::Draining;
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

    pub(super) fn emptied(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.phase = Phase::Done;
        node.ended = Some(self.now);
        let name = node.target.name.clone();
        self.out.push(Command::Unwatch { node: name.clone() });
        self.tell(Note::Drained { node: name });
        self.publish_drained(index);
        if self.settings.delete {
            self.remove(index);
        }
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
        let text = why.clone();
        self.tell(Note::NotDrained { node: name, text });
        self.publish_stopped(index, &why, outcome);
        self.stop_fence(index, &why);
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

    /// Whether nothing is done to the node any more.
    pub(super) fn has_let_go(&self, name: &str) -> bool {
        let fencing = |node: &Node| node.fence.as_ref().is_some_and(Fence::active);
        self.index(name)
            .is_some_and(|i| self.nodes[i].over() && !fencing(&self.nodes[i]))
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.target.name == name)
    }
}
