//! A CustomResourceDefinition goes when the last of its objects has gone; the API server deletes them.

use upkeep::discovery::Kind;

use super::{
    super::{Actor, Cause, CauseKey, Found, Life, desk::Desk},
    lists, many,
    subject::key,
};
use crate::facts::{Ask, Key, Object};

/// The finalizer.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// How many objects are looked at one by one.
const SHOWN: usize = 50;

/// The objects that it waits for. True if there are any, or it is not known yet.
pub fn instances(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> bool {
    let (plural, group) = object.name.split_once('.').unwrap_or_default();
    let Some(custom) = desk.discovery().versions(group, plural).next() else {
        return false;
    };
    let objects = match desk.metadata(&Ask::metadata(custom, None)) {
        None => return true,
        Some(Ok(objects)) => objects,
        Some(Err(said)) => match lists::unlisted(desk, found, custom, None, said) {
            None => return true,
            Some(objects) => objects,
        },
    };
    if objects.is_empty() {
        return false;
    }
    let mut behind = Vec::<CauseKey>::new();
    for held in objects.iter().take(SHOWN) {
        if held.is_deleting() {
            found.later(desk, custom, held);
            behind.extend(many::judged(desk, held).into_iter().map(|f| key(desk, custom, held, f)));
        } else {
            let at = Key::new(custom, held.namespace.as_deref(), &held.name);
            if let Some(Err(said)) = desk.answer(&Ask::DryDelete(at)) {
                behind.extend(super::refusal(desk, found, custom, held, "DELETE", &said.message));
            }
        }
    }
    let subject = desk.reference(kind, object);
    let first: Vec<String> = objects
        .iter()
        .take(3)
        .map(|o| desk.reference(custom, o).to_string())
        .collect();
    let more = match objects.len().saturating_sub(3) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    found.cause(Cause {
        key: key(desk, kind, object, name),
        says: format!(
            "{subject} is kept while there are objects of it: {}{more}",
            first.join(", ")
        ),
        evidence: vec![
            "without its finalizer they would stay in etcd, and be back with the next definition of that name".into(),
        ],
        // It has only not come to them yet.
        actor: behind.is_empty().then(|| Actor {
            who: "the API server, which deletes them".into(),
            life: Life::Alive,
            evidence: "it answers".into(),
            workload: None,
        }),
        holds: vec![subject],
        behind,
        remedies: Vec::new(),
    });
    true
}
