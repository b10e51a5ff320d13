//! The end of a run: nothing new is asked for, own cordons are taken back, answers are waited for, but not for long.

use super::{
    Asked, State,
    event::{At, Command, Note, Outcome},
    fence::Fence,
    nodes::{Node, Phase},
    surge::Surge,
};

/// The end of a run, under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub outcome: Outcome,
    pub since: At,
    /// Somebody has asked a second time: nothing is waited for.
    pub hurried: bool,
}

/// How long the end of a run waits for its own cordons to be taken back, in milliseconds.
const UNDO_PATIENCE: i64 = 10_000;
/// The same where the end was promised to be on time.
const UNDO_PATIENCE_AT_DEADLINE: i64 = 1_000;
/// How long it waits for the answers to evictions that were asked for, in milliseconds. Those that wait for each other at
/// one budget take steps of half a second.
const ANSWER_PATIENCE: i64 = 3_000;
/// The same where the end was promised to be on time.
const ANSWER_PATIENCE_AT_DEADLINE: i64 = 700;

impl State {
    /// Ends the run: stops asking, and takes back own cordons where that was asked for.
    pub(super) fn end(&mut self, outcome: Outcome) {
        if let Some(ending) = &mut self.ending {
            // A second interrupt while cordons are being taken back: leave at once.
            (ending.outcome, ending.hurried) = (outcome, true);
            return;
        }
        self.undo = match outcome {
            Outcome::Refused | Outcome::Failed => !self.evicting_started || self.settings.uncordon_on_abort,
            Outcome::Done => false,
            _ => self.settings.uncordon_on_abort,
        };
        self.ending = Some(Ending {
            outcome,
            since: self.now,
            hurried: false,
        });
        self.settle_late();
        self.end_surges(outcome);
        self.end_fences(outcome);
        self.publish_the_end(outcome);
        for index in 0..self.nodes.len() {
            if self.undo && !self.nodes[index].empty() {
                self.uncordon(index);
            }
        }
    }

    /// Finishes once nothing is left to do.
    pub(super) fn conclude(&mut self) {
        let surging = self.surges.iter().any(Surge::active);
        let fencing = self.nodes.iter().any(|n| n.fence.as_ref().is_some_and(Fence::active));
        if self.ending.is_none() && !surging && !fencing && self.nodes.iter().all(Node::over) {
            let outcome = if self.nodes.iter().all(|n| n.phase == Phase::Done) {
                Outcome::Done
            } else if self.evicting_started || self.nodes.iter().any(Node::empty) {
                Outcome::Incomplete
            } else {
                self.nodes
                    .iter()
                    .find_map(|n| n.ended_as())
                    .unwrap_or(Outcome::Incomplete)
            };
            self.end(outcome);
        }
        let Some(ending) = self.ending else { return };
        let outcome = ending.outcome;
        let (undo_patience, answer_patience) = match outcome {
            Outcome::Deadline => (UNDO_PATIENCE_AT_DEADLINE, ANSWER_PATIENCE_AT_DEADLINE),
            _ => (UNDO_PATIENCE, ANSWER_PATIENCE),
        };
        let until = ending.since.saturating_add(undo_patience);
        // A cordon whose answer is still to come has to be taken back as well.
        let undoing = self.calls.values().any(|asked| match asked {
            Asked::Uncordon(_) => true,
            Asked::Cordon(_) => self.undo,
            _ => false,
        }) || fencing
            || self.nodes.iter().any(|n| n.undo_at.is_some());
        if undoing && !ending.hurried && self.now < until {
            self.wake_at(until);
            return;
        }
        // Before a deadline that has been under way for a while.
        if surging && !ending.hurried && self.now < until {
            self.wake_at(until);
            return;
        }
        // An eviction that is cut off in the middle may have been counted by its budget without taking effect; the
        // budget then stays short of it for two minutes.
        let answered = ending.since.saturating_add(answer_patience);
        let telling = |asked: &Asked| matches!(asked, Asked::Publish(_) | Asked::Remove(_));
        let telling = self.calls.values().any(telling);
        if (self.in_flight > 0 || telling) && !ending.hurried && self.now < answered {
            self.wake_at(answered);
            return;
        }
        self.keep_late(outcome);
        self.tell_what_was_not_undone();
        self.finished = Some(outcome);
        self.out.push(Command::Finish(outcome));
    }

    fn tell_what_was_not_undone(&mut self) {
        let asked = |name: &str| {
            let mut calls = self.calls.values();
            calls.any(|asked| matches!(asked, Asked::Uncordon(node) if node == name))
        };
        let nodes = self.nodes.iter().filter_map(|node| {
            let name = &node.target.name;
            let why = match &node.trouble {
                Some(text) if node.undo_at.is_some() => text.clone(),
                _ if asked(name) => "no answer".to_owned(),
                _ => return None,
            };
            Some(format!("the cordon of node/{name} could not be taken back: {why}"))
        });
        let texts: Vec<String> = nodes.collect();
        texts.into_iter().for_each(|text| self.tell(Note::Warning(text)));
    }
}
