//! Which volumes are waited for when a node is empty.

use super::*;

/// Volumes of the pod `db` that goes, of a pod that stays (`ds`), and what is attached when the node is empty.
fn waits_for(goes: &[&str], stays: &[&str], attached: &[&str]) -> Vec<String> {
    let owned = |list: &[&str]| list.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    let mut daemon = pod("ds", NODE);
    daemon.name = "ds".into();
    daemon.owner = daemon.owner.map(|owner| facts::Owner {
        kind: "DaemonSet".into(),
        uid: "agent".into(),
        ..owner
    });
    let mut settings = settings();
    settings.wait_detach = true;
    settings.rules.daemon_sets = Seen::Known(BTreeSet::from(["agent".to_owned()]));
    let target = Target {
        name: NODE.into(),
        uid: NODE.into(),
        judged: BTreeSet::from(["db".to_owned(), "ds".to_owned()]),
        volumes: BTreeMap::from([("db".to_owned(), owned(goes)), ("ds".to_owned(), owned(stays))]),
        ..Target::default()
    };
    let (mut script, _) = Script::new(settings, None, target);
    script.reply("cordon n0", Reply::Accepted);
    script.cordon_seen();
    script.news(Change::Listed(vec![pod("db", NODE), daemon.clone()]));
    script.reply("evict db", Reply::Accepted);
    script.news(Change::Gone(pod("db", NODE)));
    let asked = script.list(vec![daemon]);
    if asked.contains(&"drained".to_owned()) {
        return Vec::new();
    }
    assert_eq!(asked, ["watch attachments of n0"]);
    let volumes = Some(owned(attached));
    let node = NODE.to_owned();
    script.feed(What::Attachments { node, volumes });
    script.state.node_rows().remove(0).attached
}

#[test]
fn p16_volumes_that_are_waited_for() {
    let none = [""; 0];
    // It has none; they are off already; they are not.
    assert_eq!(waits_for(&[], &[], &["other"]), none);
    assert_eq!(waits_for(&["a"], &[], &[]), none);
    assert_eq!(waits_for(&["a"], &[], &["a"]), ["a"]);
    assert_eq!(waits_for(&["a", "b"], &[], &["b", "a"]), ["a", "b"]);
    assert_eq!(waits_for(&["a", "b"], &[], &["b"]), ["b"]);
    // Volumes of pods that stay, and of nobody, are none of our business.
    assert_eq!(waits_for(&[], &["d"], &["d"]), none);
    assert_eq!(waits_for(&["a"], &["d"], &["a", "d", "other"]), ["a"]);
}

#[test]
fn p22_a_volume_that_a_pod_that_stays_uses_too_is_not_waited_for() {
    assert_eq!(waits_for(&["shared"], &["shared"], &["shared"]), [""; 0]);
    assert_eq!(waits_for(&["shared", "own"], &["shared"], &["shared", "own"]), ["own"]);
}

#[test]
fn p15_a_run_ends_when_the_last_volume_is_off() {
    let mut settings = settings();
    settings.wait_detach = true;
    let target = Target {
        name: NODE.into(),
        uid: NODE.into(),
        judged: BTreeSet::from(["db".to_owned()]),
        volumes: BTreeMap::from([("db".to_owned(), vec!["a".to_owned()])]),
        ..Target::default()
    };
    let (mut script, _) = Script::new(settings, None, target);
    script.reply("cordon n0", Reply::Accepted);
    script.cordon_seen();
    script.news(Change::Listed(vec![pod("db", NODE)]));
    script.reply("evict db", Reply::Accepted);
    script.news(Change::Gone(pod("db", NODE)));
    script.list(vec![]);
    let seen = |volumes: Option<Vec<String>>| What::Attachments {
        node: NODE.into(),
        volumes,
    };
    assert_eq!(script.feed(seen(Some(vec!["a".into()]))), [""; 0]);
    assert_eq!(script.feed(seen(Some(vec![]))), ["drained", "Done"]);
}
