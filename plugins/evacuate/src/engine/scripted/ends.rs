//! How a run ends while answers are still to come. Real servers answer in any order; here the bad ones are written down.

use k8s_openapi::api::core::v1 as api;
use serde_json::json;

use crate::{
    engine::{
        Plan, Settings, State, Target,
        event::{At, Call, Change, Command, Event, Note, Outcome, Reply, Stage, What},
    },
    facts::Pod,
};

const START: At = 1_000_000;

fn run(nodes: &[&str], uncordon_on_abort: bool) -> (State, Vec<Command>) {
    let settings = Settings {
        parallel: 4,
        uncordon_on_abort,
        ..super::settings()
    };
    let targets = nodes.iter().map(|name| Target {
        name: (*name).to_owned(),
        uid: (*name).to_owned(),
        ..Target::default()
    });
    let plan = Plan {
        targets: targets.collect(),
        budgets: Some(Vec::new()),
        ..Plan::default()
    };
    let mut state = State::new(plan, settings, START);
    let commands = state.start();
    (state, commands)
}

fn pod(name: &str, node: &str) -> Pod {
    let object = json!({
        "metadata": {"namespace": "ns", "name": name, "uid": name, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web", "controller": true},
        ]},
        "spec": {"nodeName": node, "containers": [], "tolerations": [{"operator": "Exists"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    serde_json::from_value::<api::Pod>(object).unwrap().into()
}

fn step(state: &mut State, after: At, what: What) -> Vec<Command> {
    let at = START + after;
    let mut commands = state.step(Event { at, what });
    // What others are told is answered at once; nothing depends on it.
    let mut read = 0;
    while read < commands.len() {
        if let Command::Publish { call, .. } = commands[read] {
            let reply = Reply::Accepted;
            commands.extend(state.step(Event {
                at,
                what: What::Reply { call, reply },
            }));
        }
        read += 1;
    }
    commands
}

fn answer(state: &mut State, after: At, call: Call, reply: Reply) -> Vec<Command> {
    step(state, after, What::Reply { call, reply })
}

fn cordon_of(commands: &[Command], wanted: &str) -> Call {
    let found = commands.iter().find_map(|c| match c {
        Command::Cordon { call, node, .. } if node == wanted => Some(*call),
        _ => None,
    });
    found.expect("it is cordoned")
}

fn uncordons(commands: &[Command]) -> Vec<(&str, Call)> {
    let found = commands.iter().filter_map(|c| match c {
        Command::Uncordon { call, node } => Some((node.as_str(), *call)),
        _ => None,
    });
    found.collect()
}

fn evictions(commands: &[Command]) -> Vec<(&str, Call)> {
    let found = commands.iter().filter_map(|c| match c {
        Command::Evict { call, pod, .. } => Some((pod.name.as_str(), *call)),
        _ => None,
    });
    found.collect()
}

#[test]
fn b01_a_cordon_that_is_answered_after_the_denial_of_another_is_taken_back() {
    let (mut state, commands) = run(&["a", "b", "c"], false);
    let [a, b, c] = ["a", "b", "c"].map(|node| cordon_of(&commands, node));
    let denied = || Reply::Denied("no".into());
    assert_eq!(uncordons(&answer(&mut state, 1, b, denied())), []);
    // A second denial must not cut the undoing short.
    assert_eq!(uncordons(&answer(&mut state, 2, c, denied())), []);
    assert_eq!(state.outcome(), None);
    let commands = answer(&mut state, 3, a, Reply::Accepted);
    let undo = uncordons(&commands);
    assert_eq!(undo.iter().map(|u| u.0).collect::<Vec<_>>(), ["a"]);
    answer(&mut state, 4, undo[0].1, Reply::Accepted);
    assert_eq!(state.outcome(), Some(Outcome::Failed));
}

#[test]
fn b01_an_answer_that_never_comes_does_not_hold_up_the_end() {
    let (mut state, commands) = run(&["a", "b"], false);
    answer(&mut state, 1, cordon_of(&commands, "b"), Reply::Denied("no".into()));
    let wake = state.wake().expect("it ends by itself");
    step(&mut state, wake - START, What::Tick);
    assert_eq!(state.outcome(), Some(Outcome::Failed));
}

/// A run over one node with these pods listed, and the evictions it asks for.
fn draining(pods: Vec<Pod>) -> (State, Vec<Command>) {
    let (mut state, commands) = run(&["a"], false);
    answer(&mut state, 1, cordon_of(&commands, "a"), Reply::Accepted);
    step(&mut state, 1, What::Node(Change::Listed(vec![super::cordoned("a")])));
    let news = What::Pods {
        node: "a".into(),
        change: Change::Listed(pods),
        call: None,
    };
    let commands = step(&mut state, 2, news);
    (state, commands)
}

#[test]
fn b13_evictions_that_were_asked_for_are_answered_before_the_end() {
    let (mut state, commands) = draining(vec![pod("one", "a"), pod("two", "a")]);
    let sent = evictions(&commands);
    assert_eq!(sent.len(), 2);
    let after = step(&mut state, 10, What::Interrupt);
    assert_eq!((evictions(&after), state.outcome()), (vec![], None));
    answer(&mut state, 20, sent[0].1, Reply::Accepted);
    assert_eq!(state.outcome(), None);
    answer(&mut state, 30, sent[1].1, Reply::Accepted);
    assert_eq!(state.outcome(), Some(Outcome::Interrupted));
}

#[test]
fn b13_a_second_interrupt_and_a_silent_server_end_it_all_the_same() {
    let (mut state, _) = draining(vec![pod("one", "a")]);
    step(&mut state, 10, What::Interrupt);
    step(&mut state, 20, What::Interrupt);
    assert_eq!(state.outcome(), Some(Outcome::Interrupted));

    let (mut state, _) = draining(vec![pod("one", "a")]);
    step(&mut state, 10, What::Interrupt);
    let wake = state.wake().expect("it ends by itself") - START;
    assert!((10..=3_010).contains(&wake), "{wake}");
    step(&mut state, wake, What::Tick);
    assert_eq!(state.outcome(), Some(Outcome::Interrupted));
}

/// The replacement may be seen before the answer to the eviction that it is for.
#[test]
fn b10_a_pod_that_is_back_before_the_answer_has_come_back_all_the_same() {
    let (mut state, commands) = draining(vec![pod("old", "a")]);
    let sent = evictions(&commands);
    let news = What::Pods {
        node: "a".into(),
        change: Change::Applied(pod("new", "a")),
        call: None,
    };
    let commands = step(&mut state, 10, news);
    assert_eq!(evictions(&commands), []);
    let told = commands
        .iter()
        .any(|c| matches!(c, Command::Tell(Note::Warning(text)) if text.contains("ns/new came back")));
    assert!(told, "{commands:?}");
    assert_eq!(evictions(&answer(&mut state, 20, sent[0].1, Reply::Accepted)), []);
}

/// Lists that arrive in between must not make a failing eviction look like progress.
#[test]
fn b03_an_eviction_that_fails_again_and_again_is_asked_less_and_less_often() {
    let (mut state, commands) = draining(vec![pod("one", "a")]);
    let mut call = evictions(&commands)[0].1;
    let (mut now, mut times, mut warnings) = (10, vec![0], 0);
    while times.len() < 8 {
        let mut commands = answer(&mut state, now, call, Reply::Unavailable("busy".into()));
        let next = loop {
            warnings += commands
                .iter()
                .filter(|c| matches!(c, Command::Tell(Note::Warning(text)) if text.ends_with("busy")))
                .count();
            if let Some((_, call)) = evictions(&commands).first() {
                break *call;
            }
            let list = commands.iter().find_map(|c| match c {
                Command::List { call, .. } => Some(*call),
                _ => None,
            });
            commands = match list {
                Some(call) => {
                    let change = Change::Listed(vec![pod("one", "a")]);
                    let node = "a".into();
                    step(
                        &mut state,
                        now,
                        What::Pods {
                            node,
                            change,
                            call: Some(call),
                        },
                    )
                }
                None => {
                    now = state.wake().expect("something is due") - START;
                    step(&mut state, now, What::Tick)
                }
            };
        };
        call = next;
        times.push(now);
    }
    let pauses: Vec<At> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses[6] >= 5_000, "{pauses:?}");
    assert!(pauses.iter().sum::<At>() >= 10_000, "{pauses:?}");
    assert_eq!(warnings, 1);
}

fn stages(commands: &[Command]) -> Vec<(Stage, Call)> {
    let found = commands.iter().filter_map(|c| match c {
        Command::Publish { call, stage, .. } => Some((stage.clone(), *call)),
        _ => None,
    });
    found.collect()
}

/// An older message never overtakes a newer one, and a server that is silent does not hold up the end for long.
#[test]
fn others_are_told_one_thing_at_a_time() {
    let raw = |state: &mut State, after: At, what| {
        state.step(Event {
            at: START + after,
            what,
        })
    };
    let (mut state, commands) = run(&["a"], false);
    let call = cordon_of(&commands, "a");
    let reply = Reply::Accepted;
    let begun = stages(&raw(&mut state, 1, What::Reply { call, reply }));
    assert_eq!(begun.iter().map(|s| &s.0).collect::<Vec<_>>(), [&Stage::Begun]);
    assert_eq!(stages(&raw(&mut state, 2, What::Interrupt)), []);
    assert_eq!(state.outcome(), None);
    let (call, reply) = (begun[0].1, Reply::Rejected("no".into()));
    let commands = raw(&mut state, 3, What::Reply { call, reply });
    let said = commands.contains(&Command::Tell(Note::Warning("no".into())));
    assert!(said, "{commands:?}");
    let stopped = stages(&commands);
    assert!(matches!(&stopped[0].0, Stage::Stopped { text, undone: false } if text == "0 pods gone; interrupted"));
    assert_eq!(state.outcome(), None);
    let wake = state.wake().expect("it ends by itself");
    raw(&mut state, wake - START, What::Tick);
    assert_eq!(state.outcome(), Some(Outcome::Interrupted));
}
