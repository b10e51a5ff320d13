//! What is kept of a pod.

use k8s_openapi::api::core::v1 as core;
use serde::Deserialize;

use super::{Object, object::Meta};

/// A pod that may hold something, or be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its metadata.
    pub object: Object,
    /// Its node; empty until it is scheduled.
    pub node: String,
    /// Names of the claims that it mounts, those of its ephemeral volumes too.
    pub claims: Vec<String>,
    /// It has ended: `Succeeded` or `Failed`.
    pub finished: bool,
    /// `spec.serviceAccountName`.
    pub service_account: String,
    /// It is Ready.
    pub ready: bool,
}

/// Reads a pod from a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Read {
    metadata: Meta,
    #[serde(default)]
    spec: core::PodSpec,
    #[serde(default)]
    status: core::PodStatus,
}

impl From<Read> for Pod {
    fn from(Read { metadata, spec, status }: Read) -> Self {
        let object = Object::from(metadata);
        let volumes = spec.volumes.into_iter().flatten();
        let claims = volumes.filter_map(|volume| {
            let ephemeral = volume.ephemeral.map(|_| format!("{}-{}", object.name, volume.name));
            volume.persistent_volume_claim.map(|c| c.claim_name).or(ephemeral)
        });
        let ready = |c: &core::PodCondition| c.type_ == "Ready" && c.status == "True";
        Self {
            claims: claims.collect(),
            node: spec.node_name.unwrap_or_default(),
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            service_account: spec.service_account_name.unwrap_or_default(),
            ready: status.conditions.iter().flatten().any(ready),
            object,
        }
    }
}
