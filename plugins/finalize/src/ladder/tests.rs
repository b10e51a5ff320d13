//! Which step comes next.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use upkeep::report::ObjRef;

use super::{Cap, History, Mend, Next, Remedy, Rung, Tried, first, next};
use crate::{
    diagnose::{Actor, Cause, CauseKey, DENIED, Diagnosis, Life, State},
    facts::Key,
};

fn strip(name: &str, finalizer: &str) -> Remedy {
    let mend = Mend::Strip {
        key: Key::within("", "configmaps", "ns", name),
        uid: name.into(),
        finalizer: finalizer.into(),
        status: false,
    };
    Remedy::mend(Rung::Strip, "strip", mend)
}

fn exclude(namespace: &str) -> Remedy {
    let mend = Mend::Exclude {
        key: Key::cluster("admissionregistration.k8s.io", "validatingwebhookconfigurations", "w"),
        uid: "w".into(),
        entry: "e".into(),
        namespace: Some(namespace.into()),
        only: None,
        accounts: None,
    };
    Remedy::mend(Rung::Neutralise, "exclude", mend)
}

fn scale_up() -> Remedy {
    let mend = Mend::ScaleUp {
        key: workload(),
        replicas: 1,
    };
    Remedy::mend(Rung::Repair, "scale", mend)
}

fn workload() -> Key {
    Key::within("apps", "deployments", "ops", "keeper")
}

fn cause(name: &str, life: Life, remedies: Vec<Remedy>) -> Cause {
    Cause {
        key: CauseKey {
            id: "finalizer",
            subject: ObjRef::namespaced("configmap", "ns", name, name),
            detail: String::new(),
        },
        says: format!("{name} waits"),
        evidence: Vec::new(),
        actor: Some(Actor {
            who: "keeper".into(),
            life,
            evidence: String::new(),
            workload: (life == Life::Dead).then(workload),
        }),
        holds: Vec::new(),
        behind: Vec::new(),
        remedies,
    }
}

fn diagnosis(age: i64, causes: Vec<Cause>) -> Diagnosis {
    Diagnosis {
        state: State::Going(age),
        causes,
        in_time: Vec::new(),
        untouched: 0,
        notes: Vec::new(),
        asks: BTreeSet::new(),
    }
}

fn cap(rung: Rung) -> Cap {
    Cap {
        rung,
        even_if_alive: false,
        powered_off: Vec::new(),
        leave_behind: Vec::new(),
        planned: None,
    }
}

fn done(mend: &Remedy, seconds_ago: i64) -> Tried {
    Tried {
        mend: mend.mend.clone().unwrap(),
        rung: mend.rung,
        text: String::new(),
        leaves: Vec::new(),
        failed: None,
        declined: false,
        at: Timestamp::UNIX_EPOCH - SignedDuration::from_secs(seconds_ago),
    }
}

/// In a word, with the names of the objects that are changed.
fn word(diagnosis: &Diagnosis, history: &History, cap: &Cap) -> String {
    match next(diagnosis, history, cap, Timestamp::UNIX_EPOCH) {
        Next::Gone => "gone".into(),
        Next::Living => "living".into(),
        Next::Wait => "wait".into(),
        Next::Stuck => "stuck".into(),
        Next::Apply(steps) => {
            let names = steps.iter().map(|(_, r)| r.mend.as_ref().unwrap().key().name);
            names.collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn the_gentlest_rung_comes_first_and_only_as_far_as_is_allowed() {
    let held = diagnosis(
        60,
        vec![
            cause("a", Life::Dead, vec![scale_up(), strip("a", "x")]),
            cause("b", Life::Unknown, vec![exclude("ns"), strip("b", "x")]),
        ],
    );
    let none = History::new();
    assert_eq!(word(&held, &none, &cap(Rung::Wait)), "stuck");
    assert_eq!(word(&held, &none, &cap(Rung::Finalize)), "keeper");
    // Whatever was done is looked at before anything stronger, for whichever cause.
    assert_eq!(word(&held, &vec![done(&scale_up(), 1)], &cap(Rung::Finalize)), "wait");
    let scaled = vec![done(&scale_up(), 20)];
    assert_eq!(word(&held, &scaled, &cap(Rung::Finalize)), "w");
    // The keeper has a minute to start, whatever else may be done.
    let opened = vec![done(&scale_up(), 1), done(&exclude("ns"), 1)];
    assert_eq!(word(&held, &opened, &cap(Rung::Repair)), "wait");
    assert_eq!(word(&held, &opened, &cap(Rung::Finalize)), "wait");
    let settled = vec![done(&scale_up(), 30), done(&exclude("ns"), 30)];
    assert_eq!(word(&held, &settled, &cap(Rung::Finalize)), "b");
    // It is in the way again, or still: another run may have put it back.
    let mut later = vec![done(&scale_up(), 90), done(&exclude("ns"), 90)];
    assert_eq!(word(&held, &later, &cap(Rung::Finalize)), "w");
    later.push(done(&exclude("ns"), 70));
    assert_eq!(word(&held, &later, &cap(Rung::Finalize)), "a b");
    assert_eq!(word(&held, &later, &cap(Rung::Repair)), "stuck");
}

#[test]
fn one_change_at_a_time_to_each_object() {
    let held = diagnosis(
        60,
        vec![
            cause("a", Life::Dead, vec![strip("a", "x")]),
            cause("a", Life::Dead, vec![strip("a", "y")]),
            cause("b", Life::Dead, vec![strip("b", "x")]),
        ],
    );
    assert_eq!(word(&held, &History::new(), &cap(Rung::Strip)), "a b");
}

#[test]
fn what_lives_keeps_its_finalizer() {
    let held = diagnosis(60, vec![cause("a", Life::Alive, vec![strip("a", "x")])]);
    assert_eq!(word(&held, &History::new(), &cap(Rung::Finalize)), "wait");
    let even = Cap {
        even_if_alive: true,
        ..cap(Rung::Finalize)
    };
    assert_eq!(word(&held, &History::new(), &even), "a");
}

#[test]
fn what_was_asked_to_go_just_now_is_not_stuck() {
    let held = |age| diagnosis(age, vec![cause("a", Life::Unknown, Vec::new())]);
    assert_eq!(word(&held(3), &History::new(), &cap(Rung::Wait)), "wait");
    assert_eq!(word(&held(30), &History::new(), &cap(Rung::Wait)), "stuck");
    // A webhook that is out of the way has to be found so by the controller.
    let opened = vec![done(&exclude("ns"), 5)];
    assert_eq!(word(&held(30), &opened, &cap(Rung::Neutralise)), "wait");
    assert_eq!(
        word(&held(90), &vec![done(&exclude("ns"), 20)], &cap(Rung::Neutralise)),
        "stuck"
    );
}

/// Who takes a finalizer off gets the time for it, whichever is young, the target or what is in it. What was planned has waited.
#[test]
fn nothing_is_stripped_that_was_asked_to_go_just_now() {
    let held = |age, overdue| {
        let overdue = Some(overdue);
        let stripped = Remedy {
            overdue,
            ..strip("a", "x")
        };
        diagnosis(age, vec![cause("a", Life::Unknown, vec![stripped])])
    };
    let none = History::new();
    assert_eq!(word(&held(3, 60), &none, &cap(Rung::Finalize)), "wait");
    assert_eq!(word(&held(60, 3), &none, &cap(Rung::Finalize)), "wait");
    assert_eq!(word(&held(60, 15), &none, &cap(Rung::Finalize)), "a");
    let planned = Cap {
        planned: strip("a", "x").mend.map(|mend| vec![mend]),
        ..cap(Rung::Finalize)
    };
    assert_eq!(word(&held(3, 3), &none, &planned), "a");
    let young = held(3, 3);
    let steps = first(&young, &none, &cap(Rung::Finalize), Timestamp::UNIX_EPOCH);
    assert_eq!(steps.len(), 1, "what would be done is said at once");
}

#[test]
fn namespaces_of_the_cluster_are_never_left_out() {
    let held = diagnosis(60, vec![cause("a", Life::Dead, vec![exclude("kube-system")])]);
    assert_eq!(word(&held, &History::new(), &cap(Rung::Finalize)), "stuck");
}

/// Nor what has come alive since it was made.
#[test]
fn a_plan_does_not_allow_what_is_never_done() {
    let planned = |remedy: &Remedy| Cap {
        planned: Some(vec![remedy.mend.clone().unwrap()]),
        ..cap(Rung::Finalize)
    };
    let (system, stripped) = (exclude("kube-system"), strip("a", "x"));
    let held = |life, remedy: &Remedy| diagnosis(60, vec![cause("a", life, vec![remedy.clone()])]);
    let none = History::new();
    assert_eq!(word(&held(Life::Dead, &system), &none, &planned(&system)), "stuck");
    assert_eq!(word(&held(Life::Dead, &stripped), &none, &planned(&stripped)), "a");
    assert_eq!(word(&held(Life::Alive, &stripped), &none, &planned(&stripped)), "wait");
    assert_eq!(word(&held(Life::Dead, &stripped), &none, &planned(&system)), "stuck");
}

fn fence(node: &str, renewed: i64) -> Remedy {
    let mend = Mend::OutOfService {
        node: node.into(),
        uid: node.into(),
        renewed: Some(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(renewed)),
    };
    Remedy::mend(Rung::Repair, "taint", mend)
}

/// A plan only ever narrows what the flags allow.
#[test]
fn a_plan_confirms_nothing_and_brings_no_force() {
    let fence = fence("off", 1);
    let abandon = Mend::Abandon {
        namespace: "ns".into(),
        uid: "u".into(),
        unseen: vec!["orders.shop.example.com".into()],
    };
    let abandon = Remedy::mend(Rung::Finalize, "abandon", abandon);
    let none = History::new();
    for remedy in [fence, abandon, strip("a", "x")] {
        let held = diagnosis(60, vec![cause("a", Life::Dead, vec![remedy.clone()])]);
        let planned = |rung| Cap {
            planned: Some(vec![remedy.mend.clone().unwrap()]),
            ..cap(rung)
        };
        assert_eq!(word(&held, &none, &planned(Rung::Wait)), "stuck");
        let confirmed = Cap {
            powered_off: vec!["off".into()],
            leave_behind: vec!["shop.example.com".into()],
            ..planned(Rung::Finalize)
        };
        assert_ne!(word(&held, &none, &confirmed), "stuck");
        let unconfirmed = word(&held, &none, &planned(Rung::Finalize));
        assert_eq!(unconfirmed == "stuck", remedy.rung != Rung::Strip, "{unconfirmed}");
    }
}

/// What a person has confirmed is of one node, and of the time before its kubelet was reporting again.
#[test]
fn only_the_nodes_that_are_named_are_tainted_and_only_while_their_leases_stay() {
    let held = |node, renewed| diagnosis(60, vec![cause("a", Life::Dead, vec![fence(node, renewed)])]);
    let confirmed = Cap {
        powered_off: vec!["off".into()],
        ..cap(Rung::Repair)
    };
    let none = History::new();
    assert_eq!(word(&held("off", 1), &none, &confirmed), "off");
    assert_eq!(word(&held("other", 1), &none, &confirmed), "stuck");
    let tainted = vec![done(&fence("off", 1), 90)];
    assert_eq!(word(&held("off", 1), &tainted, &confirmed), "off");
    assert_eq!(word(&held("off", 2), &tainted, &confirmed), "stuck");
}

#[test]
fn a_right_that_is_missing_is_no_way() {
    let mut remedy = strip("a", "x");
    remedy.missing = Some("patch configmaps in namespace ns".into());
    let held = diagnosis(60, vec![cause("a", Life::Dead, vec![remedy])]);
    assert_eq!(word(&held, &History::new(), &cap(Rung::Finalize)), "stuck");
}

#[test]
fn what_cannot_be_seen_is_left_behind_only_by_name() {
    let abandon = Remedy::mend(
        Rung::Finalize,
        "abandon",
        Mend::Abandon {
            namespace: "ns".into(),
            uid: "u".into(),
            unseen: vec!["orders.shop.example.com".into()],
        },
    );
    let held = diagnosis(60, vec![cause("a", Life::Dead, vec![abandon])]);
    let named = |name: &str| Cap {
        leave_behind: vec![name.into()],
        ..cap(Rung::Finalize)
    };
    assert_eq!(word(&held, &History::new(), &cap(Rung::Finalize)), "stuck");
    assert_eq!(word(&held, &History::new(), &named("other.example.com")), "stuck");
    assert_eq!(word(&held, &History::new(), &named("orders.shop.example.com")), "ns");
    assert_eq!(word(&held, &History::new(), &named("shop.example.com")), "ns");
}

/// A denial of a change: nothing else is changed, whatever is allowed and whatever else there is.
#[test]
fn nothing_is_changed_past_a_denial() {
    let denial = |detail: &str, held: &str| Cause {
        key: CauseKey {
            id: DENIED,
            subject: ObjRef::cluster("validatingadmissionpolicy", "hold", ""),
            detail: detail.into(),
        },
        holds: vec![ObjRef::namespaced("configmap", "ns", held, held)],
        ..cause(held, Life::Alive, Vec::new())
    };
    let all = Cap {
        even_if_alive: true,
        ..cap(Rung::Finalize)
    };
    let other = || cause("other", Life::Dead, vec![strip("other", "f"), exclude("ns")]);
    let held = diagnosis(600, vec![denial("UPDATE", "a"), other()]);
    assert_eq!(word(&held, &History::new(), &all), "stuck");
    assert!(first(&held, &History::new(), &all, Timestamp::UNIX_EPOCH).is_empty());
    // A deletion that is denied is asked for again by the namespace controller: it may wait for the other.
    let ordered = diagnosis(600, vec![denial("DELETE", "a"), other()]);
    assert_eq!(word(&ordered, &History::new(), &all), "w");
    // What is denied to this user may be allowed to a controller that is alive; not where it shall be done in its place.
    let mut lives = cause("a", Life::Alive, Vec::new());
    lives.holds = vec![ObjRef::namespaced("configmap", "ns", "a", "a")];
    let lives = diagnosis(600, vec![denial("UPDATE", "a"), lives]);
    assert_eq!(word(&lives, &History::new(), &cap(Rung::Finalize)), "wait");
    assert_eq!(word(&lives, &History::new(), &all), "stuck");
}
