//! A foreground deletion waits for dependents; the one that holds is the deepest.

use upkeep::discovery::Kind;

use super::{
    super::{Cause, CauseKey, Found, Life, Link, desk::Desk},
    actors, admission, finalizers, many,
    removal::Way,
    subject::{LedOn, key},
};
use crate::{
    facts::{Ask, Key, Object},
    ladder::{Remedy, Rung},
};

/// How many dependents are named, and how many that are not being deleted are asked about one by one.
const SHOWN: usize = 3;

/// The dependents that the owner waits for. True if there are any, or it is not known yet.
pub fn dependents<'a>(desk: &Desk<'a>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> LedOn<'a> {
    // Those of a cluster-scoped owner can be anywhere.
    let blocking = desk.blocking(object.namespace.as_deref());
    if !blocking.complete {
        return Ok(true);
    }
    let Some(waits_for) = blocking.of.get(object.uid.as_str()) else {
        return blocking.unread.map_or(Ok(false), Err);
    };
    let mut behind = Vec::<CauseKey>::new();
    let (mut living, mut refused) = (0, None);
    for (other, dependent) in waits_for {
        let at = Key::new(other, dependent.namespace.as_deref(), &dependent.name);
        if dependent.is_deleting() {
            found.later(desk, other, dependent);
            behind.extend(
                many::judged(desk, dependent)
                    .into_iter()
                    .map(|f| key(desk, other, dependent, f)),
            );
            found.links.push(Link {
                owner: key(desk, kind, object, name),
                owner_uid: object.uid.clone(),
                owner_key: Key::new(kind, object.namespace.as_deref(), &object.name),
                dependent: desk.reference(other, dependent),
                key: at,
                overdue: object.deletion.map(|at| desk.seconds_since(at)),
            });
        } else {
            living += 1;
            if living <= SHOWN
                && let Some(Err(said)) = desk.answer(&Ask::DryDelete(at))
                && !said.lacks_right()
                && !said.is_missing()
            {
                refused = refused.or(admission::refusal(
                    desk,
                    found,
                    other,
                    dependent,
                    "DELETE",
                    &said.message,
                ));
            }
        }
    }
    behind.extend(refused);
    let subject = desk.reference(kind, object);
    let names: Vec<String> = waits_for
        .iter()
        .take(SHOWN)
        .map(|(k, o)| desk.reference(k, o).to_string())
        .collect();
    let more = match waits_for.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    // Nothing holds the dependents: then it is for the garbage collector, which deletes them and looks again.
    let (mut actor, mut remedies) = (None, Vec::new());
    if behind.is_empty() {
        let entry = desk.knowledge.of_kind(name, kind);
        let Some(owner) = actors::of(desk, kind, object, name, entry) else {
            return Ok(true);
        };
        if owner.actor.life != Life::Alive {
            remedies.extend(entry.map(|entry| Remedy::by_hand(Rung::Repair, entry.right.clone())));
            remedies.push(finalizers::strip(desk, kind, object, name, entry, Way::Object));
        }
        actor = Some(owner.actor);
    }
    found.cause(Cause {
        key: key(desk, kind, object, name),
        says: format!(
            "{subject} is deleted in the foreground and waits for {}{more}",
            names.join(", ")
        ),
        evidence: Vec::new(),
        actor,
        holds: vec![subject],
        behind,
        remedies,
    });
    Ok(true)
}
