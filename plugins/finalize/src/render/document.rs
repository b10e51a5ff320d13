//! `-o json` and `-o yaml`: one stable document. Its fields are only ever added to.

use std::path::Path;

use serde::Serialize;
use upkeep::{
    Exit,
    report::{Finding, ObjRef},
};

use crate::{
    diagnose::{Cause, Diagnosis, State},
    facts::Key,
    ladder::{History, Mend, Rung},
};

/// The document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    kind: &'static str,
    version: u8,
    target: &'a Key,
    /// `gone`, `living`, `terminating`.
    state: &'static str,
    /// Seconds since its deletion was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    terminating_for: Option<i64>,
    causes: &'a [Cause],
    /// What needs nothing but time.
    in_time: Vec<InTime<'a>>,
    /// Objects that nobody has asked to go yet.
    untouched: usize,
    findings: &'a [Finding],
    /// `none`, `client`, `server`.
    dry_run: &'a str,
    /// What was done; in a dry run what would be done first.
    steps: Vec<StepDoc<'a>>,
    /// The folder of what was changed or deleted, as it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<&'a Path>,
    exit_code: u8,
}

#[derive(Serialize)]
struct InTime<'a> {
    object: &'a ObjRef,
    why: &'a str,
}

#[derive(Serialize)]
struct StepDoc<'a> {
    rung: Rung,
    object: Key,
    what: &'a str,
    /// The one that is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    finalizer: Option<&'a str>,
    /// Outside of the cluster.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    leaves: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'a str>,
}

impl<'a> Document<'a> {
    /// How it was run, and where is what it has changed.
    pub fn of_run(self, dry_run: &'a str, saved: Option<&'a Path>) -> Self {
        Self { dry_run, saved, ..self }
    }

    /// What was found out last, and what was done.
    pub fn of(diagnosis: &'a Diagnosis, target: &'a Key, history: &'a History, exit: Exit) -> Self {
        let (state, terminating_for) = match &diagnosis.state {
            State::Gone => ("gone", None),
            State::Living => ("living", None),
            State::Going(seconds) => ("terminating", Some(*seconds)),
            State::Unseen(_) | State::Unknown => ("unknown", None),
        };
        let in_time = diagnosis.in_time.iter().map(|(object, why)| InTime { object, why });
        let steps = history.iter().map(|tried| StepDoc {
            rung: tried.rung,
            object: tried.mend.key(),
            what: &tried.text,
            finalizer: match &tried.mend {
                Mend::Strip { finalizer, .. } | Mend::Finalize { finalizer, .. } => Some(finalizer),
                _ => None,
            },
            leaves: &tried.leaves,
            failed: tried.failed.as_deref(),
        });
        Document {
            kind: "Finalize",
            version: 1,
            target,
            state,
            terminating_for,
            causes: &diagnosis.causes,
            in_time: in_time.collect(),
            untouched: diagnosis.untouched,
            findings: &diagnosis.notes,
            dry_run: "none",
            saved: None,
            steps: steps.collect(),
            exit_code: exit.code(),
        }
    }
}
