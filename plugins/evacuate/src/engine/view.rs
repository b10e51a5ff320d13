//! What the state looks like from outside: the rows of the live table and of the final report.

use upkeep::report::ObjRef;

use super::{
    Asked, State,
    event::{At, Departed, Verb},
    nodes::{Node, Phase},
    partial::{CAME_BACK, PASSED_OVER},
    pods::{Entry, Key, Standing},
};
use crate::facts::{JOB, Owner};

/// One pod that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRow {
    /// The pod.
    pub pod: ObjRef,
    /// Its node.
    pub node: String,
    /// One word.
    pub state: &'static str,
    /// Why it is not further.
    pub reason: String,
    /// Since when it is in this state, where that is known.
    pub since: Option<At>,
    /// Whether its budget has held it back.
    pub blocked: bool,
    /// Whether this run has given up on it.
    pub held: bool,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Name.
    pub name: String,
    /// One word.
    pub state: &'static str,
    /// Pods that have gone.
    pub gone: usize,
    /// Pods that are still to go.
    pub left: usize,
    /// Pods that stay although a whole evacuation would evict them.
    pub staying: usize,
    /// Why it was given up.
    pub why: Option<String>,
    /// Volumes that are still attached.
    pub attached: Vec<String>,
    /// Its machine was confirmed to be off.
    pub off: bool,
    /// Its deletion was asked for, and waits for others.
    pub deleting: bool,
    /// This run has cordoned it (and it still is).
    pub cordoned_by_us: bool,
    /// This run may have cordoned it: the answer was lost.
    pub maybe_cordoned: bool,
    /// An evacuation has cordoned it, this run or one before.
    pub cordoned_by_evacuation: bool,
    /// It is unschedulable because of this run or was so before.
    pub cordoned: bool,
    /// When work on it began.
    pub began: Option<At>,
    /// When it was empty, or given up.
    pub ended: Option<At>,
}

/// What became of an object of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not there any more.
    Left,
    /// It was asked to leave, or that is not known.
    Leaving,
    /// It is there, and nobody has asked it to leave.
    Stays,
}

impl State {
    /// What became of a pod or a node of this run, or of a Job whose pods it evicts.
    pub fn fate(&self, object: &ObjRef) -> Fate {
        if object.kind == JOB {
            return self.fate_of_job(&object.uid);
        }
        if let Some(node) = self.nodes.iter().find(|n| n.target.uid == object.uid) {
            // After a lost answer it may have been removed all the same.
            let doubtful = node.deleting || node.tries > 0 || self.is_removing(&node.target.name);
            return match (node.removed, doubtful) {
                (true, _) => Fate::Left,
                (false, true) => Fate::Leaving,
                (false, false) => Fate::Stays,
            };
        }
        let Some((_, entry)) = self.pods.entries.iter().find(|(key, _)| key.2 == object.uid) else {
            return Fate::Left;
        };
        match entry.standing {
            _ if entry.accepted || entry.pod.deletion.is_some() => Fate::Leaving,
            Standing::InFlight { .. } | Standing::Unknown | Standing::Surging { .. } | Standing::Terminating { .. } => {
                Fate::Leaving
            }
            _ => Fate::Stays,
        }
    }

    /// A Job whose pods are all still there has lost nothing.
    fn fate_of_job(&self, uid: &str) -> Fate {
        let owned = |owner: Option<&Owner>| owner.is_some_and(|owner| owner.uid == uid);
        let mut departed = self.pods.departed.iter();
        if departed.any(|d| owned(d.owner.as_ref()) && d.verb.is_some() && !d.finished) {
            return Fate::Left;
        }
        let mut entries = self.pods.entries.values();
        let asked = entries.any(|e| {
            let doubtful = matches!(e.standing, Standing::InFlight { .. } | Standing::Unknown);
            owned(e.pod.owner.as_ref()) && (doubtful || e.accepted || e.pod.deletion.is_some())
        });
        if asked { Fate::Leaving } else { Fate::Stays }
    }

    fn is_removing(&self, name: &str) -> bool {
        let mut asked = self.calls.values();
        asked.any(|asked| matches!(asked, Asked::Remove(node) if node == name))
    }

    /// The nodes, in order.
    pub fn node_rows(&self) -> Vec<NodeRow> {
        let rows = self.nodes.iter().enumerate().map(|(index, node)| {
            let name = &node.target.name;
            let blocked = node.phase == Phase::Draining
                && self
                    .pods
                    .of(name)
                    .filter(|(_, e)| e.standing.pending())
                    .all(|(_, e)| e.blocked.is_some());
            NodeRow {
                name: name.clone(),
                state: match &node.phase {
                    Phase::Cordoning { .. } => "Cordoning",
                    Phase::Queued => "Queued",
                    Phase::Listing => "Listing",
                    Phase::Draining if blocked => "Blocked",
                    Phase::Draining => "Draining",
                    Phase::Confirming => "Confirming",
                    Phase::Detaching => "Detaching",
                    Phase::Lifting => "Lifting",
                    Phase::Replacing { .. } => "Replacing",
                    Phase::Removing { .. } => "Removing",
                    Phase::Kept { .. } => "Kept",
                    Phase::Done if node.removed => "Removed",
                    Phase::Done if self.why_partial(index).is_some() => "PartlyDrained",
                    Phase::Done => "Drained",
                    Phase::Unreplaced { .. } => "Unreplaced",
                    Phase::Ended { .. } => "NotDrained",
                },
                gone: self.pods.departed.iter().filter(|d| d.node == *name).count(),
                left: if untouched(node) {
                    node.target.planned.len()
                } else {
                    self.pods.of(name).filter(|(_, e)| is_left(e)).count()
                },
                staying: self.staying_on(index).len(),
                why: match &node.phase {
                    Phase::Done if !node.removed => self.why_partial(index),
                    Phase::Ended { why, .. } | Phase::Unreplaced { why } | Phase::Kept { why } => Some(why.clone()),
                    Phase::Cordoning { .. } => node.trouble.clone(),
                    _ => None,
                },
                attached: node.attached.iter().cloned().collect(),
                off: node.target.fence.is_some(),
                deleting: node.deleting,
                cordoned_by_us: node.cordoned_by_us,
                maybe_cordoned: node.maybe_cordoned,
                cordoned_by_evacuation: node.cordoned_by_us || node.target.evacuated,
                cordoned: node.cordoned_by_us || node.maybe_cordoned || node.target.cordoned,
                began: node.began,
                ended: node.ended,
            }
        });
        rows.collect()
    }

    /// The pods that are not done, in the order of namespaces and names.
    pub fn pod_rows(&self) -> Vec<PodRow> {
        self.pods
            .entries
            .iter()
            .filter(|(_, e)| is_left(e))
            .map(|(key, e)| self.row(key, e))
            .collect()
    }

    /// Pods of the nodes that were not begun, as preflight saw them.
    pub fn untouched_rows(&self) -> Vec<PodRow> {
        let nodes = self.nodes.iter().filter(|node| untouched(node));
        let rows = nodes.flat_map(|node| {
            node.target.planned.iter().map(|pod| PodRow {
                pod: pod.clone(),
                node: node.target.name.clone(),
                state: "NotAsked",
                reason: "its node was not begun".into(),
                since: None,
                blocked: false,
                held: false,
            })
        });
        rows.collect()
    }

    /// Pods that stay although a whole evacuation would evict them, in the order of their nodes.
    pub fn staying_rows(&self) -> Vec<PodRow> {
        (0..self.nodes.len()).flat_map(|index| self.staying_on(index)).collect()
    }

    /// The pods that have gone, in order.
    pub fn departed(&self) -> &[Departed] {
        &self.pods.departed
    }

    /// When the run began.
    pub fn started(&self) -> At {
        self.started
    }

    /// The run's clock.
    pub fn now(&self) -> At {
        self.now
    }

    pub(super) fn row(&self, key: &Key, entry: &Entry) -> PodRow {
        let blocked = entry.blocked.as_ref();
        let told = || entry.told.clone().unwrap_or_default();
        let (state, reason, since) = match &entry.standing {
            Standing::Planned if blocked.is_some() => (
                "Blocked",
                blocked.map(|b| b.text.clone()).unwrap_or_default(),
                blocked.map(|b| b.since),
            ),
            // "Pending" would be a phase of the pod.
            Standing::Planned => ("NotAsked", String::new(), None),
            Standing::Waiting { .. } => match blocked {
                Some(b) => ("Blocked", b.text.clone(), Some(b.since)),
                None => ("Retrying", told(), None),
            },
            Standing::InFlight { .. } => match entry.verb {
                Some(Verb::Delete) => ("Deleting", String::new(), None),
                _ => ("Evicting", String::new(), None),
            },
            Standing::Unknown => (
                "Checking",
                entry.told.clone().unwrap_or_else(|| "the request got no answer".into()),
                None,
            ),
            Standing::Surging { since } => ("Surging", self.surge_reason(key), Some(*since)),
            Standing::Terminating { since } => ("Terminating", self.termination(entry), Some(*since)),
            Standing::Held { why } => ("Failed", why.clone(), None),
            Standing::PassedOver => ("NotAsked", PASSED_OVER.into(), None),
            Standing::WaitingForJob => ("WaitingForJob", self.finish_reason(&entry.pod), Some(self.started)),
            Standing::Returned => ("Returned", CAME_BACK.into(), None),
            Standing::Left => ("Left", String::new(), None),
        };
        PodRow {
            pod: entry.pod.reference(),
            node: entry.node.clone(),
            state,
            reason,
            since,
            blocked: entry.blocked.is_some(),
            held: matches!(entry.standing, Standing::Held { .. }),
        }
    }
}

/// Nothing has been heard of its pods since preflight.
fn untouched(node: &Node) -> bool {
    !node.listed && !node.empty()
}

fn is_left(entry: &Entry) -> bool {
    entry.standing.pending() || matches!(entry.standing, Standing::Held { .. })
}
