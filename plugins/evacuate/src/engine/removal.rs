//! `--delete`: a node that is empty is removed from the cluster. What would be stranded by that was asked before the run
//! began; what may have changed since is looked at once more directly before.

use super::{
    Asked, State,
    event::{Command, Note, Outcome, Reply},
    nodes::Phase,
};

impl State {
    /// The node is empty: its object is deleted, where that was asked for.
    pub(super) fn remove(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.phase = Phase::Removing { retry: None };
        let (name, uid) = (node.target.name.clone(), node.target.uid.clone());
        let call = self.call(Asked::Remove(name.clone()));
        self.out.push(Command::Remove { call, node: name, uid });
    }

    pub(super) fn removal_answered(&mut self, name: &str, reply: &Reply) {
        let Some(index) = self.index(name) else { return };
        if !matches!(self.nodes[index].phase, Phase::Removing { .. }) {
            return;
        }
        match reply {
            Reply::Accepted | Reply::NotFound => {
                let node = &mut self.nodes[index];
                node.removed = true;
                node.phase = Phase::Done;
                node.ended = Some(self.now);
                self.tell(Note::Removed { node: name.to_owned() });
            }
            Reply::Unavailable(text) | Reply::Lost(text) | Reply::Contended(text) => {
                self.complain(text);
                self.remove_later(index);
            }
            Reply::Throttled { .. } => self.remove_later(index),
            Reply::Forbidden(_) if self.lately_failing() => self.remove_later(index),
            other => {
                self.nodes[index].deleting = matches!(other, Reply::Underway(_));
                self.keep(index, &other.text());
            }
        }
    }

    fn remove_later(&mut self, index: usize) {
        let at = self.dice.retry(self.now, self.nodes[index].tries);
        self.nodes[index].tries += 1;
        self.nodes[index].phase = Phase::Removing { retry: Some(at) };
        self.wake_at(at);
    }

    /// It is empty, and stays in the cluster.
    fn keep(&mut self, index: usize, why: &str) {
        let node = &mut self.nodes[index];
        node.phase = Phase::Kept { why: why.to_owned() };
        node.ended = Some(self.now);
        let (node, text) = (node.target.name.clone(), why.to_owned());
        self.tell(Note::Kept { node, text });
    }

    /// The run ends while nodes are being removed.
    pub(super) fn keep_late(&mut self, outcome: Outcome) {
        let why = match outcome {
            Outcome::Deadline => "the time of --timeout was up",
            _ => "interrupted",
        };
        for index in 0..self.nodes.len() {
            if matches!(self.nodes[index].phase, Phase::Removing { .. }) {
                self.keep(index, why);
            }
        }
    }
}
