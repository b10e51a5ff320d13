//! The last resort for a namespace whose content cannot all be listed, and never will be: it is taken out without that.
//!
//! It is only offered when everything that can be listed is gone: whatever were still there would be left behind too.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as core;

use super::{
    super::{Found, desk::Desk},
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
    let blind = |id: &str| matches!(id, "apiservice-down" | "conversion-down" | "version-gone");
    for cause in found.causes.values_mut().filter(|cause| blind(cause.key.id)) {
        cause.remedies.push(remedy.clone());
    }
}

/// What may hold more than was seen: versions that do not answer, kinds that cannot be listed, and what is registered but not
/// served at all. Nothing while that is not known.
fn resources(desk: &Desk<'_>, found: &Found) -> Option<BTreeSet<String>> {
    let mut unseen = found.unseen.clone();
    let discovery = desk.discovery();
    unseen.extend(discovery.dark.iter().map(|dark| dark.group.clone()));
    let registered = Ask::Metadata {
        group: "apiregistration.k8s.io".into(),
        plural: "apiservices".into(),
        version: None,
        namespace: None,
    };
    let definitions = Ask::Metadata {
        group: "apiextensions.k8s.io".into(),
        plural: "customresourcedefinitions".into(),
        version: None,
        namespace: None,
    };
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
