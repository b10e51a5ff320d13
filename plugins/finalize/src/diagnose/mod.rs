//! What holds the target: pure, from what was read. Where a rule needs to know more it asks; the same is decided again
//! once that is answered.

mod cause;
mod desk;
mod namespace;
mod object;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
};

pub use self::{
    cause::{Actor, CONTROLLER_SAYS, Cause, CauseKey, DENIED, Life, SOMEBODY},
    desk::Desk,
    rules::Backend,
};
use crate::{
    facts::{Ask, Facts, Said},
    knowledge::Knowledge,
    ladder::Mend,
};

/// What was found out.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// Where the target stands.
    pub state: State,
    /// What it waits for, the roots first.
    pub causes: Vec<Cause>,
    /// Deletions that are under way and need nothing but time, with the reason.
    pub in_time: Vec<(ObjRef, String)>,
    /// Objects that nobody has asked to go yet.
    pub untouched: usize,
    /// What else a person should know, and what could not be seen.
    pub notes: Vec<Finding>,
    /// What has to be asked before this is complete.
    pub asks: BTreeSet<Ask>,
}

/// Where the target stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Gone,
    /// Nobody has asked for its deletion.
    Living,
    /// It is being deleted, for so many seconds.
    Going(i64),
    /// It cannot be read.
    Unseen(Said),
    /// It has not been looked at yet.
    Unknown,
}

/// The same objects are served twice, or made from others: both go with them.
pub fn is_double(kind: &Kind) -> bool {
    kind.group == "events.k8s.io" || kind.is("", "Endpoints")
}

/// Decides.
pub fn diagnose(facts: &Facts, knowledge: &Knowledge) -> Diagnosis {
    let desk = Desk::new(facts, knowledge);
    let mut found = Found::default();
    let state = if facts.target.group.is_empty() && facts.target.plural == "namespaces" {
        namespace::look(&desk, &mut found)
    } else {
        object::look(&desk, &mut found)
    };
    found.rights(&desk);
    found.into_diagnosis(state, desk.into_asks())
}

/// What the rules have found so far. The same cause found twice is one that holds more.
#[derive(Debug, Default)]
pub struct Found {
    causes: BTreeMap<CauseKey, Cause>,
    in_time: Vec<(ObjRef, String)>,
    untouched: usize,
    notes: Vec<Finding>,
    /// Resources that may hold more than could be seen.
    unseen: BTreeSet<String>,
}

impl Found {
    /// Adds a cause.
    pub fn cause(&mut self, cause: Cause) {
        match self.causes.get_mut(&cause.key) {
            Some(known) => {
                let new = cause.holds.into_iter().filter(|held| !known.holds.contains(held));
                let new: Vec<ObjRef> = new.collect();
                known.holds.extend(new);
            }
            None => drop(self.causes.insert(cause.key.clone(), cause)),
        }
    }

    /// Which of the remedies this user may not use: asked for beforehand, not found out in the middle.
    fn rights(&mut self, desk: &Desk<'_>) {
        let remedies = self.causes.values_mut().flat_map(|cause| cause.remedies.iter_mut());
        for remedy in remedies {
            let Some(right) = remedy.mend.as_ref().map(Mend::right) else {
                continue;
            };
            let text = right.to_string();
            if let Some(Err(_)) = desk.answer(&Ask::May(right)) {
                remedy.missing = Some(text);
            }
        }
    }

    /// Something that could not be tried, for want of a right: once per right.
    fn untried(&mut self, said: &Said) {
        let note = Finding {
            id: "untried",
            severity: Severity::Info,
            subjects: Vec::new(),
            evidence: "what webhooks and policies say to a deletion was not tried: you may not delete".into(),
            hint: Some(said.message.clone()),
        };
        if !self.notes.iter().any(|n| n.id == note.id) {
            self.notes.push(note);
        }
    }

    /// Roots first, and of those the ones that hold most.
    fn into_diagnosis(self, state: State, asks: BTreeSet<Ask>) -> Diagnosis {
        let mut causes: Vec<Cause> = self.causes.into_values().collect();
        causes.sort_by_key(|cause| (!cause.behind.is_empty(), std::cmp::Reverse(cause.holds.len())));
        Diagnosis {
            state,
            causes,
            in_time: self.in_time,
            untouched: self.untouched,
            notes: self.notes,
            asks,
        }
    }
}

impl State {
    /// Why it cannot be seen.
    pub fn why(&self) -> Option<String> {
        match self {
            Self::Unseen(said) => Some(said.message.clone()),
            _ => None,
        }
    }
}

impl Diagnosis {
    /// Of what is not there any more.
    pub fn gone() -> Self {
        Self {
            state: State::Gone,
            causes: Vec::new(),
            in_time: Vec::new(),
            untouched: 0,
            notes: Vec::new(),
            asks: BTreeSet::new(),
        }
    }

    /// Causes behind which there is no other.
    pub fn roots(&self) -> impl Iterator<Item = &Cause> {
        self.causes.iter().filter(|cause| cause.behind.is_empty())
    }
}
