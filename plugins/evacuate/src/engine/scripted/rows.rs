//! Rows of the conformance list, one after the other.

use super::*;

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
