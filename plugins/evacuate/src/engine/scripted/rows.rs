//! Rows of the conformance list, one after the other.

use super::*;
use crate::facts::Phase;

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
    asked.retain(|line| line != "list n0");
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
        uid: NODE.into(),
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
            deadline: Some(START + 70_000),
            ..settings()
        },
        Some(shut()),
        vec![pod("u1", NODE)],
    );
    assert_eq!(asked, NOTHING);
    let mut asked = Vec::new();
    while script.now < START + 38_999 {
        asked.extend(script.pass(1_000.min(START + 38_999 - script.now)));
        if script.calls.contains_key("evict u1") {
            asked.extend(script.reply("evict u1", over_budget()));
        }
    }
    assert!(!asked.iter().any(|a| a.starts_with("delete")), "{asked:?}");
    assert_eq!(script.pass(1), ["delete u1"]);
}

#[test]
fn p11_never_deleted_without_any_grace() {
    // However little time there is, the budget has half of it to let the pod go by itself.
    for (deadline, at, grace) in [
        (70_000, 39_000, None),
        (62_000, 31_000, None),
        (58_000, 29_000, Some(29)),
        (3_000, 1_500, Some(1)),
        (600, 300, Some(1)),
    ] {
        let settings = Settings {
            on_blocked: OnBlocked::DeleteAfter(3_600_000),
            deadline: Some(START + deadline),
            ..settings()
        };
        let (script, line) = deleted(settings);
        let expected = grace.map_or("delete u1".to_owned(), |grace| format!("delete u1 in {grace}s"));
        assert_eq!((script.now - START, line), (at, expected), "{deadline}");
    }
}

/// A run until it deletes the pod that its budget holds back, and how.
fn deleted(settings: Settings) -> (Script, String) {
    let (mut script, mut asked) = Script::listed(settings, Some(shut()), vec![pod("u1", NODE)]);
    loop {
        if let Some(line) = asked.into_iter().find(|line| line.starts_with("delete")) {
            return (script, line);
        }
        if script.calls.contains_key("evict u1") {
            script.reply("evict u1", over_budget());
        }
        assert!(script.state.outcome().is_none(), "never");
        asked = script.pass(100);
    }
}

#[test]
fn p13_the_earlier_deadline_wins() {
    for (patience, deadline, at) in [
        (5_000, 600_000, 5_000),
        (500_000, 70_000, 39_000),
        (39_000, 70_000, 39_000),
    ] {
        let settings = Settings {
            on_blocked: OnBlocked::DeleteAfter(patience),
            deadline: Some(START + deadline),
            ..settings()
        };
        let (script, line) = deleted(settings);
        assert_eq!((script.now - START, line.as_str()), (at, "delete u1"));
    }
}

#[test]
fn p23_pod_that_disappears_before_it_is_asked() {
    let target = Target {
        name: NODE.into(),
        uid: NODE.into(),
        judged: BTreeSet::from(["u1".to_owned()]),
        ..Target::default()
    };
    let (mut script, _) = Script::new(settings(), None, target);
    script.reply("cordon n0", Reply::Accepted);
    script.cordon_seen();
    assert_eq!(script.news(Change::Listed(vec![])), ["list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);

    // Or while its budget holds it back.
    let (mut script, asked) = Script::listed(waiting(), Some(shut()), vec![pod("u1", NODE)]);
    assert_eq!(asked, NOTHING);
    assert_eq!(script.news(Change::Gone(pod("u1", NODE))), ["list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
}

/// A kubelet reports a pod as Failed or Succeeded before it removes it: it is replaced all the same.
#[test]
fn b28_a_pod_that_ends_because_it_was_evicted_is_replaced() {
    let (mut script, _) = Script::listed(settings(), None, vec![pod("a", NODE)]);
    script.reply("evict a", Reply::Accepted);
    let mut ended = pod("a", NODE);
    ended.deletion = Some(Timestamp::from_millisecond(START).unwrap());
    ended.phase = Phase::Failed;
    script.news(Change::Applied(ended.clone()));
    script.news(Change::Gone(ended));
    assert!(!script.state.departed()[0].finished);
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
        asked.retain(|line| !line.starts_with("Warning(\"the API server does not answer well"));
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

#[test]
fn saved_is_what_nothing_brings_back() {
    let mut settings = settings();
    settings.rules.gone = BTreeSet::from(["db".to_owned()]);
    let (_, asked) = Script::listed(settings, None, vec![pod("a", NODE)]);
    assert_eq!(asked, ["save and evict a"]);
}
