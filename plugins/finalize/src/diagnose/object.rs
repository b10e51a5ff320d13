//! What holds one object that is no namespace.

use super::{Cause, CauseKey, Found, State, desk::Desk, rules};
use crate::{
    facts::{Ask, Key, Object, Said, answer::NO_ANSWER},
    ladder::{Mend, Remedy, Rung},
};

/// Its finalizers, its kubelet, its dependents; of one that nobody deletes, whether that would be refused.
pub fn look(desk: &Desk<'_>, found: &mut Found) -> State {
    let target = desk.target();
    let Some(kind) = desk.discovery().versions(&target.group, &target.plural).next() else {
        return unserved(desk, target);
    };
    let object = match desk.typed::<Object>(target) {
        None => return State::Unknown,
        Some(Err(said)) if said.is_missing() => return State::Gone,
        Some(Err(said)) => return State::Unseen(said.clone()),
        Some(Ok(object)) => object,
    };
    let Some(deletion) = object.deletion else {
        if let Some(Err(said)) = desk.answer(&Ask::DryDelete(target.clone()))
            && !said.lacks_right()
        {
            rules::refusal(desk, found, kind, &object, "DELETE", &said.message);
        }
        return State::Living;
    };
    rules::holds(desk, found, kind, &object);
    // The deletionTimestamp of a pod lies ahead by its grace period.
    let since = desk.seconds_since(deletion) + object.grace.unwrap_or(0);
    if object.finalizers.is_empty() && object.grace.unwrap_or(0) == 0 {
        left_over(desk, found, kind, &object);
    }
    State::Going(since)
}

/// Its kind is not served any more: with its definition it is gone, otherwise it is only out of sight.
fn unserved(desk: &Desk<'_>, target: &Key) -> State {
    let unseen = |message: String| {
        State::Unseen(Said {
            code: NO_ANSWER,
            reason: String::new(),
            message,
        })
    };
    if let Some(dark) = desk.discovery().dark.iter().find(|dark| dark.group == target.group) {
        return unseen(format!("{} does not answer: {}", dark.api_service(), dark.reason));
    }
    let name = format!("{}.{}", target.plural, target.group);
    match desk.raw(&Key::cluster(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        &name,
    )) {
        None => State::Unknown,
        Some(Err(said)) if said.is_missing() => State::Gone,
        _ => unseen(format!("the server does not serve {name} any more")),
    }
}

/// Nothing holds it any more, but nobody has looked since.
fn left_over(desk: &Desk<'_>, found: &mut Found, kind: &upkeep::discovery::Kind, object: &Object) {
    let subject = desk.reference(kind, object);
    let mend = Mend::DeleteAgain {
        key: desk.target().clone(),
        uid: object.uid.clone(),
    };
    found.cause(Cause {
        key: CauseKey {
            id: "left-over",
            subject: subject.clone(),
            detail: String::new(),
        },
        says: format!("nothing holds {subject} any more, but it was not removed"),
        evidence: Vec::new(),
        actor: None,
        holds: vec![subject],
        behind: Vec::new(),
        remedies: vec![Remedy::mend(
            Rung::Narrow,
            "delete it once more, which removes it at once",
            mend,
        )],
    });
}
