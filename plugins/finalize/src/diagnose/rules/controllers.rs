//! The namespace controller itself: it runs in kube-controller-manager.

use k8s_openapi::api::core::v1 as core;
use upkeep::{report::ObjRef, ui::human_duration};

use super::{
    super::{Actor, Cause, CauseKey, Found, Life, desk::Desk},
    admission,
    liveness::by_lease,
};
use crate::{
    facts::{Ask, Object},
    ladder::{Remedy, Rung},
};

/// How long it takes until the controller has written a condition, with something to spare.
const WRITES: i64 = 15;

/// A namespace that nobody works on: no controller, or one whose writes are refused.
pub fn controllers(desk: &Desk<'_>, found: &mut Found, namespace: &core::Namespace, age: i64) {
    let conditions = namespace.status.as_ref().and_then(|s| s.conditions.as_ref());
    let worked_on = conditions.is_some_and(|c| !c.is_empty());
    let Some((life, evidence)) = by_lease(desk, "kube-system", "kube-controller-manager") else {
        return;
    };
    if life == Life::Dead {
        down(desk, found, evidence);
        return;
    }
    if worked_on || age < WRITES {
        return;
    }
    // It runs, or so it seems, and has written nothing: is it let to?
    let (Some(kind), Some(Ok(object))) = (desk.discovery().find("namespaces"), desk.typed::<Object>(desk.target()))
    else {
        return;
    };
    match desk.answer(&Ask::DryTouch(desk.target().clone())) {
        Some(Err(said)) => drop(admission::refusal(desk, found, kind, &object, "UPDATE", &said.message)),
        Some(Ok(_)) if life == Life::Unknown => {
            let seconds = human_duration(std::time::Duration::from_secs(u64::try_from(age).unwrap_or(0)));
            down(
                desk,
                found,
                format!("{evidence}, and it has written no condition for {seconds}"),
            );
        }
        _ => {}
    }
}

fn down(desk: &Desk<'_>, found: &mut Found, evidence: String) {
    let subject = ObjRef::cluster("namespace", &desk.target().name, "");
    found.cause(Cause {
        key: CauseKey {
            id: "controller-down",
            subject: subject.clone(),
            detail: "kube-controller-manager".into(),
        },
        says: "kube-controller-manager does not run, so nobody works on the deletion".into(),
        evidence: Vec::new(),
        actor: Some(Actor {
            who: "kube-controller-manager".into(),
            life: Life::Dead,
            evidence,
            workload: None,
        }),
        holds: vec![subject],
        behind: Vec::new(),
        remedies: vec![Remedy::by_hand(
            Rung::Repair,
            "start it; on a control plane node look at its static pod or service",
        )],
    });
}
