//! Jobs that fail when a pod of theirs is evicted.
//!
//! The Job controller counts an evicted pod as failed (`isPodFailed` in pkg/controller/job): at once, or, with
//! `podReplacementPolicy: Failed` (KEP-3939), when it has ended and did not succeed. One failed pod more than
//! `backoffLimit` fails the Job, one more than `backoffLimitPerIndex` fails an index (KEP-3850). A `podFailurePolicy`
//! (KEP-3329) may leave evicted pods out of the count, or fail the Job at the first. Restarts of containers in place
//! (`restartPolicy: OnFailure`) are counted apart and do not matter here.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::PodFailurePolicyRule;
use upkeep::report::{Finding, ObjRef, Severity};

use crate::{
    engine::event::Verb,
    facts::{Facts, Job, Owner, Pod, Uid},
};

/// How many Jobs are named before the rest is only counted.
const NAMED: usize = 5;
/// What the kubelet reports of a container that a signal has ended: SIGTERM, or SIGKILL after the grace period.
const SIGNALLED: [i32; 2] = [143, 137];
/// Which index of an indexed Job the pod does (annotation of the pod).
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How many pods of its index have failed before it (annotation of the pod).
const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";

/// `--wait-jobs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitJobs {
    /// Pods of Jobs are evicted like all others.
    #[default]
    No,
    /// They may finish for so many milliseconds from the beginning of the run, and are evicted then.
    For(i64),
    /// They may finish, however long that takes.
    Forever,
}

/// Whether the controller is a Job of batch/v1. Kinds of that name in other groups are not.
pub fn is_job(owner: &Owner) -> bool {
    owner.api_version == "batch/v1" && owner.kind == "Job"
}

/// Whether it is a pod of a Job that can still finish its work.
pub fn may_finish(pod: &Pod) -> bool {
    pod.owner.as_ref().is_some_and(is_job) && !pod.finished() && pod.deletion.is_none()
}

/// What is lost with an evicted pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The Job: no retry is left.
    Retries,
    /// The Job: its podFailurePolicy says `FailJob` to an evicted pod.
    Policy,
    /// The index: no retry of it is left, or the policy says `FailIndex`.
    Index,
}

/// What the Job controller does about one failed pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Ignore,
    Count,
    FailIndex,
    FailJob,
}

/// The Jobs whose pods are to be evicted.
#[derive(Debug, Clone, Default)]
pub struct Losses {
    jobs: BTreeMap<Uid, Tracked>,
}

#[derive(Debug, Clone)]
struct Tracked {
    job: Job,
    /// What the policy says to an evicted pod.
    action: Action,
    /// How many pods of it the run evicts: all of them count.
    evicted: i64,
}

impl Losses {
    /// `leaving` are the pods that are evicted unless another rule keeps them; `verb` is how: a deleted pod does not get the
    /// condition DisruptionTarget, which policies look for.
    pub fn new<'a>(jobs: impl IntoIterator<Item = &'a Job>, leaving: &[&Pod], verb: Verb) -> Self {
        let mut evicted = BTreeMap::<&str, i64>::new();
        for pod in leaving.iter().filter(|pod| may_finish(pod)) {
            if let Some(owner) = &pod.owner {
                *evicted.entry(owner.uid.as_str()).or_default() += 1;
            }
        }
        let tracked = jobs.into_iter().filter(|job| job.is_running).map(|job| {
            let tracked = Tracked {
                action: action(&job.rules, verb),
                // One that arrives later counts as well.
                evicted: evicted.get(job.uid.as_str()).copied().unwrap_or(0).max(1),
                job: job.clone(),
            };
            (job.uid.clone(), tracked)
        });
        Self {
            jobs: tracked.collect(),
        }
    }

    fn evicted(&self, job: &Job) -> i64 {
        self.jobs.get(&job.uid).map_or(0, |tracked| tracked.evicted)
    }

    /// What is lost with this pod, and of which Job.
    pub fn of(&self, pod: &Pod) -> Option<(Loss, &Job)> {
        if !may_finish(pod) {
            return None;
        }
        let Tracked { job, action, evicted } = self.jobs.get(&pod.owner.as_ref()?.uid)?;
        let counted = *action != Action::Ignore;
        let loss = match job.per_index {
            _ if *action == Action::FailJob => Loss::Policy,
            _ if counted && job.failed.saturating_add(*evicted) > job.backoff_limit => Loss::Retries,
            Some(_) if *action == Action::FailIndex => Loss::Index,
            Some(limit) if counted && index_failures(pod) >= limit => Loss::Index,
            _ => return None,
        };
        Some((loss, job))
    }
}

/// What the policy says to a pod that is evicted: the first matching rule decides. Its exit code is not known before; a
/// container that ends by the signal has one of two, and the graver answer is taken.
fn action(rules: &[PodFailurePolicyRule], verb: Verb) -> Action {
    let of_code = |code: i32| {
        let first = rules.iter().find(|rule| matches(rule, code, verb))?;
        Some(match first.action.as_str() {
            "Ignore" => Action::Ignore,
            "FailIndex" => Action::FailIndex,
            "FailJob" => Action::FailJob,
            _ => Action::Count,
        })
    };
    let worst = SIGNALLED.map(|code| of_code(code).unwrap_or(Action::Count));
    worst.into_iter().max().unwrap_or(Action::Count)
}

fn matches(rule: &PodFailurePolicyRule, code: i32, verb: Verb) -> bool {
    if let Some(codes) = &rule.on_exit_codes {
        let listed = codes.values.contains(&code);
        return match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
    }
    // The eviction API sets it before it deletes the pod; a plain deletion does not.
    let mut patterns = rule.on_pod_conditions.iter().flatten();
    verb != Verb::Delete && patterns.any(|p| p.type_ == "DisruptionTarget" && p.status == "True")
}

fn index_failures(pod: &Pod) -> i64 {
    pod.annotations
        .get(INDEX_FAILURES)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The pods that a run without other rules would evict from the nodes.
pub fn leaving(facts: &Facts) -> Vec<&Pod> {
    let targets: BTreeSet<&str> = facts.targets.iter().map(|node| node.name.as_str()).collect();
    let selected = |pod: &&Pod| facts.selected.as_ref().is_none_or(|uids| uids.contains(&pod.uid));
    let here = facts.pods.iter().filter(|pod| targets.contains(pod.node.as_str()));
    here.filter(selected).collect()
}

/// One finding per kind of loss, with the pods. `forced` is `--force`.
pub fn findings(planned: &[&Pod], losses: &Losses, forced: bool) -> Vec<Finding> {
    let mut groups = BTreeMap::<Loss, (BTreeSet<String>, Vec<ObjRef>)>::new();
    for pod in planned {
        if let Some((loss, job)) = losses.of(pod) {
            let (jobs, pods) = groups.entry(loss).or_default();
            jobs.insert(words(loss, job, losses.evicted(job), pod));
            pods.push(pod.reference());
        }
    }
    let mut findings: Vec<Finding> = groups
        .into_iter()
        .map(|(loss, (jobs, subjects))| Finding {
            id: "job-fails",
            severity: if forced { Severity::Warning } else { Severity::Refusal },
            evidence: format!(
                "{} Pods {}{}: {}",
                if forced { "deleting" } else { "cannot delete" },
                match loss {
                    Loss::Index => "whose index of their Job fails without them",
                    Loss::Retries | Loss::Policy => "whose Job fails without them",
                },
                if forced { "" } else { " (use --force to override)" },
                listed(jobs)
            ),
            subjects,
            hint: None,
        })
        .collect();
    // Once for all of them.
    if let Some(last) = findings.last_mut() {
        last.hint = Some(if forced {
            "each Job is saved first, so that it can be started again".into()
        } else {
            "--wait-jobs without a duration lets them finish first; with --force each Job is saved first, so that it can be started again"
                .into()
        });
    }
    findings
}

/// `shop/import (backoffLimit 0, failed 0)`.
fn words(loss: Loss, job: &Job, evicted: i64, pod: &Pod) -> String {
    let why = match (loss, job.per_index) {
        (Loss::Policy, _) => "podFailurePolicy FailJob".to_owned(),
        (Loss::Retries, _) if evicted > 1 => format!(
            "backoffLimit {}, failed {}, {evicted} pods evicted",
            job.backoff_limit, job.failed
        ),
        (Loss::Retries, _) => format!("backoffLimit {}, failed {}", job.backoff_limit, job.failed),
        (Loss::Index, limit) => {
            let index = pod.annotations.get(INDEX).map_or("?", String::as_str);
            match limit {
                Some(limit) if index_failures(pod) >= limit => {
                    format!(
                        "index {index}: backoffLimitPerIndex {limit}, failed {}",
                        index_failures(pod)
                    )
                }
                _ => format!("index {index}: podFailurePolicy FailIndex"),
            }
        }
    };
    format!("{}/{} ({why})", job.namespace, job.name)
}

fn listed(names: BTreeSet<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut shown: Vec<String> = names.into_iter().take(NAMED).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}
