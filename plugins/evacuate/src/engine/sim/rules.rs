//! What must never happen, held against every command and against the end.

use std::collections::VecDeque;

use proptest::test_runner::TestCaseError;

use super::world::{Open, SimPod, World};
use crate::{
    engine::event::{At, Change, Command, Outcome, What},
    facts::Pod,
};

pub fn fail<T>(text: String) -> Result<T, TestCaseError> {
    Err(TestCaseError::fail(text))
}

impl World {
    /// Holds every command against what must never happen, and remembers what is to be answered.
    pub fn take(&mut self, commands: Vec<Command>) -> Result<(), TestCaseError> {
        for command in commands {
            if self.finished.is_some() {
                return fail(format!("asked for {command:?} after the end"));
            }
            let call = match &command {
                Command::Cordon { call, .. }
                | Command::Uncordon { call, .. }
                | Command::Publish { call, .. }
                | Command::List { call, .. }
                | Command::Fence { call, .. }
                | Command::Surge { call, .. }
                | Command::Remove { call, .. }
                | Command::Evict { call, .. }
                | Command::Delete { call, .. } => *call,
                Command::Watch { node } => {
                    let list = self.on(node);
                    self.news.insert(node.clone(), VecDeque::from([Change::Listed(list)]));
                    // The two watches begin in any order.
                    self.open.push(Open { call: 0, command });
                    continue;
                }
                Command::Unwatch { node } => {
                    self.news.remove(node);
                    continue;
                }
                Command::Inspect { budget, .. } => {
                    let mut pods: Vec<Pod> = self.pods.values().map(|p| p.pod.clone()).collect();
                    pods.iter_mut().for_each(|p| p.ready = false);
                    let budget = budget.clone();
                    self.feed(What::BudgetPods {
                        budget,
                        found: Some((pods, None)),
                    })?;
                    continue;
                }
                Command::Finish(outcome) => {
                    self.finished = Some(*outcome);
                    continue;
                }
                _ => continue,
            };
            self.check_force(&command)?;
            if matches!(command, Command::Surge { .. }) {
                self.surge_asked();
            }
            if let Command::Remove { node, .. } = &command {
                self.check_removal(node)?;
            }
            if let Command::Evict { pod, .. } | Command::Delete { pod, .. } = &command {
                let again = matches!(command, Command::Delete { grace: Some(0), .. });
                self.check_move(&pod.uid, again)?;
            }
            self.open.push(Open { call, command });
        }
        Ok(())
    }

    fn check_move(&mut self, uid: &str, again: bool) -> Result<(), TestCaseError> {
        self.check_not_surged(uid)?;
        if self.accepted.contains(uid) && !again {
            return fail(format!("{uid} asked again after it was accepted"));
        }
        if !self.asked_without_answer.insert(uid.to_owned()) {
            return fail(format!("{uid} asked twice at the same time"));
        }
        let ours = |node: &str| (0..self.shape.nodes).any(|i| format!("n{i}") == node);
        if let Some(sim) = self.pods.get(uid) {
            if !sim.movable || !ours(&sim.pod.node) {
                return fail(format!("{uid} is not ours to move"));
            }
            if let Some(b) = sim.budget.filter(|_| !self.off.contains_key(&sim.pod.node)) {
                let broken = self.under[b].sent(uid, self.now);
                if let Some(text) = broken.filter(|_| self.shape.on_blocked != 3) {
                    return fail(text);
                }
            }
        }
        if self
            .pods
            .get(uid)
            .is_some_and(|sim| !self.watched.contains(&sim.pod.node))
        {
            return fail(format!("{uid} was moved before its node was seen to be cordoned"));
        }
        if self.cordoned.len() < self.shape.nodes {
            return fail("a pod was moved before every node was cordoned".into());
        }
        Ok(())
    }

    /// Only a node is removed from which all has gone that was there when it was last listed.
    fn check_removal(&self, node: &str) -> Result<(), TestCaseError> {
        let listed = self.last_list.get(node).copied().unwrap_or(0);
        let mut here = self.pods.values().filter(|p| p.pod.node == node && p.movable);
        let tainted = self.off.get(node).is_some_and(|o| o.tainted);
        match here.find(|p| p.born < listed) {
            Some(pod) => fail(format!("{node} is removed, and {} is on it", pod.pod.uid)),
            None if !self.shape.delete || tainted => fail(format!("{node} is removed (tainted: {tainted})")),
            None => Ok(()),
        }
    }

    pub fn check_end(&self) -> Result<(), TestCaseError> {
        self.check_lifted()?;
        self.check_unsurged()?;
        let left = |p: &&SimPod| p.movable && self.last_list.get(&p.pod.node).is_none_or(|listed| p.born < *listed);
        let mut remaining = self.pods.values().filter(left);
        match self.finished {
            Some(Outcome::Done) => match remaining.next() {
                Some(pod) => fail(format!("done, but {} is still there", pod.pod.uid)),
                None if self.shape.delete && self.removed.len() < self.shape.nodes => {
                    fail("done, and not removed".into())
                }
                None => Ok(()),
            },
            Some(Outcome::Deadline) => {
                let deadline = 1_000_000 + self.shape.deadline.unwrap_or(At::MAX / 2);
                if self.now < deadline {
                    fail("ended before its time".into())
                } else {
                    Ok(())
                }
            }
            Some(Outcome::Interrupted) if !self.interrupted => fail("interrupted by nobody".into()),
            _ if self.shape.deadline.is_some_and(|d| self.now > 1_000_000 + d + 200_000) => fail("too late".into()),
            _ => Ok(()),
        }
    }
}
