//! Machines that are off, and nodes that are removed: refusals and answers in an order that no server gives at will.

use super::*;
use crate::{
    engine::fence::machine::{Planned, Sight},
    facts::{OutOfService, Ready},
};

const RENEWED: At = 500_000;

/// What a look finds: the machine is off, and not the only node.
fn sight(taint: Option<OutOfService>) -> Sight {
    Sight {
        uid: NODE.into(),
        version: "1".into(),
        ready: Ready::Unknown,
        taint,
        record: taint == Some(OutOfService::Ours),
        renewed: Some(RENEWED),
        unheard: None,
        silent: Some((1, 5)),
    }
}

fn named(uid: &str, priority: i32) -> Pod {
    let mut pod = pod(uid, NODE);
    (pod.name, pod.priority) = (uid.into(), priority);
    pod
}

impl Script {
    /// A run whose node is cordoned, off, and has shown these pods.
    fn off(settings: Settings, pods: &[Pod]) -> Self {
        let target = Target {
            name: NODE.into(),
            uid: NODE.into(),
            judged: pods.iter().map(|p| p.uid.clone()).collect(),
            fence: Some(Planned {
                renewed: Some(RENEWED),
                by_taint: true,
                ..Planned::default()
            }),
            ..Target::default()
        };
        let (mut script, _) = Self::new(settings, Some(shut()), target);
        script.reply("cordon n0", Reply::Accepted);
        script.cordon_seen();
        let asked = script.news(Change::Listed(pods.to_vec()));
        assert_eq!(
            asked,
            ["look n0"],
            "nothing is asked to go before it was looked once more"
        );
        script
    }

    fn looks(&mut self, sight: Sight) -> Vec<String> {
        let call = self.calls.remove("look n0").expect("nobody looks");
        let sight = Some(sight);
        self.feed(What::FenceSight { call, sight })
    }

    /// Both pods are asked, and the node is tainted.
    fn tainted(settings: Settings) -> Self {
        let mut script = Self::off(settings, &[named("a", 0)]);
        script.looks(sight(None));
        script.reply("evict a", over_budget());
        script.reply("delete a", Reply::Accepted);
        assert_eq!(script.looks(sight(None)), ["taint n0"]);
        let asked = script.reply("taint n0", Reply::Accepted);
        assert_eq!(asked, ["tainted", "look n0"]);
        script
    }
}

/// Nothing runs there: no budget, and no order of priorities, holds its pods back.
#[test]
fn p12_nothing_gates_the_pods_of_a_machine_that_is_off() {
    let by_priority = Settings {
        by_priority: true,
        ..settings()
    };
    let mut script = Script::off(by_priority, &[named("a", 0), named("b", 1)]);
    assert_eq!(script.looks(sight(None)), ["evict a", "evict b"]);
    // What the server says of the budget does not count either.
    assert_eq!(script.reply("evict a", over_budget()), ["delete a"]);
    let overlap = Reply::Overlap("This pod has more than one PodDisruptionBudget".into());
    assert_eq!(script.reply("evict b", overlap), ["delete b"]);
    script.reply("delete a", Reply::Accepted);
    let asked = script.reply("delete b", Reply::Accepted);
    assert_eq!(asked, ["look n0"], "once all have been asked it is looked again");
    assert_eq!(script.looks(sight(None)), ["taint n0"]);
}

#[test]
fn fence_that_is_not_allowed_ends_the_node() {
    let mut script = Script::off(settings(), &[named("a", 0)]);
    script.looks(sight(None));
    script.reply("evict a", Reply::Accepted);
    script.looks(sight(None));
    assert_eq!(
        script.reply("taint n0", Reply::Denied("a policy says no".into())),
        ["look n0"]
    );
    let asked = script.looks(sight(None));
    assert_eq!(
        asked[0],
        "not drained: it could not be tainted as out of service: a policy says no"
    );
    assert!(asked.contains(&"Incomplete".to_owned()), "{asked:?}");
}

#[test]
fn fence_that_is_not_needed_is_not_put_up() {
    let mut script = Script::off(settings(), &[named("a", 0)]);
    let mut back = sight(None);
    back.silent = Some((3, 8));
    let asked = script.looks(back);
    assert_eq!(
        asked[0],
        "not drained: 3 of 8 nodes have stopped reporting: the control plane may be cut off, and not the nodes"
    );
    assert!(asked.iter().all(|line| !line.starts_with("evict")), "{asked:?}");
}

/// A taint that stays is said, with the consequence; an answer that was lost is looked into.
#[test]
fn fence_that_cannot_be_lifted_is_said() {
    let ours = || sight(Some(OutOfService::Ours));
    let mut script = Script::tainted(settings());
    let mut back = ours();
    back.ready = Ready::True;
    assert_eq!(script.looks(back.clone()), ["untaint n0"]);
    let asked = script.reply("untaint n0", lost());
    assert!(
        asked.iter().any(|line| line.contains("does not answer well")),
        "{asked:?}"
    );
    assert_eq!(script.pass(600), ["look n0"]);
    assert_eq!(script.looks(back), ["untaint n0"]);
    // While the server fails, a no is not taken for missing rights.
    assert_eq!(script.reply("untaint n0", Reply::Forbidden("no".into())), [""; 0]);
    assert_eq!(script.state.fenced().collect::<Vec<_>>(), [NODE]);

    let mut script = Script::tainted(settings());
    let mut back = ours();
    back.renewed = Some(RENEWED + 1);
    script.looks(back);
    let asked = script.reply("untaint n0", Reply::Forbidden("no".into()));
    assert!(
        asked[0].contains("node/n0 stays tainted as out of service, and every pod would be thrown out"),
        "{asked:?}"
    );
    assert!(asked.contains(&"Incomplete".to_owned()), "{asked:?}");
}

/// The end of the run waits for it, but not for ever.
#[test]
fn fence_is_lifted_before_the_run_ends() {
    let mut script = Script::tainted(settings());
    script.looks(sight(Some(OutOfService::Ours)));
    assert_eq!(script.feed(What::Interrupt), ["look n0"]);
    assert_eq!(script.looks(sight(Some(OutOfService::Ours))), ["untaint n0"]);
    assert_eq!(script.reply("untaint n0", Reply::Accepted), ["untainted", "look n0"]);
    let asked = script.looks(sight(None));
    assert!(asked.contains(&"Interrupted".to_owned()), "{asked:?}");

    let mut script = Script::tainted(settings());
    script.looks(sight(Some(OutOfService::Ours)));
    script.feed(What::Interrupt);
    assert_eq!(script.pass(11_000), ["Interrupted"]);
    assert_eq!(script.state.fenced().collect::<Vec<_>>(), [NODE]);
}

/// Another run that has taken the node over has taken the taint over as well.
#[test]
fn fence_of_a_node_that_was_taken_over_is_left() {
    let mut script = Script::tainted(settings());
    script.looks(sight(Some(OutOfService::Ours)));
    let asked = script.feed(What::LockLost {
        node: NODE.into(),
        holder: Some("somebody".into()),
    });
    assert!(
        asked.iter().all(|line| !line.contains("untaint") && line != "look n0"),
        "{asked:?}"
    );
    assert_eq!(script.state.fenced().count(), 0);
}

fn removing() -> Settings {
    Settings {
        delete: true,
        ..settings()
    }
}

#[test]
fn b36_a_removal_is_tried_again_and_its_refusal_is_said() {
    let emptied = || {
        let (mut script, _) = Script::listed(removing(), None, vec![]);
        assert_eq!(script.list(vec![]), ["drained", "remove n0"]);
        script
    };
    let mut script = emptied();
    script.reply("remove n0", Reply::Unavailable("busy".into()));
    assert_eq!(script.pass(5_000), ["remove n0"]);
    // The news of its end may be faster than the answer.
    assert_eq!(script.feed(What::Node(Change::Gone(cordoned(NODE)))), [""; 0]);
    assert_eq!(script.reply("remove n0", Reply::Accepted), ["removed", "Done"]);

    let mut script = emptied();
    let no = Reply::Rejected("volumes are still attached to it: pv".into());
    assert_eq!(
        script.reply("remove n0", no),
        ["kept: volumes are still attached to it: pv", "Incomplete"]
    );
    let mut script = emptied();
    script.feed(What::Interrupt);
    assert_eq!(script.pass(4_000), ["kept: interrupted", "Interrupted"]);
}
