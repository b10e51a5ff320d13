//! The pods of the nodes that are being emptied, each with where it stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use k8s_openapi::jiff::Timestamp;

use super::event::{At, Call, Departed, Verb};
use crate::facts::{Pod, Uid};

/// Namespace, name, UID: sorts as a person would list them, and never confuses two pods of one name. Shared, because with
/// thousands of pods on a node all that may go next are looked at after each answer.
pub type Key = Rc<(String, String, Uid)>;

/// The key of a pod.
pub fn key(pod: &Pod) -> Key {
    Rc::new((pod.namespace.clone(), pod.name.clone(), pod.uid.clone()))
}

/// Where a pod stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is not ours to move: a DaemonSet's, static, or skipped on purpose.
    Left,
    /// It is Terminating for longer than the caller wants to wait (`--skip-wait-for-delete-timeout`).
    PassedOver,
    /// It came back because it tolerates the cordon; moving it again would never end.
    Returned,
    /// It is to go, and nothing has been asked for yet.
    Planned,
    /// It is a pod of a Job, and may finish before it is evicted (`--wait-jobs`).
    WaitingForJob,
    /// It is to go; the next try is not before this time.
    Waiting {
        /// Earliest time of the next try.
        until: At,
    },
    /// A request is on its way.
    InFlight {
        /// Number of the call.
        call: Call,
    },
    /// A request got no answer: only a fresh list can tell what came of it.
    Unknown,
    /// Its Deployment runs more pods for a while, so that it can go.
    Surging {
        /// Since when.
        since: At,
    },
    /// It was accepted, or the pod is terminating anyway.
    Terminating {
        /// Since when we know.
        since: At,
    },
    /// This run cannot move it.
    Held {
        /// Why, as a sentence.
        why: String,
    },
}

impl Standing {
    /// Whether the node is not empty as long as this pod is there and something can still come of it.
    pub fn pending(&self) -> bool {
        !matches!(self, Self::Left | Self::PassedOver | Self::Returned | Self::Held { .. })
    }

    /// Whether the next step is to ask for its departure.
    pub fn sendable(&self, now: At) -> bool {
        match self {
            Self::Planned => true,
            Self::Waiting { until } => *until <= now,
            _ => false,
        }
    }
}

/// What keeps a pod from being sent, for people and for `--on-blocked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Since when.
    pub since: At,
    /// UID of the budget, where it is one.
    pub budget: Option<Uid>,
    /// The sentence.
    pub text: String,
}

/// One pod.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As last seen.
    pub pod: Pod,
    /// The node that it is to leave.
    pub node: String,
    /// Nothing of it was running before it was to end. A kubelet, and the garbage collector, call it Failed or Succeeded
    /// before they remove it.
    pub finished: bool,
    /// Where it stands.
    pub standing: Standing,
    /// When it was first seen, as a count of lists asked for: a list asked for earlier cannot prove it gone.
    pub epoch: u64,
    /// How it was last asked to go.
    pub verb: Option<Verb>,
    /// Whether a request was ever accepted.
    pub accepted: bool,
    /// Failed tries since the last progress.
    pub tries: u32,
    /// What holds it up.
    pub blocked: Option<Blocked>,
    /// How often it was said how long it has been held up.
    pub reminders: u32,
    /// What was last said about it.
    pub told: Option<String>,
    /// It should be terminating, and no news says so; how many lists had been asked for when that was noticed.
    pub doubted: Option<u64>,
    /// Its machine is off and nobody else removes it: it is removed at once.
    pub forced: bool,
    /// A list that was asked for after that says the same.
    pub confirmed: bool,
    /// It was said that finalizers keep it.
    pub held_told: bool,
}

/// What is known of an owner whose pods were moved from a node.
#[derive(Debug, Default)]
struct Moved {
    /// The server's time at which the first of them was asked.
    asked: Option<Timestamp>,
    /// One that was made after that has been moved once more.
    again: bool,
}

/// All pods that are on our nodes, and all that were.
#[derive(Debug, Default)]
pub struct Pods {
    /// Those that are there.
    pub entries: BTreeMap<Key, Entry>,
    /// Those that have gone, in order.
    pub departed: Vec<Departed>,
    gone: BTreeSet<Uid>,
    /// How often a pod was seen again that the server had called gone.
    revived: BTreeMap<Uid, u32>,
    /// Owners whose pods this run moved, by node: pods of theirs that appear there again have come back.
    moved: BTreeMap<(String, Uid), Moved>,
}

impl Pods {
    /// Whether the pod was seen to go. Late news of a watch must not bring it back.
    pub fn has_gone(&self, uid: &str) -> bool {
        self.gone.contains(uid)
    }

    /// A consistent list shows a pod that was thought to be gone. Returns how often that has happened to it.
    pub fn revive(&mut self, uid: &str) -> u32 {
        self.gone.remove(uid);
        self.departed.retain(|d| d.pod.uid != uid);
        let times = self.revived.entry(uid.to_owned()).or_default();
        *times = times.saturating_add(1);
        *times
    }

    /// The pod is gone. Returns its entry, where it was one of ours. One that went while a request for it had no answer
    /// yet, or will never have one, went because of it.
    pub fn depart(&mut self, key: &Key, at: At) -> Option<Entry> {
        let mut entry = self.entries.remove(key)?;
        entry.accepted |= matches!(
            entry.standing,
            Standing::InFlight { .. } | Standing::Unknown | Standing::Surging { .. }
        );
        self.gone.insert(key.2.clone());
        let moved = entry.accepted || entry.standing.pending();
        if moved {
            self.departed.push(Departed {
                pod: entry.pod.reference(),
                node: entry.node.clone(),
                owner: entry.pod.owner.clone(),
                finished: entry.finished,
                verb: entry.verb.filter(|_| entry.accepted),
                at,
            });
        }
        Some(entry)
    }

    /// Remembers that a pod of this owner was moved away from this node.
    pub fn note_moved(&mut self, entry_key: &Key) {
        if let Some(entry) = self.entries.get(entry_key)
            && let Some(owner) = &entry.pod.owner
        {
            self.moved.entry((entry.node.clone(), owner.uid.clone())).or_default();
        }
    }

    /// Remembers when the server was first asked for a pod of this owner to leave this node.
    pub fn note_asked(&mut self, node: &str, pod: &Pod) {
        let Some((owner, asked)) = pod.owner.as_ref().zip(pod.asked) else {
            return;
        };
        if let Some(moved) = self.moved.get_mut(&(node.to_owned(), owner.uid.clone())) {
            moved.asked = Some(moved.asked.map_or(asked, |first| first.min(asked)));
        }
    }

    /// Whether a pod that has just appeared on a node is one that was moved away and came back, and why: it tolerates the
    /// cordon, or it was made after that and nobody asked the scheduler (`spec.nodeName` in its template). The first may
    /// be one whose scheduler had not heard of the cordon yet; it is moved once more.
    pub fn came_back(&mut self, node: &str, pod: &Pod) -> Option<&'static str> {
        let owner = pod.owner.as_ref()?;
        let moved = self.moved.get_mut(&(node.to_owned(), owner.uid.clone()))?;
        if pod.tolerates_cordon() {
            return Some("because it tolerates node.kubernetes.io/unschedulable");
        }
        let after = moved
            .asked
            .zip(pod.created)
            .is_some_and(|(asked, created)| created > asked);
        if after && !moved.again {
            (moved.again, moved.asked) = (true, None);
            return None;
        }
        after.then_some("although it is cordoned: it is pinned there by spec.nodeName")
    }

    /// The pods of one node.
    pub fn of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        self.entries.iter().filter(move |(_, e)| e.node == node)
    }

    /// Whether anything on the node is still to come.
    pub fn pending(&self, node: &str) -> bool {
        self.of(node).any(|(_, e)| e.standing.pending())
    }

    /// The lowest priority that is still on the node: with `--order=priority` nothing above it is sent. Pods that may finish
    /// hold nothing up.
    pub fn lowest_priority(&self, node: &str) -> Option<i32> {
        self.of(node)
            .filter(|(_, e)| e.standing.pending() && e.standing != Standing::WaitingForJob)
            .map(|(_, e)| e.pod.priority)
            .min()
    }
}
