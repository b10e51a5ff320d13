//! Rows of the conformance list that no real server can be made to show at will: answers and news in an order that is
//! written down here. Names begin with the row.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{core::v1 as api, policy::v1::PodDisruptionBudget},
    jiff::Timestamp,
};
use serde_json::json;
use upkeep::report::Seen;

use super::{
    OnBlocked, Plan, Settings, State, Target,
    event::{At, Call, Change, Command, Event, Note, Reply, Verb, What},
};
use crate::{
    facts::{Budget, Pod},
    preflight::filters::{Allowed, Rules},
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

fn settings() -> Settings {
    Settings {
        rules: Rules {
            allowed: Allowed::default(),
            daemon_sets: Seen::Known(BTreeSet::new()),
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
        uncordon_on_abort: false,
        seed: 7,
    }
}

/// A run over one node, and what it has asked for, as text with the UIDs of pods.
struct Script {
    state: State,
    now: At,
    calls: BTreeMap<String, Call>,
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
        };
        let commands = script.state.start();
        let asked = script.read(commands);
        (script, asked)
    }

    /// A run whose node is cordoned and has shown these pods.
    fn listed(settings: Settings, budget: Option<Budget>, pods: Vec<Pod>) -> (Self, Vec<String>) {
        let target = Target {
            name: NODE.into(),
            judged: pods.iter().map(|p| p.uid.clone()).collect(),
            ..Target::default()
        };
        let (mut script, asked) = Self::new(settings, budget, target);
        assert_eq!(asked, ["cordon n0"]);
        assert_eq!(script.reply("cordon n0", Reply::Accepted), ["cordoned", "watch n0"]);
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
                Command::Cordon { call, node } => (format!("cordon {node}"), Some(call)),
                Command::Uncordon { call, node } => (format!("uncordon {node}"), Some(call)),
                Command::List { call, node } => (format!("list {node}"), Some(call)),
                Command::Evict { call, pod } => (format!("evict {}", pod.uid), Some(call)),
                Command::Delete { call, pod, grace } => {
                    let line = format!("delete {}", pod.uid);
                    self.calls.insert(line.clone(), call);
                    (grace.map_or(line.clone(), |grace| format!("{line} in {grace}s")), None)
                }
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

fn say(note: &Note) -> String {
    match note {
        Note::Going { .. } => String::new(),
        Note::Cordoned { already: false, .. } => "cordoned".into(),
        Note::Cordoned { already: true, .. } => "already cordoned".into(),
        Note::Uncordoned { .. } => "uncordoned".into(),
        Note::Gone { pod, verb } => format!("gone by {verb:?}: {}", pod.uid),
        Note::Drained { .. } => "drained".into(),
        Note::NotDrained { text, .. } => format!("not drained: {text}"),
        Note::Blocked { pod, .. } => format!("blocked: {}", pod.uid),
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

#[test]
fn e02_without_an_eviction_api_pods_are_deleted() {
    let deleting = Settings {
        verb: Verb::Delete,
        ..settings()
    };
    // No budget is asked.
    let (mut script, asked) = Script::listed(deleting, Some(shut()), vec![pod("u1", NODE)]);
    assert_eq!(asked, ["delete u1"]);
    assert_eq!(script.reply("delete u1", Reply::Accepted), NOTHING);
    assert_eq!(
        script.news(Change::Gone(pod("u1", NODE))),
        ["gone by Delete: u1", "list n0"]
    );
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
}

#[test]
fn k17_without_an_answer_nothing_is_asked_twice() {
    let (mut script, asked) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    assert_eq!(asked, ["evict u1"]);
    assert_eq!(script.reply("evict u1", lost()), NOTHING);
    for _ in 0..20 {
        let asked = script.pass(10_000);
        assert_eq!(asked.iter().filter(|a| *a == "list n0").count(), 1, "{asked:?}");
        assert!(!asked.contains(&"evict u1".to_owned()));
        script.reply("list n0", lost());
    }
    // Only a list that shows the pod as it was lets it be asked again.
    script.pass(10_000);
    let mut asked = script.list(vec![pod("u1", NODE)]);
    asked.extend(script.pass(10_000));
    assert_eq!(asked, ["evict u1"]);
}

#[test]
fn w01_gone_or_replaced_pods_are_done() {
    let mut twin = pod("u2", NODE);
    twin.name = "db-1".into();
    let (mut script, asked) = Script::listed(settings(), None, vec![pod("u1", NODE), twin.clone()]);
    assert_eq!(asked, ["evict u1", "evict u2"]);
    script.reply("evict u1", Reply::Accepted);
    script.reply("evict u2", Reply::Accepted);
    assert_eq!(script.news(Change::Gone(twin)), ["gone by Evict: u2"]);
    // The watch breaks; the next list shows the other name with another UID, on its way out as well.
    let mut other = pod("u3", NODE);
    other.deletion = Some(Timestamp::from_millisecond(START).unwrap());
    assert_eq!(script.news(Change::Listed(vec![other.clone()])), ["list n0"]);
    assert_eq!(script.list(vec![other.clone()]), ["gone by Evict: u1"]);
    assert_eq!(script.news(Change::Gone(other)), ["list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
}

#[test]
fn cordon_p1_a_cordon_that_was_let_through_is_believed() {
    let (mut script, asked) = Script::listed(
        Settings {
            uncordon_on_abort: true,
            ..waiting()
        },
        Some(shut()),
        vec![pod("u1", NODE)],
    );
    assert_eq!(asked, NOTHING);
    assert!(script.state.node_rows()[0].cordoned_by_us);
    assert_eq!(script.feed(What::Interrupt), ["uncordon n0"]);
    assert_eq!(
        script.reply("uncordon n0", Reply::Accepted),
        ["uncordoned", "Interrupted"]
    );
}

#[test]
fn cordon_p2_a_cordon_that_was_not_let_through_is_not() {
    let target = Target {
        name: NODE.into(),
        ..Target::default()
    };
    let undoing = Settings {
        uncordon_on_abort: true,
        ..settings()
    };
    let (mut script, _) = Script::new(undoing, None, target);
    assert_eq!(
        script.reply("cordon n0", Reply::Forbidden("no".into())),
        ["not drained: it could not be cordoned: no", "Failed"]
    );
    let row = &script.state.node_rows()[0];
    assert!(!row.cordoned && !row.cordoned_by_us);
}

#[test]
fn p01_pod_that_is_not_found_is_done() {
    let (mut script, asked) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    assert_eq!(asked, ["evict u1"]);
    assert_eq!(script.reply("evict u1", Reply::NotFound), ["list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
    assert!(
        script.state.departed()[0].verb.is_none(),
        "it was not this run that moved it"
    );
}

/// The server's words for a UID that does not match, and those for a lost race against another writer.
#[test]
fn p02_pod_with_another_uid_is_done() {
    let precondition = "Precondition failed: UID in precondition: u1, UID in object meta: u9";
    let (mut script, _) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    assert_eq!(
        script.reply("evict u1", Reply::Conflict(precondition.into())),
        ["list n0"]
    );
    assert_eq!(script.list(vec![]), ["drained", "Done"]);

    let (mut script, _) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    let busy = Reply::Conflict("the object has been modified; please apply your changes to the latest version".into());
    let mut asked = script.reply("evict u1", busy);
    asked.extend(script.pass(1_000));
    assert_eq!(asked, ["list n0"]);
    let mut asked = script.list(vec![pod("u1", NODE)]);
    asked.extend(script.pass(1_000));
    assert_eq!(asked, ["evict u1"], "that one is still there");
}

/// kubernetes#138229: after the 429 the pod is deleted and comes back elsewhere under its name.
#[test]
fn p09_new_pod_with_the_old_name_is_left_alone() {
    let (mut script, asked) = Script::listed(waiting(), None, vec![pod("u1", NODE)]);
    assert_eq!(asked, ["evict u1"]);
    script.reply("evict u1", over_budget());
    assert_eq!(script.news(Change::Gone(pod("u1", NODE))), ["list n0"]);
    assert_eq!(script.news(Change::Applied(pod("u2", "n1"))), NOTHING);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
}

/// The deadline less the grace period and a second to see the end: then the budget is asked no more.
#[test]
fn p11_deleted_in_time_for_the_grace_period() {
    let (mut script, asked) = Script::listed(
        Settings {
            on_blocked: OnBlocked::DeleteAfter(3_600_000),
            deadline: Some(START + 60_000),
            ..settings()
        },
        Some(shut()),
        vec![pod("u1", NODE)],
    );
    assert_eq!(asked, NOTHING);
    let mut asked = Vec::new();
    while script.now < START + 28_999 {
        asked.extend(script.pass(1_000.min(START + 28_999 - script.now)));
        if script.calls.contains_key("evict u1") {
            asked.extend(script.reply("evict u1", over_budget()));
        }
    }
    assert!(!asked.iter().any(|a| a.starts_with("delete")), "{asked:?}");
    assert_eq!(script.pass(1), ["delete u1"]);
}

#[test]
fn p11_never_deleted_without_any_grace() {
    for (left, grace) in [
        (31_000, None),
        (30_999, None),
        (29_999, Some(29)),
        (1_500, Some(1)),
        (300, Some(1)),
    ] {
        let settings = Settings {
            on_blocked: OnBlocked::DeleteAfter(3_600_000),
            deadline: Some(START + left),
            ..settings()
        };
        let (mut script, mut asked) = Script::listed(settings, Some(shut()), vec![pod("u1", NODE)]);
        // The first look marks the pod as blocked, the next one finds that it is time.
        asked.extend(script.pass(0));
        let expected = grace.map_or("delete u1".to_owned(), |grace| format!("delete u1 in {grace}s"));
        assert_eq!(asked, [expected], "{left}");
    }
}

#[test]
fn p13_the_earlier_deadline_wins() {
    for (patience, deadline, at) in [
        (5_000, 600_000, 5_000),
        (500_000, 60_000, 29_000),
        (29_000, 60_000, 29_000),
    ] {
        let settings = Settings {
            on_blocked: OnBlocked::DeleteAfter(patience),
            deadline: Some(START + deadline),
            ..settings()
        };
        let (mut script, _) = Script::listed(settings, Some(shut()), vec![pod("u1", NODE)]);
        let deleted = loop {
            if script.pass(100).contains(&"delete u1".to_owned()) {
                break script.now - START;
            }
            if script.calls.contains_key("evict u1") {
                script.reply("evict u1", over_budget());
            }
            assert!(script.now < START + deadline, "never");
        };
        assert!((at..at + 200).contains(&deleted), "{deleted} instead of {at}");
    }
}

#[test]
fn p23_pod_that_disappears_before_it_is_asked() {
    let target = Target {
        name: NODE.into(),
        judged: BTreeSet::from(["u1".to_owned()]),
        ..Target::default()
    };
    let (mut script, _) = Script::new(settings(), None, target);
    script.reply("cordon n0", Reply::Accepted);
    assert_eq!(script.news(Change::Listed(vec![])), ["list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);

    // Or while its budget holds it back.
    let (mut script, asked) = Script::listed(waiting(), Some(shut()), vec![pod("u1", NODE)]);
    assert_eq!(asked, NOTHING);
    assert_eq!(script.news(Change::Gone(pod("u1", NODE))), ["list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
}

#[test]
fn p24_pod_that_is_replaced_is_another_pod() {
    let (mut script, asked) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    assert_eq!(asked, ["evict u1"]);
    // Bound before the cordon, under the old name: it is asked by its own UID, and the old answer is not its own.
    assert_eq!(
        script.news(Change::Gone(pod("u1", NODE))),
        ["gone by Evict: u1", "list n0"]
    );
    assert_eq!(script.news(Change::Applied(pod("u2", NODE))), ["evict u2"]);
    assert_eq!(script.reply("evict u1", Reply::Accepted), NOTHING);
    assert_eq!(script.list(vec![pod("u2", NODE)]), NOTHING);
    assert_eq!(script.reply("evict u2", Reply::Accepted), NOTHING);
    assert_eq!(
        script.news(Change::Gone(pod("u2", NODE))),
        ["gone by Evict: u2", "list n0"]
    );
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
}

#[test]
fn p25_error_while_the_end_is_confirmed() {
    let (mut script, _) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    script.reply("evict u1", Reply::Accepted);
    assert_eq!(
        script.news(Change::Gone(pod("u1", NODE))),
        ["gone by Evict: u1", "list n0"]
    );
    for error in [
        lost(),
        Reply::Unavailable("busy".into()),
        Reply::Throttled { retry_after: Some(1) },
    ] {
        let mut asked = script.reply("list n0", error);
        asked.extend(script.pass(10_000));
        assert_eq!(asked, ["list n0"]);
    }
    // So soon after these, a missing right is not believed either.
    let mut asked = script.reply("list n0", Reply::Forbidden("no".into()));
    asked.extend(script.pass(10_000));
    assert_eq!(asked, ["list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
}

/// The answer got lost, the request did not.
#[test]
fn p25_lost_answer_of_an_eviction_that_was_heard() {
    let (mut script, _) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    script.reply("evict u1", lost());
    assert_eq!(script.pass(1_000), ["list n0"]);
    let asked = script.list(vec![]);
    assert_eq!(asked, ["gone by Evict: u1", "list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
    assert_eq!(script.state.departed()[0].verb, Some(Verb::Evict));

    // Seen terminating, it is not asked again, and its end is this run's.
    let (mut script, _) = Script::listed(
        Settings {
            grace: Some(5),
            ..settings()
        },
        None,
        vec![pod("u1", NODE)],
    );
    script.reply("evict u1", lost());
    let mut dying = pod("u1", NODE);
    dying.deletion = Some(Timestamp::from_millisecond(START + 5_000).unwrap());
    assert_eq!(script.pass(1_000), ["list n0"]);
    assert_eq!(script.list(vec![dying.clone()]), NOTHING);
    assert_eq!(script.pass(4_000), NOTHING);
    assert_eq!(script.news(Change::Gone(dying)), ["gone by Evict: u1", "list n0"]);
}
