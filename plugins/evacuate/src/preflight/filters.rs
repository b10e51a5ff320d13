//! Which pods go, which stay, and which forbid to start: an ordered list of small rules.
//!
//! The order and the words are those of kubectl's drain package, so that a reader of its output is at home. Two things
//! differ: DaemonSet pods are left alone without a flag, and every reason is kept, not only the last one.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use upkeep::report::{ObjRef, Seen, Severity};

use super::jobs::{Losses, WaitJobs, may_finish};
use crate::facts::{Owner, Pod, Uid};

/// What the caller allowed, as far as single pods are concerned.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// `--force`: pods without a controller, or of a DaemonSet that is gone.
    pub force: bool,
    /// `--delete-emptydir-data`.
    pub delete_empty_dir: bool,
    /// `--skip-wait-for-delete-timeout`, in seconds; 0 is off.
    pub skip_deleted_after: i64,
    /// `--wait-jobs`.
    pub wait_jobs: WaitJobs,
}

/// What the rules look at besides the pod.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What the caller allowed.
    pub allowed: Allowed,
    /// UIDs of all DaemonSets. Unknown counts as "exists": the pod is then left alone, which harms nobody.
    pub daemon_sets: Seen<BTreeSet<Uid>>,
    /// UIDs of the other controllers of pods that are surely gone.
    pub gone: BTreeSet<Uid>,
    /// Jobs that fail without their pods. Unknown counts as "does not fail", and is said.
    pub losses: Losses,
}

impl Rules {
    /// Whether nothing would start the pod again: it has no controller, or one that is gone. What has ended is not to be
    /// started again.
    pub fn is_irreplaceable(&self, pod: &Pod) -> bool {
        let gone = |owner: &Owner| self.gone.contains(&owner.uid) || self.is_gone_daemon_set(owner);
        !pod.finished() && pod.owner.as_ref().is_none_or(gone)
    }

    /// What is saved before the pod leaves: the pod, where nothing would start it again, or its Job, where that fails.
    pub fn to_save(&self, pod: &Pod) -> Option<ObjRef> {
        if self.is_irreplaceable(pod) {
            return Some(pod.reference());
        }
        self.losses.of(pod).map(|(_, job)| job.reference())
    }

    /// Whether the pod is evicted only when it has ended by itself.
    pub fn leaves_to_finish(&self, pod: &Pod) -> bool {
        self.allowed.wait_jobs == WaitJobs::Forever && may_finish(pod)
    }

    /// Whether the pod stays only because it is Terminating for longer than the caller wants to wait.
    pub fn passes_over(&self, pod: &Pod, now: Timestamp) -> bool {
        long_past_deletion(pod, self.allowed.skip_deleted_after, now) && judged_by(&FILTERS[1..], pod, self, now).goes
    }

    fn is_gone_daemon_set(&self, owner: &Owner) -> bool {
        let known = self.daemon_sets.known();
        owner.is_daemon_set() && known.is_some_and(|known| !known.contains(&owner.uid))
    }
}

/// Why a pod is treated as it is. The text is a group's heading: `<text>: ns/a, ns/b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// Stable identifier of the finding.
    pub id: &'static str,
    /// Whether it forbids to start.
    pub severity: Severity,
    /// Heading, in kubectl's words.
    pub text: &'static str,
}

/// The verdict on one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the pod is to leave the node.
    pub goes: bool,
    /// Everything that was found, in the order of the rules.
    pub reasons: Vec<Reason>,
}

impl Judgement {
    /// Whether a safety rule says that the work must not start.
    pub fn refused(&self) -> Option<&Reason> {
        self.reasons.iter().find(|r| r.severity == Severity::Refusal)
    }
}

/// What one rule says.
enum Word {
    /// Nothing to say; the next rule is asked.
    Pass,
    /// The pod goes, but a person should know.
    Note(Reason),
    /// The pod stays; no further rule is asked.
    Stay(Option<Reason>),
}

type Filter = fn(&Pod, &Rules, Timestamp) -> Word;

/// In kubectl's order; what it does not know comes last.
const FILTERS: [Filter; 6] = [long_deleted, daemon_set, mirror, local_storage, no_controller, last_try];

const DAEMON_SET: Reason = Reason {
    id: "daemonset",
    severity: Severity::Info,
    text: "ignoring DaemonSet-managed Pods",
};
const DAEMON_SET_GONE: Reason = Reason {
    id: "daemonset-missing",
    severity: Severity::Refusal,
    text: "Pods of a DaemonSet that no longer exists (use --force to override)",
};
const DAEMON_SET_GONE_FORCED: Reason = Reason {
    id: "daemonset-missing",
    severity: Severity::Warning,
    text: "deleting Pods of a DaemonSet that no longer exists",
};
const LOCAL_STORAGE: Reason = Reason {
    id: "local-data",
    severity: Severity::Refusal,
    text: "Pods with local storage (use --delete-emptydir-data to override)",
};
const LOCAL_STORAGE_FORCED: Reason = Reason {
    id: "local-data",
    severity: Severity::Warning,
    text: "deleting Pods with local storage",
};
const NO_CONTROLLER: Reason = Reason {
    id: "no-controller",
    severity: Severity::Refusal,
    text: "Pods that declare no controller (use --force to override)",
};
const NO_CONTROLLER_FORCED: Reason = Reason {
    id: "no-controller",
    severity: Severity::Warning,
    text: "deleting Pods that declare no controller",
};

const JOB_FAILS: Reason = Reason {
    id: "job-fails",
    severity: Severity::Refusal,
    text: "Pods whose Job fails without them (use --force to override)",
};
const JOB_FAILS_FORCED: Reason = Reason {
    id: "job-fails",
    severity: Severity::Warning,
    text: "deleting Pods whose Job fails without them",
};

/// Asks every rule about one pod.
pub fn judge(pod: &Pod, rules: &Rules, now: Timestamp) -> Judgement {
    judged_by(&FILTERS, pod, rules, now)
}

fn judged_by(filters: &[Filter], pod: &Pod, rules: &Rules, now: Timestamp) -> Judgement {
    let mut reasons = Vec::new();
    for filter in filters {
        match filter(pod, rules, now) {
            Word::Pass => {}
            Word::Note(reason) => reasons.push(reason),
            Word::Stay(reason) => {
                reasons.extend(reason);
                return Judgement { goes: false, reasons };
            }
        }
    }
    Judgement { goes: true, reasons }
}

/// Whether a pod has outlived its own deletion by more than the caller wants to wait for. The deletion timestamp is the
/// time of the request **plus** the grace period, so the real wait is both together.
pub fn long_past_deletion(pod: &Pod, limit_seconds: i64, now: Timestamp) -> bool {
    limit_seconds > 0
        && pod
            .deletion
            .is_some_and(|at| now.as_second() - at.as_second() > limit_seconds)
}

fn long_deleted(pod: &Pod, rules: &Rules, now: Timestamp) -> Word {
    if long_past_deletion(pod, rules.allowed.skip_deleted_after, now) {
        Word::Stay(None)
    } else {
        Word::Pass
    }
}

/// A live DaemonSet would start the pod again at once: its controller does not care about cordons. Only a finished pod
/// of it goes.
fn daemon_set(pod: &Pod, rules: &Rules, _: Timestamp) -> Word {
    let Some(owner) = pod.owner.as_ref().filter(|o| o.is_daemon_set()) else {
        return Word::Pass;
    };
    if pod.finished() {
        return Word::Pass;
    }
    match (rules.is_gone_daemon_set(owner), rules.allowed.force) {
        (false, _) => Word::Stay(Some(DAEMON_SET)),
        (true, true) => Word::Note(DAEMON_SET_GONE_FORCED),
        (true, false) => Word::Note(DAEMON_SET_GONE),
    }
}

fn mirror(pod: &Pod, _: &Rules, _: Timestamp) -> Word {
    if pod.mirror { Word::Stay(None) } else { Word::Pass }
}

fn local_storage(pod: &Pod, rules: &Rules, _: Timestamp) -> Word {
    // One that finishes first has no more use for them.
    let in_use = pod.empty_dir && !pod.finished() && !rules.leaves_to_finish(pod);
    match (in_use, rules.allowed.delete_empty_dir) {
        (false, _) => Word::Pass,
        (true, true) => Word::Note(LOCAL_STORAGE_FORCED),
        (true, false) => Word::Note(LOCAL_STORAGE),
    }
}

fn no_controller(pod: &Pod, rules: &Rules, _: Timestamp) -> Word {
    match (pod.owner.is_none() && !pod.finished(), rules.allowed.force) {
        (false, _) => Word::Pass,
        (true, true) => Word::Note(NO_CONTROLLER_FORCED),
        (true, false) => Word::Note(NO_CONTROLLER),
    }
}

/// kubectl does not know this one: the Job controller counts the pod as failed, and may have no retry left.
fn last_try(pod: &Pod, rules: &Rules, _: Timestamp) -> Word {
    let fails = !rules.leaves_to_finish(pod) && rules.losses.of(pod).is_some();
    match (fails, rules.allowed.force) {
        (false, _) => Word::Pass,
        (true, true) => Word::Note(JOB_FAILS_FORCED),
        (true, false) => Word::Note(JOB_FAILS),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preflight::testkit::{pod, unseen};

    #[test]
    fn what_nobody_starts_again_is_irreplaceable() {
        let rules = Rules {
            allowed: Allowed::default(),
            daemon_sets: Seen::Known(BTreeSet::from(["agent".to_owned()])),
            gone: BTreeSet::from(["lost".to_owned()]),
            losses: Losses::default(),
        };
        let owned = |kind: &str, owner: &str| {
            let mut pod = pod("p", "n", owner, json!({}));
            pod.owner.iter_mut().for_each(|o| o.kind = kind.into());
            pod
        };
        let table = [
            (pod("p", "n", "", json!({})), true),
            (owned("ReplicaSet", "web"), false),
            (owned("ReplicaSet", "lost"), true),
            (owned("DaemonSet", "agent"), false),
            (owned("DaemonSet", "other"), true),
            (pod("p", "n", "", json!({"status": {"phase": "Succeeded"}})), false),
        ];
        for (pod, expected) in &table {
            assert_eq!(rules.is_irreplaceable(pod), *expected, "{:?}", pod.owner);
        }
        // What could not be seen is not taken for gone.
        let blind = Rules {
            daemon_sets: unseen(),
            ..rules
        };
        assert!(!blind.is_irreplaceable(&table[4].0));
    }
}
