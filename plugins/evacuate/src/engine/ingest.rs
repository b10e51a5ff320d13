//! News about pods: what a list or a watch says, held against what is known.
//!
//! A list that was asked for proves a pod gone only if the pod was known before the list was asked for; a watch that
//! runs behind must not bring back a pod that a fresh list has shown to be gone.

use super::{
    Asked, State,
    event::{Call, Change, Command, Note},
    nodes::Phase,
    pods::{Entry, Key, Standing, key},
};
use crate::{
    facts::Pod,
    preflight::filters::{judge, long_past_deletion},
};

impl State {
    pub(super) fn pods_changed(&mut self, node: &str, change: Change<Pod>, call: Option<Call>) {
        match change {
            Change::Listed(pods) => {
                let epoch = match call.and_then(|c| self.calls.remove(&c)) {
                    Some(Asked::List { epoch, .. }) => epoch,
                    _ if call.is_some() => return,
                    // A watch that begins anew may be older than a list that was asked for: it proves nothing gone.
                    _ => 0,
                };
                self.listed(node, pods, epoch);
                self.confirm_doubts(node, epoch);
                if call.is_some() {
                    self.failures = 0;
                    self.list_arrived(node);
                }
            }
            Change::Applied(pod) => {
                if !self.pods.has_gone(&pod.uid) {
                    self.see(node, pod, false);
                }
            }
            Change::Gone(pod) => {
                self.pods.note_asked(node, &pod);
                self.depart(&key(&pod));
            }
        }
        self.heard_of(node);
    }

    /// A list shows those pods as alive that should be terminating.
    fn confirm_doubts(&mut self, node: &str, epoch: u64) {
        for entry in self.pods.entries.values_mut().filter(|e| e.node == node) {
            entry.confirmed |= entry.doubted.is_some_and(|at| epoch > at);
        }
        self.doubts_due = self.now;
    }

    fn listed(&mut self, node: &str, pods: Vec<Pod>, epoch: u64) {
        let first = self
            .nodes
            .iter()
            .any(|n| n.target.name == node && n.phase == Phase::Listing);
        let listed: std::collections::BTreeSet<Key> = pods.iter().map(key).collect();
        let absent = self
            .pods
            .of(node)
            .filter(|(k, e)| !listed.contains(*k) && e.epoch < epoch);
        let absent: Vec<Key> = absent.map(|(k, _)| k.clone()).collect();
        for key in absent {
            self.depart(&key);
        }
        if epoch == 0 && self.pods.of(node).any(|(k, _)| !listed.contains(k)) {
            self.want_list(node);
        }
        for pod in pods {
            let key = key(&pod);
            let doubtful = self.pods.has_gone(&pod.uid);
            self.see(node, pod, first);
            if doubtful {
                // Either the list is older than the news of its end or that news was wrong. Only a later list can tell.
                let times = self.pods.revive(&key.2);
                self.want_list(node);
                if let Some(entry) = self.pods.entries.get_mut(&key)
                    && entry.standing == Standing::Planned
                {
                    entry.standing = Standing::Unknown;
                    // Otherwise a server that says both would be asked as fast as it answers.
                    entry.tries = times;
                    entry.told = Some("the server says that it does not exist, and lists it".into());
                }
            }
        }
        let fresh: Vec<Key> = self
            .pods
            .of(node)
            .filter(|(_, e)| e.standing == Standing::Unknown)
            .map(|(k, _)| k.clone())
            .collect();
        for key in fresh {
            if let Some(entry) = self.pods.entries.get_mut(&key).filter(|e| e.epoch < epoch) {
                // Lists that arrive say nothing about evictions that fail again and again.
                entry.standing = match entry.tries {
                    0 | 1 => Standing::Planned,
                    tries => Standing::Waiting {
                        until: self.dice.retry(self.now, tries - 1),
                    },
                };
            }
        }
        self.node_listed(node);
    }

    /// Takes in one pod as it is now. `first` is the consistent list right after the cordon.
    fn see(&mut self, node: &str, pod: Pod, first: bool) {
        if pod.node != node {
            return;
        }
        let key = key(&pod);
        self.pods.note_asked(node, &pod);
        let may_finish = self.may_still_finish(&pod, node);
        if let Some(entry) = self.pods.entries.get_mut(&key) {
            // Another budget may have a say now, or none.
            let waits = matches!(entry.standing, Standing::Waiting { .. }) && entry.blocked.is_some();
            if waits && entry.pod.labels != pod.labels {
                entry.standing = Standing::Planned;
            }
            entry.pod = pod;
            if entry.standing == Standing::WaitingForJob && !may_finish {
                entry.standing = Standing::Planned;
            }
            if entry.pod.deletion.is_none() {
                entry.finished = entry.pod.finished();
            }
            // The request that got no answer was heard. One that is to be removed at once was terminating before.
            let asked = !entry.forced && matches!(entry.standing, Standing::Unknown | Standing::Surging { .. });
            entry.accepted |= asked && entry.pod.deletion.is_some();
            let over = entry.pod.deletion.is_some() && !wants_shorter_grace(entry, self.settings.grace);
            let open = matches!(
                entry.standing,
                Standing::Planned | Standing::Waiting { .. } | Standing::Unknown | Standing::Surging { .. }
            );
            if over && open {
                entry.standing = Standing::Terminating { since: self.now };
                entry.blocked = None;
            }
            return;
        }
        let judgement = judge(&pod, &self.settings.rules, self.instant());
        let known = self.nodes.iter().any(|n| n.target.judged.contains(&pod.uid));
        let standing = if !judgement.goes && self.settings.rules.passes_over(&pod, self.instant()) {
            Standing::PassedOver
        } else if !judgement.goes {
            Standing::Left
        } else if let Some(why) = self.pods.came_back(node, &pod) {
            self.tell(Note::Warning(format!(
                "pod {} came back to node/{node} {why}; it is left there",
                pod.full_name()
            )));
            Standing::Returned
        } else if let Some(reason) = judgement.refused() {
            // A DaemonSet that preflight has not seen was made since; its pods are none of our business.
            if reason.id == "daemonset-missing" && !known {
                Standing::Left
            } else {
                let why = format!("it is among the {}", reason.text);
                if first && !known {
                    self.refuse_node(node, &format!("pod {} arrived meanwhile and {why}", pod.full_name()));
                } else {
                    self.tell(Note::Failed {
                        pod: pod.reference(),
                        text: why.clone(),
                    });
                }
                Standing::Held { why }
            }
        } else if may_finish {
            Standing::WaitingForJob
        } else {
            Standing::Planned
        };
        let mut entry = Entry {
            finished: pod.finished(),
            pod,
            node: node.to_owned(),
            standing,
            epoch: self.epoch,
            verb: None,
            accepted: false,
            tries: 0,
            blocked: None,
            reminders: 0,
            told: None,
            forced: false,
            doubted: None,
            confirmed: false,
            held_told: false,
        };
        if entry.standing == Standing::Planned
            && entry.pod.deletion.is_some()
            && !wants_shorter_grace(&entry, self.settings.grace)
        {
            entry.standing = Standing::Terminating { since: self.now };
        }
        self.pods.entries.insert(key, entry);
    }

    /// The pod is no longer on its node.
    pub(super) fn depart(&mut self, key: &Key) {
        let Some(entry) = self.pods.depart(key, self.now) else {
            return;
        };
        if let Standing::InFlight { call } = entry.standing {
            // The answer no longer matters for the pod, but the budget still waits for it.
            debug_assert!(self.calls.contains_key(&call));
        }
        if let (true, Some(verb)) = (entry.accepted, entry.verb) {
            self.tell(Note::Gone {
                pod: entry.pod.reference(),
                verb,
            });
        }
    }

    /// Pods that have been terminating for longer than the caller wants to wait are passed over.
    pub(super) fn skip_long_deleted(&mut self) {
        let limit = self.settings.rules.allowed.skip_deleted_after;
        if limit <= 0 {
            return;
        }
        let now = self.instant();
        let mut skipped = Vec::new();
        let mut due = Vec::new();
        for entry in self.pods.entries.values_mut().filter(|e| e.standing.pending()) {
            if long_past_deletion(&entry.pod, limit, now) {
                entry.standing = Standing::PassedOver;
                skipped.push(entry.pod.reference());
            } else if let Some(at) = entry.pod.deletion {
                due.push(
                    at.as_second()
                        .saturating_add(limit)
                        .saturating_add(1)
                        .saturating_mul(1_000),
                );
            }
        }
        due.into_iter().for_each(|at| self.wake_at(at));
        for pod in skipped {
            self.tell(Note::Skipped { pod });
        }
    }

    /// Asks for a list of the node as soon as the server may be asked.
    pub(super) fn want_list(&mut self, node: &str) {
        if let Some(node) = self.nodes.iter_mut().find(|n| n.target.name == node) {
            node.wants_list = true;
        }
    }

    /// Sends the lists that are wanted, one at a time per node.
    pub(super) fn send_lists(&mut self) {
        if self.now < self.paused_until {
            return;
        }
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if node.wants_list && !node.listing && node.active() {
                node.wants_list = false;
                node.listing = true;
                let name = node.target.name.clone();
                // Pods that are seen from here on are newer than this list.
                self.epoch += 1;
                let call = self.call(Asked::List {
                    node: name.clone(),
                    epoch: self.epoch,
                });
                self.out.push(Command::List { call, node: name });
            }
        }
    }

    /// The run's clock as a wall-clock time, for comparisons with times in objects.
    pub(super) fn instant(&self) -> k8s_openapi::jiff::Timestamp {
        k8s_openapi::jiff::Timestamp::from_millisecond(self.now).unwrap_or_default()
    }
}

/// `--grace-period` is also the last word over a deletion that is already under way: asking once more shortens it. That
/// is how a pod of a dead kubelet is removed with `--grace-period=0`.
fn wants_shorter_grace(entry: &Entry, grace: Option<i64>) -> bool {
    (grace.is_some() || entry.forced) && !entry.accepted
}
