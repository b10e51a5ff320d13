//! A foreground deletion waits for dependents; the one that holds is the deepest.

use upkeep::discovery::Kind;

use super::{
    super::{Cause, CauseKey, Found, desk::Desk},
    subject::{LedOn, key},
};
use crate::facts::{Ask, Object};

/// The dependents that the owner waits for. True if there are any, or it is not known yet.
pub fn dependents<'a>(desk: &Desk<'a>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> LedOn<'a> {
    // Those of a cluster-scoped owner can be anywhere.
    let namespace = object.namespace.as_deref();
    let mut waits_for = Vec::new();
    let mut complete = true;
    let mut unread = None;
    let possible = |k: &&Kind| k.can("list") && k.can("delete") && (namespace.is_none() || k.namespaced);
    for other in desk.discovery().preferred().filter(possible) {
        match desk.metadata(&Ask::metadata(other, namespace)) {
            None => complete = false,
            Some(Err(said)) if said.is_missing() || said.code == 405 => {}
            Some(Err(said)) => unread = Some(said),
            Some(Ok(objects)) => {
                let blocks = |o: &&Object| o.owners.iter().any(|r| r.uid == object.uid && r.block_owner_deletion);
                waits_for.extend(objects.iter().filter(blocks).map(|o| (other, o)));
            }
        }
    }
    if !complete {
        return Ok(true);
    }
    if waits_for.is_empty() {
        return unread.map_or(Ok(false), Err);
    }
    let mut behind = Vec::<CauseKey>::new();
    for (other, dependent) in &waits_for {
        if dependent.is_deleting() {
            super::holds(desk, found, other, dependent);
            behind.extend(dependent.finalizers.iter().map(|f| key(desk, other, dependent, f)));
        }
    }
    let subject = desk.reference(kind, object);
    let names: Vec<String> = waits_for
        .iter()
        .take(3)
        .map(|(k, o)| desk.reference(k, o).to_string())
        .collect();
    let more = match waits_for.len().saturating_sub(3) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    found.cause(Cause {
        key: key(desk, kind, object, name),
        says: format!(
            "{subject} is deleted in the foreground and waits for {}{more}",
            names.join(", ")
        ),
        evidence: Vec::new(),
        actor: None,
        holds: vec![subject],
        behind,
        remedies: Vec::new(),
    });
    Ok(true)
}
