//! The last resort for a namespace whose content cannot all be listed, and never will be: it is taken out without that.
//!
//! It is only offered when everything that can be listed is gone: whatever were still there would be left behind too.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as core;

use upkeep::report::{Finding, ObjRef, Severity};

use super::{
    super::{Found, desk::Desk, rules::UNREADABLE},
    content::Content,
};
use crate::{
    facts::Ask,
    knowledge::Risk,
    ladder::{Mend, Remedy, Rung},
};

/// Adds it to the causes that keep things from being seen.
pub fn abandon(desk: &Desk<'_>, found: &mut Found, namespace: &core::Namespace, content: &Content<'_>) {
    let finalizers = namespace.spec.as_ref().and_then(|s| s.finalizers.as_ref());
    let held = finalizers.is_some_and(|all| all.iter().any(|f| f == "kubernetes"));
    let Some(unseen) = resources(desk, found) else { return };
    if !held || !content.objects.is_empty() || unseen.is_empty() {
        return;
    }
    let names: Vec<&str> = unseen.iter().map(String::as_str).collect();
    let names = names.join(",");
    let meta = &namespace.metadata;
    let remedy = Remedy {
        risk: Some(Risk::Orphans),
        ..Remedy::mend(
            Rung::Finalize,
            format!(
                "take the namespace out without what cannot be listed, which stays behind if there is any (--leave-behind={names})"
            ),
            Mend::Abandon {
                namespace: meta.name.clone().unwrap_or_default(),
                uid: meta.uid.clone().unwrap_or_default(),
                unseen: unseen.iter().cloned().collect(),
            },
        )
    };
    let blind = |id: &str| matches!(id, "apiservice-down" | "conversion-down" | "version-gone" | UNREADABLE);
    for cause in found.causes.values_mut().filter(|cause| blind(cause.key.id)) {
        cause.remedies.push(remedy.clone());
    }
}

/// What was named with `--leave-behind` and is not left behind: it can be listed, or there is no such thing.
pub fn left_behind(desk: &Desk<'_>, found: &mut Found) {
    let target = desk.target();
    let is_namespace = target.group.is_empty() && target.plural == "namespaces";
    if desk.leave_behind().is_empty() {
        return;
    }
    let Some(unseen) = resources(desk, found) else { return };
    // Without these lists nobody knows what there may be.
    let complete = [
        ("apiregistration.k8s.io", "apiservices"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
    ];
    if is_namespace
        && complete
            .iter()
            .any(|(group, plural)| matches!(desk.metadata(&all(group, plural)), Some(Err(_))))
    {
        return;
    }
    let group = |resource: &str| resource.split_once('.').map(|(_, group)| group.to_owned());
    let fits = |named: &str| {
        let mut unseen = unseen.iter();
        unseen.any(|u| u == named || group(u).as_deref() == Some(named) || group(named).as_deref() == Some(u.as_str()))
    };
    let names: Vec<&str> = unseen.iter().map(String::as_str).collect();
    for named in desk.leave_behind().iter().filter(|named| !is_namespace || !fits(named)) {
        let discovery = desk.discovery();
        let served = discovery
            .kinds
            .iter()
            .any(|kind| kind.resource() == *named || kind.group == *named);
        let why = match (is_namespace, served) {
            (false, _) => "only a namespace leaves something behind",
            (true, true) => "it can be listed",
            (true, false) => "there is no such resource or group",
        };
        found.notes.push(Finding {
            id: "leave-behind-unused",
            severity: Severity::Refusal,
            subjects: vec![ObjRef::cluster("namespace", &target.name, "")],
            evidence: format!("--leave-behind={named} has no effect: {why}"),
            hint: Some(match names.as_slice() {
                _ if !is_namespace => "leave the flag out".into(),
                [] => "everything can be listed: leave the flag out".into(),
                names => format!("what cannot be listed: {}", names.join(", ")),
            }),
        });
    }
}

/// The metadata of all objects of a kind of the cluster.
fn all(group: &str, plural: &str) -> Ask {
    Ask::Metadata {
        group: group.into(),
        plural: plural.into(),
        version: None,
        namespace: None,
    }
}

/// What may hold more than was seen: versions that do not answer, kinds that cannot be listed, and what is registered but not
/// served at all. Nothing while that is not known.
fn resources(desk: &Desk<'_>, found: &Found) -> Option<BTreeSet<String>> {
    let mut unseen = found.unseen.clone();
    let discovery = desk.discovery();
    unseen.extend(discovery.dark.iter().map(|dark| dark.group.clone()));
    let registered = all("apiregistration.k8s.io", "apiservices");
    let definitions = all("apiextensions.k8s.io", "customresourcedefinitions");
    let (registered, definitions) = (desk.metadata(&registered), desk.metadata(&definitions));
    match (registered?, definitions?) {
        (Ok(registered), Ok(definitions)) => {
            for service in registered {
                let (_, group) = service.name.split_once('.').unwrap_or_default();
                let known = discovery.kinds.iter().any(|k| k.group == group);
                if !group.is_empty() && !known {
                    unseen.insert(group.to_owned());
                }
            }
            for definition in definitions {
                let (plural, group) = definition.name.split_once('.').unwrap_or_default();
                if discovery.versions(group, plural).next().is_none() {
                    unseen.insert(definition.name.clone());
                }
            }
        }
        // Without these lists nobody knows what there may be.
        _ => return Some(BTreeSet::new()),
    }
    Some(unseen)
}
