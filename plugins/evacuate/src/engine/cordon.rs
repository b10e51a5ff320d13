//! The cordon of a node: set first, watched, and taken back where the run set it and was not allowed to go on.

use super::{
    Asked, State, Target,
    event::{Change, Command, Note, Outcome, Reply},
    hearing::FAILURES_TO_TELL,
    nodes::Phase,
};
use crate::facts;

impl State {
    pub(super) fn cordon(&mut self, index: usize) {
        let Target { name, uid, .. } = self.nodes[index].target.clone();
        self.nodes[index].phase = Phase::Cordoning { retry: None };
        let call = self.call(Asked::Cordon(name.clone()));
        self.out.push(Command::Cordon { call, node: name, uid });
    }

    pub(super) fn uncordon(&mut self, index: usize) {
        let name = self.nodes[index].target.name.clone();
        let asked = self
            .calls
            .values()
            .any(|a| matches!(a, Asked::Uncordon(n) if *n == name));
        let node = &mut self.nodes[index];
        node.undo_at = None;
        if !(node.cordoned_by_us || node.maybe_cordoned) || asked {
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
                self.nodes[index].maybe_cordoned = false;
                self.nodes[index].trouble = None;
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
                let node = &mut self.nodes[index];
                node.tries += 1;
                node.maybe_cordoned |= !node.target.cordoned && matches!(reply, Reply::Lost(_) | Reply::Unavailable(_));
                node.phase = Phase::Cordoning { retry: Some(retry) };
                let text = reply.text();
                if node.tries == FAILURES_TO_TELL {
                    self.complain(&format!("node/{name} cannot be cordoned yet: {text}"));
                }
                self.nodes[index].trouble = Some(text);
                if self.ending.is_some() && self.undo {
                    self.uncordon(index);
                }
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
        let certain = self.nodes[index].cordoned_by_us;
        match reply {
            Reply::Accepted => {
                self.cordon_is_gone(name);
                if certain {
                    self.tell(Note::Uncordoned { node: name.to_owned() });
                }
            }
            Reply::NotFound => self.cordon_is_gone(name),
            // A try to cordon it that was not heard.
            Reply::Rejected(_) if !certain => self.cordon_is_gone(name),
            Reply::Unavailable(_) | Reply::Lost(_) | Reply::Throttled { .. } | Reply::Contended(_) => {
                let at = self.dice.retry(self.now, self.nodes[index].tries);
                self.nodes[index].tries += 1;
                self.nodes[index].undo_at = Some(at);
                self.nodes[index].trouble = Some(reply.text());
            }
            other => self.tell(Note::Warning(format!("node/{name} stays cordoned: {}", other.text()))),
        }
    }

    /// Tries once more to take back cordons where the server did not answer well.
    pub(super) fn undo_again(&mut self) {
        for index in 0..self.nodes.len() {
            match self.nodes[index].undo_at {
                Some(at) if at <= self.now => self.uncordon(index),
                Some(at) => self.wake_at(at),
                None => {}
            }
        }
    }

    pub(super) fn node_changed(&mut self, change: Change<facts::Node>) {
        match change {
            // It is what was asked for, or the answer to that says why not.
            Change::Gone(node) | Change::Applied(node) if self.is_being_removed(&node.name) => {}
            Change::Gone(node) => {
                self.cordon_is_gone(&node.name);
                self.end_node(&node.name, "the Node object was deleted".into());
            }
            Change::Applied(node) => {
                let Some(index) = self.index(&node.name).filter(|i| self.nodes[*i].active()) else {
                    return;
                };
                if node.uid != self.nodes[index].target.uid {
                    self.cordon_is_gone(&node.name);
                    self.end_node(&node.name, "the Node object was deleted and made anew".into());
                } else if !node.unschedulable {
                    // At the end it may be the own cordon that was taken back.
                    if self.ending.is_none() {
                        self.cordon_is_gone(&node.name);
                        self.end_node(&node.name, "it was uncordoned by someone else".into());
                    }
                } else {
                    self.listen(index, node.ready);
                    self.nodes[index].seen = true;
                    self.begin_draining(index);
                }
            }
            Change::Listed(nodes) => nodes.into_iter().for_each(|n| self.node_changed(Change::Applied(n))),
        }
    }

    /// Whether the kubelet is heard of: one that falls silent confirms no pod any more.
    fn listen(&mut self, index: usize, ready: facts::Ready) {
        let reports = ready != facts::Ready::Unknown;
        if reports {
            self.stir_fence(index);
        }
        let node = &mut self.nodes[index];
        let before = std::mem::replace(&mut node.reports, reports);
        if before && !reports && node.target.fence.is_none() {
            let name = node.target.name.clone();
            self.tell(Note::Warning(format!(
                "node/{name} has gone silent, and its pods cannot confirm that they have ended; once its machine is surely off, \
                 run again with --powered-off"
            )));
        }
    }

    fn is_being_removed(&self, name: &str) -> bool {
        let node = self.index(name).map(|i| &self.nodes[i]);
        node.is_some_and(|n| n.removed || matches!(n.phase, Phase::Removing { .. }))
    }

    /// Somebody else has ended it: there is nothing to take back.
    fn cordon_is_gone(&mut self, name: &str) {
        if let Some(index) = self.index(name) {
            self.nodes[index].cordoned_by_us = false;
            self.nodes[index].maybe_cordoned = false;
            self.nodes[index].target.cordoned = false;
        }
    }
}
