//! A node, as far as the rules look at it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as api;

use super::{Resources, Uid};

/// The Ready condition of a node. `Unknown` means that the kubelet has gone silent; `False` is a kubelet that lives and
/// reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// The kubelet reports that pods can run.
    True,
    /// The kubelet reports that pods cannot run.
    False,
    /// No report within the grace period of the node controller.
    Unknown,
}

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// Kinds and names of `metadata.ownerReferences`.
    pub owners: Vec<(String, String)>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `spec.taints`.
    pub taints: Vec<api::Taint>,
    /// The Ready condition; Unknown where there is none yet.
    pub ready: Ready,
    /// `status.allocatable`.
    pub allocatable: Resources,
    /// Whether the object is being deleted.
    pub deleting: bool,
}

impl From<api::Node> for Node {
    fn from(node: api::Node) -> Self {
        let meta = node.metadata;
        let spec = node.spec.unwrap_or_default();
        let status = node.status.unwrap_or_default();
        let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
        Self {
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            labels: meta.labels.unwrap_or_default(),
            annotations: meta.annotations.unwrap_or_default(),
            owners: meta
                .owner_references
                .into_iter()
                .flatten()
                .map(|o| (o.kind, o.name))
                .collect(),
            unschedulable: spec.unschedulable.unwrap_or(false),
            taints: spec.taints.unwrap_or_default(),
            ready: match ready.map(|c| c.status.as_str()) {
                Some("True") => Ready::True,
                Some("False") => Ready::False,
                _ => Ready::Unknown,
            },
            allocatable: Resources::read(status.allocatable.as_ref()),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }
}
