//! What is said about a pod and a node, and about a pod and all of them.

use std::collections::BTreeMap;

/// How many nodes say no, by reason; the most frequent reason first.
pub type Reasons = Vec<(usize, String)>;

/// Where a planned pod would find a place again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It got a place beside all other planned pods.
    Fits {
        /// How many nodes would take it if it were the only one.
        nodes: usize,
    },
    /// No place was found for it beside the others, or only one that has yet to become free. No proof.
    Tight {
        /// What the nodes lack.
        reasons: Reasons,
    },
    /// No node can take it, whatever becomes of the other planned pods.
    Impossible {
        /// What the nodes lack.
        reasons: Reasons,
    },
    /// It cannot be told.
    Unknown {
        /// Why.
        why: String,
    },
    /// Nothing starts it again.
    NotReplaced {
        /// Why.
        why: String,
    },
}

impl Fit {
    /// One fragment for a table: `fits on 4 nodes`, `proven impossible: 3 insufficient cpu, 1 taint`.
    pub fn text(&self) -> String {
        let counted = |reasons: &Reasons| match reasons.len() {
            0 => "no other node".to_owned(),
            _ => reasons
                .iter()
                .map(|(n, reason)| format!("{n} {reason}"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        match self {
            Self::Fits { nodes: 1 } => "fits on 1 node".into(),
            Self::Fits { nodes } => format!("fits on {nodes} nodes"),
            Self::Tight { reasons } => format!("tight: {}", counted(reasons)),
            Self::Impossible { reasons } => format!("proven impossible: {}", counted(reasons)),
            Self::Unknown { why } => format!("unknown: {why}"),
            Self::NotReplaced { why } => format!("not replaced: {why}"),
        }
    }
}

/// Why a node does not take a pod, whatever its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Taint,
    NodeAffinity,
    VolumeAffinity,
    VolumeZone,
    VolumeLimit,
    Spread,
    PodAffinity,
    PodAntiAffinity,
}

impl Why {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Taint => "taint",
            Self::NodeAffinity => "node affinity",
            Self::VolumeAffinity => "volume node affinity",
            Self::VolumeZone => "volume zone",
            Self::VolumeLimit => "volume limit",
            Self::Spread => "topology spread",
            Self::PodAffinity => "pod affinity",
            Self::PodAntiAffinity => "pod anti-affinity",
        }
    }
}

/// Why it cannot be told whether a node takes a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// A requirement with an operator of a later release.
    Operator,
    /// A spread constraint with such a selector.
    Constraint,
    /// A term of pod affinity or anti-affinity with such a selector.
    Term,
    /// A term looks at the labels of namespaces.
    Namespaces,
    /// The pod wants to be beside pods that find their place only then.
    Company,
    /// Limits of CSI drivers.
    Limits,
    /// A pod there is being resized, and its own resources as a pod are not known.
    Resized,
}

impl Doubt {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Operator => "a toleration or node affinity has an operator that this version does not know",
            Self::Constraint => "a topology spread constraint cannot be read",
            Self::Term => "a term of pod affinity or anti-affinity cannot be read",
            Self::Namespaces => "the labels of namespaces could not be read",
            Self::Company => "it must run beside pods that are placed at the same time",
            Self::Limits => "the volume limits of nodes could not be read",
            Self::Resized => "a pod there is being resized in place",
        }
    }
}

/// What a rule says about a pod on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Pass,
    /// It cannot be told: no promise, and no proof.
    Unsure(Doubt),
    /// Not now, but it may pass without anybody changing the pod or the node.
    Later(Why),
    No(Why),
}

impl Word {
    /// Both must pass; a certain no is worth more than one that may go away, that more than a doubt, and the earlier one more
    /// than the later.
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Pass, word)
            | (Self::Unsure(_), word @ (Self::Later(_) | Self::No(_)))
            | (Self::Later(_), word @ Self::No(_)) => word,
            (word, _) => word,
        }
    }

    pub const fn unless(good: bool, why: Why) -> Self {
        if good { Self::Pass } else { Self::No(why) }
    }
}

/// Counts reasons.
pub struct Tally(BTreeMap<String, usize>);

impl Tally {
    /// Begins with the nodes that are out for everybody.
    pub fn new(closed: &[&'static str]) -> Self {
        let mut tally = Self(BTreeMap::new());
        closed.iter().for_each(|reason| tally.add(reason));
        tally
    }

    /// One more node says this.
    pub fn add(&mut self, reason: &str) {
        match self.0.get_mut(reason) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(reason.to_owned(), 1)),
        }
    }

    /// The reasons, the most frequent first.
    pub fn reasons(self) -> Reasons {
        let plural = |count: usize, reason: String| match reason.as_str() {
            "taint" | "host port" if count > 1 => format!("{reason}s"),
            _ => reason,
        };
        let mut reasons: Reasons = self.0.into_iter().map(|(reason, n)| (n, plural(n, reason))).collect();
        reasons.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
        reasons
    }
}
