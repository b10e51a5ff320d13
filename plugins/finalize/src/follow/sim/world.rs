//! A random cluster: what is in it, who works in it, and what a person has allowed.

use std::collections::BTreeMap;

use super::gates::Gate;
use crate::{facts::Key, ladder::Rung};

/// The namespace that everything is about.
pub const SPACE: &str = "shop";

/// Group, kind, plural, whether it has a namespace, whether it has a status.
pub const KINDS: [(&str, &str, &str, bool, bool); 7] = [
    ("", "ConfigMap", "configmaps", true, false),
    ("", "Service", "services", true, true),
    ("networking.k8s.io", "Ingress", "ingresses", true, true),
    (GROUP, "Order", "orders", true, true),
    (GROUP, "Depot", "depots", false, false),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims", true, true),
    ("", "Pod", "pods", true, true),
];
/// The group of the custom resources.
pub const GROUP: &str = "shop.example.com";
/// The index of Services among the kinds, that of orders, of claims for volumes, and of pods.
pub const SERVICES: usize = 1;
pub const ORDERS: usize = 3;
pub const CLAIMS: usize = 5;
pub const PODS: usize = 6;
/// The definition of orders.
pub const DEFINITION: &str = "orders.shop.example.com";

/// One object.
#[derive(Debug, Clone)]
pub struct Thing {
    pub kind: usize,
    /// How many seconds ago it was asked to go; nothing where nobody has.
    pub deleted: Option<i64>,
    pub finalizers: Vec<String>,
    /// It has the label that some selectors want.
    pub labelled: bool,
    /// What the server has against every change of it.
    pub invalid: Option<&'static str>,
    /// What it says itself: a manager of its fields, an annotation, conditions.
    pub words: usize,
}

/// How orders are stored and served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orders {
    Readable,
    /// In a version that the definition has no longer.
    VersionGone,
    /// A conversion that nobody answers for; whether a pod behind its Service is Ready.
    Down(bool),
    /// A conversion that answers, and does not convert.
    Refused,
    /// What is stored is damaged.
    Damaged,
    /// This user may not list them.
    Forbidden,
    /// The definition is there, and the server does not serve it.
    Unserved,
}

/// An aggregated API that does not answer.
#[derive(Debug, Clone, Copy)]
pub struct Dark {
    /// Its APIService is there.
    pub registered: bool,
    /// What answers for it is in the namespace that goes.
    pub inside: bool,
    pub ready: bool,
}

/// What the namespace says of itself.
#[derive(Debug, Clone)]
pub struct Space {
    pub deleted: Option<i64>,
    pub spec: Vec<&'static str>,
    pub finalizers: Vec<String>,
    pub condition: Option<(&'static str, String)>,
}

/// What was allowed on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Flags {
    pub rung: Option<Rung>,
    pub even_if_alive: bool,
    pub leave_behind: bool,
    pub powered_off: bool,
    pub dry_run: &'static str,
    /// The run makes the changes of a plan that was written with all force.
    pub planned: bool,
    /// Somebody sits at a terminal, and says yes to this many questions.
    pub terminal: Option<usize>,
}

/// What comes in place of the server's own answer to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    None,
    /// The dry run is denied.
    DeniedDry(usize),
    /// The dry run was taken, and the change itself is denied.
    DeniedReal(usize),
    /// It fails otherwise.
    Fails(u16),
}

/// A cluster and a run.
#[derive(Debug, Clone)]
pub struct World {
    pub things: BTreeMap<usize, Thing>,
    pub gates: Vec<Gate>,
    pub space: Option<Space>,
    /// The target is the namespace, or the first object.
    pub whole: bool,
    pub orders: Orders,
    pub dark: Option<Dark>,
    /// Whether kube-controller-manager and cloud-controller-manager renew their Leases; nothing where there is none.
    pub managers: (Option<bool>, Option<bool>),
    /// Pods Ready of the controller with the right to change orders; nothing where there is none.
    pub operator: Option<i32>,
    /// The controllers that the knowledge base names at home, in this state; nothing where there are none.
    pub known: Option<i32>,
    /// Of so many questions one is not answered as it should be.
    pub noise: Option<u64>,
    /// Rights that this user lacks, by the remainder of a hash.
    pub lacks: Option<u64>,
    pub match_conditions: bool,
    /// Who keeps webhooks as they are undoes what a run has changed.
    pub written_back: bool,
    pub twists: Vec<Twist>,
    pub flags: Flags,
}

impl Thing {
    pub fn key(&self, index: usize) -> Key {
        let (group, _, plural, namespaced, _) = KINDS[self.kind];
        match namespaced {
            true => Key::within(group, plural, SPACE, &format!("o{index}")),
            false => Key::cluster(group, plural, &format!("o{index}")),
        }
    }
}

impl World {
    pub fn target(&self) -> Key {
        match self.things.get(&0).filter(|_| !self.whole) {
            Some(thing) => thing.key(0),
            None => Key::cluster("", "namespaces", SPACE),
        }
    }

    /// The object with this key.
    pub fn find(&self, key: &Key) -> Option<(usize, &Thing)> {
        let found = self.things.iter().find(|(index, thing)| thing.key(**index) == *key);
        found.map(|(index, thing)| (*index, thing))
    }
}
