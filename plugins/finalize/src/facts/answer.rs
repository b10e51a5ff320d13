//! Answers of the cluster.

use serde_json::Value;

use super::{Definition, Object, Pod, Workload};

/// Nobody has answered.
pub const NO_ANSWER: u16 = 0;
/// The answer is not what it should be.
pub const UNREADABLE: u16 = 1;
/// The server wants to be asked later.
const THROTTLED: u16 = 429;

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
    /// CustomResourceDefinitions.
    Definitions(Vec<Definition>),
    /// It would be done.
    Done,
}

/// What a server says that does not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// HTTP status, [`NO_ANSWER`] or [`UNREADABLE`].
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

    /// Whether nobody has answered at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.code, NO_ANSWER | THROTTLED)
    }

    /// Whether this user may not ask that at all, so that nothing is known of what admission would say.
    pub fn lacks_right(&self) -> bool {
        self.code == 403 && self.message.contains("User \"") && self.message.contains(" cannot ")
    }
}
