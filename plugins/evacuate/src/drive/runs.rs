//! What runs of this user, on this machine, have done to which nodes.
//!
//! The annotations that say so in the cluster can be written by the node itself. A run id that this file knows together with
//! the UID of the node is proof that this user's run did it; without the file nothing is lost but that proof.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use upkeep::backup;

/// How many lines count: the last ones.
const MOST: usize = 10_000;
const PLUGIN: &str = "evacuate";
const FILE: &str = "nodes.jsonl";

/// What a run has done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// It has cordoned the node.
    Cordon,
    /// It has tainted the node as out of service.
    OutOfService,
    /// It has taken the node out of load balancers.
    ExcludeLb,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Line {
    run: String,
    node: String,
    did: Act,
}

/// What this user's runs have done, as far as this machine knows.
#[derive(Debug, Default)]
pub struct Runs(BTreeSet<Line>);

/// Adds what this run has done to the node with this UID. A disk that does not take it is no reason to stop.
pub fn remember(run: &str, uid: &str, did: Act) {
    let line = Line {
        run: run.to_owned(),
        node: uid.to_owned(),
        did,
    };
    drop(backup::remember(PLUGIN, FILE, &line));
}

impl Runs {
    /// Reads what is known. What cannot be read is not known.
    pub fn known() -> Self {
        let text = backup::remembered(PLUGIN, FILE).unwrap_or_default();
        Self::read(&text)
    }

    pub(crate) fn read(text: &str) -> Self {
        let lines = text.lines().rev().take(MOST);
        Self(lines.filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Whether one of these runs did this to the node with this UID.
    pub fn did(&self, run: &str, uid: &str, act: Act) -> bool {
        self.0.iter().any(|l| l.run == run && l.node == uid && l.did == act)
    }

    /// Whether any of these runs did this to the node with this UID.
    pub fn did_any(&self, uid: &str, act: Act) -> bool {
        self.0.iter().any(|l| l.node == uid && l.did == act)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_with_its_node_and_its_act() {
        let runs = Runs::read(
            "{\"run\":\"a\",\"node\":\"n\",\"did\":\"cordon\"}\nnonsense\n{\"run\":\"b\",\"node\":\"n\",\"did\":\"out-of-service\"}\n",
        );
        assert!(runs.did("a", "n", Act::Cordon) && runs.did("b", "n", Act::OutOfService));
        assert!(!runs.did("a", "m", Act::Cordon) && !runs.did("a", "n", Act::OutOfService));
        assert!(!runs.did("b", "n", Act::Cordon));
    }
}
