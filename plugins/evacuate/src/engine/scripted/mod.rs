//! What no real server can be made to show at will: answers and news in an order that is written down here. Names of
//! tests begin with their row of the conformance list.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod doubts;
mod ends;
mod jobs;
mod off;
mod operators;
mod room;
mod rows;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{core::v1 as api, policy::v1::PodDisruptionBudget},
    jiff::Timestamp,
};
use serde_json::json;
use upkeep::report::Seen;

use super::{
    OnBlocked, Plan, Settings, State, Target,
    event::{At, Call, Change, Command, Event, Note, Reply, Stage, Verb, What},
    fence::machine::Act,
};
use crate::{
    facts::{self, Budget, Node, Pod},
    preflight::{
        filters::{Allowed, Rules},
        jobs::Losses,
    },
};

const NODE: &str = "n0";
const START: At = 1_000_000;

/// A Ready pod `db-0` of a StatefulSet with a grace period of 30 s.
fn pod(uid: &str, node: &str) -> Pod {
    let object = json!({
        "metadata": {"namespace": "ns", "name": "db-0", "uid": uid, "labels": {"app": "db"}, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "db", "controller": true},
        ]},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    serde_json::from_value::<api::Pod>(object).unwrap().into()
}

/// A budget that lets nothing through for now.
fn shut() -> Budget {
    let object = json!({
        "metadata": {"namespace": "ns", "name": "db", "uid": "budget", "generation": 1},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "db"}}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1},
    });
    serde_json::from_value::<PodDisruptionBudget>(object).unwrap().into()
}

/// Settings under which a run gives up where it cannot go on.
fn settings() -> Settings {
    Settings {
        run: "run".into(),
        rules: Rules {
            allowed: Allowed::default(),
            daemon_sets: Seen::Known(BTreeSet::new()),
            gone: BTreeSet::new(),
            losses: Losses::default(),
        },
        verb: Verb::Evict,
        grace: None,
        deadline: None,
        on_blocked: OnBlocked::Patient,
        by_priority: false,
        parallel: 1,
        in_flight: 32,
        wait_detach: false,
        wait_replacements: None,
        delete: false,
        uncordon_on_abort: false,
        seed: 7,
    }
}

/// A run over one node, and what it has asked for, as text with the UIDs of pods.
struct Script {
    state: State,
    now: At,
    calls: BTreeMap<String, Call>,
    /// What others were told.
    published: Vec<Stage>,
    /// Budgets whose pods are to be listed, and whether their controllers are.
    inspections: Vec<(String, bool)>,
}

impl Script {
    fn new(settings: Settings, budget: Option<Budget>, target: Target) -> (Self, Vec<String>) {
        let plan = Plan {
            targets: vec![target],
            budgets: Some(budget.into_iter().collect()),
            ..Plan::default()
        };
        let mut script = Self {
            state: State::new(plan, settings, START),
            now: START,
            calls: BTreeMap::new(),
            published: Vec::new(),
            inspections: Vec::new(),
        };
        let commands = script.state.start();
        let asked = script.read(commands);
        (script, asked)
    }

    /// A run whose node is cordoned and has shown these pods.
    fn listed(settings: Settings, budget: Option<Budget>, pods: Vec<Pod>) -> (Self, Vec<String>) {
        let target = Target {
            name: NODE.into(),
            uid: NODE.into(),
            judged: pods.iter().map(|p| p.uid.clone()).collect(),
            ..Target::default()
        };
        let (mut script, asked) = Self::new(settings, budget, target);
        assert_eq!(asked, ["cordon n0"]);
        assert_eq!(script.reply("cordon n0", Reply::Accepted), ["cordoned", "watch n0"]);
        script.cordon_seen();
        let asked = script.news(Change::Listed(pods));
        (script, asked)
    }

    fn feed(&mut self, what: What) -> Vec<String> {
        let commands = self.state.step(Event { at: self.now, what });
        self.read(commands)
    }

    /// The answer to what was asked.
    fn reply(&mut self, asked: &str, reply: Reply) -> Vec<String> {
        let call = self
            .calls
            .remove(asked)
            .unwrap_or_else(|| panic!("nobody has asked: {asked}"));
        self.feed(What::Reply { call, reply })
    }

    /// What the watch of the node says: its cordon stands.
    fn cordon_seen(&mut self) -> Vec<String> {
        self.feed(What::Node(Change::Listed(vec![cordoned(NODE)])))
    }

    /// What the watch of the node's pods says.
    fn news(&mut self, change: Change<Pod>) -> Vec<String> {
        let node = NODE.into();
        self.feed(What::Pods {
            node,
            change,
            call: None,
        })
    }

    /// The list that was asked for.
    fn list(&mut self, pods: Vec<Pod>) -> Vec<String> {
        let call = self.calls.remove("list n0").expect("nobody has asked for a list");
        self.feed(What::Pods {
            node: NODE.into(),
            change: Change::Listed(pods),
            call: Some(call),
        })
    }

    /// Milliseconds pass, in steps as the run wants to be woken. What is asked for meanwhile.
    fn pass(&mut self, milliseconds: i64) -> Vec<String> {
        let until = self.now + milliseconds;
        let mut asked = Vec::new();
        while let Some(at) = self.state.wake().filter(|at| *at <= until) {
            self.now = at;
            asked.extend(self.feed(What::Tick));
        }
        self.now = until;
        asked.extend(self.feed(What::Tick));
        asked
    }

    fn read(&mut self, commands: Vec<Command>) -> Vec<String> {
        let mut lines = Vec::new();
        for command in commands {
            let (line, call) = match command {
                Command::Cordon { call, node, .. } => (format!("cordon {node}"), Some(call)),
                Command::Uncordon { call, node } => (format!("uncordon {node}"), Some(call)),
                Command::List { call, node } => (format!("list {node}"), Some(call)),
                Command::Evict { call, pod, save } => {
                    let saved = match save {
                        Some(what) if what.kind == "job.batch" => "save its job and ",
                        Some(_) => "save and ",
                        None => "",
                    };
                    (format!("{saved}evict {}", pod.uid), Some(call))
                }
                Command::Delete { call, pod, grace, .. } => {
                    let line = format!("delete {}", pod.uid);
                    self.calls.insert(line.clone(), call);
                    (grace.map_or(line.clone(), |grace| format!("{line} in {grace}s")), None)
                }
                // Nothing depends on what others are told; it is answered at once.
                Command::Publish { call, stage, .. } => {
                    self.published.push(stage);
                    let reply = Reply::Accepted;
                    lines.extend(self.feed(What::Reply { call, reply }));
                    continue;
                }
                Command::Fence { call, node, act, .. } => {
                    let word = match act {
                        Act::Look { .. } => "look",
                        Act::Taint { .. } => "taint",
                        Act::Untaint { .. } => "untaint",
                    };
                    (format!("{word} {node}"), Some(call))
                }
                Command::Inspect {
                    budget, controllers, ..
                } => {
                    self.inspections.push((budget, controllers));
                    continue;
                }
                Command::Remove { call, node, .. } => (format!("remove {node}"), Some(call)),
                Command::WatchAttachments { node } => (format!("watch attachments of {node}"), None),
                Command::Watch { node } => (format!("watch {node}"), None),
                Command::Finish(outcome) => (format!("{outcome:?}"), None),
                Command::Tell(note) => (say(&note), None),
                _ => continue,
            };
            if let Some(call) = call {
                self.calls.insert(line.clone(), call);
            }
            lines.push(line);
        }
        // That a pod is about to be asked is said by what follows.
        lines.retain(|line| !line.is_empty());
        lines
    }
}

/// A node as its watch shows it after the cordon.
fn cordoned(name: &str) -> Node {
    let object = json!({"metadata": {"name": name, "uid": name}, "spec": {"unschedulable": true}});
    serde_json::from_value::<api::Node>(object).unwrap().into()
}

fn say(note: &Note) -> String {
    match note {
        Note::Going { .. } => String::new(),
        Note::Cordoned { already: false, .. } => "cordoned".into(),
        Note::Cordoned { already: true, .. } => "already cordoned".into(),
        Note::Uncordoned { .. } => "uncordoned".into(),
        Note::Tainted { .. } => "tainted".into(),
        Note::Untainted { .. } => "untainted".into(),
        Note::Removed { .. } => "removed".into(),
        Note::Kept { text, .. } => format!("kept: {text}"),
        Note::Gone { pod, verb } => format!("gone by {verb:?}: {}", pod.uid),
        Note::Drained { .. } => "drained".into(),
        Note::Unreplaced { text, .. } => format!("not replaced: {text}"),
        Note::NotDrained { text, .. } => format!("not drained: {text}"),
        Note::Blocked { pod, .. } => format!("blocked: {}", pod.uid),
        Note::WaitingForJobs { text, .. } => format!("waiting: {text}"),
        Note::HeldByFinalizers { pod, text } => format!("held: {} by {text}", pod.uid),
        Note::Skipped { pod } => format!("skipped: {}", pod.uid),
        other => format!("{other:?}"),
    }
}

fn over_budget() -> Reply {
    Reply::OverBudget {
        message: "The disruption budget db needs 1 healthy pods and has 1 currently".into(),
        retry_after: None,
    }
}

fn lost() -> Reply {
    Reply::Lost("connection reset".into())
}

/// Settings under which nothing is given up.
fn waiting() -> Settings {
    Settings {
        on_blocked: OnBlocked::Wait,
        ..settings()
    }
}

const NOTHING: [&str; 0] = [];
