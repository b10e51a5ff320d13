//! Which step comes next, from what is seen now. Pure.

use super::{Mend, Remedy, Rung};
use crate::diagnose::{Cause, Diagnosis, Life, State};

/// How often one step is tried.
const TRIES: usize = 3;

/// How far this run may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// The highest rung.
    pub rung: Rung,
    /// Also what a living controller would take off.
    pub even_if_alive: bool,
    /// The machines of silent nodes are off.
    pub powered_off: bool,
}

/// What this run has done so far.
pub type History = Vec<Tried>;

/// One step that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// What.
    pub mend: Mend,
    /// In words.
    pub text: String,
    /// Why it did not work; nothing where it did.
    pub failed: Option<String>,
    /// Nobody wanted it.
    pub declined: bool,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next<'a> {
    /// The target is gone.
    Gone,
    /// Nobody has asked for its deletion.
    Living,
    /// Somebody is at work; time is all it needs.
    Wait,
    /// This.
    Apply(&'a Cause, &'a Remedy),
    /// Nothing that this run may do would help.
    Stuck,
}

/// Decides.
pub fn next<'a>(diagnosis: &'a Diagnosis, history: &History, cap: Cap) -> Next<'a> {
    match diagnosis.state {
        State::Gone => return Next::Gone,
        State::Living => return Next::Living,
        State::Going(_) | State::Unknown | State::Unseen(_) => {}
    }
    let step = diagnosis
        .roots()
        .flat_map(|cause| cause.remedies.iter().map(move |remedy| (cause, remedy)))
        .filter(|(cause, remedy)| allowed(cause, remedy, history, cap))
        .min_by_key(|(_, remedy)| remedy.rung);
    if let Some((cause, remedy)) = step {
        return Next::Apply(cause, remedy);
    }
    // What was done takes its time to show.
    let awaited = |cause: &Cause| {
        cause
            .remedies
            .iter()
            .any(|r| r.mend.as_ref().is_some_and(|m| done(history, m)))
    };
    let idle = |cause: &Cause| !awaited(cause) && cause.actor.as_ref().is_none_or(|a| a.life != Life::Alive);
    if diagnosis.roots().any(idle) {
        Next::Stuck
    } else {
        Next::Wait
    }
}

fn done(history: &History, mend: &Mend) -> bool {
    history
        .iter()
        .any(|tried| &tried.mend == mend && tried.failed.is_none())
}

fn allowed(cause: &Cause, remedy: &Remedy, history: &History, cap: Cap) -> bool {
    let Some(mend) = &remedy.mend else {
        return false;
    };
    let failed = history.iter().filter(|t| &t.mend == mend && t.failed.is_some()).count();
    // What has failed may work once something else was mended; that takes a moment to be in force.
    let again = failed < TRIES && history.iter().any(|tried| tried.failed.is_none());
    let declined = history.iter().any(|t| &t.mend == mend && t.declined);
    let tried = done(history, mend) || declined || (failed > 0 && !again);
    let alive = cause.actor.as_ref().is_some_and(|actor| actor.life == Life::Alive);
    let off = !matches!(mend, Mend::OutOfService { .. }) || cap.powered_off;
    !tried && remedy.rung <= cap.rung && off && (!alive || remedy.rung < Rung::Neutralise || cap.even_if_alive)
}
