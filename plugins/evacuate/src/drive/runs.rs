//! What runs of this user, on this machine, have done to which nodes.
//!
//! The annotations that say so in the cluster can be written by the node itself. A run id that this file knows together with
//! the UID of the node is proof that this user's run did it; without the file nothing is lost but that proof.

use k8s_openapi::jiff::Timestamp;
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
    /// It has brought the node back: what was done before is no proof of what is there now.
    Back,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    run: String,
    node: String,
    did: Act,
    at: Timestamp,
}

/// What this user's runs have done, as far as this machine knows.
#[derive(Debug, Default)]
pub struct Runs(Vec<Line>);

/// Adds what this run has done to the node with this UID. A disk that does not take it is no reason to stop.
pub fn remember(run: &str, uid: &str, did: Act) {
    let line = Line {
        run: run.to_owned(),
        node: uid.to_owned(),
        did,
        at: Timestamp::now(),
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

    /// When one of these runs did this to the node with this UID, since the node was last brought back.
    pub fn did(&self, run: &str, uid: &str, act: Act) -> Option<Timestamp> {
        let mut lines = self.since_back(uid);
        lines
            .find(|line| line.run == run && line.did == act)
            .map(|line| line.at)
    }

    /// Whether any of these runs did this to it, since it was last brought back.
    pub fn did_any(&self, uid: &str, act: Act) -> bool {
        self.since_back(uid).any(|line| line.did == act)
    }

    /// The latest first.
    fn since_back(&self, uid: &str) -> impl Iterator<Item = &Line> {
        let of_node = self.0.iter().filter(move |line| line.node == uid);
        of_node.take_while(|line| line.did != Act::Back)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_with_its_node_and_its_act() {
        let line = |run: &str, did: &str| {
            format!("{{\"run\":\"{run}\",\"node\":\"n\",\"did\":\"{did}\",\"at\":\"2026-01-01T00:00:00Z\"}}\n")
        };
        let first = line("a", "cordon") + "nonsense\n" + &line("b", "out-of-service");
        let runs = Runs::read(&first);
        assert_eq!(
            runs.did("a", "n", Act::Cordon).unwrap().to_string(),
            "2026-01-01T00:00:00Z"
        );
        assert!(runs.did("b", "n", Act::OutOfService).is_some());
        assert!(runs.did("a", "m", Act::Cordon).is_none() && runs.did("a", "n", Act::OutOfService).is_none());
        assert!(runs.did("b", "n", Act::Cordon).is_none());
        // What was brought back is over, and a later run counts again.
        let back = Runs::read(&(first.clone() + &line("c", "back")));
        assert!(back.did("a", "n", Act::Cordon).is_none() && !back.did_any("n", Act::OutOfService));
        let again = Runs::read(&(first + &line("c", "back") + &line("d", "cordon")));
        assert!(again.did("d", "n", Act::Cordon).is_some() && again.did("a", "n", Act::Cordon).is_none());
    }
}
