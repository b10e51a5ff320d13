//! What can be done about a cause, in rising order of force, and which step comes next.

mod answers;
mod awaited;
mod next;
pub mod plan;
#[cfg(test)]
mod tests;

use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    facts::{Key, Right},
    knowledge::Risk,
};

pub use answers::Answers;
pub use next::{Cap, History, Next, SYSTEM, Tried, first, next, open};

/// How much force. Each rung is only stepped on when the lower ones cannot help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Wait, and have the namespace controller look again.
    Wait,
    /// Mend the backend that does not work.
    Repair,
    /// Evict the pod that uses what should go.
    EvictUser,
    /// The same effect by a narrower path.
    Narrow,
    /// Take one webhook, conversion or APIService out of the way, and put it back.
    Neutralise,
    /// Remove one named finalizer from one deleting object.
    Strip,
    /// Take the namespace out without its content.
    Finalize,
}

/// One way to deal with a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remedy {
    /// With how much force.
    pub rung: Rung,
    /// What is done, or what a person has to do.
    pub text: String,
    /// What may be lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// What would be left outside of the cluster: `load balancer a1b2c3.elb.amazonaws.com`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<String>,
    /// What would stay in the cluster: `volume pvc-1`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<String>,
    /// The right that this user lacks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What this plugin does; nothing where only a person can.
    #[serde(rename = "byHand", serialize_with = "by_hand")]
    pub mend: Option<Mend>,
    /// Seconds since its object should be gone, where that is known: who takes a finalizer off has to have had the time to.
    #[serde(skip)]
    pub overdue: Option<i64>,
}

fn by_hand<S: Serializer>(mend: &Option<Mend>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bool(mend.is_none())
}

/// One change, small enough to be tested, saved, made and verified by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mend {
    /// Scales a workload back up.
    ScaleUp {
        /// The workload.
        key: Key,
        /// To so many pods.
        replicas: i32,
    },
    /// Says to the cluster that the machine of a node is powered off.
    OutOfService {
        /// The node.
        node: String,
        /// Its UID.
        uid: String,
        /// When its kubelet had last renewed its Lease when that was judged: where that has changed, the machine is on.
        renewed: Option<Timestamp>,
    },
    /// Serves a version again in which objects are stored.
    Serve {
        /// The CustomResourceDefinition.
        definition: String,
        /// The version.
        version: String,
    },
    /// Leaves a namespace out of one webhook, for a while; where what is concerned has none, lets it fail open.
    Exclude {
        /// The configuration.
        key: Key,
        /// Its UID.
        uid: String,
        /// The webhook.
        entry: String,
        /// The namespace.
        namespace: Option<String>,
        /// The object, where it has no namespace.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<Key>,
        /// For this user and these; for every user where the server knows no match conditions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accounts: Option<Vec<String>>,
    },
    /// Lets a conversion change nothing but the version, for a while.
    Unconvert {
        /// The CustomResourceDefinition.
        definition: String,
        /// Its UID.
        uid: String,
    },
    /// Takes a namespace out although not all that may be in it could be seen.
    Abandon {
        /// The namespace.
        namespace: String,
        /// Its UID.
        uid: String,
        /// What could not be listed.
        unseen: Vec<String>,
    },
    /// Evicts the pod that uses what should go.
    Evict {
        /// The pod.
        pod: Key,
        /// Its UID.
        uid: String,
    },
    /// Deletes objects through the version in which they are stored.
    DeleteStored {
        /// One of them.
        key: Key,
        /// Its UID.
        uid: String,
        /// The version.
        version: String,
    },
    /// Deletes once more what was left behind by a deletion that ended early.
    DeleteAgain {
        /// The object.
        key: Key,
        /// Its UID.
        uid: String,
    },
    /// Sets `blockOwnerDeletion` of one ownerReference to false, so that the owner does not wait for the object.
    Unblock {
        /// The object that has the reference.
        key: Key,
        /// Its UID.
        uid: String,
        /// The UID of the owner.
        owner: String,
    },
    /// Removes one finalizer.
    Strip {
        /// From this object.
        key: Key,
        /// Its UID.
        uid: String,
        /// The finalizer.
        finalizer: String,
        /// Whether it may go through the subresource `status`, because a dry run has shown that the object itself cannot be
        /// changed, and nobody who was asked has denied it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        status: bool,
    },
    /// Removes one finalizer from `spec.finalizers` of a namespace.
    Finalize {
        /// The namespace.
        namespace: String,
        /// Its UID.
        uid: String,
        /// The finalizer.
        finalizer: String,
    },
}

impl Remedy {
    /// What only a person can do.
    pub fn by_hand(rung: Rung, text: impl Into<String>) -> Self {
        Self {
            rung,
            text: text.into(),
            risk: None,
            leaves: Vec::new(),
            stays: Vec::new(),
            missing: None,
            mend: None,
            overdue: None,
        }
    }

    /// What this plugin can do.
    pub fn mend(rung: Rung, text: impl Into<String>, mend: Mend) -> Self {
        Self {
            mend: Some(mend),
            ..Self::by_hand(rung, text)
        }
    }
}

impl Mend {
    /// The object that is changed.
    pub fn key(&self) -> Key {
        match self {
            Self::ScaleUp { key, .. }
            | Self::DeleteStored { key, .. }
            | Self::DeleteAgain { key, .. }
            | Self::Exclude { key, .. }
            | Self::Unblock { key, .. }
            | Self::Strip { key, .. } => key.clone(),
            Self::Evict { pod, .. } => pod.clone(),
            Self::OutOfService { node, .. } => Key::cluster("", "nodes", node),
            Self::Serve { definition, .. } | Self::Unconvert { definition, .. } => {
                Key::cluster("apiextensions.k8s.io", "customresourcedefinitions", definition)
            }
            Self::Finalize { namespace, .. } | Self::Abandon { namespace, .. } => {
                Key::cluster("", "namespaces", namespace)
            }
        }
    }

    /// Whether it is put back at the end.
    pub fn is_for_a_while(&self) -> bool {
        matches!(
            self,
            Self::Exclude { .. } | Self::Unconvert { .. } | Self::OutOfService { .. }
        )
    }

    /// What this user must be allowed to do for it.
    pub fn right(&self) -> Right {
        let (verb, subresource) = match self {
            Self::DeleteStored { .. } | Self::DeleteAgain { .. } => ("delete", ""),
            Self::Evict { .. } => ("create", "eviction"),
            Self::Finalize { .. } | Self::Abandon { .. } => ("update", "finalize"),
            Self::ScaleUp { .. }
            | Self::OutOfService { .. }
            | Self::Serve { .. }
            | Self::Exclude { .. }
            | Self::Unconvert { .. }
            | Self::Unblock { .. }
            | Self::Strip { .. } => ("patch", ""),
        };
        let key = self.key();
        Right {
            verb,
            subresource,
            group: key.group,
            plural: key.plural,
            namespace: key.namespace,
        }
    }

    /// The UID that it must have.
    pub fn uid(&self) -> Option<&str> {
        match self {
            Self::Evict { uid, .. }
            | Self::DeleteStored { uid, .. }
            | Self::DeleteAgain { uid, .. }
            | Self::Exclude { uid, .. }
            | Self::Unblock { uid, .. }
            | Self::Strip { uid, .. }
            | Self::Unconvert { uid, .. }
            | Self::Abandon { uid, .. }
            | Self::OutOfService { uid, .. }
            | Self::Finalize { uid, .. } => Some(uid),
            Self::ScaleUp { .. } | Self::Serve { .. } => None,
        }
    }
}
