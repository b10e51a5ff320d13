//! What was done takes its time to show: controllers have to start, garbage collectors to look, a namespace is tried again.

use k8s_openapi::jiff::Timestamp;

use super::{Cap, History, Mend, Remedy, Rung, Tried};
use crate::diagnose::{Cause, Diagnosis, State};

/// How long a repair has to take effect before anything stronger is done, or it is called stuck, in seconds: the pod garbage
/// collector looks every 20 s, and a controller has to start and to be elected.
pub const AWAITED: i64 = 60;
/// How long controllers need to look at a deletion, in seconds: that of namespaces waits 5 s.
const SETTLES: i64 = 15;

impl Tried {
    /// Whether it was made within the last seconds.
    pub fn lately(&self, now: Timestamp, seconds: i64) -> bool {
        self.failed.is_none() && now.duration_since(self.at).as_secs() < seconds
    }
}

/// What was done about this cause a moment ago, by its rung: nothing stronger is done before it had the time to help.
pub fn treated(cause: &Cause, history: &History, now: Timestamp) -> Option<Rung> {
    let workload = cause.actor.as_ref().and_then(|actor| actor.workload.as_ref());
    let rungs = history.iter().filter_map(|tried| {
        // A workload that was scaled up is not offered to be scaled up again.
        let started = matches!(&tried.mend, Mend::ScaleUp { key, .. } if Some(key) == workload);
        let mut remedies = cause.remedies.iter();
        let offered = remedies.find(|r| r.mend.as_ref() == Some(&tried.mend)).map(|r| r.rung);
        let rung = if started { Some(Rung::Repair) } else { offered }?;
        let seconds = if rung == Rung::Repair { AWAITED } else { SETTLES };
        tried.lately(now, seconds).then_some(rung)
    });
    rungs.max()
}

/// Whether its deletion was asked for just now.
fn is_young(diagnosis: &Diagnosis) -> bool {
    matches!(diagnosis.state, State::Going(age) if age < SETTLES)
}

/// Whether it is too early for a step: what does not answer may just be started anew, and who takes a finalizer off may not have
/// come by yet. What somebody has planned before has waited.
pub fn too_early(remedy: &Remedy, diagnosis: &Diagnosis, cap: &Cap) -> bool {
    let young = is_young(diagnosis) || remedy.overdue.is_some_and(|seconds| seconds < SETTLES);
    // The garbage collector opens most circles of owners itself.
    let patient = remedy.rung >= Rung::Neutralise || matches!(remedy.mend, Some(Mend::Unblock { .. }));
    patient && young && cap.planned.is_none()
}

/// Whether something gentler was done a moment ago, and may help yet. A pod that was evicted may come back at once: the next
/// is not evicted before that has been looked at.
pub fn helps(rung: Rung, history: &History, now: Timestamp) -> bool {
    let again = rung == Rung::EvictUser;
    let mut gentler = history
        .iter()
        .filter(|tried| tried.rung < rung || (again && tried.rung == rung));
    gentler.any(|tried| tried.lately(now, SETTLES))
}

/// Whether the target as a whole needs a moment: it was asked to go just now, or something was done, and its controller has
/// not come by again.
pub fn settles(diagnosis: &Diagnosis, history: &History, now: Timestamp) -> bool {
    let seconds = |tried: &Tried| {
        let opened = tried.mend.is_for_a_while() && diagnosis.untouched > 0;
        if opened { AWAITED } else { SETTLES }
    };
    is_young(diagnosis) || history.iter().any(|tried| tried.lately(now, seconds(tried)))
}
