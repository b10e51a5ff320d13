//! What comes of a change: as [`crate::act`] makes it, and then in the cluster; and what controllers do meanwhile.

use super::{
    gates::{Request, Review, Who, said},
    known,
    words::REASONS,
    world::{GROUP, KINDS, Orders, PODS, SPACE, Twist, World},
};
use crate::{
    act::{Way, other_way},
    facts::{Key, Said},
    ladder::Mend,
};

/// How much time passes while a run waits, in seconds.
pub const PAUSE: i64 = 70;

/// What a change came to: the server's words where it has refused, and by which gate it was denied.
#[derive(Debug)]
pub struct Failed {
    pub said: Option<Said>,
    pub by: Option<usize>,
}

impl Failed {
    fn silent() -> Self {
        Self { said: None, by: None }
    }
}

impl Twist {
    /// Whether a dry run, or the change itself, is denied.
    pub fn denies(self, dry_run: bool) -> bool {
        matches!(
            (self, dry_run),
            (Self::DeniedDry(_), true) | (Self::DeniedReal(_), false)
        )
    }

    /// What comes in place of the server's own first answer.
    fn answer(self, dry_run: bool) -> Option<Failed> {
        let said = match self {
            Self::DeniedDry(words) | Self::DeniedReal(words) if self.denies(dry_run) => {
                let text = format!(
                    "admission webhook \"late.example.com\" denied the request: {}",
                    REASONS[words]
                );
                Some(said(403, text))
            }
            Self::Fails(code) => (code > 0).then(|| said(code, "something is wrong".into())),
            Self::None | Self::DeniedDry(_) | Self::DeniedReal(_) => return None,
        };
        Some(Failed { said, by: None })
    }
}

/// The request that a change is.
pub fn request(mend: &Mend) -> (&'static str, &'static str) {
    match mend {
        Mend::DeleteAgain { .. } | Mend::DeleteStored { .. } => ("DELETE", ""),
        Mend::Evict { .. } => ("CREATE", "eviction"),
        Mend::Finalize { .. } | Mend::Abandon { .. } => ("UPDATE", "finalize"),
        _ => ("UPDATE", ""),
    }
}

impl World {
    /// Tries a change, or makes it.
    pub fn change(&mut self, mend: &Mend, twist: Twist, dry_run: bool) -> Result<(), Failed> {
        let twisted = twist.answer(dry_run);
        let key = mend.key();
        let (operation, subresource) = request(mend);
        let request = Request {
            who: Who::Us,
            operation,
            key: &key,
            subresource,
            dry_run,
        };
        match mend {
            Mend::Strip { finalizer, status, .. } => {
                let Some((_, thing)) = self.find(&key) else {
                    return self.strip_namespace(finalizer, &request, twisted);
                };
                if thing.finalizers.contains(finalizer) {
                    self.removal(&request, *status, twisted)?;
                }
            }
            _ => drop(twisted.map_or_else(|| self.asked(&request), Err)?),
        }
        if !dry_run {
            self.take_effect(mend);
        }
        Ok(())
    }

    fn asked(&self, request: &Request<'_>) -> Result<bool, Failed> {
        match self.review(request) {
            Review::Allowed(written_back) => Ok(written_back),
            Review::Refused(said, by) => Err(Failed { said: Some(said), by }),
        }
    }

    /// The change of the object, and another way where the plugin takes one.
    fn removal(&self, request: &Request<'_>, status: bool, twisted: Option<Failed>) -> Result<(), Failed> {
        let invalid = self.find(request.key).and_then(|(_, thing)| thing.invalid);
        let refused = match twisted.map_or_else(|| self.asked(request), Err) {
            Ok(true) => return Err(Failed::silent()),
            Ok(false) if invalid.is_none() => return Ok(()),
            Ok(false) => Failed {
                said: Some(self.is_invalid(request.key)),
                by: None,
            },
            Err(refused) => refused,
        };
        let written_back = match refused.said.as_ref().and_then(|said| other_way(said, status)) {
            Some(Way::Status) => self.asked(&Request {
                subresource: "status",
                ..*request
            })?,
            Some(Way::Filled)
                if invalid.is_some_and(|wrong| wrong.contains("Required")) && request.key.group == GROUP =>
            {
                self.asked(request)?
            }
            Some(Way::Filled | Way::OtherVersion) | None => return Err(refused),
        };
        if written_back { Err(Failed::silent()) } else { Ok(()) }
    }

    /// A namespace has finalizers of its own.
    fn strip_namespace(
        &mut self,
        finalizer: &str,
        request: &Request<'_>,
        twisted: Option<Failed>,
    ) -> Result<(), Failed> {
        let is_there = request.key.plural == "namespaces" && self.space.is_some();
        if !is_there {
            return Err(Failed::silent());
        }
        if twisted.map_or_else(|| self.asked(request), Err)? {
            return Err(Failed::silent());
        }
        if let Some(space) = self.space.as_mut().filter(|_| !request.dry_run) {
            space.finalizers.retain(|one| one != finalizer);
        }
        Ok(())
    }

    fn take_effect(&mut self, mend: &Mend) {
        let key = mend.key();
        match mend {
            Mend::Strip { finalizer, .. } => {
                if let Some(index) = self.find(&key).map(|(index, _)| index) {
                    let thing = self.things.get_mut(&index).unwrap();
                    thing.finalizers.retain(|one| one != finalizer);
                    self.remove_if_free(index);
                }
            }
            Mend::DeleteAgain { .. } | Mend::DeleteStored { .. } | Mend::Evict { .. } => match key.plural.as_str() {
                "apiservices" => self.dark = None,
                "namespaces" => self.space = None,
                _ => self.delete(&key),
            },
            Mend::ScaleUp { key, .. } if key.name == "operator" => self.operator = Some(1),
            Mend::ScaleUp { .. } => self.known = Some(1),
            Mend::OutOfService { .. } => self
                .things
                .retain(|_, thing| thing.kind != PODS || thing.deleted.is_none()),
            Mend::Serve { .. } | Mend::Unconvert { .. } => self.orders = Orders::Readable,
            Mend::Exclude { .. } => self.gates[gate_of(&key)].left_out = true,
            Mend::Finalize { finalizer, .. } => {
                self.space
                    .iter_mut()
                    .for_each(|space| space.spec.retain(|one| one != finalizer));
            }
            Mend::Abandon { .. } => self.space = None,
            Mend::Unblock { .. } => {}
        }
    }

    fn delete(&mut self, key: &Key) {
        if let Some(index) = self.find(key).map(|(index, _)| index) {
            let thing = self.things.get_mut(&index).unwrap();
            thing.deleted = thing.deleted.or(Some(0));
            self.remove_if_free(index);
        }
    }

    /// Pods need their kubelet, which is gone.
    fn remove_if_free(&mut self, index: usize) {
        let free = self
            .things
            .get(&index)
            .is_some_and(|thing| thing.finalizers.is_empty() && thing.deleted.is_some());
        if free {
            self.things.remove(&index);
        }
    }

    /// Time passes, and everybody who is alive does what they are let to. Who was asked to go, and could.
    pub fn pass_time(&mut self) -> Vec<Key> {
        self.things
            .values_mut()
            .for_each(|thing| thing.deleted = thing.deleted.map(|age| age + PAUSE));
        if let Some(space) = &mut self.space {
            space.deleted = space.deleted.map(|age| age + PAUSE);
        }
        let mut deleted = Vec::new();
        for index in self.things.keys().copied().collect::<Vec<usize>>() {
            self.controller_removes(index);
            if self.namespace_controller_deletes(index) {
                let key = self.things[&index].key(index);
                self.delete(&key);
                deleted.push(key);
            }
        }
        self.namespace_ends();
        if self.written_back {
            self.gates.iter_mut().for_each(|gate| gate.left_out = false);
        }
        deleted
    }

    fn controller_removes(&mut self, index: usize) {
        let thing = self.things[&index].clone();
        let key = thing.key(index);
        let stalled = matches!(thing.words, 3 | 4) || thing.invalid.is_some() || thing.deleted.is_none();
        if stalled || !matches!(self.review(&by_controller("UPDATE", &key)), Review::Allowed(false)) {
            return;
        }
        let stays = |finalizer: &String| !known::is_alive(self, &thing, finalizer);
        let left: Vec<String> = thing.finalizers.iter().filter(|f| stays(f)).cloned().collect();
        self.things.get_mut(&index).unwrap().finalizers = left;
        if thing.kind != PODS {
            self.remove_if_free(index);
        }
    }

    fn namespace_controller_deletes(&self, index: usize) -> bool {
        let Some(thing) = self.things.get(&index) else {
            return false;
        };
        let space = self.space.as_ref().is_some_and(|space| space.deleted.is_some());
        let key = thing.key(index);
        let lets = || matches!(self.review(&by_controller("DELETE", &key)), Review::Allowed(_));
        space && self.managers.0 == Some(true) && thing.deleted.is_none() && KINDS[thing.kind].3 && lets()
    }

    fn namespace_ends(&mut self) {
        let empty = !self.things.values().any(|thing| KINDS[thing.kind].3);
        let seen = self.dark.is_none() && matches!(self.orders, Orders::Readable | Orders::Unserved);
        let works = self.managers.0 == Some(true) && empty && seen;
        let Some(space) = self.space.as_mut().filter(|space| works && space.deleted.is_some()) else {
            return;
        };
        let listed = !space.spec.is_empty();
        space.spec.retain(|finalizer| *finalizer != "kubernetes");
        // One whose list was empty before is passed by.
        if listed && space.spec.is_empty() && space.finalizers.is_empty() {
            self.space = None;
        }
    }
}

fn by_controller<'a>(operation: &'a str, key: &'a Key) -> Request<'a> {
    Request {
        who: Who::Controller,
        operation,
        key,
        subresource: "",
        dry_run: false,
    }
}

/// Which gate a configuration holds.
pub fn gate_of(configuration: &Key) -> usize {
    configuration.name.trim_start_matches('c').parse().unwrap()
}

/// Whether an object is in the namespace.
pub fn is_inside(key: &Key) -> bool {
    key.namespace.as_deref() == Some(SPACE)
}
