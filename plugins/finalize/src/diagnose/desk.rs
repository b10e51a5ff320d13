//! Where the rules look things up. What is not there yet is noted down, to be asked.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use k8s_openapi::jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use upkeep::{
    discovery::{Discovery, Kind},
    node::Ready,
    report::ObjRef,
};

use super::is_double;
use super::rules::{Candidate, Candidates, Rbac, Width};
use crate::{
    facts::{Answer, Ask, Definition, Facts, Key, Object, Pod, Reply, Said, Workload},
    knowledge::Knowledge,
};

/// Facts and knowledge for one decision.
pub struct Desk<'a> {
    facts: &'a Facts,
    /// What is known about finalizers.
    pub knowledge: &'a Knowledge,
    asks: RefCell<BTreeSet<Ask>>,
    samples: RefCell<BTreeMap<(String, String), Vec<Key>>>,
    blocking: RefCell<BTreeMap<Option<String>, Rc<Blocking<'a>>>>,
    rbac: RefCell<BTreeMap<Option<String>, Rc<Rbac>>>,
    candidates: RefCell<BTreeMap<CandidatesOf, Candidates<'a>>>,
}

/// Kind, namespace, and how narrow their right is.
type CandidatesOf = (String, Option<String>, Width);

/// Dependents that keep their owner from being deleted in the foreground.
#[derive(Default)]
pub struct Blocking<'a> {
    /// By the UID of the owner.
    pub of: BTreeMap<&'a str, Vec<(&'a Kind, &'a Object)>>,
    /// Whether all lists are there already.
    pub complete: bool,
    /// What the server said instead of one of the lists.
    pub unread: Option<&'a Said>,
}

/// How many objects of a kind with the same finalizer are read as a whole, to find out who has put it on.
const SAMPLES: usize = 8;

impl<'a> Desk<'a> {
    /// An empty list of questions.
    pub fn new(facts: &'a Facts, knowledge: &'a Knowledge) -> Self {
        Self {
            facts,
            knowledge,
            asks: RefCell::default(),
            samples: RefCell::default(),
            blocking: RefCell::default(),
            rbac: RefCell::default(),
            candidates: RefCell::default(),
        }
    }

    /// What was missing.
    pub fn into_asks(self) -> BTreeSet<Ask> {
        self.asks.into_inner()
    }

    /// What will not go away.
    pub fn target(&self) -> &'a Key {
        &self.facts.target
    }

    /// What the server said when this run tried to change the object.
    pub fn refused(&self, key: &Key) -> Option<&'a Said> {
        self.facts.refused.get(key)
    }

    /// What a webhook or a policy has said to the deletion of the object, where that was asked for already.
    pub fn denied_deletion(&self, key: &Key) -> Option<&'a Said> {
        let answer = self.facts.answers.get(&Ask::DryDelete(key.clone()))?;
        answer.as_ref().err().filter(|said| said.is_denial())
    }

    /// Whether this run has left something out of this webhook.
    pub fn has_opened(&self, configuration: &Key, webhook: &str) -> bool {
        let mut opened = self.facts.opened.iter();
        opened.any(|(key, entry)| key == configuration && entry == webhook)
    }

    /// Whether the server has `matchConditions` of webhooks.
    pub fn has_match_conditions(&self) -> bool {
        self.facts.match_conditions
    }

    /// Whether it is asked what would hold the target if it were deleted now.
    pub fn is_preflight(&self) -> bool {
        self.facts.preflight
    }

    /// What the server serves.
    pub fn discovery(&self) -> &'a Discovery {
        &self.facts.discovery
    }

    /// Whole seconds since then.
    pub fn seconds_since(&self, at: Timestamp) -> i64 {
        self.facts.now.duration_since(at).as_secs()
    }

    /// The answer, if it is there already.
    pub fn answer(&self, ask: &Ask) -> Option<&'a Answer> {
        let answer = self.facts.answers.get(ask);
        if answer.is_none() {
            self.asks.borrow_mut().insert(ask.clone());
        }
        answer
    }

    /// The object to read for one that has this finalizer: itself, or where there are many alike one of those before it. Whose
    /// finalizer it is lies in its name, and hundreds are not read to be told the same.
    pub fn sample(&self, kind: &Kind, finalizer: &str, key: Key) -> Key {
        let mut samples = self.samples.borrow_mut();
        let known = samples.entry((kind.resource(), finalizer.to_owned())).or_default();
        if known.contains(&key) {
            return key;
        }
        match known.first() {
            Some(first) if known.len() >= SAMPLES => first.clone(),
            _ => {
                known.push(key.clone());
                key
            }
        }
    }

    /// One object, raw. Nothing while it is not known.
    pub fn raw(&self, key: &Key) -> Option<Result<&'a Value, &'a Said>> {
        Some(match self.answer(&Ask::Get(key.clone()))? {
            Ok(Reply::One(object)) => Ok(object.as_ref()),
            Err(said) => Err(said),
            Ok(_) => return None,
        })
    }

    /// One object as its type.
    pub fn typed<K: DeserializeOwned>(&self, key: &Key) -> Option<Result<K, &'a Said>> {
        Some(match self.raw(key)? {
            Ok(object) => Ok(K::deserialize(object).ok()?),
            Err(said) => Err(said),
        })
    }

    /// All objects of a kind as their type; those that do not have it are left out.
    pub fn all<K: DeserializeOwned>(&self, ask: &Ask) -> Option<Result<Vec<K>, &'a Said>> {
        Some(match self.answer(ask)? {
            Ok(Reply::All(objects)) => Ok(objects.iter().filter_map(|o| K::deserialize(o).ok()).collect()),
            Err(said) => Err(said),
            Ok(_) => return None,
        })
    }

    /// Metadata of all objects of a kind.
    pub fn metadata(&self, ask: &Ask) -> Option<Result<&'a [Object], &'a Said>> {
        Some(match self.answer(ask)? {
            Ok(Reply::Metadata(objects)) => Ok(objects.as_slice()),
            Err(said) => Err(said),
            Ok(_) => return None,
        })
    }

    /// Dependents with `blockOwnerDeletion` in a namespace, or everywhere, by their owners: read once, however many owners there
    /// are.
    pub fn blocking(&self, namespace: Option<&str>) -> Rc<Blocking<'a>> {
        let scope = namespace.map(str::to_owned);
        if let Some(known) = self.blocking.borrow().get(&scope) {
            return Rc::clone(known);
        }
        let mut blocking = Blocking {
            complete: true,
            ..Blocking::default()
        };
        let possible =
            |k: &&Kind| k.can("list") && k.can("delete") && (namespace.is_none() || k.namespaced) && !is_double(k);
        for kind in self.discovery().preferred().filter(possible) {
            match self.metadata(&Ask::metadata(kind, namespace)) {
                None => blocking.complete = false,
                Some(Err(said)) if said.is_missing() || said.code == 405 => {}
                Some(Err(said)) => blocking.unread = Some(said),
                Some(Ok(objects)) => blocking.add(kind, objects),
            }
        }
        let blocking = Rc::new(blocking);
        self.blocking.borrow_mut().insert(scope, Rc::clone(&blocking));
        blocking
    }

    /// Roles and bindings that count in a namespace: read once, however many objects ask. Nothing while they are not known.
    pub fn rbac(&self, namespace: Option<&str>) -> Option<Result<Rc<Rbac>, &'a Said>> {
        let scope = namespace.map(str::to_owned);
        if let Some(known) = self.rbac.borrow().get(&scope) {
            return Some(Ok(Rc::clone(known)));
        }
        Some(match Rbac::read(self, namespace)? {
            Ok(rbac) => {
                let rbac = Rc::new(rbac);
                self.rbac.borrow_mut().insert(scope, Rc::clone(&rbac));
                Ok(rbac)
            }
            Err(said) => Err(said),
        })
    }

    /// What was found before for the same kind.
    pub fn known_candidates(&self, of: &CandidatesOf) -> Option<Candidates<'a>> {
        self.candidates.borrow().get(of).map(Rc::clone)
    }

    /// Keeps it.
    pub fn keep_candidates(&self, of: CandidatesOf, found: Vec<Candidate<'a>>) -> Candidates<'a> {
        let found = Rc::new(found);
        self.candidates.borrow_mut().insert(of, Rc::clone(&found));
        found
    }

    /// Pods of a namespace.
    pub fn pods(&self, namespace: &str) -> Option<Result<&'a [Pod], &'a Said>> {
        Some(match self.answer(&Ask::Pods(Some(namespace.to_owned())))? {
            Ok(Reply::Pods(pods)) => Ok(pods.as_slice()),
            Err(said) => Err(said),
            Ok(_) => return None,
        })
    }

    /// Pods of all namespaces on a node.
    pub fn pods_on(&self, node: &str) -> Option<Result<&'a [Pod], &'a Said>> {
        Some(match self.answer(&Ask::PodsOn(node.to_owned()))? {
            Ok(Reply::Pods(pods)) => Ok(pods.as_slice()),
            Err(said) => Err(said),
            Ok(_) => return None,
        })
    }

    /// The Ready conditions of all nodes.
    pub fn ready(&self) -> Option<Result<&'a [Ready], &'a Said>> {
        Some(match self.answer(&Ask::Ready)? {
            Ok(Reply::Ready(all)) => Ok(all.as_slice()),
            Err(said) => Err(said),
            Ok(_) => return None,
        })
    }

    /// Nodes that a person has confirmed to be powered off.
    pub fn powered_off(&self) -> &'a [String] {
        &self.facts.powered_off
    }

    /// What a person says that the namespace may leave behind.
    pub fn leave_behind(&self) -> &'a [String] {
        &self.facts.leave_behind
    }

    /// The server's time.
    pub fn now(&self) -> Timestamp {
        self.facts.now
    }

    /// All workloads of the cluster.
    pub fn workloads(&self) -> Option<Result<&'a [Workload], &'a Said>> {
        Some(match self.answer(&Ask::Workloads)? {
            Ok(Reply::Workloads(found)) => Ok(found.as_slice()),
            Err(said) => Err(said),
            Ok(_) => return None,
        })
    }

    /// All CustomResourceDefinitions.
    pub fn definitions(&self) -> Option<Result<&'a [Definition], &'a Said>> {
        Some(match self.answer(&Ask::Definitions)? {
            Ok(Reply::Definitions(found)) => Ok(found.as_slice()),
            Err(said) => Err(said),
            Ok(_) => return None,
        })
    }

    /// What a report calls an object.
    pub fn reference(&self, kind: &Kind, object: &Object) -> ObjRef {
        ObjRef {
            kind: kind.one(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            uid: object.uid.clone(),
        }
    }
}

impl<'a> Blocking<'a> {
    /// The same owner may be named more than once.
    fn add(&mut self, kind: &'a Kind, objects: &'a [Object]) {
        for object in objects {
            let owners = object.owners.iter().filter(|owner| owner.block_owner_deletion);
            let owners: BTreeSet<&str> = owners.map(|owner| owner.uid.as_str()).collect();
            for owner in owners {
                self.of.entry(owner).or_default().push((kind, object));
            }
        }
    }
}
