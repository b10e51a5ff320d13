//! What others are told about a node: that it is being emptied, that it is empty, or that the work on it has ended.
//!
//! One message at a time per node, so that an older one never overtakes a newer one. No work depends on them: a message
//! that is refused is said once and not tried again.

use super::{
    Asked, State,
    event::{Command, Note, Outcome, Reply, Stage},
};

impl State {
    /// Tells it, after what is being told already.
    pub(super) fn publish(&mut self, index: usize, stage: Stage) {
        self.nodes[index].to_publish = Some(stage);
        self.publish_next(index);
    }

    fn publish_next(&mut self, index: usize) {
        let underway = |asked: &Asked| matches!(asked, Asked::Publish(node) if *node == self.nodes[index].target.name);
        if self.calls.values().any(underway) {
            return;
        }
        let node = &mut self.nodes[index];
        let Some(stage) = node.to_publish.take() else { return };
        let (name, uid) = (node.target.name.clone(), node.target.uid.clone());
        let call = self.call(Asked::Publish(name.clone()));
        self.out.push(Command::Publish {
            call,
            node: name,
            uid,
            stage,
        });
    }

    pub(super) fn published(&mut self, name: &str, reply: &Reply) {
        let Some(index) = self.index(name) else { return };
        if let Reply::Rejected(text) | Reply::Forbidden(text) | Reply::Denied(text) = reply {
            for line in text.lines() {
                if self.unpublished.insert(line.to_owned()) {
                    self.tell(Note::Warning(line.to_owned()));
                }
            }
        }
        self.publish_next(index);
    }

    /// All that was to be evicted has left the node. Where other pods stay, nobody may take it for empty.
    pub(super) fn publish_drained(&mut self, index: usize) {
        let text = format!("{} gone", self.gone_from(index));
        let stage = match self.why_partial(index) {
            None => Stage::Drained { text },
            Some(why) => Stage::Partial {
                text: format!("{text}; {why}"),
            },
        };
        self.publish(index, stage);
    }

    /// The work on a node has ended before it was empty. What is not begun has nothing to tell.
    pub(super) fn publish_stopped(&mut self, index: usize, why: &str, outcome: Outcome) {
        let node = &self.nodes[index];
        if node.began.is_none() {
            return;
        }
        // Where the cordon is taken back, the conditions go with it.
        let undone = node.cordoned_by_us && (outcome == Outcome::Refused || (self.ending.is_some() && self.undo));
        let text = format!("{} gone; {why}", self.gone_from(index));
        self.publish(index, Stage::Stopped { text, undone });
    }

    /// The run ends: what is under way is told to have stopped.
    pub(super) fn publish_the_end(&mut self, outcome: Outcome) {
        let why = match outcome {
            Outcome::Deadline => "the time of --timeout was up",
            Outcome::Interrupted => "interrupted",
            _ => "ended",
        };
        for index in 0..self.nodes.len() {
            if !self.nodes[index].over() {
                self.publish_stopped(index, why, outcome);
            }
        }
    }

    fn gone_from(&self, index: usize) -> String {
        let name = &self.nodes[index].target.name;
        let gone = self.pods.departed.iter().filter(|d| d.node == *name).count();
        upkeep::ui::plural(gone, "pod")
    }
}
