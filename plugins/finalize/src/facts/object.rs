//! What is kept of an object: its metadata, without what makes it large.

use std::collections::BTreeMap;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde::Deserialize;

/// Annotations of these plugins.
const OURS: &str = "kubectl-upkeep/";

/// The metadata of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Metadata")]
pub struct Object {
    /// Its namespace, if its kind has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion.
    pub version: String,
    /// When it was, or will be, due to go: for a pod that lies ahead by its grace period.
    pub deletion: Option<Timestamp>,
    /// Seconds that were given to it.
    pub grace: Option<i64>,
    /// What has to happen before.
    pub finalizers: Vec<String>,
    /// What it belongs to.
    pub owners: Vec<Owner>,
    /// What runs of these plugins have written on it: annotations that begin with `kubectl-upkeep/`.
    pub marks: BTreeMap<String, String>,
}

/// An owner reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Owner {
    /// `apps/v1`.
    pub api_version: String,
    /// `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Whether a foreground deletion of the owner waits for the object.
    pub block_owner_deletion: bool,
    /// Whether it is the one that manages the object.
    pub controller: bool,
}

impl Object {
    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.deletion.is_some()
    }

    /// Whether it has this finalizer.
    pub fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|f| f == finalizer)
    }
}

/// An object of a list.
#[derive(Deserialize)]
struct Metadata {
    metadata: Meta,
}

/// `managedFields`, labels and the annotations of others are passed over: they are most of the text.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    namespace: Option<String>,
    name: String,
    uid: String,
    resource_version: String,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    finalizers: Vec<String>,
    owner_references: Vec<Owner>,
    annotations: BTreeMap<String, String>,
}

impl From<Metadata> for Object {
    fn from(object: Metadata) -> Self {
        object.metadata.into()
    }
}

impl From<Meta> for Object {
    fn from(meta: Meta) -> Self {
        Self {
            namespace: meta.namespace.filter(|n| !n.is_empty()),
            name: meta.name,
            uid: meta.uid,
            version: meta.resource_version,
            deletion: meta.deletion_timestamp.map(|t| t.0),
            grace: meta.deletion_grace_period_seconds,
            finalizers: meta.finalizers,
            owners: meta.owner_references,
            marks: meta
                .annotations
                .into_iter()
                .filter(|(k, _)| k.starts_with(OURS))
                .collect(),
        }
    }
}
