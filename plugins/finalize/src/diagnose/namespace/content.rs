//! What is in the namespace.

use upkeep::discovery::Kind;

use super::super::{Found, desk::Desk, is_double, rules};
use crate::facts::{Ask, Key, Object};

/// How many objects of one kind are asked about one by one.
const ASKED: usize = 20;

/// Everything that can be listed.
pub struct Content<'a> {
    /// Each object once, with its kind.
    pub objects: Vec<(&'a Kind, &'a Object)>,
}

impl<'a> Content<'a> {
    /// Lists every kind that the namespace controller would delete. A kind that cannot be listed is a cause of its own.
    pub fn list(desk: &Desk<'a>, found: &mut Found) -> Option<Self> {
        let namespace = desk.target().name.as_str();
        let deletable = |kind: &&Kind| kind.namespaced && kind.can("delete") && kind.can("list") && !is_double(kind);
        let mut objects = Vec::new();
        let mut complete = true;
        for kind in desk.discovery().preferred().filter(deletable) {
            match desk.metadata(&Ask::metadata(kind, Some(namespace))) {
                None => complete = false,
                Some(Ok(here)) => objects.extend(here.iter().map(|object| (kind, object))),
                Some(Err(said)) => match rules::unlisted(desk, found, kind, Some(namespace), said) {
                    None => complete = false,
                    Some(stored) => objects.extend(stored.iter().map(|object| (kind, object))),
                },
            }
        }
        complete.then_some(Self { objects })
    }

    /// Pods go first; while there are any, nothing else has been asked to go (KEP-5080).
    pub fn judge(&self, desk: &Desk<'a>, found: &mut Found, begun: bool) {
        let pods_first = self.objects.iter().any(|(kind, _)| kind.is("", "Pod"));
        for (kind, object) in &self.objects {
            if object.is_deleting() {
                rules::holds(desk, found, kind, object);
            } else if pods_first && !kind.is("", "Pod") {
                found.untouched += 1;
            } else if begun {
                self.refused(desk, found, kind, object);
            } else {
                found.untouched += 1;
            }
        }
    }

    /// An object that should have been deleted by now: what the server says to a deletion tells why it was not.
    fn refused(&self, desk: &Desk<'a>, found: &mut Found, kind: &Kind, object: &Object) {
        let before = self
            .objects
            .iter()
            .filter(|(k, o)| k.resource() == kind.resource() && !o.is_deleting());
        if before.take(ASKED).all(|(_, o)| o.uid != object.uid) {
            found.untouched += 1;
            return;
        }
        let key = Key::new(kind, object.namespace.as_deref(), &object.name);
        match desk.answer(&Ask::DryDelete(key)) {
            Some(Err(said)) if said.lacks_right() => {
                found.untried(said);
                found.untouched += 1;
            }
            Some(Err(said)) if rules::is_unreadable(said) => {
                rules::unreadable(
                    found,
                    kind,
                    object.namespace.as_deref(),
                    Some(&object.name),
                    &said.message,
                );
            }
            Some(Err(said)) if !said.is_missing() => {
                rules::refusal(desk, found, kind, object, "DELETE", &said.message);
            }
            _ => found.untouched += 1,
        }
    }
}
