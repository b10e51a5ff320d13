//! A Job, as far as the loss of one of its pods matters to it.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1 as api;
use upkeep::report::ObjRef;

use super::Uid;

/// `spec.backoffLimit` where the Job does not set it. With `backoffLimitPerIndex` the API server sets the largest number.
const BACKOFF_LIMIT: i32 = 6;

/// The controller in kube-controller-manager, in `spec.managedBy`.
const BUILT_IN: &str = "kubernetes.io/job-controller";

/// The kind of a Job in references.
pub const JOB: &str = "job.batch";

/// Conditions after which no pod of the Job is created again.
const ENDED: [&str; 4] = ["Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"];

/// One Job of batch/v1.
#[derive(Debug, Clone)]
pub struct Job {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `spec.backoffLimit`: this many pods may fail, and one more fails the Job.
    pub backoff_limit: i64,
    /// `spec.backoffLimitPerIndex` of an indexed Job: this many pods of one index may fail, and one more fails the index.
    pub per_index: Option<i64>,
    /// Pods that have failed: `status.failed`, and those that are about to be added to it.
    pub failed: i64,
    /// `spec.podFailurePolicy.rules`: the first one that matches a failed pod decides.
    pub rules: Vec<api::PodFailurePolicyRule>,
    /// Whether the Job creates pods again: it has not ended, is not being deleted, and the built-in controller runs it.
    pub is_running: bool,
}

impl Job {
    /// The Job's reference, for findings.
    pub fn reference(&self) -> ObjRef {
        ObjRef::namespaced(JOB, &self.namespace, &self.name, &self.uid)
    }
}

impl From<api::Job> for Job {
    fn from(job: api::Job) -> Self {
        let spec = job.spec.unwrap_or_default();
        let status = job.status.unwrap_or_default();
        let uncounted = status.uncounted_terminated_pods.and_then(|pods| pods.failed);
        let uncounted = uncounted.map_or(0, |pods| i64::try_from(pods.len()).unwrap_or(i64::MAX));
        let mut conditions = status.conditions.iter().flatten();
        let ended = conditions.any(|c| c.status == "True" && ENDED.contains(&c.type_.as_str()));
        let foreign = spec.managed_by.is_some_and(|manager| manager != BUILT_IN);
        Self {
            namespace: job.metadata.namespace.unwrap_or_default(),
            name: job.metadata.name.unwrap_or_default(),
            uid: job.metadata.uid.unwrap_or_default(),
            backoff_limit: spec.backoff_limit.unwrap_or(BACKOFF_LIMIT).into(),
            per_index: spec.backoff_limit_per_index.map(i64::from),
            failed: i64::from(status.failed.unwrap_or(0)).saturating_add(uncounted),
            rules: spec.pod_failure_policy.map(|policy| policy.rules).unwrap_or_default(),
            is_running: !ended && !foreign && job.metadata.deletion_timestamp.is_none(),
        }
    }
}

/// Jobs by UID.
pub type Jobs = BTreeMap<Uid, Job>;
