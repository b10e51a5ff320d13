//! A Deployment and an autoscaler, as far as a surge looks at them.

use k8s_openapi::{
    api::{apps::v1 as apps, autoscaling::v2::HorizontalPodAutoscaler},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::core::Selector;
use upkeep::report::ObjRef;

use super::{Owner, Uid};
use crate::engine::surge::{
    record::{Record, SURGE, Written},
    sight::Autoscaler,
};

/// How long a Deployment waits for its new pods where it does not say so, in seconds (`progressDeadlineSeconds`).
const PROGRESS_DEADLINE: i32 = 600;

/// One Deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// `spec.replicas`.
    pub replicas: i32,
    /// `spec.selector`, as the API takes it in a list.
    pub selector: String,
    /// Its owner wants no more pods than it says, not for a moment either: why.
    pub never_more: Option<&'static str>,
    /// `spec.paused`.
    pub paused: bool,
    /// It is paused, or a rollout is under way.
    pub unsettled: Option<String>,
    /// Its controller has looked at its latest change (`status.observedGeneration`).
    pub observed: bool,
    /// Message of the condition `ReplicaFailure`.
    pub failure: Option<String>,
    /// `spec.minReadySeconds`.
    pub min_ready: i32,
    /// `spec.progressDeadlineSeconds`.
    pub patience: i32,
    /// What a surge has written on it.
    pub record: Written<Record>,
    /// It has a deletionTimestamp.
    pub deleting: bool,
}

impl Deployment {
    /// Its reference, for findings.
    pub fn reference(&self) -> ObjRef {
        ObjRef::namespaced("deployment.apps", &self.namespace, &self.name, &self.uid)
    }
}

impl From<apps::Deployment> for Deployment {
    fn from(object: apps::Deployment) -> Self {
        let meta = object.metadata;
        let spec = object.spec.unwrap_or_default();
        let status = object.status.unwrap_or_default();
        let replicas = spec.replicas.unwrap_or(1);
        let conditions = status.conditions.iter().flatten();
        let failure = conditions
            .filter(|c| c.type_ == "ReplicaFailure" && c.status == "True")
            .map(|c| c.message.clone().unwrap_or_default())
            .next();
        let paused = spec.paused == Some(true);
        let observed = status.observed_generation.unwrap_or(0) >= meta.generation.unwrap_or(0);
        let unsettled = if paused {
            Some("it is paused".to_owned())
        } else if !observed {
            Some("its controller has not looked at its latest change yet".to_owned())
        } else {
            let (updated, available) = (
                status.updated_replicas.unwrap_or(0),
                status.available_replicas.unwrap_or(0),
            );
            let settled = updated == replicas && available == replicas && status.replicas.unwrap_or(0) == replicas;
            (!settled).then(|| {
                format!(
                    "a rollout is not finished: of {replicas} pods {updated} are up to date and {available} available"
                )
            })
        };
        Self {
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            version: meta.resource_version.unwrap_or_default(),
            replicas,
            never_more: never_more(spec.strategy.as_ref()),
            selector: selector(spec.selector),
            paused,
            unsettled,
            observed,
            failure,
            min_ready: spec.min_ready_seconds.unwrap_or(0),
            patience: spec.progress_deadline_seconds.unwrap_or(PROGRESS_DEADLINE),
            record: Written::read(meta.annotations.as_ref(), SURGE),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }
}

fn never_more(strategy: Option<&apps::DeploymentStrategy>) -> Option<&'static str> {
    let strategy = strategy?;
    if strategy.type_.as_deref() == Some("Recreate") {
        return Some("its strategy is Recreate: an old and a new pod must not run at the same time");
    }
    let none = match strategy.rolling_update.as_ref()?.max_surge.as_ref()? {
        IntOrString::Int(number) => *number == 0,
        IntOrString::String(text) => matches!(text.as_str(), "0" | "0%"),
    };
    none.then_some("its maxSurge is 0: it must not run more pods than it says")
}

/// A selector that this build cannot read selects nothing.
fn selector(selector: LabelSelector) -> String {
    Selector::try_from(selector).map_or_else(|_| "!*".to_owned(), |s| s.to_string())
}

/// An autoscaler of the cluster, with what it scales.
#[derive(Debug, Clone)]
pub struct Scaler {
    /// `metadata.namespace`.
    pub namespace: String,
    /// Kind and name of what it scales.
    pub target: (String, String),
    /// The controller that owns it, as KEDA does.
    pub owner: Option<Owner>,
    /// Its limits.
    pub autoscaler: Autoscaler,
}

impl Scaler {
    /// Whether it scales this Deployment.
    pub fn scales(&self, deployment: &Deployment) -> bool {
        self.namespace == deployment.namespace && self.target.0 == "Deployment" && self.target.1 == deployment.name
    }
}

impl From<HorizontalPodAutoscaler> for Scaler {
    fn from(object: HorizontalPodAutoscaler) -> Self {
        let meta = object.metadata;
        let spec = object.spec.unwrap_or_default();
        let owners = meta.owner_references.into_iter().flatten();
        Self {
            namespace: meta.namespace.unwrap_or_default(),
            target: (spec.scale_target_ref.kind, spec.scale_target_ref.name),
            owner: owners.filter(|o| o.controller == Some(true)).map(Owner::from).next(),
            autoscaler: Autoscaler {
                name: meta.name.unwrap_or_default(),
                uid: meta.uid.unwrap_or_default(),
                version: meta.resource_version.unwrap_or_default(),
                min: spec.min_replicas.unwrap_or(1),
                max: spec.max_replicas,
                raised: Written::read(meta.annotations.as_ref(), SURGE),
            },
        }
    }
}
