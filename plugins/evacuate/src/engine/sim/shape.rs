//! What a case of the random orders looks like.

use std::collections::{BTreeMap, BTreeSet};

use upkeep::report::Seen;

use super::off::Off;
use crate::{
    engine::{
        OnBlocked, Settings,
        event::{At, Verb},
    },
    preflight::{
        filters::{Allowed, Rules},
        jobs::Losses,
    },
};

/// What a case looks like.
#[derive(Debug, Clone)]
pub struct Shape {
    pub seed: u64,
    pub nodes: usize,
    pub pods: usize,
    pub budgets: usize,
    pub on_blocked: u8,
    /// Which nodes are off: the first, the last, all, none.
    pub off: u8,
    /// How many pods on the first node only a surge can move.
    pub surged: usize,
    pub by_priority: bool,
    pub hostile: bool,
    pub one_by_one: bool,
    pub uncordon: bool,
    pub delete: bool,
    pub deadline: Option<At>,
}

impl Shape {
    /// The machines that are off, by node.
    pub fn off(&self) -> BTreeMap<String, Off> {
        let (by_taint, which) = match self.off {
            0 => (true, 0..1),
            1 => (false, self.nodes - 1..self.nodes),
            2 => (true, 0..self.nodes),
            _ => return BTreeMap::new(),
        };
        which.map(|i| (format!("n{i}"), Off::new(by_taint))).collect()
    }

    pub fn settings(&self, now: At) -> Settings {
        Settings {
            run: "run".into(),
            rules: Rules {
                allowed: Allowed::default(),
                daemon_sets: Seen::Known(BTreeSet::from(["ds".to_owned()])),
                gone: BTreeSet::new(),
                losses: Losses::default(),
            },
            verb: Verb::Evict,
            grace: None,
            deadline: self.deadline.map(|d| now + d),
            on_blocked: match self.on_blocked {
                0 => OnBlocked::Patient,
                1 => OnBlocked::Wait,
                2 => OnBlocked::Fail,
                _ => OnBlocked::DeleteAfter(5_000),
            },
            by_priority: self.by_priority,
            parallel: if self.one_by_one { 1 } else { 4 },
            in_flight: 32,
            wait_detach: false,
            wait_replacements: None,
            delete: self.delete,
            uncordon_on_abort: self.uncordon,
            seed: self.seed,
        }
    }
}
