//! What holds of every diagnosis, whatever force is allowed.

use std::collections::BTreeSet;

use clap::ValueEnum as _;
use k8s_openapi::jiff::Timestamp;
use proptest::{prelude::*, test_runner::TestCaseResult};
use upkeep::Exit;

use super::{
    effects::{gate_of, is_inside, request},
    gates::{Gate, Request, Who},
    known,
    world::{GROUP, Orders, SPACE, World},
};
use crate::{
    diagnose::{Cause, Diagnosis, State},
    facts::{Ask, Facts, Key, Refusal, Said},
    follow::step::Limits,
    ladder::{Cap, History, Mend, Next, Remedy, Rung, SYSTEM, next, open},
};

/// More causes than that are not found in six objects, and no more remedies for one of them.
const CAUSES: usize = 64;
const REMEDIES: usize = 32;

/// What was denied, as far as a look has told.
struct Denied<'a> {
    /// Objects of which a change was.
    updates: BTreeSet<&'a Key>,
    /// Objects of which the deletion was.
    deletions: BTreeSet<&'a Key>,
    /// Objects that this run has tried to change.
    any: BTreeSet<&'a Key>,
    /// Webhooks that have answered so.
    webhooks: BTreeSet<&'a str>,
}

impl<'a> Denied<'a> {
    fn of(facts: &'a Facts) -> Self {
        let said = |key: &'a Key, said: &'a Said| said.is_denial().then_some((key, said));
        let mut webhooks = BTreeSet::new();
        let mut name = |said: &'a Said| {
            if let Refusal::Denied { webhook, .. } = said.refusal() {
                webhooks.insert(webhook);
            }
        };
        let (mut updates, mut deletions) = (BTreeSet::new(), BTreeSet::new());
        for (ask, answer) in &facts.answers {
            let (keys, key) = match ask {
                Ask::DryStrip { key, .. } | Ask::DryTouch(key) => (&mut updates, key),
                Ask::DryDelete(key) => (&mut deletions, key),
                _ => continue,
            };
            if let Some((key, said)) = answer.as_ref().err().and_then(|answer| said(key, answer)) {
                keys.insert(key);
                name(said);
            }
        }
        let any = facts.refused.iter().filter_map(|(key, answer)| said(key, answer));
        let any = any.inspect(|(_, said)| name(said)).map(|(key, _)| key).collect();
        Self {
            updates,
            deletions,
            any,
            webhooks,
        }
    }
}

/// Every force that there is.
pub fn everything() -> Cap {
    Cap {
        rung: Rung::Finalize,
        even_if_alive: true,
        powered_off: vec!["n1".into()],
        leave_behind: [
            "orders",
            "depots",
            "configmaps",
            "services",
            "persistentvolumeclaims",
            "pods",
        ]
        .into_iter()
        .flat_map(|plural| [plural.to_owned(), format!("{plural}.{GROUP}")])
        .chain(["ingresses.networking.k8s.io".into(), "metrics.example.com".into()])
        .collect(),
        planned: None,
    }
}

/// What is offered, with each force that may be allowed.
pub fn offers(
    world: &World,
    facts: &Facts,
    diagnosis: &Diagnosis,
    history: &History,
    now: Timestamp,
) -> TestCaseResult {
    prop_assert!(diagnosis.causes.len() <= CAUSES, "{} causes", diagnosis.causes.len());
    for cause in &diagnosis.causes {
        prop_assert!(cause.remedies.len() <= REMEDIES, "{} remedies", cause.remedies.len());
    }
    let denied = Denied::of(facts);
    let all = everything();
    for even_if_alive in [false, true] {
        for rung in Rung::value_variants() {
            let cap = Cap {
                rung: *rung,
                even_if_alive,
                ..all.clone()
            };
            for (cause, remedy) in open(diagnosis, history, &cap, now) {
                prop_assert!(remedy.rung <= *rung, "{remedy:?} with no more than {rung:?}");
                allowed(world, facts, &denied, (cause, remedy), even_if_alive)?;
            }
        }
    }
    // The way past admission is judged wherever it stands.
    for remedy in diagnosis.causes.iter().flat_map(|cause| &cause.remedies) {
        if let Some(Mend::Strip { key, status: true, .. }) = &remedy.mend {
            passes_nobody_by(world, key)?;
        }
    }
    Ok(())
}

fn allowed(
    world: &World,
    facts: &Facts,
    denied: &Denied<'_>,
    (cause, remedy): (&Cause, &Remedy),
    even_if_alive: bool,
) -> TestCaseResult {
    let Some(mend) = &remedy.mend else {
        return Err(TestCaseError::fail(format!("{remedy:?} is for a person")));
    };
    let key = mend.key();
    let (operation, _) = request(mend);
    prop_assert!(!denied.any.contains(&key), "{mend:?} after a denial");
    let refused = if operation == "DELETE" {
        &denied.deletions
    } else {
        &denied.updates
    };
    prop_assert!(!refused.contains(&key), "{mend:?} although {operation} is denied");
    let may = facts.answers.get(&Ask::May(mend.right()));
    prop_assert!(!matches!(may, Some(Err(_))), "{mend:?} without the right");
    let found = world.find(&key).map(|(_, thing)| thing);
    match mend {
        Mend::Strip { key, finalizer, .. } => {
            let own = world.space.as_ref().filter(|_| key.plural == "namespaces");
            let (deleted, all) = match (found, own) {
                (Some(thing), _) => (thing.deleted, &thing.finalizers),
                (None, Some(space)) => (space.deleted, &space.finalizers),
                (None, None) => return Err(TestCaseError::fail(format!("{mend:?} of nothing"))),
            };
            prop_assert!(deleted.is_some() && all.contains(finalizer), "{mend:?}");
            let alive = found.is_some_and(|thing| known::is_alive(world, thing, finalizer));
            prop_assert!(
                !alive || even_if_alive,
                "{mend:?} although its controller is alive: {cause:?}"
            );
        }
        Mend::Exclude {
            key, entry, namespace, ..
        } => {
            let gate = &world.gates[gate_of(key)];
            prop_assert!(!gate.may_answer(), "{mend:?} although it is up: {gate:?}");
            prop_assert!(
                !denied.webhooks.contains(entry.as_str()),
                "{mend:?} although it has just denied something"
            );
            let system = namespace
                .as_ref()
                .is_some_and(|namespace| SYSTEM.contains(&namespace.as_str()));
            prop_assert!(
                !system && namespace.as_ref().is_none_or(|namespace| namespace == SPACE),
                "{mend:?}"
            );
        }
        Mend::Unconvert { .. } => prop_assert_eq!(world.orders, Orders::Down(false)),
        Mend::Serve { .. } => prop_assert_eq!(world.orders, Orders::VersionGone),
        Mend::DeleteStored { .. } => prop_assert!(matches!(world.orders, Orders::Down(_) | Orders::Refused)),
        Mend::DeleteAgain { key, .. } if key.plural == "apiservices" => {
            prop_assert!(world.dark.is_some_and(|dark| dark.inside), "{mend:?}");
        }
        Mend::DeleteAgain { .. } => {
            let going = world.space.as_ref().is_some_and(|space| space.deleted.is_some());
            let left_over = found.is_some_and(|thing| thing.deleted.is_some() && thing.finalizers.is_empty());
            prop_assert!(
                left_over || (going && world.target().plural == "namespaces"),
                "{mend:?}"
            );
        }
        Mend::Abandon { unseen, .. } => {
            for (index, thing) in world
                .things
                .iter()
                .filter(|(index, thing)| is_inside(&thing.key(**index)))
            {
                let key = thing.key(*index);
                let resource = if key.group.is_empty() {
                    key.plural
                } else {
                    format!("{}.{}", key.plural, key.group)
                };
                prop_assert!(unseen.contains(&resource), "{mend:?} although {resource} are in it");
            }
        }
        Mend::OutOfService { node, .. } => prop_assert_eq!(node, "n1"),
        Mend::Finalize { finalizer, .. } => prop_assert_ne!(finalizer, "kubernetes"),
        Mend::ScaleUp { .. } => {
            let stopped = world.operator == Some(0) || world.known == Some(0);
            prop_assert!(stopped, "{mend:?}");
        }
        Mend::Evict { .. } => prop_assert!(found.is_some_and(|thing| thing.deleted.is_none()), "{mend:?}"),
        Mend::Unblock { .. } => return Err(TestCaseError::fail(format!("{mend:?} without owners"))),
    }
    Ok(())
}

/// Through the subresource `status` nobody is asked about the object, so that nobody may be there who would be: but for the
/// one webhook that does not answer, and what is left out already.
fn passes_nobody_by(world: &World, key: &Key) -> TestCaseResult {
    let request = Request {
        who: Who::Us,
        operation: "UPDATE",
        key,
        subresource: "",
        dry_run: false,
    };
    let asked: Vec<&Gate> = world
        .gates
        .iter()
        .filter(|gate| !gate.left_out && gate.is_asked(world, &request))
        .collect();
    prop_assert!(
        asked.len() <= 1 && !asked.iter().any(|gate| gate.may_answer()),
        "the status of {key} passes by {asked:?}"
    );
    Ok(())
}

/// The exit codes that say what has come of a run.
pub fn exits(limits: &Limits<'_>, diagnosis: &Diagnosis, history: &History, now: Timestamp) -> &'static [Exit] {
    let (dry, told) = (limits.cli.only_looks(), limits.is_told());
    let denies = diagnosis.roots().any(|cause| cause.denies_change());
    let cap = limits.cap(limits.rung());
    // A controller that is alive may be allowed to do what was denied to this user, unless that shall do it itself.
    let waits = !cap.even_if_alive && next(diagnosis, history, &cap, now) == Next::Wait;
    match diagnosis.state {
        State::Gone => &[Exit::Done],
        State::Living if dry => &[Exit::Done, Exit::Refused],
        State::Living => &[Exit::Refused],
        _ if denies && waits && dry => &[Exit::Done],
        _ if denies && waits => &[Exit::Deadline],
        _ if denies && dry && !told => &[Exit::Done],
        _ if denies => &[Exit::Incomplete],
        _ if dry => &[Exit::Done, Exit::Incomplete],
        _ if limits.plan.is_some() => &[Exit::Incomplete, Exit::Deadline, Exit::Refused],
        _ => &[Exit::Incomplete, Exit::Deadline],
    }
}
