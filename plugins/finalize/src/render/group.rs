//! Causes that differ in nothing but the object: one of them is shown, and the others are counted.

use crate::diagnose::{Cause, Life};

/// What makes two causes alike: kind of the object, finalizer, who would have to act.
type Alike<'a> = (&'static str, &'a str, &'a str, Option<(&'a str, Life)>);

fn alike(cause: &Cause) -> Alike<'_> {
    let key = &cause.key;
    let actor = cause.actor.as_ref().map(|actor| (actor.who.as_str(), actor.life));
    (key.id, &key.subject.kind, &key.detail, actor)
}

/// In the order of their first ones.
pub fn groups<'a>(causes: impl Iterator<Item = &'a Cause>) -> Vec<Vec<&'a Cause>> {
    let mut groups: Vec<Vec<&Cause>> = Vec::new();
    for cause in causes {
        let single = cause.key.id != "finalizer";
        let known = groups
            .iter_mut()
            .find(|group| !single && group.first().is_some_and(|first| alike(first) == alike(cause)));
        match known {
            Some(group) => group.push(cause),
            None => groups.push(vec![cause]),
        }
    }
    groups
}
