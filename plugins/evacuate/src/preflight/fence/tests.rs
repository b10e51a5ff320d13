#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use upkeep::report::{Seen, Severity};

use super::*;
use crate::{
    facts::{Attachment, Silence},
    preflight::testkit::{facts, node, on_targets, pod, told, unseen},
};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// A node that has been silent for five minutes.
fn dead(name: &str, patch: Value) -> Node {
    let since = ago(300).to_string();
    let mut silent =
        json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": since}]}});
    crate::preflight::testkit::merge(&mut silent, patch);
    node(name, silent)
}

fn silence(node: &str, renewed: Seen<Option<Timestamp>>) -> Option<Silence> {
    Some(Silence {
        leases: BTreeMap::from([(node.to_owned(), renewed)]),
        knows_taint: true,
    })
}

/// One dead node of four, with a pod that goes and one of a DaemonSet.
fn scene(patch: Value) -> Facts {
    let nodes = vec![
        dead("a", patch),
        node("b", json!({})),
        node("c", json!({})),
        node("d", json!({})),
    ];
    let mut facts = facts(
        1,
        nodes,
        vec![pod("p", "a", "rs", json!({})), pod("q", "a", "ds", json!({}))],
    );
    facts.silence = silence("a", Seen::Known(Some(ago(340))));
    facts
}

fn run(facts: &Facts, said: PoweredOff) -> Fences {
    let going: Vec<&Pod> = on_targets(facts).into_iter().filter(|p| p.name == "p").collect();
    fences(facts, &going, said, false)
}

#[test]
fn b17_the_evidence_is_named_and_the_lease_is_kept_in_mind() {
    for said in [PoweredOff::Ask, PoweredOff::Yes] {
        let mut facts = scene(json!({}));
        facts.attachments = Seen::Known(vec![
            Attachment {
                name: "va".into(),
                node: "a".into(),
                volume: Some("pv".into()),
            },
            Attachment {
                name: "other".into(),
                node: "b".into(),
                volume: Some("other".into()),
            },
        ]);
        let fences = run(&facts, said);
        let fence = &fences.planned[0];
        assert_eq!(
            fence.evidence,
            "Ready is Unknown for 5m, its Lease was last renewed 5m40s ago"
        );
        assert_eq!((fence.pods, fence.planned.by_taint), (2, true));
        assert_eq!(fence.planned.attached, ["pv"]);
        assert_eq!(fence.planned.renewed, Some(ago(340).as_millisecond()));
        assert!(
            fences.findings.iter().all(|f| f.severity == Severity::Warning),
            "{:?}",
            fences.findings
        );
    }
}

#[test]
fn nothing_is_forced_where_that_is_not_wanted_or_not_needed() {
    let facts = scene(json!({}));
    let fences = run(&facts, PoweredOff::No);
    assert!(fences.planned.is_empty());
    assert_eq!(fences.findings[0].id, "node-silent");
    let mut empty = scene(json!({}));
    empty.pods.retain(|p| p.name == "q");
    let fences = run(&empty, PoweredOff::Ask);
    assert!(fences.planned.is_empty());
    assert_eq!(fences.findings[0].id, "node-silent");
}

#[test]
fn b18_a_node_that_reports_is_not_off() {
    for (ready, said) in [("False", PoweredOff::Ask), ("True", PoweredOff::Ask)] {
        let facts = scene(json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}}));
        let fences = run(&facts, said);
        assert!(fences.planned.is_empty() && fences.findings.is_empty());
    }
    let facts = scene(json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}));
    let fences = run(&facts, PoweredOff::Yes);
    assert!(fences.planned.is_empty());
    assert_eq!(
        told(&fences.findings),
        [("not-off", "node/a is not off: its kubelet reports (Ready is False)")]
    );
}

#[test]
fn more_than_a_third_silent_is_refused() {
    let mut facts = scene(json!({}));
    facts.nodes = Seen::Known(vec![dead("a", json!({})), node("b", json!({})), node("c", json!({}))]);
    assert_eq!(told(&run(&facts, PoweredOff::Yes).findings).len(), 1);
    facts.nodes = Seen::Known(vec![dead("a", json!({})), node("b", json!({}))]);
    let fences = run(&facts, PoweredOff::Yes);
    assert_eq!(
        told(&fences.findings)[1],
        (
            "fence-cut-off",
            "1 of 2 nodes have stopped reporting: the control plane may be cut off, and not the nodes"
        )
    );
    facts.nodes = unseen();
    assert_eq!(run(&facts, PoweredOff::Yes).findings[1].id, "fence-cut-off");
}

#[test]
fn a_lease_that_cannot_be_read_or_does_not_exist() {
    let mut facts = scene(json!({}));
    facts.silence = silence("a", unseen());
    let fences = run(&facts, PoweredOff::Yes);
    assert!(fences.planned.is_empty());
    assert_eq!(
        (fences.findings[0].id, fences.findings[0].severity),
        ("fence-unheard", Severity::Refusal)
    );
    facts.silence = silence("a", Seen::Known(None));
    assert_eq!(
        run(&facts, PoweredOff::Yes).planned[0].evidence,
        "Ready is Unknown for 5m, it has no Lease"
    );
}

#[test]
fn what_a_run_has_left_is_named() {
    let tainted = json!({
        "metadata": {"annotations": {"kubectl-upkeep/out-of-service": "run"}},
        "spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]},
    });
    let fences = run(&scene(tainted.clone()), PoweredOff::No);
    assert_eq!(fences.findings[1].id, "fence-unfinished");
    // Going on ends it.
    let fences = run(&scene(tainted.clone()), PoweredOff::Yes);
    assert_eq!(fences.findings.len(), 1);
    let mut back = tainted;
    back["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    assert_eq!(run(&scene(back), PoweredOff::Ask).findings[0].id, "fence-unfinished");
}

/// The condition follows the Lease.
#[test]
fn a_lease_that_was_renewed_lately_is_a_sign_of_life() {
    let mut facts = scene(json!({}));
    facts.silence = silence("a", Seen::Known(Some(ago(39))));
    let fences = run(&facts, PoweredOff::Yes);
    assert!(fences.planned.is_empty());
    assert_eq!(
        (fences.findings[0].id, fences.findings[0].severity),
        ("not-off", Severity::Refusal)
    );
    // A clock that is ahead.
    facts.silence = silence("a", Seen::Known(Some(ago(-5))));
    assert!(run(&facts, PoweredOff::Yes).planned.is_empty());
    facts.silence = silence("a", Seen::Known(Some(ago(40))));
    assert_eq!(run(&facts, PoweredOff::Yes).planned.len(), 1);
}

/// Without its node whatever is left there is removed as well.
#[test]
fn a_silent_node_is_not_removed_before_somebody_says_that_it_is_off() {
    let mut facts = scene(json!({}));
    facts.pods.retain(|p| p.name == "q");
    assert_eq!(fences(&facts, &[], PoweredOff::Ask, true).planned.len(), 1);
    let refused = fences(&facts, &[], PoweredOff::No, true);
    assert_eq!(refused.findings[0].severity, Severity::Refusal);
}

#[test]
fn among_silent_nodes_those_that_report_are_emptied_as_usual() {
    let mut facts = scene(json!({}));
    facts.targets.push(node("b", json!({})));
    let fences = run(&facts, PoweredOff::Yes);
    assert_eq!(fences.planned.len(), 1);
    let told: Vec<_> = fences.findings.iter().map(|f| (f.id, f.severity)).collect();
    assert_eq!(told, [("fence", Severity::Warning), ("not-off", Severity::Warning)]);
}
