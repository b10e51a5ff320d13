//! One file per kind of hold.

mod account;
mod accounts;
mod actors;
mod admission;
mod apis;
mod backend;
mod call;
mod chain;
mod circles;
mod controllers;
mod definitions;
mod denied;
mod finalizers;
mod invalid;
mod kubelets;
mod lists;
mod liveness;
mod many;
mod matching;
mod paused;
mod pods;
mod references;
mod refused;
mod removal;
mod rights;
mod stored;
mod subject;
mod told;
mod traces;
mod usage;
mod users;
mod webhooks;

use upkeep::discovery::Kind;

pub use self::{
    admission::refusal,
    apis::dark_apis,
    backend::Backend,
    circles::circles,
    controllers::controllers,
    denied::cause as denied,
    kubelets::confirmed,
    lists::{conversion_elsewhere, unlisted},
    many::judged,
    pods::silent,
    refused::{REFUSED, controller as controller_refused},
    rights::{Candidate, Candidates, Rbac, Width},
    stored::{
        UNREADABLE, by_hand as by_hand_in_storage, elsewhere as version_gone_elsewhere, is_unreadable, unreadable,
        version_gone,
    },
};
use super::{Found, desk::Desk};
use crate::facts::Object;

/// Everything that holds one object that is being deleted, and what it waits for.
pub fn holds(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object) {
    if found.is_first_look(desk.reference(kind, object)) {
        one(desk, found, kind, object);
    }
    the_rest(desk, found);
}

/// What holds one finalizer, and what that waits for.
pub fn finalizer(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object, name: &str) {
    finalizers::finalizer(desk, found, kind, object, name);
    the_rest(desk, found);
}

/// Objects that others wait for: a list, so that what waits for what may be of any depth.
fn the_rest(desk: &Desk<'_>, found: &mut Found) {
    while let Some((kind, object)) = found.pending.pop() {
        one(desk, found, &kind, &object);
    }
}

fn one(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object) {
    if kind.is("", "Pod") {
        pods::stopping(desk, found, kind, object);
        if pods::has_time(desk, object) {
            return;
        }
    }
    found.left_for_later(desk.reference(kind, object), object);
    for name in judged(desk, object) {
        finalizers::finalizer(desk, found, kind, object, name);
    }
}
