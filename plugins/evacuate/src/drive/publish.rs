//! What others can see on a node: who empties it and why, conditions (KEP-5683), the label that takes it out of load
//! balancers, an Event.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::core::v1 as core,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Error, ResourceExt as _,
    api::{Patch, PostParams},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use upkeep::{client::Item, lock::Identity, ui::escape};

use super::{
    claim::{MANAGER, params},
    reply,
};
use crate::{
    engine::event::{Reply, Stage},
    facts::{Node, Uid},
    gather::Nodes,
};

/// Which run empties the node, why, since when; stays until the node is brought back.
pub const EVACUATION: &str = "kubectl-upkeep/evacuation";
/// External load balancers send nothing to nodes with this label, whatever its value
/// (`LabelNodeExcludeBalancers` of the service controller).
pub const EXCLUDE_LB: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The two conditions of KEP-5683 that are about draining.
pub const CONDITIONS: [&str; 2] = ["DrainInProgress", "Drained"];

/// How many surges a node tells of: a node runs 110 pods by default, and its annotations hold 256 KiB.
const MOST_SURGES: usize = 500;
/// How many earlier runs it tells of.
const MOST_RUNS: usize = 8;

/// What the caller wants to be told.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// `--reason`.
    pub reason: Option<String>,
    /// `--exclude-lb`.
    pub exclude_lb: bool,
    /// `--surge`: UIDs of the Deployments that may be changed as well.
    pub surges: BTreeSet<Uid>,
}

/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 512;

/// Whether a text may be given on as the reason of an evacuation: one line of a length that people read.
pub fn is_reason(text: &str) -> bool {
    text.chars().count() <= LONGEST_REASON && escape(text) == text
}

/// The value of [`EVACUATION`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evacuation {
    /// The run.
    pub run: String,
    /// When it began.
    pub since: Timestamp,
    /// Why, in the words of `--reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The label [`EXCLUDE_LB`] was set by an evacuation, so that the way back removes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub excluded_lb: bool,
    /// Deployments may have been changed, so that the way back looks at them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub surge: bool,
    /// UIDs of these Deployments. A record that stands on another one is not believed: those who may write a Deployment are
    /// not those who may write a node.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub surges: BTreeSet<Uid>,
    /// Earlier runs that may have left something of a surge.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub earlier: BTreeSet<String>,
}

impl Evacuation {
    /// What an earlier run has left.
    pub fn of(node: &core::Node) -> Option<Self> {
        Self::read(node.annotations().get(EVACUATION)?)
    }

    /// Reads the annotation.
    pub fn read(text: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(text).ok()?;
        // The node itself can write it, and what stands there is told on in the name of this user.
        let reason = read.reason.filter(|text| is_reason(text));
        Some(Self { reason, ..read })
    }

    /// What this run writes. A label that is there already is somebody else's, unless an earlier run has set it.
    pub fn new(node: &Node, me: &Identity, wish: &Wish, now: Timestamp) -> Self {
        let labelled = node.labels.contains_key(EXCLUDE_LB);
        // What is on a node that can be scheduled to is of an evacuation that is over.
        let cordoned = node.unschedulable;
        let earlier = node.annotations.get(EVACUATION).and_then(|text| Self::read(text));
        let before = earlier.as_ref().is_some_and(|e| e.excluded_lb);
        let surged = earlier.as_ref().filter(|e| e.surge);
        let surges = surged.iter().flat_map(|e| &e.surges).chain(&wish.surges);
        let runs = surged.iter().flat_map(|e| e.earlier.iter().chain([&e.run]));
        Self {
            run: me.run.clone(),
            since: earlier.as_ref().filter(|_| cordoned).map_or(now, |e| e.since),
            reason: wish
                .reason
                .clone()
                .or_else(|| earlier.as_ref().filter(|_| cordoned)?.reason.clone()),
            excluded_lb: if labelled { before } else { wish.exclude_lb },
            surge: !wish.surges.is_empty() || surged.is_some(),
            surges: surges.take(MOST_SURGES).cloned().collect(),
            earlier: runs.filter(|run| **run != me.run).take(MOST_RUNS).cloned().collect(),
        }
    }

    /// Whether the record of a surge on a Deployment is one of an evacuation of this node. A run that undoes a surge and is cut
    /// off leaves its own name in the record, so the UID of the Deployment decides. Version 0.1.0 did not write UIDs: there the run does.
    pub fn has_surged(&self, deployment: &str, run: &str) -> bool {
        let told = if self.surges.is_empty() {
            self.run == run || self.earlier.contains(run)
        } else {
            self.surges.contains(deployment)
        };
        self.surge && told
    }

    /// The value for the annotation.
    pub fn to_value(&self) -> String {
        // Strings, booleans and times always can be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Where the work on one node stands, for others.
pub struct Publication {
    /// The cluster.
    pub client: Client,
    /// Name of the node.
    pub node: String,
    /// Its UID.
    pub uid: String,
    /// Who says it.
    pub me: Identity,
    /// `--reason`.
    pub reason: Option<String>,
}

impl Publication {
    /// Sets the conditions, and at the end makes the Event. The answer has a line for each of them that is refused.
    pub async fn tell(&self, stage: &Stage) -> Reply {
        let undone = matches!(stage, Stage::Stopped { undone: true, .. });
        let nodes: Nodes = Api::all(self.client.clone());
        let evacuation = self.evacuation(&nodes).await;
        // Another run has taken the node over: then it is for that run to say how it stands.
        let theirs = evacuation.as_ref().is_some_and(|e| e.run != self.me.run);
        let who = self.who(evacuation.filter(|_| !theirs));
        let conditions = async {
            if undone || theirs {
                return None;
            }
            let answer = set_conditions(&nodes, &self.node, self.conditions(stage, &who)).await;
            refused(
                answer.map(drop),
                "the conditions DrainInProgress and Drained of nodes are not set",
            )
        };
        let event = async {
            let api: Api<core::Event> = Api::namespaced(self.client.clone(), "default");
            let answer = api.create(&PostParams::default(), &self.event(stage, &who)?).await;
            refused(answer.map(drop), "no Events are made")
        };
        let (conditions, event) = futures::future::join(conditions, event).await;
        let texts: Vec<String> = conditions.into_iter().chain(event).collect();
        if texts.is_empty() {
            Reply::Accepted
        } else {
            Reply::Rejected(texts.join("\n"))
        }
    }

    /// What stands on the node now.
    async fn evacuation(&self, nodes: &Nodes) -> Option<Evacuation> {
        let node = nodes.get_metadata(&self.node).await.ok()?;
        Evacuation::read(node.metadata.annotations?.get(EVACUATION)?)
    }

    fn conditions(&self, stage: &Stage, who: &str) -> Value {
        let (in_progress, drained, reason, text) = match stage {
            Stage::Begun => ("True", "False", "AdminRequested", "pods are being evicted".to_owned()),
            Stage::Drained { text } => ("False", "True", "DrainCompleted", text.clone()),
            Stage::Partial { text } => ("False", "False", "PodsLeft", text.clone()),
            Stage::Stopped { text, .. } => ("False", "False", "DrainStopped", text.clone()),
        };
        let message = format!("{text} ({who})");
        let now = Timestamp::now().to_string();
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": reason,
            "message": message, "lastHeartbeatTime": now, "lastTransitionTime": now})
        };
        json!({
            "metadata": {"uid": self.uid},
            "status": {"conditions": [condition(CONDITIONS[0], in_progress), condition(CONDITIONS[1], drained)]},
        })
    }

    /// One Event per node, when the work on it has ended.
    fn event(&self, stage: &Stage, who: &str) -> Option<core::Event> {
        let (kind, reason, text) = match stage {
            Stage::Begun => return None,
            Stage::Drained { text } | Stage::Partial { text } => ("Normal", "Evacuated", text),
            Stage::Stopped { text, .. } => ("Warning", "EvacuationStopped", text),
        };
        let now = Time(Timestamp::now());
        Some(core::Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}.", self.node)),
                namespace: Some("default".into()),
                ..ObjectMeta::default()
            },
            involved_object: core::ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Node".into()),
                name: Some(self.node.clone()),
                uid: Some(self.uid.clone()),
                ..core::ObjectReference::default()
            },
            type_: Some(kind.into()),
            reason: Some(reason.into()),
            message: Some(format!("{text} ({who})")),
            source: Some(core::EventSource {
                component: Some(MANAGER.into()),
                host: None,
            }),
            reporting_component: Some(MANAGER.into()),
            reporting_instance: Some(format!("{MANAGER}-{}", self.me.run)),
            action: Some("Evacuate".into()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..core::Event::default()
        })
    }

    /// A run without a reason of its own has that of the one before, which stands on the node.
    fn who(&self, evacuation: Option<Evacuation>) -> String {
        let by = format!("run {}", self.me.run);
        let reason = self.reason.clone().or_else(|| evacuation?.reason);
        reason.map_or(by.clone(), |reason| format!("{by}: {reason}"))
    }
}

/// Writes conditions: they are merged by type, so that those of the kubelet stay as they are.
pub async fn set_conditions(nodes: &Nodes, name: &str, patch: Value) -> Result<core::Node, Error> {
    let patch = Patch::Strategic(patch);
    nodes.patch_status(name, &params(), &patch).await.map(Item::into_inner)
}

/// The patch that removes the conditions of an evacuation, where there are any.
pub fn without_conditions(node: &core::Node) -> Option<Value> {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
    let present = conditions
        .into_iter()
        .flatten()
        .filter(|c| CONDITIONS.contains(&c.type_.as_str()));
    let removed: Vec<Value> = present.map(|c| json!({"type": c.type_, "$patch": "delete"})).collect();
    (!removed.is_empty()).then(|| json!({"metadata": {"uid": node.metadata.uid}, "status": {"conditions": removed}}))
}

/// What is now missing, where an answer says no; a node that is gone or a server that is silent need no words here.
fn refused(answer: Result<(), Error>, consequence: &str) -> Option<String> {
    match reply::read(answer) {
        Reply::Forbidden(text) => Some(format!("{consequence}: {}", crate::gather::in_short(&text))),
        Reply::Denied(text) | Reply::Rejected(text) => Some(format!("{consequence}: {text}")),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_a_node_has_written_is_one_line() {
        let reason = |text: &str| {
            let value = json!({"run": "3f", "since": "2026-01-01T00:00:00Z", "reason": text}).to_string();
            Evacuation::read(&value).unwrap().reason
        };
        assert_eq!(
            reason("disk sda fails, ticket 7").as_deref(),
            Some("disk sda fails, ticket 7")
        );
        assert_eq!(reason("Größe").as_deref(), Some("Größe"));
        for text in ["\u{1b}[31mred", "a\nb", "a\u{202e}b", &"x".repeat(LONGEST_REASON + 1)] {
            assert_eq!(reason(text), None, "{text:?}");
        }
    }
}
