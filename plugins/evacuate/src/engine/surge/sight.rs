//! What a surge looks at before each step, all read anew: nothing is done because of what was true a step ago.

use super::record::{Mark, Raised, Record, Written};
use crate::{engine::event::At, facts::Uid};

/// A Deployment and what belongs to it, as one look found it.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// `metadata.resourceVersion` of the Deployment: what is written next is bound to it.
    pub version: String,
    /// `spec.replicas`.
    pub replicas: i32,
    /// The record of a surge.
    pub record: Written<Record>,
    /// Why no surge can begin now: it is paused, or a rollout is under way.
    pub unsettled: Option<String>,
    /// Its controller has looked at its latest change.
    pub observed: bool,
    /// Message of the condition `ReplicaFailure`: pods cannot be created.
    pub failure: Option<String>,
    /// `spec.minReadySeconds`, in milliseconds.
    pub min_ready: i64,
    /// `spec.progressDeadlineSeconds`, in milliseconds: how long its owner would wait for new pods.
    pub patience: i64,
    /// Its pods, finished ones left out.
    pub pods: Vec<Member>,
    /// The autoscaler that scales it.
    pub autoscaler: Option<Autoscaler>,
    /// ReplicaSets that carry a copy of a surge's record.
    pub copies: Vec<String>,
}

/// A pod of the Deployment.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// `spec.nodeName`; empty while unscheduled.
    pub node: String,
    /// The Ready condition.
    pub ready: bool,
    /// UID of its ReplicaSet.
    pub set: Uid,
    /// It has a deletionTimestamp.
    pub deleting: bool,
    /// `metadata.creationTimestamp`.
    pub created: At,
    /// Its deletion cost, as written.
    pub cost: Option<String>,
    /// The mark of a surge.
    pub mark: Written<Mark>,
    /// Why it does not start.
    pub trouble: Option<String>,
}

/// A HorizontalPodAutoscaler.
#[derive(Debug, Clone, Default)]
pub struct Autoscaler {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// `spec.minReplicas`; 1 where it is not written.
    pub min: i32,
    /// `spec.maxReplicas`.
    pub max: i32,
    /// What a surge has raised.
    pub raised: Written<Raised>,
}

/// One request of a surge. After each of them everything is looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Look at everything.
    Look,
    /// Write the record on the Deployment, or remove it.
    Write {
        /// `metadata.resourceVersion` of the Deployment.
        version: String,
        /// The record.
        record: Option<Record>,
    },
    /// Mark a pod as one to go first, or last.
    Mark {
        /// The pod.
        pod: Subject,
        /// Its cost meanwhile.
        cost: &'static str,
        /// The mark.
        mark: Mark,
    },
    /// Remove the mark of a pod.
    Unmark {
        /// The pod.
        pod: Subject,
        /// Its cost from before; `None` removes it. Where somebody else has set another one meanwhile, that one.
        cost: Option<String>,
    },
    /// Raise the limits of the autoscaler.
    Raise {
        /// The autoscaler.
        autoscaler: Subject,
        /// The limits.
        raised: Raised,
    },
    /// Put the limits of the autoscaler back.
    Restore {
        /// The autoscaler.
        autoscaler: Subject,
        /// The limits; a value that somebody else has set meanwhile is left as it is.
        limits: (Option<i32>, Option<i32>),
    },
    /// Set the number of replicas through the scale subresource.
    Scale {
        /// `metadata.resourceVersion` of the Deployment.
        version: String,
        /// The number.
        replicas: i32,
    },
    /// Ask whether budget and webhooks would let the pod go, without letting it go.
    Ask {
        /// The pod.
        pod: Subject,
    },
    /// Remove the copy of the record from a ReplicaSet.
    ForgetCopy {
        /// Its name.
        replica_set: String,
    },
    /// Several of one kind, at the same time.
    All(Vec<Act>),
}

/// An object that is changed, bound to what was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: String,
}

impl Member {
    /// What a request is bound to.
    pub fn subject(&self) -> Subject {
        Subject {
            name: self.name.clone(),
            uid: self.uid.clone(),
            version: self.version.clone(),
        }
    }
}

impl Autoscaler {
    /// What a request is bound to.
    pub fn subject(&self) -> Subject {
        Subject {
            name: self.name.clone(),
            uid: self.uid.clone(),
            version: self.version.clone(),
        }
    }
}
