//! A PodDisruptionBudget, as far as the rules look at it.

use k8s_openapi::{
    api::policy::v1 as api,
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::core::{Selector, SelectorExt};
use upkeep::{report::ObjRef, ui::plural};

use super::{Owner, Pod, Uid, Workload};

/// Reason of the condition `DisruptionAllowed=False` when the disruption controller cannot count the budget's pods
/// (pods of a controller without a scale subresource, or of one that does not exist).
pub const SYNC_FAILED: &str = "SyncFailed";

/// `spec.unhealthyPodEvictionPolicy` (KEP-3017).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unhealthy {
    /// Unready pods may go only while the budget is healthy. The default.
    IfHealthyBudget,
    /// Unready pods may always go.
    AlwaysAllow,
}

/// How the budget is stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Threshold {
    /// `minAvailable`, as written.
    MinAvailable(String),
    /// `maxUnavailable`, as written.
    MaxUnavailable(String),
}

impl Threshold {
    /// `minAvailable` as a number: the only one for which the disruption controller counts pods without controllers.
    pub fn is_a_number(&self) -> bool {
        matches!(self, Self::MinAvailable(text) if !text.ends_with('%'))
    }
}

/// One budget.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Namespace of the budget and of the pods that it may match.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    selector: Option<Selector>,
    /// `metadata.ownerReferences`, the controller first.
    pub owners: Vec<Owner>,
    /// What it asks for.
    pub threshold: Threshold,
    /// What it says about pods that are not Ready.
    pub unhealthy: Unhealthy,
    /// Whether the disruption controller has seen the present spec. Until then the server answers every eviction with
    /// 429 and Retry-After 10.
    pub observed: bool,
    /// `status.disruptionsAllowed`.
    pub allowed: i32,
    /// `status.currentHealthy`.
    pub current: i32,
    /// `status.desiredHealthy`.
    pub desired: i32,
    /// `status.expectedPods`. With `maxUnavailable` or a percentage it is the sum of `spec.replicas` of the controllers;
    /// otherwise the number of pods, Terminating and finished ones included.
    pub expected: i32,
    /// Names in `status.disruptedPods`: accepted evictions that the controller has not yet seen take effect.
    pub disrupted: Vec<String>,
    /// Message of a failed sync, where the controller cannot count the pods.
    pub sync_failed: Option<String>,
}

impl Budget {
    /// The budget's reference, for findings.
    pub fn reference(&self) -> ObjRef {
        ObjRef::namespaced("poddisruptionbudget.policy", &self.namespace, &self.name, &self.uid)
    }

    /// Whether the server would look at this budget when the pod is evicted. An empty selector matches every pod of the
    /// namespace, a missing one none (policy/v1).
    pub fn matches(&self, pod: &Pod) -> bool {
        self.namespace == pod.namespace && self.selector.as_ref().is_some_and(|s| s.matches(&pod.labels))
    }

    /// Whether it has a say about the pods that this controller creates.
    pub fn covers(&self, workload: &Workload) -> bool {
        let selects = |selector: &Selector| selector.matches(&workload.labels);
        self.namespace == workload.namespace && self.selector.as_ref().is_some_and(selects)
    }

    /// Whether nothing has changed that says which pods count, and how many have to.
    pub fn counts_as(&self, other: &Self) -> bool {
        self.threshold == other.threshold
            && self.selector == other.selector
            && self.owners == other.owners
            // As a number of pods it changes with each of them; as a sum of replicas it seldom does.
            && (self.threshold.is_a_number() || self.expected == other.expected)
            && self.sync_failed == other.sync_failed
    }

    /// `needs 2 healthy pods and has 1`, by its status.
    pub fn needs_has(&self) -> String {
        if self.sync_failed.is_some() {
            return "cannot be counted".into();
        }
        // Without a controller that has a number, nothing is expected and nothing allowed.
        if self.observed && self.expected == 0 && self.current > 0 {
            return format!("expects 0 pods and has {} healthy", self.current);
        }
        let needs = plural(usize::try_from(self.desired).unwrap_or(0), "healthy pod");
        format!("needs {needs} and has {}", self.current)
    }

    /// `minAvailable 2` or `maxUnavailable 0`, as the owner wrote it.
    pub fn stated(&self) -> String {
        match &self.threshold {
            Threshold::MinAvailable(v) => format!("minAvailable {v}"),
            Threshold::MaxUnavailable(v) => format!("maxUnavailable {v}"),
        }
    }
}

/// A selector with an operator that this build does not know matches nothing here; the server's word decides then.
fn read_selector(selector: Option<LabelSelector>) -> Option<Selector> {
    selector.and_then(|s| Selector::try_from(s).ok())
}

fn written(value: IntOrString) -> String {
    match value {
        IntOrString::Int(n) => n.to_string(),
        IntOrString::String(s) => s,
    }
}

impl From<api::PodDisruptionBudget> for Budget {
    fn from(budget: api::PodDisruptionBudget) -> Self {
        let meta = budget.metadata;
        let spec = budget.spec.unwrap_or_default();
        let status = budget.status.unwrap_or_default();
        // A failed sync does not move `status.observedGeneration`; only its condition tells of which spec it speaks.
        let generation = meta.generation;
        let failed = status.conditions.iter().flatten().find(|c| {
            let present = c.observed_generation.is_none() || c.observed_generation >= generation;
            present && c.type_ == "DisruptionAllowed" && c.status == "False" && c.reason == SYNC_FAILED
        });
        let mut owners: Vec<_> = meta.owner_references.unwrap_or_default();
        owners.sort_by_key(|owner| owner.controller != Some(true));
        Self {
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            selector: read_selector(spec.selector),
            owners: owners.into_iter().map(Owner::from).collect(),
            threshold: match (spec.max_unavailable, spec.min_available) {
                (Some(max), _) => Threshold::MaxUnavailable(written(max)),
                (None, min) => Threshold::MinAvailable(min.map_or_else(|| "1".into(), written)),
            },
            unhealthy: match spec.unhealthy_pod_eviction_policy.as_deref() {
                Some("AlwaysAllow") => Unhealthy::AlwaysAllow,
                _ => Unhealthy::IfHealthyBudget,
            },
            observed: status.observed_generation >= meta.generation,
            allowed: status.disruptions_allowed,
            current: status.current_healthy,
            desired: status.desired_healthy,
            expected: status.expected_pods,
            disrupted: status
                .disrupted_pods
                .into_iter()
                .flatten()
                .map(|(name, _)| name)
                .collect(),
            sync_failed: failed.map(|c| c.message.clone()),
        }
    }
}
