//! A node, as far as the rules look at it.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1 as api, jiff::Timestamp};
use upkeep::{lock::is_run_id, node::Ready};

use super::{Resources, Uid};

/// Which run has cordoned a node; stays until the cordon is taken back, so that it is known who may do that.
pub const CORDONED: &str = "kubectl-upkeep/cordoned-by";
/// The taint that says that a node is off: pods are removed from it without asking it, and its volumes are detached at
/// once (KEP-2268).
pub const OUT_OF_SERVICE_TAINT: &str = upkeep::node::OUT_OF_SERVICE;
/// Which run has put it there; stays as long as the taint does.
pub const OUT_OF_SERVICE: &str = "kubectl-upkeep/out-of-service";

/// Whether a text may be the name of a node: that of a DNS subdomain. Anything else could lead to another path of the server.
pub fn is_node_name(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || matches!(c, '-' | '.'))
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
    /// Since when that is so.
    pub ready_since: Option<Timestamp>,
    /// `status.allocatable`.
    pub allocatable: Resources,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
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
            ready_since: ready.and_then(|c| c.last_transition_time.as_ref()).map(|t| t.0),
            allocatable: Resources::read(status.allocatable.as_ref()),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.unwrap_or_default(),
        }
    }
}

impl Node {
    /// Its taint that says that it is off, if it has one.
    pub fn out_of_service(&self) -> Option<OutOfService> {
        let taint = self.taints.iter().any(|t| t.key == OUT_OF_SERVICE_TAINT);
        taint.then(
            || match self.annotations.get(OUT_OF_SERVICE).is_some_and(|run| is_run_id(run)) {
                true => OutOfService::Ours,
                false => OutOfService::Foreign,
            },
        )
    }
}

/// Who has put the taint on a node that says that it is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfService {
    /// A run of this program.
    Ours,
    /// Somebody else.
    Foreign,
}
