//! What is not believed at once: a cordon from before, a name, a watch that says nothing, an answer that never came.

use super::*;

fn target() -> Target {
    Target {
        name: NODE.into(),
        uid: NODE.into(),
        judged: BTreeSet::from(["u1".to_owned()]),
        ..Target::default()
    }
}

/// A run whose node is cordoned and shows its pods, but not yet itself.
fn unseen() -> Script {
    let (mut script, _) = Script::new(settings(), None, target());
    script.reply("cordon n0", Reply::Accepted);
    assert_eq!(script.news(Change::Listed(vec![pod("u1", NODE)])), NOTHING);
    script
}

fn node(uid: &str, unschedulable: bool) -> Node {
    Node {
        uid: uid.into(),
        unschedulable,
        ..cordoned(NODE)
    }
}

#[test]
fn b27_a_node_that_was_uncordoned_while_it_was_queued_is_left_alone() {
    assert_eq!(unseen().cordon_seen(), ["evict u1"]);
    let asked = unseen().feed(What::Node(Change::Listed(vec![node(NODE, false)])));
    assert_eq!(asked, ["not drained: it was uncordoned by someone else", "Incomplete"]);
}

#[test]
fn b27_another_node_of_the_same_name_is_left_alone() {
    let anew = || What::Node(Change::Listed(vec![node("another", true)]));
    let ended = "not drained: the Node object was deleted and made anew";
    assert_eq!(unseen().feed(anew()), [ended, "Incomplete"]);
    let (mut script, asked) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    assert_eq!(asked, ["evict u1"]);
    assert_eq!(script.feed(anew()), [ended]);
}

/// Without the right to watch nodes there is nothing to wait for.
#[test]
fn b27_nodes_that_cannot_be_watched_do_not_hold_up_the_run() {
    let asked = unseen().feed(What::Unwatchable {
        resource: "nodes",
        consequence: "nobody knows",
    });
    assert_eq!(asked.last().map(String::as_str), Some("evict u1"));
}

#[test]
fn b03_a_silent_watch_is_not_trusted() {
    let (mut script, _) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    script.reply("evict u1", Reply::Accepted);
    // Five seconds for the pod to terminate, then half a minute for anything at all.
    assert_eq!(script.pass(5_000), ["list n0"]);
    assert_eq!(script.pass(1_000), NOTHING);
    assert_eq!(script.list(vec![]), ["gone by Evict: u1", "list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);

    let (mut script, _) = Script::listed(waiting(), Some(shut()), vec![pod("u1", NODE)]);
    let asked = script.pass(29_000);
    assert!(!asked.contains(&"list n0".to_owned()), "{asked:?}");
    let asked = script.pass(1_000);
    assert!(asked.contains(&"list n0".to_owned()), "{asked:?}");
}

/// Only a list says whether a webhook made nothing of an accepted eviction.
#[test]
fn b03_accepted_without_effect_is_said_when_a_list_agrees() {
    let (mut script, _) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    script.reply("evict u1", Reply::Accepted);
    assert_eq!(script.pass(5_000), ["list n0"]);
    let said = script.list(vec![pod("u1", NODE)]);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("accepted, but not terminating yet"), "{said:?}");
}

/// A run of two nodes that is refused while the answer to a cordon is lost.
#[test]
fn b01_a_cordon_whose_answer_was_lost_is_taken_back() {
    let (mut script, _) = Script::new(settings(), None, target());
    assert_eq!(script.reply("cordon n0", lost()), NOTHING);
    let asked = script.feed(What::Interrupt);
    assert_eq!(asked, ["Interrupted"], "without --uncordon-on-abort the report tells");
    assert!(script.state.node_rows()[0].maybe_cordoned);

    let undoing = Settings {
        uncordon_on_abort: true,
        ..settings()
    };
    let (mut script, _) = Script::new(undoing, None, target());
    script.reply("cordon n0", lost());
    assert_eq!(script.feed(What::Interrupt), ["uncordon n0"]);
    // It had not been heard.
    assert_eq!(
        script.reply("uncordon n0", Reply::Rejected("not ours".into())),
        ["Interrupted"]
    );
    assert!(!script.state.node_rows()[0].cordoned);
}

#[test]
fn b01_taking_back_is_tried_again_and_its_failure_is_said() {
    let undoing = || Settings {
        uncordon_on_abort: true,
        ..waiting()
    };
    let (mut script, _) = Script::listed(undoing(), Some(shut()), vec![pod("u1", NODE)]);
    script.feed(What::Interrupt);
    assert_eq!(script.reply("uncordon n0", Reply::Unavailable("busy".into())), NOTHING);
    assert_eq!(script.pass(1_000), ["uncordon n0"]);
    assert_eq!(
        script.reply("uncordon n0", Reply::Accepted),
        ["uncordoned", "Interrupted"]
    );

    let (mut script, _) = Script::listed(undoing(), Some(shut()), vec![pod("u1", NODE)]);
    script.feed(What::Interrupt);
    let mut said = Vec::new();
    while script.state.outcome().is_none() {
        if script.calls.contains_key("uncordon n0") {
            said.extend(script.reply("uncordon n0", Reply::Unavailable("busy".into())));
        }
        said.extend(script.pass(500));
    }
    let warned = said.iter().any(|line| line.contains("could not be taken back: busy"));
    assert!(warned && script.now - START <= 10_500, "{said:?}");
}

/// A server that says of a pod that it does not exist, and lists it, is not asked as fast as it answers.
#[test]
fn b03_a_pod_that_is_called_gone_and_listed_is_asked_for_less_and_less() {
    let (mut script, _) = Script::listed(settings(), None, vec![pod("u1", NODE)]);
    let mut evictions = 0;
    let mut asked = vec!["evict u1".to_owned()];
    for _ in 0..200 {
        if asked.contains(&"evict u1".to_owned()) {
            evictions += 1;
            asked = script.reply("evict u1", Reply::NotFound);
        } else if script.calls.contains_key("list n0") {
            asked = script.list(vec![pod("u1", NODE)]);
        } else {
            asked = script.pass(100);
        }
    }
    assert!((3..=10).contains(&evictions), "{evictions}");
    let row = &script.state.pod_rows()[0];
    assert_eq!(row.reason, "the server says that it does not exist, and lists it");
}

/// The time is up while replacements are waited for: the node is empty all the same, and keeps its cordon.
#[test]
fn b28_an_empty_node_is_not_called_undrained_at_the_deadline() {
    let settings = Settings {
        wait_replacements: Some(60_000),
        deadline: Some(START + 4_000),
        uncordon_on_abort: true,
        ..settings()
    };
    let (mut script, _) = Script::listed(settings, None, vec![pod("u1", NODE)]);
    script.reply("evict u1", Reply::Accepted);
    assert_eq!(
        script.news(Change::Gone(pod("u1", NODE))),
        ["gone by Evict: u1", "list n0"]
    );
    assert_eq!(script.list(vec![]), NOTHING);
    assert_eq!(script.pass(4_000), ["Deadline"]);
    let last = script.published.last();
    assert!(
        matches!(last, Some(Stage::Drained { text }) if text == "1 pod gone"),
        "{last:?}"
    );
    let row = &script.state.node_rows()[0];
    assert_eq!(
        (row.state, row.why.as_deref()),
        ("Unreplaced", Some("1 of StatefulSet ns/db"))
    );
}

/// What the run wanted to take back and could not is said, also where there was no answer at all.
#[test]
fn b13_a_cordon_that_stays_for_want_of_an_answer_is_named() {
    let settings = Settings {
        deadline: Some(START + 1_000),
        uncordon_on_abort: true,
        ..settings()
    };
    let (mut script, _) = Script::listed(settings, None, vec![pod("u1", NODE)]);
    assert_eq!(
        script.pass(10_000),
        [
            "uncordon n0",
            "Warning(\"the cordon of node/n0 could not be taken back: no answer\")",
            "Deadline"
        ]
    );
}
