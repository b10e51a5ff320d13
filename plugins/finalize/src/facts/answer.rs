//! Answers of the cluster.

use serde_json::Value;
use upkeep::node::Ready;

use super::{Definition, Object, Pod, Refusal, Workload};

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
    /// The Ready conditions of all nodes.
    Ready(Vec<Ready>),
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
    /// What it means.
    pub fn refusal(&self) -> Refusal<'_> {
        Refusal::read(&self.message)
    }

    /// Whether there is no such object.
    pub fn is_missing(&self) -> bool {
        self.code == 404 && !self.is_denial()
    }

    /// Whether nobody has answered at all. A storage that cannot be read is not busy.
    pub fn is_unreachable(&self) -> bool {
        let unreadable = self.message.contains("storage is (re)initializing: failed to list");
        matches!(self.code, NO_ANSWER | THROTTLED) && !unreadable && !self.is_denial()
    }

    /// Whether this user may not ask that at all, so that nothing is known of what admission would say.
    pub fn lacks_right(&self) -> bool {
        self.code == 403 && self.message.contains("User \"") && self.message.contains(" cannot ") && !self.is_denial()
    }

    /// Whoever denies a request chooses its status: 404 and 429 as well.
    pub fn is_denial(&self) -> bool {
        self.refusal().is_denial()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_one_with_any_status() {
        for code in [400, 401, 403, 404, 409, 422, 429, 500, 503] {
            let said = Said {
                code,
                reason: "NotFound".into(),
                message: "admission webhook \"g.example.com\" denied the request: User \"x\" cannot do that".into(),
            };
            assert!(said.is_denial());
            assert!(
                !said.is_missing() && !said.is_unreachable() && !said.lacks_right(),
                "{code}"
            );
        }
    }
}
