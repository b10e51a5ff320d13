//! Pods of Jobs that may finish their work before they are evicted (`--wait-jobs`).

use std::{collections::BTreeSet, time::Duration};

use upkeep::ui::{human_duration, plural};

use super::{
    State,
    event::{At, Note},
    pods::{Entry, Standing},
};
use crate::{
    facts::Pod,
    preflight::jobs::{WaitJobs, may_finish},
};

/// How many Jobs are named before the rest is only counted.
const NAMED: usize = 5;

impl State {
    /// Until when pods of Jobs may finish. All nodes are cordoned when the run begins, so for all of them the time begins then.
    fn jobs_until(&self) -> Option<At> {
        let until = match self.settings.rules.allowed.wait_jobs {
            WaitJobs::No => None,
            WaitJobs::For(limit) => Some(self.started.saturating_add(limit)),
            WaitJobs::Forever => Some(At::MAX),
        };
        until.filter(|until| self.now < *until)
    }

    /// Whether the pod is left to finish. On a machine that is off nothing finishes.
    pub(super) fn may_still_finish(&self, pod: &Pod, node: &str) -> bool {
        may_finish(pod) && self.jobs_until().is_some() && !self.is_off(node)
    }

    /// Says what a node waits for, and ends that when the time is up.
    pub(super) fn walk_jobs(&mut self, index: usize) {
        let name = self.nodes[index].target.name.clone();
        let waiting = |entry: &Entry| entry.node == name && entry.standing == Standing::WaitingForJob;
        let waits: Vec<&Entry> = self.pods.entries.values().filter(|e| waiting(e)).collect();
        if waits.is_empty() {
            return;
        }
        let (count, jobs) = jobs(&waits);
        let until = self.jobs_until();
        if until.is_some() && self.nodes[index].told_jobs {
            self.wake_at(until.filter(|at| *at < At::MAX).unwrap_or(self.now));
            return;
        }
        let finish = |verb: &str| format!("waiting for {} to finish: {jobs}{verb}", plural(count, "Job"));
        let text = match until {
            Some(At::MAX) => finish(""),
            Some(until) => finish(&format!(
                "; pods that still run after {} are evicted",
                human(until - self.now)
            )),
            None => format!(
                "{} still running after {}, the limit of --wait-jobs: evicting the pods of {jobs}",
                if count == 1 {
                    "1 Job is".to_owned()
                } else {
                    format!("{count} Jobs are")
                },
                human(self.now - self.started)
            ),
        };
        self.nodes[index].told_jobs = true;
        self.tell(Note::WaitingForJobs {
            node: name.clone(),
            text,
        });
        match until {
            Some(until) if until < At::MAX => self.wake_at(until),
            Some(_) => {}
            None => {
                let entries = self.pods.entries.values_mut();
                let over = entries.filter(|e| e.node == name && e.standing == Standing::WaitingForJob);
                over.for_each(|entry| entry.standing = Standing::Planned);
            }
        }
    }

    /// What a pod that may finish waits for.
    pub(super) fn finish_reason(&self, pod: &Pod) -> String {
        let job = pod.owner.as_ref().map(|owner| owner.name.as_str()).unwrap_or_default();
        let running = format!("Job {}/{job} is running", pod.namespace);
        match self.jobs_until() {
            Some(until) if until < At::MAX => {
                format!(
                    "{running}; evicted in {} if it has not finished",
                    human(until - self.now)
                )
            }
            _ => running,
        }
    }
}

/// How many Jobs the pods belong to, and the first of their names.
fn jobs(pods: &[&Entry]) -> (usize, String) {
    let names = pods.iter().filter_map(|entry| {
        let owner = entry.pod.owner.as_ref()?;
        Some(format!("{}/{}", entry.pod.namespace, owner.name))
    });
    let names: BTreeSet<String> = names.collect();
    let count = names.len();
    let mut shown: Vec<String> = names.into_iter().take(NAMED).collect();
    if count > NAMED {
        shown.push(format!("{} more", count - NAMED));
    }
    (count, shown.join(", "))
}

fn human(milliseconds: At) -> String {
    // Rounded, because a clock of milliseconds is a little past the limit.
    human_duration(Duration::from_millis(
        u64::try_from(milliseconds.saturating_add(500)).unwrap_or(0),
    ))
}
