//! What the server answers to the changes of a run, and what is changed after that. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{History, Mend, Tried};
use crate::facts::{Key, Said};

/// Every change that a run has tried, and what the server has said to those that were not made.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    history: History,
    refused: BTreeMap<Key, Said>,
}

impl Answers {
    /// Whether changes are made that the server has tried together. `refusals`: what it said to some of them. Where one is
    /// denied, none is made.
    pub fn lets_make<'s>(refusals: impl IntoIterator<Item = &'s Said>) -> bool {
        !refusals.into_iter().any(Said::is_denial)
    }

    /// It was made.
    pub fn made(&mut self, tried: Tried) {
        let key = tried.mend.key();
        if !self.is_denied(&key) {
            self.refused.remove(&key);
        }
        self.history.push(tried);
    }

    /// It was not made. `said`: by the server, where that has answered.
    pub fn refused(&mut self, tried: Tried, said: Option<Said>) {
        let key = tried.mend.key();
        if let Some(said) = said.filter(|_| !self.is_denied(&key)) {
            self.refused.insert(key, said);
        }
        self.history.push(tried);
    }

    /// Nobody wanted them.
    pub fn declined(&mut self, tried: impl IntoIterator<Item = Tried>) {
        self.history.extend(tried);
    }

    /// Time has passed, and what was refused may be possible by now. A denial is final: its owner may change it, and then a
    /// later run finds that.
    pub fn waited(&mut self) {
        self.refused.retain(|_, said| said.is_denial());
    }

    /// Every change that was tried, in order.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Objects that could not be changed, and what the server said instead.
    pub fn refusals(&self) -> &BTreeMap<Key, Said> {
        &self.refused
    }

    /// Webhooks that something was left out of: the configuration, and the name of the webhook.
    pub fn opened(&self) -> BTreeSet<(Key, String)> {
        let made = self.history.iter().filter(|tried| tried.failed.is_none());
        let opened = made.filter_map(|tried| match &tried.mend {
            Mend::Exclude { key, entry, .. } => Some((key.clone(), entry.clone())),
            _ => None,
        });
        opened.collect()
    }

    fn is_denied(&self, key: &Key) -> bool {
        self.refused.get(key).is_some_and(Said::is_denial)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::ladder::Rung;

    fn strip(finalizer: &str, failed: Option<&str>) -> Tried {
        Tried {
            mend: Mend::Strip {
                key: key(),
                uid: "u".into(),
                finalizer: finalizer.into(),
                status: false,
            },
            rung: Rung::Strip,
            text: String::new(),
            leaves: Vec::new(),
            failed: failed.map(str::to_owned),
            declined: false,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn key() -> Key {
        Key::within("", "configmaps", "shop", "a")
    }

    fn said(message: &str) -> Said {
        Said {
            code: 409,
            reason: "Conflict".into(),
            message: message.into(),
        }
    }

    const DENIED: &str = "admission webhook \"g.example.com\" denied the request: the object has been modified";

    /// Neither time nor another answer about the same object ends it.
    #[test]
    fn a_denial_stays() {
        let mut answers = Answers::default();
        answers.refused(strip("f", Some("denied")), Some(said(DENIED)));
        answers.waited();
        answers.refused(strip("g", Some("conflict")), Some(said("the object has been modified")));
        answers.made(strip("g", None));
        answers.waited();
        assert_eq!(answers.refusals().get(&key()), Some(&said(DENIED)));
        assert_eq!(answers.history().len(), 3);
    }

    #[test]
    fn what_else_is_refused_may_be_possible_later() {
        let conflict = said("the object has been modified");
        let mut answers = Answers::default();
        answers.refused(strip("f", Some("conflict")), Some(conflict.clone()));
        assert_eq!(answers.refusals().get(&key()), Some(&conflict));
        answers.waited();
        assert!(answers.refusals().is_empty());
        answers.refused(strip("f", Some("conflict")), Some(conflict));
        answers.made(strip("f", None));
        assert!(answers.refusals().is_empty());
    }

    #[test]
    fn one_denial_among_dry_runs_is_one_for_all() {
        let (conflict, denied) = (said("the object has been modified"), said(DENIED));
        assert!(Answers::lets_make([]) && Answers::lets_make([&conflict]));
        assert!(!Answers::lets_make([&conflict, &denied]));
    }
}
