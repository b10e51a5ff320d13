//! What a surge would change, and what would work against it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as api;
use upkeep::report::Seen;

use super::{Deployment, Resources, Scaler, Uid};

/// Deployments of the namespaces that pods are to leave, and what limits them.
#[derive(Debug, Clone)]
pub struct Scaling {
    /// The Deployments.
    pub deployments: Seen<Vec<Deployment>>,
    /// UID of the Deployment by UID of its ReplicaSet.
    pub sets: BTreeMap<Uid, Uid>,
    /// Deployments whose ReplicaSet has a copy of the record of a surge for these nodes, with the run that wrote it.
    pub copies: BTreeMap<Uid, String>,
    /// The autoscalers.
    pub scalers: Seen<Vec<Scaler>>,
    /// Namespace, kind and name of what KEDA scales.
    pub scaled_objects: BTreeSet<(String, String, String)>,
    /// The quotas.
    pub quotas: Seen<Vec<Quota>>,
    /// Namespace and name of claims that pods of several nodes can use at the same time.
    pub shared_claims: Seen<BTreeSet<(String, String)>>,
    /// Nodes on which some run is at work.
    pub busy: BTreeSet<String>,
}

/// A ResourceQuota.
#[derive(Debug, Clone)]
pub struct Quota {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Whether it counts only some of the pods.
    pub scoped: bool,
    /// `status.hard`.
    pub hard: Resources,
    /// `status.used`.
    pub used: Resources,
}

impl From<api::ResourceQuota> for Quota {
    fn from(quota: api::ResourceQuota) -> Self {
        let spec = quota.spec.unwrap_or_default();
        let status = quota.status.unwrap_or_default();
        let scopes = spec.scopes.is_some_and(|s| !s.is_empty());
        Self {
            namespace: quota.metadata.namespace.unwrap_or_default(),
            name: quota.metadata.name.unwrap_or_default(),
            scoped: scopes || spec.scope_selector.is_some(),
            hard: Resources::read(status.hard.as_ref()),
            used: Resources::read(status.used.as_ref()),
        }
    }
}
