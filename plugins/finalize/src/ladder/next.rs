//! Which step comes next, from what is seen now. Pure.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use upkeep::report::ObjRef;

use super::{
    Mend, Remedy, Rung,
    awaited::{AWAITED, helps, settles, too_early, treated},
};
use crate::diagnose::{Cause, DENIED, Diagnosis, Life, State, WRITTEN_BACK};

/// How often one step is tried.
const TRIES: usize = 3;
/// How often something is taken out of the way.
const AGAIN: usize = 2;

/// Namespaces of the cluster itself: nothing is opened, stripped or abandoned for them.
pub const SYSTEM: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// How far this run may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    /// The highest rung.
    pub rung: Rung,
    /// Also what a living controller would take off.
    pub even_if_alive: bool,
    /// Nodes whose machines are confirmed to be powered off.
    pub powered_off: Vec<String>,
    /// Resources and groups that a namespace may leave behind.
    pub leave_behind: Vec<String>,
    /// Only these.
    pub planned: Option<Vec<Mend>>,
}

/// What this run has done so far.
pub type History = Vec<Tried>;

/// One step that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// What.
    pub mend: Mend,
    /// With how much force.
    pub rung: Rung,
    /// In words.
    pub text: String,
    /// What it leaves outside of the cluster.
    pub leaves: Vec<String>,
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
    if let Some(waits) = denied(diagnosis, cap) {
        return if waits { Next::Wait } else { Next::Stuck };
    }
    let mut steps = open(diagnosis, history, cap, now);
    steps.retain(|(cause, remedy)| treated(cause, history, now).is_none_or(|rung| remedy.rung <= rung));
    if let Some(rung) = steps.iter().map(|(_, remedy)| remedy.rung).min() {
        steps.retain(|(_, remedy)| remedy.rung == rung && !too_early(remedy, diagnosis, cap));
        if steps.is_empty() || helps(rung, history, now) {
            return Next::Wait;
        }
        return Next::Apply(together(steps));
    }
    // What was written back does not get better by waiting.
    let undone = diagnosis.roots().any(|cause| cause.key.id == WRITTEN_BACK);
    let waits = diagnosis.roots().any(|cause| treated(cause, history, now).is_some())
        || (!undone && settles(diagnosis, history, now));
    if !waits && diagnosis.roots().any(|cause| !cause.takes_time()) {
        Next::Stuck
    } else {
        Next::Wait
    }
}

/// A denial of a change is final, whatever force is allowed: nothing else is changed, for the target cannot go. Whether to wait:
/// a controller that is alive may be allowed to do what this user is not.
fn denied(diagnosis: &Diagnosis, cap: &Cap) -> Option<bool> {
    let mut denials = diagnosis.roots().filter(|cause| cause.denies_change()).peekable();
    denials.peek()?;
    let lives = |held: &ObjRef| {
        let mut roots = diagnosis.roots();
        roots.any(|cause| cause.key.id != DENIED && cause.takes_time() && cause.holds.contains(held))
    };
    Some(!cap.even_if_alive && denials.all(|denial| denial.holds.iter().all(lives)))
}

/// What may be done about what holds the target directly, whether it is time for it or not.
pub fn open<'a>(
    diagnosis: &'a Diagnosis,
    history: &History,
    cap: &Cap,
    now: Timestamp,
) -> Vec<(&'a Cause, &'a Remedy)> {
    if denied(diagnosis, cap).is_some() {
        return Vec::new();
    }
    let roots = diagnosis.roots();
    let steps = roots.flat_map(|cause| cause.remedies.iter().map(move |remedy| (cause, remedy)));
    let mut open: Vec<_> = steps
        .filter(|(cause, remedy)| allowed(cause, remedy, history, cap, now))
        .collect();
    open.sort_by_key(|(_, remedy)| remedy.rung);
    open
}

/// The first steps, whether it is time for them or not.
pub fn first<'a>(
    diagnosis: &'a Diagnosis,
    history: &History,
    cap: &Cap,
    now: Timestamp,
) -> Vec<(&'a Cause, &'a Remedy)> {
    let mut steps = open(diagnosis, history, cap, now);
    let gentlest = steps.first().map(|(_, remedy)| remedy.rung);
    steps.retain(|(_, remedy)| Some(remedy.rung) == gentlest);
    together(steps)
}

/// Those of one rung that can be made at the same time: each to an object of its own. What reaches further than one object
/// is made alone, and looked at before the next.
fn together<'a>(steps: Vec<(&'a Cause, &'a Remedy)>) -> Vec<(&'a Cause, &'a Remedy)> {
    let mut chosen = Vec::new();
    let mut keys = BTreeSet::new();
    for (cause, remedy) in steps {
        let Some(mend) = &remedy.mend else { continue };
        let narrow = matches!(
            mend,
            Mend::Strip { .. }
                | Mend::Unblock { .. }
                | Mend::DeleteAgain { .. }
                | Mend::DeleteStored { .. }
                | Mend::Evict { .. }
        );
        if narrow && keys.insert(mend.key()) {
            chosen.push((cause, remedy));
        } else if !narrow && chosen.is_empty() {
            return vec![(cause, remedy)];
        }
    }
    chosen
}

/// What is only there for a while may have been put back by another run meanwhile.
fn done(history: &History, mend: &Mend, now: Timestamp) -> bool {
    let mut made = history.iter().filter(|t| &t.mend == mend && t.failed.is_none());
    match made.clone().count() {
        count if count >= AGAIN || !mend.is_for_a_while() => count > 0,
        _ => made.any(|tried| tried.lately(now, AWAITED)),
    }
}

fn allowed(cause: &Cause, remedy: &Remedy, history: &History, cap: &Cap, now: Timestamp) -> bool {
    let Some(mend) = remedy.mend.as_ref().filter(|_| remedy.missing.is_none()) else {
        return false;
    };
    let failed = history.iter().filter(|t| &t.mend == mend && t.failed.is_some()).count();
    // What has failed may work once something else was mended; that takes a moment to be in force.
    let again = failed < TRIES && history.iter().any(|tried| tried.failed.is_none());
    let declined = history.iter().any(|t| &t.mend == mend && t.declined);
    let tried = done(history, mend, now) || declined || (failed > 0 && !again);
    let life = cause.actor.as_ref().map(|actor| actor.life);
    let may_live = matches!(life, Some(Life::Alive | Life::Stalled | Life::Perhaps | Life::Unread));
    let system = matches!(mend, Mend::Exclude { namespace: Some(name), .. } if SYSTEM.contains(&name.as_str()));
    let planned = cap.planned.as_ref().is_none_or(|planned| planned.contains(mend));
    let said = match mend {
        Mend::OutOfService { node, .. } => cap.powered_off.contains(node) && !has_reported(history, mend, node),
        Mend::Abandon { unseen, .. } => unseen.iter().all(|resource| cap.leaves(resource)),
        _ => true,
    };
    !tried
        && remedy.rung <= cap.rung
        && said
        && planned
        && !system
        && (!may_live || remedy.rung < Rung::Neutralise || cap.even_if_alive)
}

/// Whether the kubelet of a node that this run has tainted before has reported since: then the machine was on, and what a person
/// has confirmed does not hold any more.
fn has_reported(history: &History, mend: &Mend, node: &str) -> bool {
    let other =
        |t: &Tried| matches!(&t.mend, Mend::OutOfService { node: tainted, .. } if tainted == node) && t.mend != *mend;
    history.iter().any(other)
}

impl Cap {
    /// Whether a resource may be left behind: it was named, or its group.
    fn leaves(&self, resource: &str) -> bool {
        let group = resource.split_once('.').map(|(_, group)| group);
        self.leave_behind
            .iter()
            .any(|named| named == resource || Some(named.as_str()) == group)
    }
}
