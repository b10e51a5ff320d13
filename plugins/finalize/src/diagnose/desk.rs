//! Where the rules look things up. What is not there yet is noted down, to be asked.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use k8s_openapi::jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use upkeep::{
    discovery::{Discovery, Kind},
    report::ObjRef,
};

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

    /// What the server said when this run tried to remove a finalizer of the object.
    pub fn refused(&self, key: &Key) -> Option<&'a str> {
        self.facts.refused.get(key).map(String::as_str)
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

    /// Pods of a namespace.
    pub fn pods(&self, namespace: &str) -> Option<Result<&'a [Pod], &'a Said>> {
        Some(match self.answer(&Ask::Pods(Some(namespace.to_owned())))? {
            Ok(Reply::Pods(pods)) => Ok(pods.as_slice()),
            Err(said) => Err(said),
            Ok(_) => return None,
        })
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
