//! The way of one node: cordoned, listed, emptied, looked at once more, detached, replaced.

use std::collections::BTreeSet;

use super::{
    Asked, State, Target,
    event::{At, Change, Command, Note, Outcome, Reply},
    pods::Standing,
};
use crate::facts::{self, Pod};

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
    pub(super) fn cordon(&mut self, index: usize) {
        let name = self.nodes[index].target.name.clone();
        self.nodes[index].phase = Phase::Cordoning { retry: None };
        let call = self.call(Asked::Cordon(name.clone()));
        self.out.push(Command::Cordon { call, node: name });
    }

    pub(super) fn uncordon(&mut self, index: usize) {
        let name = self.nodes[index].target.name.clone();
        let asked = self
            .calls
            .values()
            .any(|a| matches!(a, Asked::Uncordon(n) if *n == name));
        if !self.nodes[index].cordoned_by_us || asked {
            return;
        }
        let call = self.call(Asked::Uncordon(name.clone()));
        self.out.push(Command::Uncordon { call, node: name });
    }

    pub(super) fn cordon_answered(&mut self, name: &str, reply: Reply) {
        let Some(index) = self.index(name).filter(|i| !self.nodes[*i].over()) else {
            return;
        };
        match reply {
            Reply::Accepted => {
                let already = self.nodes[index].target.cordoned;
                self.nodes[index].phase = Phase::Queued;
                self.nodes[index].cordoned_by_us = !already;
                self.tell(Note::Cordoned {
                    node: name.to_owned(),
                    already,
                });
                if self.ending.is_some() && self.undo {
                    self.uncordon(index);
                }
            }
            Reply::Unavailable(_) | Reply::Lost(_) | Reply::Throttled { .. } | Reply::Contended(_) => {
                let retry = self.dice.retry(self.now, self.nodes[index].tries);
                self.nodes[index].tries += 1;
                self.nodes[index].phase = Phase::Cordoning { retry: Some(retry) };
            }
            // A refusal by the lock: another run is at work on the node.
            Reply::Conflict(holder) => self.abort(index, holder, Outcome::Refused),
            other => {
                let text = format!("it could not be cordoned: {}", other.text());
                self.abort(index, text, Outcome::Failed);
            }
        }
    }

    /// One node cannot be cordoned: the whole run stops before a pod has moved.
    fn abort(&mut self, index: usize, why: String, outcome: Outcome) {
        self.give_up(index, why, outcome);
        if self.ending.is_none() {
            self.end(outcome);
        }
    }

    pub(super) fn uncordon_answered(&mut self, name: &str, reply: &Reply) {
        let Some(index) = self.index(name) else { return };
        match reply {
            Reply::Accepted => {
                self.nodes[index].cordoned_by_us = false;
                self.tell(Note::Uncordoned { node: name.to_owned() });
            }
            other => self.tell(Note::Warning(format!("node/{name} stays cordoned: {}", other.text()))),
        }
    }

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

    /// Volumes of pods that were moved from the node and are not used by a pod that stays there.
    fn volumes_of(&self, index: usize) -> BTreeSet<String> {
        let target = &self.nodes[index].target;
        let volumes_of = |uid: &str| target.volumes.get(uid).into_iter().flatten().cloned();
        let stay: BTreeSet<String> = self.pods.of(&target.name).flat_map(|(k, _)| volumes_of(&k.2)).collect();
        let departed = self.pods.departed.iter().filter(|d| d.node == target.name);
        departed
            .flat_map(|d| volumes_of(&d.pod.uid))
            .filter(|v| !stay.contains(v))
            .collect()
    }

    pub(super) fn attachments_seen(&mut self, name: &str, volumes: Option<Vec<String>>) {
        let Some(index) = self.index(name) else { return };
        if self.nodes[index].phase != Phase::Detaching {
            return;
        }
        let wanted = self.volumes_of(index);
        match volumes {
            Some(volumes) => {
                self.nodes[index].attached = volumes.into_iter().filter(|v| wanted.contains(v)).collect();
            }
            None => {
                self.nodes[index].attached.clear();
                self.tell(Note::Warning(format!(
                    "cannot tell whether the volumes of node/{name} are detached: list volumeattachments.storage.k8s.io is not allowed"
                )));
            }
        }
    }

    fn detaching(&mut self, index: usize) {
        if self.nodes[index].attached.is_empty() {
            self.detached(index);
        }
    }

    fn detached(&mut self, index: usize) {
        match self.settings.wait_replacements {
            Some(patience) => {
                let until = self.now.saturating_add(patience);
                self.nodes[index].phase = Phase::Replacing { until };
                self.replacing(index, until);
            }
            None => self.emptied(index),
        }
    }

    fn replacing(&mut self, index: usize, until: At) {
        let missing = self.missing_replacements();
        if missing == 0 {
            self.emptied(index);
        } else if self.now >= until {
            let pods = if missing == 1 {
                "replacement is"
            } else {
                "replacements are"
            };
            self.give_up(
                index,
                format!("it is empty, but {missing} {pods} not Ready"),
                Outcome::Incomplete,
            );
            // Going on would take more pods away while these are missing.
            for other in 0..self.nodes.len() {
                if self.nodes[other].phase == Phase::Queued {
                    self.give_up(
                        other,
                        "not begun: replacements of an earlier node are missing".into(),
                        Outcome::Incomplete,
                    );
                }
            }
        } else {
            self.wake_at(until);
        }
    }

    fn emptied(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.phase = Phase::Done;
        node.ended = Some(self.now);
        let name = node.target.name.clone();
        self.out.push(Command::Unwatch { node: name.clone() });
        self.tell(Note::Drained { node: name });
    }

    fn give_up(&mut self, index: usize, why: String, outcome: Outcome) {
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

    pub(super) fn node_changed(&mut self, change: Change<facts::Node>) {
        match change {
            Change::Gone(node) => {
                self.cordon_is_gone(&node.name);
                self.end_node(&node.name, "the Node object was deleted".into());
            }
            Change::Applied(node) => {
                let watched = self.nodes.iter().any(|n| n.target.name == node.name && n.active());
                // At the end it may be the own cordon that was taken back.
                if watched && !node.unschedulable && self.ending.is_none() {
                    self.cordon_is_gone(&node.name);
                    self.end_node(&node.name, "it was uncordoned by someone else".into());
                }
            }
            Change::Listed(nodes) => nodes.into_iter().for_each(|n| self.node_changed(Change::Applied(n))),
        }
    }

    /// Somebody else has ended it: there is nothing to take back.
    fn cordon_is_gone(&mut self, name: &str) {
        if let Some(index) = self.index(name) {
            self.nodes[index].cordoned_by_us = false;
            self.nodes[index].target.cordoned = false;
        }
    }

    pub(super) fn elsewhere_changed(&mut self, change: Change<Pod>) {
        match change {
            Change::Listed(pods) => self.elsewhere = pods.into_iter().map(|p| (p.uid.clone(), p)).collect(),
            Change::Applied(pod) => drop(self.elsewhere.insert(pod.uid.clone(), pod)),
            Change::Gone(pod) => drop(self.elsewhere.remove(&pod.uid)),
        }
    }

    /// How many pods that were moved have no Ready successor yet. Finished pods, and those without a controller that
    /// keeps a number of pods running, are not replaced.
    fn missing_replacements(&self) -> usize {
        let mut wanted = std::collections::BTreeMap::<&str, usize>::new();
        for departed in self.pods.departed.iter().filter(|d| !d.finished && d.verb.is_some()) {
            if let Some(owner) = departed
                .owner
                .as_ref()
                .filter(|o| o.kind != "Job" && !o.is_daemon_set())
            {
                *wanted.entry(owner.uid.as_str()).or_default() += 1;
            }
        }
        let ours: BTreeSet<&str> = self.nodes.iter().map(|n| n.target.name.as_str()).collect();
        for pod in self.elsewhere.values() {
            let fresh = pod.ready && pod.deletion.is_none() && !self.before.contains(&pod.uid);
            if fresh
                && !ours.contains(pod.node.as_str())
                && let Some(left) = pod.owner.as_ref().and_then(|o| wanted.get_mut(o.uid.as_str()))
            {
                *left = left.saturating_sub(1);
            }
        }
        wanted.values().sum()
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.target.name == name)
    }
}
