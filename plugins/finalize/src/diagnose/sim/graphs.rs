//! Objects that own each other in every graph: every circle is found and opened, and the work ends.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use proptest::{prelude::*, test_runner::TestCaseResult};

use super::{
    super::{Diagnosis, State},
    owners::{Collector, FOREGROUND, ROUNDS, Thing, World, worlds},
    random,
};
use crate::{
    knowledge::Knowledge,
    ladder::{Cap, History, Mend, Rung, first},
};

/// What holds of every diagnosis.
fn sound(world: &World, diagnosis: &Diagnosis) -> TestCaseResult {
    let mut members = BTreeSet::new();
    for circle in diagnosis.causes.iter().filter(|cause| cause.key.id == "owner-circle") {
        for held in &circle.holds {
            prop_assert!(members.insert(held.clone()), "{held} is in two circles");
        }
        prop_assert!(!circle.remedies.is_empty() && circle.behind.is_empty());
    }
    let circular = world.circular();
    for held in &members {
        let index = held.name.trim_start_matches('o').parse::<usize>().unwrap();
        prop_assert!(circular.contains(&index), "{held} is in no circle");
    }
    // Whatever waits leads on to something that does not: no cause waits for itself.
    let mut left: Vec<_> = diagnosis.causes.iter().collect();
    let known: BTreeSet<_> = left.iter().map(|cause| cause.key.clone()).collect();
    let mut done = BTreeSet::new();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|cause| {
            let ready = cause
                .behind
                .iter()
                .all(|key| done.contains(key) || !known.contains(key));
            if ready {
                done.insert(cause.key.clone());
            }
            !ready
        });
        prop_assert!(left.len() < before, "causes wait for each other: {left:?}");
    }
    let seen = |index: &usize| {
        diagnosis
            .causes
            .iter()
            .any(|cause| cause.key.subject.name == format!("o{index}"))
    };
    for index in circular.iter().filter(|index| seen(index)) {
        let named = members.iter().any(|held| held.name == format!("o{index}"));
        prop_assert!(named, "o{index} is in a circle that is not named");
    }
    Ok(())
}

/// Every step that is offered is made until nothing is left to do: that ends, and opens every circle.
fn to_the_end(mut world: World, knowledge: &Knowledge) -> TestCaseResult {
    let cap = Cap {
        rung: Rung::Strip,
        even_if_alive: false,
        powered_off: Vec::new(),
        leave_behind: Vec::new(),
        planned: None,
    };
    let mut history = History::new();
    for _ in 0..ROUNDS * 5 {
        let diagnosis = world.diagnosis(knowledge)?;
        sound(&world, &diagnosis)?;
        if diagnosis.state == State::Gone {
            return Ok(());
        }
        let steps = first(&diagnosis, &history, &cap, Timestamp::now());
        let mends: Vec<Mend> = steps.iter().filter_map(|(_, remedy)| remedy.mend.clone()).collect();
        if mends.is_empty() {
            // Only what nobody may touch, and what the collector still has to do.
            let named = diagnosis.causes.iter().any(|cause| cause.key.id == "owner-circle");
            prop_assert!(!named, "a circle stays");
            return Ok(());
        }
        for mend in &mends {
            world.apply(mend);
        }
        history.clear();
        if world.collector != Collector::Dead {
            world.collect();
        }
    }
    Err(TestCaseError::fail("it does not end"))
}

#[test]
fn owners_in_every_graph() {
    let knowledge = Knowledge::built_in().unwrap();
    random("owners", &worlds(), |world| to_the_end(world, &knowledge));
}

/// As many as a namespace may hold, each waiting for the next: neither deep nor slow.
#[test]
fn a_circle_and_a_chain_of_ten_thousand() {
    let count = 10_000;
    for closed in [true, false] {
        let things = (0..count).map(|index| {
            let owner = match index {
                0 if closed => vec![(count - 1, true)],
                0 => Vec::new(),
                _ => vec![(index - 1, true)],
            };
            let thing = Thing {
                kind: 0,
                deleting: true,
                finalizers: vec![FOREGROUND],
                owners: owner,
            };
            (index, thing)
        });
        let world = World {
            things: things.collect(),
            collector: Collector::Alive,
            namespace: true,
            denies: false,
        };
        let diagnosis = world.diagnosis(&Knowledge::built_in().unwrap()).unwrap();
        let circles = diagnosis.causes.iter().filter(|cause| cause.key.id == "owner-circle");
        assert_eq!(circles.count(), usize::from(closed));
        assert_eq!(diagnosis.roots().count(), 1);
    }
}
