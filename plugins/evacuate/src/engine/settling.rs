//! What is waited for when a node is empty: that its volumes are detached, that replacements are Ready.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    State,
    event::{At, Change, Command, Note, Outcome},
    nodes::Phase,
};
use crate::facts::Pod;

impl State {
    /// Volumes of pods that were moved from the node and are not used by a pod that stays there; all where its machine is
    /// off, because nothing stays there.
    pub(super) fn volumes_of(&self, index: usize) -> BTreeSet<String> {
        let target = &self.nodes[index].target;
        let all = target.fence.iter().flat_map(|f| f.attached.iter().cloned());
        let volumes_of = |uid: &str| target.volumes.get(uid).into_iter().flatten().cloned();
        let stay: BTreeSet<String> = self.pods.of(&target.name).flat_map(|(k, _)| volumes_of(&k.2)).collect();
        let departed = self.pods.departed.iter().filter(|d| d.node == target.name);
        departed
            .flat_map(|d| volumes_of(&d.pod.uid))
            .filter(|v| !stay.contains(v))
            .chain(all)
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

    pub(super) fn detaching(&mut self, index: usize) {
        if self.nodes[index].attached.is_empty() {
            self.detached(index);
        }
    }

    pub(super) fn detached(&mut self, index: usize) {
        if !self.is_lifted(index) {
            self.nodes[index].phase = Phase::Lifting;
            return;
        }
        let name = &self.nodes[index].target.name;
        if self.nodes[index].phase == Phase::Lifting && self.pods.pending(name) {
            // Nobody would end them.
            let why = "pods have arrived on it while it was no longer said to be off";
            self.give_up(index, why.into(), Outcome::Incomplete);
            return;
        }
        match self.settings.wait_replacements {
            Some(patience) => {
                let until = self.now.saturating_add(patience);
                self.nodes[index].phase = Phase::Replacing { until };
                self.replacing(index, until);
            }
            None => self.emptied(index),
        }
    }

    pub(super) fn replacing(&mut self, index: usize, until: At) {
        let missing = self.missing_replacements();
        if missing.is_empty() {
            self.emptied(index);
        } else if self.now >= until {
            self.unreplaced(index, missing.join(", "));
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

    /// The node is empty and stays so; only what replaces its pods is missing.
    fn unreplaced(&mut self, index: usize, why: String) {
        let node = &mut self.nodes[index];
        node.phase = Phase::Unreplaced { why: why.clone() };
        node.ended = Some(self.now);
        let name = node.target.name.clone();
        self.out.push(Command::Unwatch { node: name.clone() });
        self.tell(Note::Unreplaced { node: name, text: why });
        self.publish_drained(index);
    }

    /// The run ends while replacements are waited for: these nodes are empty all the same.
    pub(super) fn settle_late(&mut self) {
        let missing = self.missing_replacements().join(", ");
        for index in 0..self.nodes.len() {
            if matches!(self.nodes[index].phase, Phase::Replacing { .. }) {
                self.nodes[index].phase = Phase::Unreplaced { why: missing.clone() };
                self.publish_drained(index);
            }
        }
    }

    pub(super) fn elsewhere_changed(&mut self, change: Change<Pod>) {
        match change {
            Change::Listed(pods) => self.elsewhere = pods.into_iter().map(|p| (p.uid.clone(), p)).collect(),
            Change::Applied(pod) => drop(self.elsewhere.insert(pod.uid.clone(), pod)),
            Change::Gone(pod) => drop(self.elsewhere.remove(&pod.uid)),
        }
    }

    /// The controllers whose pods were moved and have no Ready successor yet: `1 of ReplicaSet shop/web-5d9c`. Finished
    /// pods, and those without a controller that keeps a number of pods running, are not replaced.
    fn missing_replacements(&self) -> Vec<String> {
        let mut wanted = BTreeMap::<&str, (String, usize)>::new();
        for departed in self.pods.departed.iter().filter(|d| !d.finished && d.verb.is_some()) {
            if let Some(owner) = departed
                .owner
                .as_ref()
                .filter(|o| o.kind != "Job" && !o.is_daemon_set())
            {
                let namespace = departed.pod.namespace.as_deref().unwrap_or_default();
                let name = || (format!("{} {namespace}/{}", owner.kind, owner.name), 0);
                wanted.entry(owner.uid.as_str()).or_insert_with(name).1 += 1;
            }
        }
        let ours: BTreeSet<&str> = self.nodes.iter().map(|n| n.target.name.as_str()).collect();
        for pod in self.elsewhere.values() {
            let fresh = pod.ready && pod.deletion.is_none() && !self.before.contains(&pod.uid);
            if fresh
                && !ours.contains(pod.node.as_str())
                && let Some((_, left)) = pod.owner.as_ref().and_then(|o| wanted.get_mut(o.uid.as_str()))
            {
                *left = left.saturating_sub(1);
            }
        }
        let missing = wanted.into_values().filter(|(_, left)| *left > 0);
        missing.map(|(owner, left)| format!("{left} of {owner}")).collect()
    }
}
