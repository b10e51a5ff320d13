//! What the engine says: where it stands, how pods go, how it ended.

use upkeep::report::ObjRef;

use super::event::At;
use crate::facts::Owner;

/// Where the work on a node stands, for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Its pods are asked to go.
    Begun,
    /// It is empty.
    Drained {
        /// What was done.
        text: String,
    },
    /// All that was to be evicted has left it, and other pods that a whole evacuation would evict are still there.
    Partial {
        /// What was done, and which pods stay.
        text: String,
    },
    /// The work has ended before it was empty.
    Stopped {
        /// What was done, and why it has ended.
        text: String,
        /// The cordon is taken back, and with it all that was written on the node.
        undone: bool,
    },
}

/// Progress, as data; render turns it into kubectl's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The node is now unschedulable.
    Cordoned {
        /// Name of the node.
        node: String,
        /// It was so before.
        already: bool,
    },
    /// The own cordon was taken back.
    Uncordoned {
        /// Name of the node.
        node: String,
    },
    /// An eviction is about to be asked for, or the deletion of a pod that its budget has held back.
    Going {
        /// The pod.
        pod: ObjRef,
        /// Through the eviction API, or by deletion.
        verb: Verb,
    },
    /// A Deployment is scaled for the sake of its pods.
    Scaling {
        /// The Deployment.
        deployment: ObjRef,
        /// How many pods it is to run.
        replicas: i32,
    },
    /// The surge of a Deployment is taken back, because the run ends.
    Undoing {
        /// The Deployment.
        deployment: ObjRef,
    },
    /// What the surge of a Deployment waits for.
    Surge {
        /// The Deployment.
        deployment: ObjRef,
        /// The sentence.
        text: String,
    },
    /// The node is said to be off.
    Tainted {
        /// Name of the node.
        node: String,
    },
    /// It is no longer said to be off.
    Untainted {
        /// Name of the node.
        node: String,
    },
    /// The pod is gone.
    Gone {
        /// The pod.
        pod: ObjRef,
        /// How it went.
        verb: Verb,
    },
    /// The pod is past its deletion for longer than the caller wants to wait.
    Skipped {
        /// The pod.
        pod: ObjRef,
    },
    /// Pods of Jobs are left to finish, or were for as long as was asked for.
    WaitingForJobs {
        /// Name of the node.
        node: String,
        /// The sentence.
        text: String,
    },
    /// The grace period of a pod is over, and finalizers keep it.
    HeldByFinalizers {
        /// The pod.
        pod: ObjRef,
        /// The finalizers, and who removes each.
        text: String,
    },
    /// A budget (or the server, in its words) lets nothing through for now.
    Blocked {
        /// The budget, where it is known.
        budget: Option<ObjRef>,
        /// One of the pods that wait.
        pod: ObjRef,
        /// The sentence.
        text: String,
    },
    /// A budget has let nothing through for a while.
    StillBlocked {
        /// The budget, where it is known.
        budget: Option<ObjRef>,
        /// One of the pods that wait.
        pod: ObjRef,
        /// For so many milliseconds.
        lasting: At,
        /// The sentence.
        text: String,
    },
    /// Something that delays a pod and is tried again.
    Trouble {
        /// The pod.
        pod: ObjRef,
        /// The sentence.
        text: String,
    },
    /// The work is delayed or endangered as a whole.
    Warning(String),
    /// A pod can not be moved by this run.
    Failed {
        /// The pod.
        pod: ObjRef,
        /// Why.
        text: String,
    },
    /// The node is empty.
    Drained {
        /// Name of the node.
        node: String,
    },
    /// The node is no longer part of the cluster.
    Removed {
        /// Name of the node.
        node: String,
    },
    /// The node is empty, and stays in the cluster although it was to be removed.
    Kept {
        /// Name of the node.
        node: String,
        /// Why.
        text: String,
    },
    /// The node is empty, but what replaces its pods did not become Ready in time.
    Unreplaced {
        /// Name of the node.
        node: String,
        /// What is missing.
        text: String,
    },
    /// The node could not be emptied.
    NotDrained {
        /// Name of the node.
        node: String,
        /// Why.
        text: String,
    },
}

/// How a pod is asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Through the eviction subresource: budgets are asked.
    Evict,
    /// By deletion: budgets are not asked.
    Delete,
    /// By scaling its Deployment up, and back with this pod as the one to go.
    Surge,
}

/// How the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every node is empty.
    Done,
    /// Something remains; it is listed.
    Incomplete,
    /// A safety rule said no after the cordon, which was taken back.
    Refused,
    /// A node could not be cordoned or read; nothing was evicted.
    Failed,
    /// The time was up.
    Deadline,
    /// A person or the system ended it.
    Interrupted,
}

/// A pod that has left its node.
#[derive(Debug, Clone)]
pub struct Departed {
    /// The pod.
    pub pod: ObjRef,
    /// The node that it left.
    pub node: String,
    /// Its controller.
    pub owner: Option<Owner>,
    /// Nothing of it was running any more: nothing replaces it.
    pub finished: bool,
    /// How it was asked to go; `None` where it went by itself.
    pub verb: Option<Verb>,
    /// When it was gone.
    pub at: At,
}
