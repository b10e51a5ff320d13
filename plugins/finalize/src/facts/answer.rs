//! Answers of the cluster.

use serde_json::Value;

use super::{Object, Pod, Workload};

/// An answer, or what the server said instead.
pub type Answer = Result<Reply, Said>;

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// One object.
    One(Box<Value>),
    /// All objects of a kind.
    All(Vec<Value>),
    /// Their metadata.
    Metadata(Vec<Object>),
    /// Pods.
    Pods(Vec<Pod>),
    /// Workloads.
    Workloads(Vec<Workload>),
    /// It would be done.
    Done,
}

/// What a server says that does not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// HTTP status; 0 where there was no answer.
    pub code: u16,
    /// `Forbidden`.
    pub reason: String,
    /// Its words.
    pub message: String,
}

impl Said {
    /// Whether there is no such object.
    pub fn is_missing(&self) -> bool {
        self.code == 404
    }

    /// Whether this user may not ask that at all, so that nothing is known of what admission would say.
    pub fn lacks_right(&self) -> bool {
        self.code == 403 && self.message.contains("User \"") && self.message.contains(" cannot ")
    }
}
