//! Which step comes next, from what is seen now. Pure.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use super::{Mend, Remedy, Rung};
use crate::diagnose::{Cause, Diagnosis, Life, State};

/// How long a repair has to take effect before anything stronger is done, in seconds: the pod garbage collector looks every 20
/// s, and a controller has to start and to be elected.
const AWAITED: i64 = 60;
/// How long controllers need to look at a deletion, in seconds: that of namespaces waits 5 s.
const SETTLES: i64 = 15;
/// How often one step is tried.
const TRIES: usize = 3;

/// Namespaces of the cluster itself: nothing is opened, stripped or abandoned for them.
pub const SYSTEM: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// How far this run may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    /// The highest rung.
    pub rung: Rung,
    /// Also what a living controller would take off.
    pub even_if_alive: bool,
    /// The machines of silent nodes are off.
    pub powered_off: bool,
    /// Resources and groups that a namespace may leave behind.
    pub leave_behind: Vec<String>,
    /// Only these, whoever has said so.
    pub planned: Option<Vec<Mend>>,
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
    /// When.
    pub at: Timestamp,
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
    /// These, all of one rung and of different objects.
    Apply(Vec<(&'a Cause, &'a Remedy)>),
    /// Nothing that this run may do would help.
    Stuck,
}

/// Decides.
pub fn next<'a>(diagnosis: &'a Diagnosis, history: &History, cap: &Cap, now: Timestamp) -> Next<'a> {
    match diagnosis.state {
        State::Gone => return Next::Gone,
        State::Living => return Next::Living,
        State::Going(_) | State::Unknown | State::Unseen(_) => {}
    }
    let steps: Vec<(&Cause, &Remedy)> = diagnosis
        .roots()
        .flat_map(|cause| cause.remedies.iter().map(move |remedy| (cause, remedy)))
        .filter(|(cause, remedy)| !is_awaited(cause, history, now) || remedy.rung <= Rung::Repair)
        .filter(|(cause, remedy)| allowed(cause, remedy, history, cap))
        .collect();
    if let Some(rung) = steps.iter().map(|(_, remedy)| remedy.rung).min() {
        return Next::Apply(together(steps, rung));
    }
    // What was done takes its time to show.
    let awaited = |cause: &Cause| {
        let mut mends = cause.remedies.iter().filter_map(|r| r.mend.as_ref());
        is_awaited(cause, history, now) || mends.any(|mend| done(history, mend))
    };
    let idle = |cause: &Cause| !awaited(cause) && cause.actor.as_ref().is_none_or(|a| a.life != Life::Alive);
    // What was asked to go just now is not stuck: its controllers have not been through with it yet.
    let young = matches!(diagnosis.state, State::Going(age) if age < SETTLES);
    if !young && diagnosis.roots().any(idle) {
        Next::Stuck
    } else {
        Next::Wait
    }
}

/// Whether something was repaired for this cause a moment ago: controllers have to start, and garbage collectors to look.
fn is_awaited(cause: &Cause, history: &History, now: Timestamp) -> bool {
    let repairs = cause.remedies.iter().filter(|r| r.rung == Rung::Repair);
    let mut mends = repairs.filter_map(|r| r.mend.as_ref());
    let repaired = |cause: &Cause, tried: &Tried| {
        // A workload that was scaled up is not offered to be scaled up again.
        let subject = cause.actor.as_ref().is_some_and(|a| match &tried.mend {
            Mend::ScaleUp { key, .. } => a.evidence.contains(&format!(
                "{}/{}",
                key.namespace.as_deref().unwrap_or_default(),
                key.name
            )),
            _ => false,
        });
        tried.failed.is_none() && now.duration_since(tried.at).as_secs() < AWAITED && subject
    };
    history.iter().any(|tried| repaired(cause, tried))
        || mends.any(|mend| {
            let mut tried = history.iter().filter(|t| &t.mend == mend && t.failed.is_none());
            tried.any(|t| now.duration_since(t.at).as_secs() < AWAITED)
        })
}

/// Those of one rung that can be made at the same time: each to an object of its own. What reaches further than one object
/// is made alone, and looked at before the next.
fn together<'a>(steps: Vec<(&'a Cause, &'a Remedy)>, rung: Rung) -> Vec<(&'a Cause, &'a Remedy)> {
    let mut chosen = Vec::new();
    let mut keys = BTreeSet::new();
    for (cause, remedy) in steps.into_iter().filter(|(_, remedy)| remedy.rung == rung) {
        let Some(mend) = &remedy.mend else { continue };
        let narrow = matches!(
            mend,
            Mend::Strip { .. } | Mend::DeleteAgain { .. } | Mend::DeleteStored { .. } | Mend::Evict { .. }
        );
        if narrow && keys.insert(mend.key()) {
            chosen.push((cause, remedy));
        } else if !narrow && chosen.is_empty() {
            return vec![(cause, remedy)];
        }
    }
    chosen
}

fn done(history: &History, mend: &Mend) -> bool {
    history
        .iter()
        .any(|tried| &tried.mend == mend && tried.failed.is_none())
}

fn allowed(cause: &Cause, remedy: &Remedy, history: &History, cap: &Cap) -> bool {
    let Some(mend) = remedy.mend.as_ref().filter(|_| remedy.missing.is_none()) else {
        return false;
    };
    let failed = history.iter().filter(|t| &t.mend == mend && t.failed.is_some()).count();
    // What has failed may work once something else was mended; that takes a moment to be in force.
    let again = failed < TRIES && history.iter().any(|tried| tried.failed.is_none());
    let declined = history.iter().any(|t| &t.mend == mend && t.declined);
    let tried = done(history, mend) || declined || (failed > 0 && !again);
    let alive = cause.actor.as_ref().is_some_and(|actor| actor.life == Life::Alive);
    let said = match mend {
        _ if cap.planned.is_some() => cap.planned.as_ref().is_some_and(|planned| planned.contains(mend)),
        Mend::OutOfService { .. } => cap.powered_off,
        Mend::Abandon { unseen, .. } => unseen.iter().all(|resource| cap.leaves(resource)),
        Mend::Exclude {
            namespace: Some(namespace),
            ..
        } => !SYSTEM.contains(&namespace.as_str()),
        _ => true,
    };
    !tried && remedy.rung <= cap.rung && said && (!alive || remedy.rung < Rung::Neutralise || cap.even_if_alive)
}

impl Cap {
    /// Whether a resource may be left behind: it was named, or its group.
    fn leaves(&self, resource: &str) -> bool {
        let group = resource.split_once('.').map_or("", |(_, group)| group);
        self.leave_behind
            .iter()
            .any(|named| named == resource || named == group)
    }
}
