//! Who works in the cluster, and who of them is alive: what the knowledge base names, and who has rights.

use std::{cell::RefCell, collections::HashMap, sync::LazyLock};

use serde_json::{Value, json};

use super::world::{GROUP, KINDS, Thing, World};
use crate::{
    facts::{Object, Workload},
    knowledge::{Entry, Knowledge, Part},
};

/// What comes with the plugin.
pub static KNOWLEDGE: LazyLock<Knowledge> = LazyLock::new(|| Knowledge::built_in().unwrap());

thread_local! {
    /// What was looked up before: it is asked again and again.
    static ENTRIES: RefCell<HashMap<(String, usize), Option<&'static Entry>>> = RefCell::default();
}

/// What is known about a finalizer of an object.
fn entry(finalizer: &str, kind: usize) -> Option<&'static Entry> {
    let key = (finalizer.to_owned(), kind);
    ENTRIES.with_borrow_mut(|known| *known.entry(key).or_insert_with(|| look_up(finalizer, kind)))
}

fn look_up(finalizer: &str, kind: usize) -> Option<&'static Entry> {
    let (group, name, plural, namespaced, _) = KINDS[kind];
    let kind = upkeep::discovery::Kind {
        group: group.into(),
        kind: name.into(),
        plural: plural.into(),
        namespaced,
        ..Default::default()
    };
    KNOWLEDGE.of_kind(finalizer, &kind)
}

/// The first workload that an entry names, where it usually is.
fn at_home(entry: &Entry) -> Option<(String, String)> {
    let name = entry.workloads.first()?.replace('*', "");
    Some((entry.namespaces.first()?.clone(), name))
}

/// All workloads of the cluster.
pub fn workloads(world: &World) -> Vec<Workload> {
    let mut all: Vec<Workload> = world
        .operator
        .iter()
        .map(|ready| workload("ops", "operator", *ready))
        .collect();
    for thing in world.things.values() {
        let entries = thing
            .finalizers
            .iter()
            .filter_map(|finalizer| entry(finalizer, thing.kind));
        for (namespace, name) in entries.filter_map(at_home) {
            all.extend(world.known.map(|ready| workload(&namespace, &name, ready)));
        }
    }
    all
}

/// The operator may change orders and their finalizers.
pub fn rbac(plural: &str) -> Vec<Value> {
    let rule = json!({"apiGroups": [GROUP], "resources": ["orders", "orders/finalizers"], "verbs": ["*"]});
    match plural {
        "clusterroles" => vec![json!({"metadata": {"name": "operator"}, "rules": [rule]})],
        _ => vec![
            json!({"metadata": {"name": "operator"}, "subjects": [{"kind": "ServiceAccount", "namespace": "ops",
            "name": "operator"}], "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "operator"}}),
        ],
    }
}

/// Whether the one who removes a finalizer is alive for certain.
pub fn is_alive(world: &World, thing: &Thing, finalizer: &str) -> bool {
    let operator = KINDS[thing.kind].2 == "orders" && world.operator.is_some_and(|ready| ready > 0);
    let Some(entry) = entry(finalizer, thing.kind) else {
        return operator;
    };
    match entry.part_of {
        Some(Part::KubeControllerManager) => world.managers.0 == Some(true),
        Some(Part::CloudControllerManager) => world.managers.1 == Some(true),
        Some(Part::KubeApiserver) => true,
        Some(Part::Outside) => false,
        None if entry.workloads.is_empty() => operator,
        None => at_home(entry).is_some() && world.known.is_some_and(|ready| ready > 0),
    }
}

/// One workload.
fn workload(namespace: &str, name: &str, ready: i32) -> Workload {
    Workload {
        plural: "deployments",
        object: Object {
            namespace: Some(namespace.into()),
            name: name.into(),
            ..Object::default()
        },
        wanted: ready,
        ready,
        service_account: name.into(),
    }
}
