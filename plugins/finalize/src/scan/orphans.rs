//! Namespaces that would be removed without their content, and objects whose namespace was.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
    ui::{command, plural},
};

use crate::{
    diagnose::Desk,
    facts::{Ask, Key, Object},
};

/// Namespaces whose `spec.finalizers` is empty although nobody deletes them.
pub fn disarmed(desk: &Desk<'_>) -> Vec<Finding> {
    let namespaces = namespaces(desk).unwrap_or_default();
    let disarmed = namespaces.into_iter().filter(|namespace| {
        let finalizers = namespace.spec.as_ref().and_then(|s| s.finalizers.as_ref());
        namespace.metadata.deletion_timestamp.is_none() && finalizers.is_none_or(Vec::is_empty)
    });
    disarmed
        .map(|namespace| {
            let name = namespace.metadata.name.unwrap_or_default();
            Finding {
                id: "disarmed",
                severity: Severity::Warning,
                subjects: vec![ObjRef::cluster("namespace", &name, &namespace.metadata.uid.unwrap_or_default())],
                evidence: format!(
                    "namespace/{name} has no finalizer: a deletion would leave everything in it behind, without a namespace"
                ),
                hint: Some("delete its content before the namespace".into()),
            }
        })
        .collect()
}

/// Objects by the namespace that does not exist.
pub type Groups = BTreeMap<String, Vec<(Key, ObjRef)>>;

/// Objects in namespaces that do not exist.
pub fn groups(desk: &Desk<'_>, objects: &[(&Kind, &Object)]) -> Groups {
    let mut groups = Groups::new();
    let Some(namespaces) = namespaces(desk) else {
        return groups;
    };
    let names: BTreeSet<String> = namespaces.into_iter().filter_map(|n| n.metadata.name).collect();
    for (kind, object) in objects {
        let namespace = object.namespace.as_deref().filter(|n| !names.contains(*n));
        if let Some(namespace) = namespace {
            let key = Key::new(kind, Some(namespace), &object.name);
            groups
                .entry(namespace.to_owned())
                .or_default()
                .push((key, desk.reference(kind, object)));
        }
    }
    // Events only tell of the others.
    for objects in groups.values_mut() {
        objects.sort_by_key(|(key, _)| (key.plural == "events", key.group.is_empty()));
    }
    // What went with its namespace meanwhile is no orphan.
    groups.retain(|_, objects| {
        objects
            .first()
            .is_some_and(|(key, _)| matches!(desk.raw(key), Some(Ok(_))))
    });
    groups
}

/// The same as findings.
pub fn findings(groups: Groups) -> Vec<Finding> {
    let findings = groups.into_iter().map(|(namespace, objects)| {
        let hint = format!(
            "'{}' deletes them",
            command("kubectl finalize orphans", [namespace.as_str(), "--clean"])
        );
        finding(
            &namespace,
            objects.into_iter().map(|(_, reference)| reference).collect(),
            hint,
        )
    });
    findings.collect()
}

/// What is in a namespace that does not exist.
pub fn finding(namespace: &str, subjects: Vec<ObjRef>, hint: String) -> Finding {
    Finding {
        id: "orphans",
        severity: Severity::Warning,
        evidence: format!(
            "{} in the namespace {namespace}, which does not exist",
            plural(subjects.len(), "object")
        ),
        subjects,
        hint: Some(hint),
    }
}

/// Asked for after everything else was listed: what is new by then has its namespace.
fn namespaces(desk: &Desk<'_>) -> Option<Vec<core::Namespace>> {
    desk.all::<core::Namespace>(&Ask::list("", "namespaces", None))?.ok()
}
