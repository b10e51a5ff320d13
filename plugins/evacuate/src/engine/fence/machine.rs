//! One fence: a machine that a person has confirmed to be off is said to be so in the API, with the taint
//! `out-of-service`, so that its pods are removed and its volumes detached although no kubelet confirms it; then the taint
//! is taken away again. Left on a node that comes back it would throw out every pod there.
//!
//! What a person has confirmed is not enough: where the kubelet is heard of again, the machine runs, and its volumes would
//! be written from two places. So it is looked again directly before each step (KEP-2268, "known to be shut down").

use upkeep::node::{Kubelet, doubt_since};

use crate::{
    engine::event::{At, Reply},
    facts::{OutOfService, Ready, Uid},
};

/// How often the run checks whether the kubelet is reporting again, in milliseconds. Kubelets renew every ten seconds.
pub const LOOK_EVERY: At = upkeep::node::LOOK_EVERY.as_millis() as At;
/// Between two tries that get no good answer, in milliseconds: at first, and at most.
const RETRY: (At, At) = (500, 8_000);

/// A silent node whose machine is confirmed to be off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    /// When its kubelet had last been heard of when that was confirmed.
    pub renewed: Option<At>,
    /// Whether the taint is known to the server's controllers. Otherwise its pods are removed one by one.
    pub by_taint: bool,
    /// A run that was cut off has left its taint there.
    pub left_over: bool,
    /// Volumes that were attached to it then.
    pub attached: Vec<String>,
}

/// What a look at the node finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`: what is written next is bound to it.
    pub version: String,
    /// The Ready condition.
    pub ready: Ready,
    /// Its taint that says that it is off.
    pub taint: Option<OutOfService>,
    /// The annotation that says whose the taint is.
    pub record: bool,
    /// When its kubelet was last heard of.
    pub renewed: Option<At>,
    /// Why that cannot be read any more.
    pub unheard: Option<String>,
    /// How many of all nodes are silent, where they were counted.
    pub silent: Option<(usize, usize)>,
}

/// One request of a fence. After each of them it is looked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Look at the node and its Lease, and count the silent nodes where that is asked for.
    Look {
        /// Count them.
        count: bool,
    },
    /// Put the taint on the node.
    Taint {
        /// `metadata.resourceVersion` of the node.
        version: String,
    },
    /// Take it off again.
    Untaint {
        /// `metadata.resourceVersion` of the node.
        version: String,
    },
}

/// What is to be achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Nothing but certainty: pods are about to be asked to go.
    Certainty,
    /// The machine is said to be off.
    Fenced,
    /// It is no longer said to be off.
    Lifted,
}

/// What comes next.
pub type Next = crate::engine::next::Next<Act, End>;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As planned.
    Lifted,
    /// The machine turned out to be alive, or the run has ended; nothing is left on the node.
    Stopped(String),
    /// The taint could not be taken off.
    Stays(String),
}

/// One fence under way.
#[derive(Debug)]
pub struct Machine {
    planned: Planned,
    uid: Uid,
    aim: Aim,
    /// It was looked at, and nothing speaks against it.
    certain: bool,
    /// What was aimed at is reached: the taint is there, or pods may be removed one by one.
    fenced: bool,
    /// The taint may be on the node.
    touched: bool,
    /// This run has put it there.
    put: bool,
    stop: Option<String>,
    failures: u32,
    not_before: At,
}

impl Machine {
    /// One that has not begun.
    pub fn new(planned: Planned, uid: Uid) -> Self {
        Self {
            planned,
            uid,
            aim: Aim::Certainty,
            certain: false,
            fenced: false,
            touched: false,
            put: false,
            stop: None,
            failures: 0,
            not_before: At::MIN,
        }
    }

    /// What it is working on.
    pub fn aim(&self) -> Aim {
        self.aim
    }

    /// Sets a further aim. There is no way back.
    pub fn aim_at(&mut self, aim: Aim) {
        self.aim = aim;
    }

    /// Whether pods may be asked to go.
    pub fn is_certain(&self) -> bool {
        self.certain && self.stop.is_none()
    }

    /// Whether the machine is said to be off.
    pub fn is_fenced(&self) -> bool {
        self.fenced && self.stop.is_none() && self.aim == Aim::Fenced
    }

    /// Whether the pods that do not end are to be removed one by one.
    pub fn is_by_hand(&self) -> bool {
        self.is_fenced() && !self.planned.by_taint
    }

    /// Gives it up; what it has put on the node is taken off.
    pub fn stop(&mut self, why: &str) {
        self.stop.get_or_insert_with(|| why.to_owned());
    }

    /// Whether nothing of it can be on the node, so that there is nothing to take off.
    pub fn is_untouched(&self) -> bool {
        !self.touched
    }

    /// Whether the next look counts the silent nodes: directly before something is forced.
    pub fn counts(&self) -> bool {
        self.aim != Aim::Lifted && !self.fenced && self.stop.is_none()
    }

    /// What comes after a look.
    pub fn next(&mut self, sight: Option<&Sight>, now: At) -> Next {
        let Some(sight) = sight.filter(|s| s.uid == self.uid) else {
            return Next::Over(self.end("the Node object was deleted"));
        };
        let ours = sight.taint == Some(OutOfService::Ours) || (sight.record && sight.taint.is_none());
        self.touched |= ours;
        if self.aim == Aim::Fenced && self.put && sight.taint.is_none() {
            self.stop("somebody else has taken its taint off");
        }
        if self.aim != Aim::Lifted
            && let Some(why) = self.alive(sight)
        {
            self.stop(&why);
        }
        if now < self.not_before {
            return Next::Wait(self.not_before);
        }
        if self.aim == Aim::Lifted || self.stop.is_some() {
            return if ours {
                let version = sight.version.clone();
                Next::Do(Act::Untaint { version })
            } else if self.put && sight.taint.is_some() {
                Next::Over(End::Stays(
                    "somebody has removed the annotation that says whose it is".into(),
                ))
            } else {
                Next::Over(self.end(""))
            };
        }
        self.certain = true;
        if self.aim == Aim::Fenced && !self.fenced {
            if self.planned.by_taint && sight.taint.is_none() {
                self.touched = true;
                let version = sight.version.clone();
                return Next::Do(Act::Taint { version });
            }
            self.fenced = true;
        }
        Next::Wait(now.saturating_add(LOOK_EVERY))
    }

    fn end(&self, otherwise: &str) -> End {
        match &self.stop {
            Some(why) => End::Stopped(why.clone()),
            None if self.aim == Aim::Lifted => End::Lifted,
            None => End::Stopped(otherwise.to_owned()),
        }
    }

    /// What speaks against the machine being off.
    fn alive(&self, sight: &Sight) -> Option<String> {
        let kubelet = Kubelet {
            ready: sight.ready,
            renewed: sight.renewed,
            unread: sight.unheard.as_deref(),
            unavailable: sight.silent,
        };
        doubt_since(&kubelet, self.planned.renewed).map(|doubt| doubt.to_string())
    }

    /// An answer to one of its requests, or to a look that has failed.
    pub fn answered(&mut self, act: &Act, reply: &Reply, now: At) -> Option<End> {
        match (act, reply) {
            (_, Reply::Accepted) => {
                self.failures = 0;
                match act {
                    Act::Taint { .. } => (self.fenced, self.put) = (true, true),
                    Act::Untaint { .. } => self.put = false,
                    Act::Look { .. } => {}
                }
                None
            }
            // The kubelet's successor, a controller or our own claim has written the same object.
            (Act::Taint { .. } | Act::Untaint { .. }, Reply::Conflict(_) | Reply::NotFound) => None,
            (_, Reply::Lost(_) | Reply::Unavailable(_) | Reply::Throttled { .. } | Reply::Contended(_)) => {
                let pause = (RETRY.0 << self.failures.min(8)).min(RETRY.1);
                self.failures = self.failures.saturating_add(1);
                self.not_before = now.saturating_add(pause);
                None
            }
            (Act::Untaint { .. }, reply) => Some(End::Stays(reply.text())),
            (Act::Look { .. }, reply) if self.touched => Some(End::Stays(reply.text())),
            (Act::Look { .. }, reply) => Some(End::Stopped(format!("it cannot be looked at: {}", reply.text()))),
            (Act::Taint { .. }, reply) => {
                self.stop(&format!("it could not be tainted as out of service: {}", reply.text()));
                None
            }
        }
    }

    /// When it is asked again after a failure.
    pub fn asks_again(&self) -> At {
        self.not_before
    }
}
