//! Why something will not go away: causes, who would take them away, and what can be done.

use serde::Serialize;
use upkeep::report::ObjRef;

use crate::{facts::Key, ladder::Remedy};

/// Which cause, stable from one look to the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct CauseKey {
    /// `finalizer`, `pod-on-a-silent-node`, `apiservice-down`.
    pub id: &'static str,
    /// What it lies in.
    pub subject: ObjRef,
    /// Which of several in the same object: the name of a finalizer, of a webhook.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The `id` of what somebody does not want, who answers.
pub const DENIED: &str = "denied";

/// The `kind` of the subject of a denial by a webhook.
pub const WEBHOOK: &str = "webhook";

/// The `id` of a change that the server refuses for another reason.
pub const REFUSED: &str = "change-refused";

/// The `id` of what was out of the way, and was written back.
pub const WRITTEN_BACK: &str = "written-back";

/// The `id` of what stands in the conditions of a namespace.
pub const CONTROLLER_SAYS: &str = "controller-says";

/// An actor of whom nothing is known.
pub const SOMEBODY: &str = "an unknown owner";

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Which.
    #[serde(flatten)]
    pub key: CauseKey,
    /// One sentence without a final period.
    pub says: String,
    /// What it rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Who would have to act, and whether they live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// What waits for it directly.
    pub holds: Vec<ObjRef>,
    /// Causes that have to go first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<CauseKey>,
    /// What can be done, the gentlest first.
    pub remedies: Vec<Remedy>,
}

impl Cause {
    /// Whether it needs nothing but time: an actor that is alive is at work, and has not denied it.
    pub fn takes_time(&self) -> bool {
        let alive = self.actor.as_ref().is_some_and(|actor| actor.life == Life::Alive);
        alive && self.key.id != DENIED
    }

    /// Whether somebody who was asked does not allow a change that this run would make. A deletion that is denied is not among
    /// them: the namespace controller asks again, and the denial may wait for something else.
    pub fn denies_change(&self) -> bool {
        self.key.id == DENIED && !matches!(self.key.detail.as_str(), "DELETE" | "")
    }
}

/// Who takes a hold away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// `pvc-protection-controller in kube-controller-manager`.
    pub who: String,
    /// Whether they live.
    pub life: Life,
    /// What that rests on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// The workload, where it is one.
    #[serde(skip)]
    pub workload: Option<Key>,
}

/// Whether an actor lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Life {
    /// It was seen working.
    Alive,
    /// It is alive, and will not do it by itself: it is paused, lacks a right, or waits for what uses the object.
    Stalled,
    /// It was looked for, and is not there or does not work.
    Dead,
    /// A name says so, which others can write, too: that starts nothing, and is never taken for a no either.
    Perhaps,
    /// Nothing tells.
    Unknown,
    /// What would tell may not be read, or could not be. That is never taken for a no.
    Unread,
}
