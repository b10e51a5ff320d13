//! `-o json` and `-o yaml`: one stable document. Its fields are only ever added to.

use serde::Serialize;
use upkeep::{
    Exit,
    report::{Finding, ObjRef},
};

use crate::{
    diagnose::{Cause, Diagnosis, State},
    facts::Key,
    ladder::History,
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
    steps: Vec<StepDoc>,
    exit_code: u8,
}

#[derive(Serialize)]
struct InTime<'a> {
    object: &'a ObjRef,
    why: &'a str,
}

#[derive(Serialize)]
struct StepDoc {
    what: String,
    /// Outside of the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leaves: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

/// What was found out last, and what was done.
pub fn of<'a>(diagnosis: &'a Diagnosis, target: &'a Key, history: &History, exit: Exit) -> Document<'a> {
    let (state, terminating_for) = match &diagnosis.state {
        State::Gone => ("gone", None),
        State::Living => ("living", None),
        State::Going(seconds) => ("terminating", Some(*seconds)),
        State::Unseen(_) | State::Unknown => ("unknown", None),
    };
    let in_time = diagnosis.in_time.iter().map(|(object, why)| InTime { object, why });
    let steps = history.iter().map(|tried| StepDoc {
        what: tried.text.clone(),
        leaves: tried.leaves.clone(),
        failed: tried.failed.clone(),
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
        steps: steps.collect(),
        exit_code: exit.code(),
    }
}
