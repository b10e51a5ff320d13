//! What a surge writes on the objects that it changes: enough for another run to go on, or to undo it.
//!
//! Each of these stands in the same patch as the change that it is about. The Deployment controller copies annotations of
//! a Deployment to its ReplicaSet and never removes them there, and `rollout undo` copies them back: a record alone proves
//! nothing, so one of another run is believed only while pods are marked by that run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::facts::Uid;

/// On a Deployment: a [`Record`]. On a HorizontalPodAutoscaler: a [`Raised`].
pub const SURGE: &str = "kubectl-upkeep/surge";
/// On a pod: a [`Mark`].
pub const MARK: &str = "kubectl-upkeep/surge-mark";
/// Which pods a ReplicaSet deletes first among those that are equal otherwise (KEP-2255).
pub const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The lowest cost that the API server accepts: deleted before all others.
pub const LOWEST: &str = "-2147483648";
/// The highest: deleted after all others.
pub const HIGHEST: &str = "2147483647";

/// How far a surge has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// More pods are being started.
    Out,
    /// The new pods are Ready; the Deployment goes back to its own number, and the marked pods with it.
    Back,
    /// It did not work: the Deployment goes back to its own number, and the new pods with it.
    Undo,
}

/// A surge, on its Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The run that does it.
    pub run: String,
    /// How far it has come.
    pub stage: Stage,
    /// `spec.replicas` as it was.
    pub replicas: i32,
    /// `spec.replicas` for the time of the surge.
    pub target: i32,
    /// The pods that are to go.
    pub pods: BTreeSet<Uid>,
    /// The nodes that are emptied.
    pub nodes: BTreeSet<String>,
}

/// A pod that is to go first, on that pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The run that has marked it.
    pub run: String,
    /// The cost that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// An autoscaler whose limits are raised for the time of a surge, on that autoscaler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Raised {
    /// The run that has raised them.
    pub run: String,
    /// `spec.minReplicas` as it was.
    pub min: i32,
    /// `spec.maxReplicas` as it was.
    pub max: i32,
    /// `spec.minReplicas` as it was set.
    pub raised_min: i32,
    /// `spec.maxReplicas` as it was set.
    pub raised_max: i32,
}

/// What one of these annotations holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Written<T> {
    /// It is not there.
    #[default]
    Nothing,
    /// It is there and means something else than this program writes.
    Unreadable,
    /// It is there.
    This(T),
}

impl<T: DeserializeOwned> Written<T> {
    /// Reads one annotation.
    pub fn read(annotations: Option<&BTreeMap<String, String>>, key: &str) -> Self {
        match annotations
            .and_then(|a| a.get(key))
            .map(|text| serde_json::from_str(text))
        {
            None => Self::Nothing,
            Some(Ok(this)) => Self::This(this),
            Some(Err(_)) => Self::Unreadable,
        }
    }
}

impl<T> Written<T> {
    /// What it says, where it can be read.
    pub fn this(&self) -> Option<&T> {
        match self {
            Self::This(this) => Some(this),
            _ => None,
        }
    }
}
