//! A cluster in which objects own each other in every way, its server and its garbage collector.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use upkeep::discovery::{Discovery, Kind};

use super::super::{Diagnosis, diagnose};
use crate::{
    facts::{Answer, Ask, Facts, Key, Object, Reply, Said},
    knowledge::Knowledge,
    ladder::Mend,
};

pub const FOREGROUND: &str = "foregroundDeletion";
/// How often a diagnosis may ask, and how often one target may be looked at.
pub const ROUNDS: usize = 40;

/// How the Lease of kube-controller-manager looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collector {
    Alive,
    Dead,
    Unknown,
}

/// One object.
#[derive(Debug, Clone)]
pub struct Thing {
    /// Index of its kind.
    pub kind: usize,
    pub deleting: bool,
    pub finalizers: Vec<&'static str>,
    /// Owners by their index, and whether they wait for it.
    pub owners: Vec<(usize, bool)>,
}

/// A cluster with one namespace in it.
#[derive(Debug, Clone)]
pub struct World {
    pub things: BTreeMap<usize, Thing>,
    pub collector: Collector,
    /// Whether the namespace is the target, or the first object.
    pub namespace: bool,
    /// The server answers every second deletion with a denial.
    pub denies: bool,
}

fn things() -> impl Strategy<Value = Vec<Thing>> {
    let finalizers = prop_oneof![
        6 => Just(vec![FOREGROUND]),
        1 => Just(vec!["example.com/cleanup"]),
        1 => Just(vec![FOREGROUND, "example.com/cleanup"]),
        1 => Just(vec!["orphan"]),
        1 => Just(Vec::new()),
    ];
    let owners = proptest::collection::vec((0..24_usize, prop::bool::weighted(0.8)), 0..4);
    let thing = (0..KINDS.len(), prop::bool::weighted(0.85), finalizers, owners).prop_map(
        |(kind, deleting, finalizers, owners)| Thing {
            kind,
            deleting,
            finalizers,
            owners,
        },
    );
    proptest::collection::vec(thing, 1..24)
}

pub fn worlds() -> impl Strategy<Value = World> {
    let collector = prop_oneof![
        3 => Just(Collector::Alive),
        1 => Just(Collector::Dead),
        1 => Just(Collector::Unknown),
    ];
    (things(), collector, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |(mut things, collector, namespace, denies)| {
            things[0].deleting = true;
            World {
                things: things.into_iter().enumerate().collect(),
                collector,
                namespace,
                denies,
            }
        },
    )
}

/// Group, kind, plural, whether it has a namespace.
const KINDS: [(&str, &str, &str, bool); 4] = [
    ("", "ConfigMap", "configmaps", true),
    ("apps", "ReplicaSet", "replicasets", true),
    ("shop.example.com", "Order", "orders", true),
    ("shop.example.com", "Depot", "depots", false),
];

fn discovery() -> Discovery {
    let own = [("", "Namespace", "namespaces", false), ("", "Pod", "pods", true)];
    let kinds = KINDS.iter().chain(&own).map(|(group, kind, plural, namespaced)| Kind {
        group: (*group).to_owned(),
        version: "v1".into(),
        preferred: true,
        kind: (*kind).to_owned(),
        plural: (*plural).to_owned(),
        singular: kind.to_lowercase(),
        namespaced: *namespaced,
        verbs: vec!["list".into(), "delete".into()],
        ..Kind::default()
    });
    Discovery {
        kinds: kinds.collect(),
        dark: Vec::new(),
    }
}

fn uid(index: usize) -> String {
    format!("uid-{index}")
}

impl World {
    fn json(&self, index: usize, thing: &Thing, now: Timestamp) -> Value {
        let owners = thing.owners.iter().map(|(owner, blocks)| {
            json!({"apiVersion": "v1", "kind": "x", "name": "$(y)", "uid": uid(*owner), "blockOwnerDeletion": blocks})
        });
        let mut meta = json!({"name": format!("o{index}"), "uid": uid(index), "finalizers": thing.finalizers,
            "ownerReferences": owners.collect::<Vec<_>>()});
        if KINDS[thing.kind].3 {
            meta["namespace"] = json!("shop");
        }
        if thing.deleting {
            meta["deletionTimestamp"] = json!((now - SignedDuration::from_secs(120)).to_string());
        }
        json!({"metadata": meta})
    }

    fn target(&self) -> Key {
        if self.namespace {
            return Key::cluster("", "namespaces", "shop");
        }
        let (group, _, plural, namespaced) = KINDS[self.things.get(&0).map_or(0, |thing| thing.kind)];
        match namespaced {
            true => Key::within(group, plural, "shop", "o0"),
            false => Key::cluster(group, plural, "o0"),
        }
    }

    fn of<'a>(&'a self, group: &'a str, plural: &'a str) -> impl Iterator<Item = (usize, &'a Thing)> {
        let is = move |thing: &&Thing| KINDS[thing.kind].0 == group && KINDS[thing.kind].2 == plural;
        self.things
            .iter()
            .map(|(index, thing)| (*index, thing))
            .filter(move |(_, thing)| is(thing))
    }

    fn answer(&self, ask: &Ask, now: Timestamp) -> Answer {
        let missing = || {
            Err(Said {
                code: 404,
                reason: "NotFound".into(),
                message: "not found".into(),
            })
        };
        match ask {
            Ask::Get(key) if key.plural == "leases" && self.collector != Collector::Unknown => {
                let age = if self.collector == Collector::Dead { 600 } else { 1 };
                let renewed = now - SignedDuration::from_secs(age);
                Ok(Reply::One(Box::new(
                    json!({"metadata": {"name": key.name}, "spec": {"holderIdentity": "x",
                    "leaseDurationSeconds": 15, "renewTime": renewed.to_string()}}),
                )))
            }
            Ask::Get(key) if key.plural == "namespaces" => {
                let deleted = (now - SignedDuration::from_secs(120)).to_string();
                Ok(Reply::One(Box::new(
                    json!({"metadata": {"name": key.name, "uid": "ns", "deletionTimestamp": deleted},
                    "spec": {"finalizers": ["kubernetes"]}, "status": {"conditions": [{"type": "x", "status": "False"}]}}),
                )))
            }
            Ask::Get(key) => match self
                .of(&key.group, &key.plural)
                .find(|(i, _)| format!("o{i}") == key.name)
            {
                Some((index, thing)) => Ok(Reply::One(Box::new(self.json(index, thing, now)))),
                None => missing(),
            },
            Ask::Metadata { group, plural, .. } => {
                let here = self.of(group, plural).map(|(i, thing)| {
                    let object = self.json(i, thing, now);
                    serde_json::from_value::<Object>(object).unwrap()
                });
                Ok(Reply::Metadata(here.collect()))
            }
            Ask::DryDelete(key) if self.denies && key.name.ends_with('1') => Err(Said {
                code: 403,
                reason: "Forbidden".into(),
                message: "admission webhook \"guard.example.com\" denied the request: no".into(),
            }),
            Ask::Pods(_) => Ok(Reply::Pods(Vec::new())),
            Ask::Workloads => Ok(Reply::Workloads(Vec::new())),
            Ask::Leases => Ok(Reply::Metadata(Vec::new())),
            Ask::Definitions => Ok(Reply::Definitions(Vec::new())),
            Ask::List { .. } | Ask::Events { .. } => Ok(Reply::All(Vec::new())),
            _ => Ok(Reply::Done),
        }
    }

    /// Asks and answers until nothing is missing.
    pub fn diagnosis(&self, knowledge: &Knowledge) -> Result<Diagnosis, TestCaseError> {
        let mut facts = Facts::of(&discovery(), self.target(), SignedDuration::ZERO);
        let now = facts.now;
        for _ in 0..ROUNDS {
            let diagnosis = diagnose(&facts, knowledge);
            if diagnosis.asks.is_empty() {
                return Ok(diagnosis);
            }
            let answers = diagnosis.asks.iter().map(|ask| (ask.clone(), self.answer(ask, now)));
            facts.learn(answers.collect());
        }
        Err(TestCaseError::fail("the diagnosis asks for ever"))
    }

    /// Which objects an owner that is deleted in the foreground waits for.
    fn waits_for(&self, owner: usize) -> Vec<usize> {
        let waits = self
            .things
            .get(&owner)
            .is_some_and(|t| t.deleting && t.finalizers.contains(&FOREGROUND));
        let cluster = self.things.get(&owner).is_some_and(|t| !KINDS[t.kind].3);
        let blocking = self.things.iter().filter(|(_, thing)| {
            // The garbage collector looks for dependents of an owner in its own namespace.
            waits && (cluster || KINDS[thing.kind].3) && thing.owners.iter().any(|(of, blocks)| *of == owner && *blocks)
        });
        blocking.map(|(index, _)| *index).collect()
    }

    /// Members of circles, found the slow way: objects that can be reached from themselves by owners that wait.
    pub fn circular(&self) -> BTreeSet<usize> {
        let members = self.things.keys().filter(|start| {
            let mut reached = BTreeSet::new();
            let mut open = self.waits_for(**start);
            while let Some(next) = open.pop() {
                if self.things.get(&next).is_some_and(|thing| thing.deleting) && reached.insert(next) {
                    open.extend(self.waits_for(next));
                }
            }
            reached.contains(start)
        });
        members.copied().collect()
    }

    /// What the garbage collector does in the end, where nothing holds it up.
    pub fn collect(&mut self) {
        loop {
            let waiting: BTreeSet<usize> = self
                .things
                .keys()
                .copied()
                .filter(|index| !self.waits_for(*index).is_empty())
                .collect();
            let before = format!("{:?}", self.things);
            for (index, thing) in &mut self.things {
                if thing.deleting && !waiting.contains(index) {
                    thing.finalizers.retain(|name| *name != FOREGROUND && *name != "orphan");
                }
            }
            self.things
                .retain(|_, thing| !thing.deleting || !thing.finalizers.is_empty());
            if before == format!("{:?}", self.things) {
                return;
            }
        }
    }

    pub fn apply(&mut self, mend: &Mend) {
        let index = |key: &Key| key.name.trim_start_matches('o').parse::<usize>().unwrap();
        match mend {
            Mend::Unblock { key, owner, .. } => {
                let thing = self.things.get_mut(&index(key)).unwrap();
                let named = thing.owners.iter_mut().filter(|(of, _)| uid(*of) == *owner);
                named.for_each(|(_, blocks)| *blocks = false);
            }
            Mend::Strip { key, finalizer, .. } => {
                let thing = self.things.get_mut(&index(key)).unwrap();
                assert!(thing.deleting, "only what is being deleted is stripped");
                thing.finalizers.retain(|name| name != finalizer);
                self.things
                    .retain(|_, thing| !thing.deleting || !thing.finalizers.is_empty());
            }
            Mend::DeleteAgain { key, .. } => drop(self.things.remove(&index(key))),
            other => panic!("{other:?} for owners that wait for each other"),
        }
    }
}
