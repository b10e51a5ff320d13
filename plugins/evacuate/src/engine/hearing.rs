//! How news about a node's pods come: by a watch, by lists where there is no watch, and by a list where it is silent.

use super::{
    State,
    event::{Note, Outcome, Reply},
    nodes::Phase,
};

/// How often a node is listed that cannot be watched, in milliseconds.
const POLL_EVERY: i64 = 2_000;
/// How long nothing may be heard of a node's pods before they are listed, in milliseconds.
const SILENCE: i64 = 30_000;
/// How many failures in a row are said.
pub(super) const FAILURES_TO_TELL: u32 = 3;

impl State {
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
        (0..self.nodes.len()).for_each(|index| self.begin_draining(index));
    }

    /// Something was heard of a node's pods.
    pub(super) fn heard_of(&mut self, name: &str) {
        if let Some(index) = self.index(name) {
            self.nodes[index].heard = self.now;
        }
    }

    /// A watch may be silent because nothing happens or because it does not work: a list tells.
    pub(super) fn break_silence(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if !matches!(node.phase, Phase::Draining | Phase::Confirming) {
            return;
        }
        let until = node.heard.saturating_add(SILENCE);
        if self.now < until {
            self.wake_at(until);
        } else {
            node.heard = self.now;
            node.wants_list = true;
            self.wake_at(self.now.saturating_add(SILENCE));
        }
    }

    pub(super) fn poll(&mut self, index: usize) {
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

    pub(super) fn list_failed(&mut self, name: &str, reply: &Reply) {
        let Some(index) = self.index(name) else { return };
        self.nodes[index].listing = false;
        match reply {
            Reply::Forbidden(text) | Reply::Rejected(text) if !self.lately_failing() => {
                let why = format!("its pods can no longer be listed: {text}");
                self.give_up(index, why, Outcome::Incomplete);
            }
            other => {
                self.nodes[index].wants_list = true;
                self.back_off();
                if self.failures == FAILURES_TO_TELL {
                    self.complain(&other.text());
                }
            }
        }
    }
}
