//! What is in flight under one budget, held against what it allows.

use std::collections::BTreeMap;

use crate::engine::event::{At, Reply};

/// One sent so much earlier than one that is answered sleeps on the server.
const OVERTAKEN: At = 40;

#[derive(Debug)]
pub struct Under {
    flying: BTreeMap<String, At>,
    /// What the engine was last told, less what was accepted since.
    allowed: usize,
    most: usize,
    latest_answered: At,
}

impl Under {
    pub fn new() -> Self {
        Self {
            flying: BTreeMap::new(),
            allowed: 1,
            most: 1,
            latest_answered: At::MIN,
        }
    }

    pub fn told(&mut self, allowed: i32) {
        self.allowed = usize::try_from(allowed).unwrap_or(0);
        self.most = self.most.max(self.allowed);
    }

    pub fn answered(&mut self, uid: &str, reply: &Reply) {
        if let Some(sent) = self.flying.remove(uid)
            && matches!(reply, Reply::Accepted | Reply::OverBudget { .. })
        {
            self.latest_answered = self.latest_answered.max(sent);
            if *reply == Reply::Accepted {
                self.allowed = self.allowed.saturating_sub(1);
            }
        }
    }

    /// What is broken by one more, if anything.
    pub fn sent(&mut self, uid: &str, now: At) -> Option<String> {
        self.flying.insert(uid.to_owned(), now);
        let all = self.flying.len();
        let overtaken = |sent: &&At| **sent + OVERTAKEN <= self.latest_answered;
        let awake = all - self.flying.values().filter(overtaken).count();
        // One may always be tried: news may be late.
        if awake > self.allowed.max(1) || all >= 2 * self.most {
            return Some(format!(
                "{awake} awake of {all} in flight under a budget that allows {} and at most {}",
                self.allowed, self.most
            ));
        }
        None
    }
}
