//! Machines that are off, and what the controllers do for them; some of them turn out to be alive.

use proptest::test_runner::TestCaseError;

use super::{
    rules::fail,
    world::{World, node},
};
use crate::{
    engine::{
        event::{At, Call, Change, Command, Outcome, Reply, What},
        fence::machine::{Act, Planned, Sight},
    },
    facts::{OutOfService, Ready},
};

/// One of them.
#[derive(Debug)]
pub struct Off {
    pub by_taint: bool,
    pub tainted: bool,
    pub alive: bool,
    renewed: At,
    version: u64,
    /// What the engine was last told.
    seen_alive: bool,
}

impl Off {
    pub fn new(by_taint: bool) -> Self {
        Self {
            by_taint,
            tainted: false,
            alive: false,
            renewed: 500,
            version: 1,
            seen_alive: false,
        }
    }

    pub fn planned(&self) -> Planned {
        Planned {
            renewed: Some(self.renewed),
            by_taint: self.by_taint,
            ..Planned::default()
        }
    }

    fn sight(&self, name: &str) -> Sight {
        Sight {
            uid: name.to_owned(),
            version: self.version.to_string(),
            ready: if self.alive { Ready::True } else { Ready::Unknown },
            taint: self.tainted.then_some(OutOfService::Ours),
            record: self.tainted,
            renewed: Some(self.renewed),
            unheard: None,
            silent: Some((1, 9)),
        }
    }
}

impl World {
    /// Whether somebody ends pods on this node: its kubelet, or the garbage collector.
    pub fn ends_pods(&self, node: &str) -> bool {
        self.off.get(node).is_none_or(|o| o.alive || (o.tainted && o.by_taint))
    }

    /// What the taint does at once.
    pub fn evict_tainted(&mut self) {
        let deletion = k8s_openapi::jiff::Timestamp::from_millisecond(self.now + 30_000).unwrap();
        let tainted = |node: &str| self.off.get(node).is_some_and(|o| o.tainted);
        let here: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, p)| p.pod.deletion.is_none() && tainted(&p.pod.node))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in here {
            let sim = self.pods.get_mut(&uid).unwrap();
            sim.pod.deletion = Some(deletion);
            let pod = sim.pod.clone();
            self.tell(&pod.node.clone(), Change::Applied(pod));
        }
    }

    /// Its kubelet is heard of again: its Lease first, or the condition.
    pub fn comes_back(&mut self) -> Result<(), TestCaseError> {
        let names: Vec<String> = self.off.keys().cloned().collect();
        let name = names[usize::try_from(self.roll(8)).unwrap() % names.len()].clone();
        let condition = self.one_in(2);
        let now = self.now;
        let off = self.off.get_mut(&name).unwrap();
        (off.alive, off.renewed) = (off.alive || condition, now);
        off.version += u64::from(condition);
        if !condition || !self.watched.contains(&name) {
            return Ok(());
        }
        let mut back = node(&name, &name, true);
        back.ready = Ready::True;
        self.feed(What::Node(Change::Applied(back)))
    }

    pub fn answer_fence(&mut self, call: Call, name: &str, act: &Act, fault: bool) -> Result<(), TestCaseError> {
        let roll = self.roll(6);
        let off = self.off.get_mut(name).unwrap();
        let wanted = match act {
            Act::Look { .. } if fault => Err(Reply::Unavailable("busy".into())),
            Act::Look { .. } => {
                off.seen_alive = off.alive || off.renewed > 500;
                let sight = Some(off.sight(name));
                return self.feed(What::FenceSight { call, sight });
            }
            Act::Taint { version } => Ok((version, true)),
            Act::Untaint { version } => Ok((version, false)),
        };
        let reply = match wanted {
            Err(reply) => reply,
            Ok(_) if fault && roll < 2 => Reply::Lost("before".into()),
            Ok(_) if fault && roll == 2 => Reply::Unavailable("busy".into()),
            Ok((version, _)) if *version != off.version.to_string() => Reply::Conflict("changed".into()),
            Ok((_, on)) => {
                off.tainted = on;
                off.version += 1;
                if fault && roll == 3 {
                    Reply::Lost("after".into())
                } else {
                    Reply::Accepted
                }
            }
        };
        self.feed(What::Reply { call, reply })
    }

    /// Nothing is forced that was last seen alive.
    pub fn check_force(&self, command: &Command) -> Result<(), TestCaseError> {
        let node = match command {
            Command::Fence {
                node,
                act: Act::Taint { .. },
                ..
            } => Some(node.clone()),
            Command::Delete {
                pod, grace: Some(0), ..
            } => self.pods.get(&pod.uid).map(|p| p.pod.node.clone()),
            _ => None,
        };
        let Some(node) = node else { return Ok(()) };
        match self.off.get(&node) {
            Some(off) if off.seen_alive => fail(format!("{node} is forced, although it was seen alive: {command:?}")),
            Some(_) => Ok(()),
            None => fail(format!("{node} is forced, and was never off: {command:?}")),
        }
    }

    /// No taint stays, but where the run was ended before it could be taken off; then that is known.
    pub fn check_lifted(&self) -> Result<(), TestCaseError> {
        for (name, _) in self.off.iter().filter(|(_, o)| o.tainted) {
            let in_time = matches!(self.finished, Some(Outcome::Done | Outcome::Incomplete));
            if in_time || !self.state.fenced().any(|n| n == name) {
                return fail(format!("{name} stays tainted: {:?}", self.finished));
            }
        }
        Ok(())
    }
}
