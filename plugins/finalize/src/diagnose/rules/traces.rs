//! Who may look after a finalizer of which nothing is known: what the object, its kind and the name of the finalizer tell.
//!
//! The first trace that leads to a workload or to a Lease is followed; those before it stay as evidence.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;
use upkeep::{discovery::Kind, ui::human_duration};

use super::{
    super::{Actor, Life, SOMEBODY, desk::Desk},
    liveness::{actor, alive, by_lease, nobody_known, unread},
    owners::{Resources, by_rights},
};
use crate::{
    facts::{Ask, Key, Object, is_built_in},
    ladder::Remedy,
};

/// Who writes the status of an object did so within so many seconds, if they live.
const LATELY: i64 = 60;
/// They write what somebody has written down elsewhere: a template, a chart, a repository. What they put on they leave alone.
const DELIVER: [&str; 8] = [
    "kube-controller-manager",
    "helm",
    "helm-controller",
    "kustomize-controller",
    "argocd-controller",
    "argocd-application-controller",
    "Terraform",
    "pulumi-kubernetes",
];

type Found = (Actor, Vec<Remedy>);

/// The actor, with what brings them back. Nothing while it is not known.
pub fn of(desk: &Desk<'_>, kind: &Kind, object: &Object, finalizer: &str) -> Option<Found> {
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    let raw = match desk.raw(&desk.sample(kind, finalizer, key))? {
        Ok(raw) => raw,
        Err(said) => return Some(unread(SOMEBODY.into(), said)),
    };
    let meta: ObjectMeta = serde_json::from_value(raw.get("metadata")?.clone()).ok()?;
    let entries = meta.managed_fields.unwrap_or_default();
    let mut traces = Vec::new();
    let mut unknown = nobody_known();
    if let Some(entry) = entries.iter().find(|entry| has_set(entry, finalizer)) {
        let manager = entry.manager.clone().unwrap_or_default();
        let ago = ago(desk, entry).map(|(_, text)| text).unwrap_or_default();
        if manager.starts_with("kubectl") {
            traces.push(format!("a person put it on with {manager}{ago}"));
        } else if DELIVER.contains(&manager.as_str()) {
            traces.push(format!("{manager} put it on{ago}, as it was told to"));
        } else {
            traces.push(format!("{manager} put it on{ago}"));
            if let Some(found) = by_name(desk, &manager)? {
                return Some(with(traces, found));
            }
            traces.push("no workload and no Lease has that name".into());
            unknown.0.who = manager;
        }
    }
    if !is_built_in(&kind.group)
        && let Some(entry) = last_status(&entries)
    {
        let manager = entry.manager.clone().unwrap_or_default();
        if let Some((seconds, ago)) = ago(desk, entry) {
            traces.push(format!("{manager} wrote its status{ago}"));
            if seconds < LATELY {
                return Some(with(traces, (actor(manager, Life::Alive, String::new()), Vec::new())));
            }
        }
        if let Some(found) = by_name(desk, &manager)? {
            return Some(with(traces, found));
        }
    }
    let of_kind = Resources {
        group: &kind.group,
        plural: Some(&kind.plural),
        also: None,
    };
    if !is_built_in(of_kind.group)
        && let Some(found) = by_rights(desk, of_kind)?
    {
        return Some(with(traces, found));
    }
    let named = group_in(desk, finalizer).filter(|group| *group != kind.group);
    if let Some(group) = &named
        && let Some((mut actor, _)) = by_rights(
            desk,
            Resources {
                group,
                plural: None,
                also: Some(kind),
            },
        )?
    {
        // A name is too little to start anything for.
        traces.push(format!("the name of the finalizer speaks of {group}"));
        actor.workload = None;
        return Some(with(traces, (actor, Vec::new())));
    }
    if !is_built_in(&kind.group) {
        traces.extend(installed_by(desk, kind)?);
    }
    Some(with(traces, unknown))
}

/// The traces stand before what was found by them.
fn with(mut traces: Vec<String>, (mut actor, remedies): Found) -> Found {
    if !actor.evidence.is_empty() {
        traces.push(actor.evidence);
    }
    actor.evidence = traces.join("; ");
    (actor, remedies)
}

fn has_set(entry: &ManagedFieldsEntry, finalizer: &str) -> bool {
    let fields = entry.fields_v1.as_ref().map(|f| &f.0);
    let finalizers = fields.and_then(|f| f.pointer("/f:metadata/f:finalizers"));
    finalizers.is_some_and(|f| f.get(format!("v:\"{finalizer}\"")).is_some())
}

/// The last to write the status that is no person.
fn last_status(entries: &[ManagedFieldsEntry]) -> Option<&ManagedFieldsEntry> {
    let of_status = entries.iter().filter(|entry| {
        let is_program = entry.manager.as_deref().is_some_and(|m| !m.starts_with("kubectl"));
        entry.subresource.as_deref() == Some("status") && is_program
    });
    of_status.max_by_key(|entry| entry.time.as_ref().map(|t| t.0))
}

fn ago(desk: &Desk<'_>, entry: &ManagedFieldsEntry) -> Option<(i64, String)> {
    let seconds = desk.seconds_since(entry.time.as_ref()?.0).max(0);
    let duration = std::time::Duration::from_secs(seconds.unsigned_abs());
    Some((seconds, format!(" {} ago", human_duration(duration))))
}

/// A workload, or the Lease of one, that has the name of a field manager.
fn by_name(desk: &Desk<'_>, manager: &str) -> Option<Option<Found>> {
    let workloads = match desk.workloads()? {
        Ok(workloads) => workloads,
        Err(said) => return Some(Some(unread(manager.to_owned(), said))),
    };
    if let Some(workload) = workloads.iter().find(|w| w.object.name == manager) {
        return Some(Some(alive(manager.to_owned(), workload)));
    }
    let leases = match desk.metadata(&Ask::Leases)? {
        Ok(leases) => leases,
        Err(said) => return Some(Some(unread(manager.to_owned(), said))),
    };
    let Some(lease) = leases.iter().find(|lease| lease.name == manager) else {
        return Some(None);
    };
    let (life, evidence) = by_lease(desk, lease.namespace.as_deref().unwrap_or_default(), &lease.name)?;
    Some(Some((actor(manager.to_owned(), life, evidence), Vec::new())))
}

/// The group that a finalizer's name speaks of: `GROUP/x`, `finalizer.GROUP`, `x.finalizers.GROUP`, `PLURAL.GROUP`.
fn group_in(desk: &Desk<'_>, finalizer: &str) -> Option<String> {
    let domain = finalizer.split('/').next().unwrap_or_default();
    let labels: Vec<&str> = domain.split('.').collect();
    let mut groups = (0..labels.len().saturating_sub(1)).map(|from| labels.get(from..).unwrap_or_default().join("."));
    groups.find(|group| !is_built_in(group) && desk.discovery().preferred().any(|kind| kind.group == *group))
}

/// What has brought the kind into the cluster, and whether anything runs where that lies.
fn installed_by(desk: &Desk<'_>, kind: &Kind) -> Option<Option<String>> {
    let definition = Key::cluster("apiextensions.k8s.io", "customresourcedefinitions", &kind.resource());
    let Ok(definition) = desk.raw(&definition)? else {
        return Some(None);
    };
    let Some((installer, namespace)) = installer(&definition["metadata"]) else {
        return Some(None);
    };
    let Ok(workloads) = desk.workloads()? else {
        return Some(Some(format!("its kind was installed by {installer}")));
    };
    let count = workloads
        .iter()
        .filter(|w| w.object.namespace.as_deref() == Some(&namespace))
        .count();
    let runs = match count {
        0 => format!("nothing runs in {namespace}"),
        1 => format!("1 workload runs in {namespace}"),
        _ => format!("{count} workloads run in {namespace}"),
    };
    Some(Some(format!("its kind was installed by {installer}, and {runs}")))
}

/// What Helm and the Operator Lifecycle Manager write on what they install, with the namespace of that.
fn installer(meta: &Value) -> Option<(String, String)> {
    let annotations = &meta["annotations"];
    let of_helm = annotations["meta.helm.sh/release-name"].as_str();
    if let Some((name, namespace)) = of_helm.zip(annotations["meta.helm.sh/release-namespace"].as_str()) {
        return Some((format!("the Helm release {namespace}/{name}"), namespace.to_owned()));
    }
    let mut labels = meta["labels"].as_object()?.keys();
    let of_olm = labels.find_map(|label| label.strip_prefix("operators.coreos.com/"))?;
    // A package may have dots in its name, a namespace has none.
    let (package, namespace) = of_olm.rsplit_once('.')?;
    Some((format!("the OLM package {package}"), namespace.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_helm_and_olm_write_on_a_definition() {
        let helm =
            json!({"annotations": {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "ops"}});
        let olm = json!({"labels": {"a": "b", "operators.coreos.com/shop.v2.ops": ""}});
        let ops = "ops".to_owned();
        assert_eq!(
            installer(&helm),
            Some(("the Helm release ops/shop".into(), ops.clone()))
        );
        assert_eq!(installer(&olm), Some(("the OLM package shop.v2".into(), ops)));
        assert_eq!(installer(&json!({"labels": {"a": "b"}})), None);
    }
}
