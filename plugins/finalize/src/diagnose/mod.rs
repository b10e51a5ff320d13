//! What holds the target: pure, from what was read. Where a rule needs to know more it asks; the same is decided again
//! once that is answered.

mod cause;
mod denials;
mod desk;
mod namespace;
mod object;
mod rules;
#[cfg(test)]
pub mod sim;

use std::collections::{BTreeMap, BTreeSet};

use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
};

pub use self::{
    cause::{Actor, CONTROLLER_SAYS, Cause, CauseKey, DENIED, Life, REFUSED, SOMEBODY, WEBHOOK, WRITTEN_BACK},
    desk::Desk,
    rules::{Backend, by_hand_in_storage, is_unreadable, version_gone},
};
use crate::{
    facts::{Ask, Facts, Key, Object, Said},
    knowledge::Knowledge,
    ladder::{Mend, Remedy},
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

/// How many kinds are named that may not be listed.
const UNREAD: usize = 5;

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
    found.without_right();
    found.many();
    if let State::Going(_) = state {
        rules::confirmed(&desk, &mut found);
        namespace::left_behind(&desk, &mut found);
    }
    rules::circles(&desk, &mut found);
    found.denials(&desk);
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
    /// Those that this user may not list, with the server's words.
    unread: BTreeMap<String, String>,
    /// Objects that others wait for, still to be looked at. Owners may form circles and chains of any length, so that no rule
    /// calls itself: it adds to this list, and each object is looked at once.
    pending: Vec<(Kind, Object)>,
    /// Objects that were looked at, or will be.
    judged: BTreeSet<ObjRef>,
    /// Objects with more finalizers than are judged at a time, and how many more.
    beyond: BTreeMap<ObjRef, usize>,
    /// Owners that wait for a dependent in a foreground deletion.
    links: Vec<Link>,
}

/// An owner that is deleted in the foreground, and one dependent that it waits for.
#[derive(Debug, Clone)]
pub struct Link {
    /// The cause of the owner.
    pub owner: CauseKey,
    /// The UID of the owner.
    pub owner_uid: String,
    /// Where the owner is.
    pub owner_key: Key,
    /// The dependent.
    pub dependent: ObjRef,
    /// Where that is.
    pub key: Key,
    /// Seconds since the owner should be gone.
    pub overdue: Option<i64>,
}

impl Found {
    /// Adds a cause.
    pub fn cause(&mut self, cause: Cause) {
        match self.causes.get_mut(&cause.key) {
            Some(known) => {
                let new = cause.holds.into_iter().filter(|held| !known.holds.contains(held));
                let new: Vec<ObjRef> = new.collect();
                known.holds.extend(new);
                for remedy in cause.remedies {
                    widen(&mut known.remedies, remedy);
                }
            }
            None => drop(self.causes.insert(cause.key.clone(), cause)),
        }
    }

    /// Whether the object is looked at for the first time.
    fn is_first_look(&mut self, reference: ObjRef) -> bool {
        self.judged.insert(reference)
    }

    /// Looks at the object later, unless it was looked at already.
    fn later(&mut self, desk: &Desk<'_>, kind: &Kind, object: &Object) {
        if self.is_first_look(desk.reference(kind, object)) {
            self.pending.push((kind.clone(), object.clone()));
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

    /// What this user may not list, in one line: who has no right to one kind mostly has none to many.
    fn without_right(&mut self) {
        let role = "ask for the ClusterRole kubectl-finalize-look";
        let names: Vec<&str> = self.unread.keys().map(String::as_str).collect();
        let evidence = match (names.as_slice(), self.unread.values().next()) {
            ([one], Some(said)) => format!("{one} cannot be listed ({role}): {said}"),
            ([], _) | (_, None) => return,
            (many, _) => {
                let shown = many.iter().take(UNREAD).copied().collect::<Vec<_>>().join(", ");
                let more = match many.len().saturating_sub(UNREAD) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!(
                    "{} kinds cannot be listed, for you may not ({role}): {shown}{more}",
                    many.len()
                )
            }
        };
        self.notes.push(Finding {
            id: "unseen",
            severity: Severity::Warning,
            subjects: Vec::new(),
            evidence,
            hint: Some(role.into()),
        });
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

/// The same webhook may be in the way of several: one exclusion is for all of them.
fn widen(known: &mut Vec<Remedy>, new: Remedy) {
    let Some(Mend::Exclude {
        entry,
        namespace,
        only,
        accounts,
        ..
    }) = &new.mend
    else {
        return;
    };
    let same = known.iter_mut().find(|remedy| match &remedy.mend {
        Some(Mend::Exclude {
            entry: e,
            namespace: n,
            only: o,
            ..
        }) => (e, n, o) == (entry, namespace, only),
        _ => false,
    });
    let Some(same) = same else {
        return known.push(new);
    };
    let Some(Mend::Exclude { accounts: ours, .. }) = &same.mend else {
        return;
    };
    // The wider of the two has the words for it. Two that know different controllers are for every user.
    let (ours, theirs) = (ours.as_deref(), accounts.as_deref());
    let covers = |a: Option<&[String]>, b: Option<&[String]>| match (a, b) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => b.iter().all(|one| a.contains(one)),
    };
    if !covers(ours, theirs) && covers(theirs, ours) {
        *same = new;
    } else if !covers(ours, theirs) {
        known.push(new);
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

    /// Whether a safety rule says no to what was asked for.
    pub fn is_refused(&self) -> bool {
        self.notes.iter().any(|note| note.severity == Severity::Refusal)
    }

    /// Whether somebody denies what the target waits for.
    pub fn is_denied(&self) -> bool {
        self.roots().any(|cause| cause.key.id == DENIED)
    }

    /// Whether a cause only stands in what the namespace controller has written when it tried the last time.
    pub fn rests_on_old_words(&self) -> bool {
        self.causes.iter().any(|cause| cause.key.id == rules::REFUSED)
    }

    /// Causes behind which there is no other.
    pub fn roots(&self) -> impl Iterator<Item = &Cause> {
        self.causes.iter().filter(|cause| cause.behind.is_empty())
    }
}
