//! One file per kind of hold.

mod actors;
mod admission;
mod apis;
mod backend;
mod chain;
mod controllers;
mod definitions;
mod finalizers;
mod lists;
mod liveness;
mod matching;
mod owners;
mod pods;
mod references;
mod subject;
mod traces;
mod usage;

use upkeep::discovery::Kind;

pub use self::{
    admission::refusal,
    apis::dark_apis,
    backend::Backend,
    controllers::controllers,
    finalizers::finalizer,
    lists::{conversion_elsewhere, unlisted},
    pods::silent,
};
use super::{Found, desk::Desk};
use crate::facts::Object;

/// Everything that holds one object that is being deleted.
pub fn holds(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object) {
    for name in &object.finalizers {
        finalizer(desk, found, kind, object, name);
    }
    if kind.is("", "Pod") {
        pods::stopping(desk, found, kind, object);
    }
}
