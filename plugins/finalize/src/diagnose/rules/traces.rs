//! Who may look after a finalizer of which nothing is known.
//!
//! Rights tell: the workload whose ServiceAccount may change the finalizers of the kind. What the object itself says (its
//! field managers, the name of the finalizer) can be written by everybody who may write the object, so that it is shown as a
//! hint: it brings nothing back, and it never makes a controller dead. Where it speaks of one that is alive, that is not taken
//! for a no: then the finalizer is only removed with `--even-if-alive`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;
use upkeep::{discovery::Kind, ui::human_duration};

use super::{
    super::{Life, SOMEBODY, desk::Desk},
    liveness::{Owner, actor, by_lease, decide, shown, start_by_hand, unread},
    rights::{self, Candidate, Width},
};
use crate::facts::{Ask, Key, Object, Said, Workload, is_built_in};

/// Who writes the status of an object did so within so many seconds, if they are alive.
const LATELY: i64 = 60;
/// How many workloads of a name are shown.
const SHOWN: usize = 3;
/// They write what a person has written down elsewhere: a template, a chart, a repository. What they add they leave alone.
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

/// The actor, with what brings it back. Nothing while it is not known.
pub fn of(desk: &Desk<'_>, kind: &Kind, object: &Object, finalizer: &str) -> Option<Owner> {
    let owner = by_right(desk, kind, object, finalizer)?;
    let hints = hints(desk, kind, object, finalizer)?;
    let Some(mut owner) = owner else {
        return Some(hints.into_owner());
    };
    owner.hints.extend(hints.lines);
    Some(owner)
}

/// Who has the right: to the kind, or to the group that the finalizer is named after. Nothing inside where nobody has.
fn by_right(desk: &Desk<'_>, kind: &Kind, object: &Object, finalizer: &str) -> Option<Option<Owner>> {
    let namespace = object.namespace.as_deref();
    // The kinds of Kubernetes itself are changed by many.
    let widths = [Width::Finalizers, Width::Named];
    for width in widths.iter().filter(|_| !is_built_in(&kind.group)) {
        match rights::candidates(desk, kind, namespace, width)? {
            Err(said) => return Some(Some(unread(SOMEBODY.into(), said))),
            Ok(found) if found.is_empty() => {}
            Ok(found) => return Some(Some(by_rights(kind, width, &found))),
        }
    }
    let Some(group) = group_in(desk, finalizer).filter(|group| *group != kind.group) else {
        return Some(None);
    };
    let width = Width::Group(group.clone());
    Some(match rights::candidates(desk, kind, namespace, &width)? {
        Err(said) => Some(unread(SOMEBODY.into(), said)),
        Ok(found) if found.is_empty() => None,
        Ok(found) => {
            let mut owner = by_rights(kind, &width, &found);
            // A name is too little to start anything for.
            owner.actor.workload = owner.actor.workload.filter(|_| owner.actor.life == Life::Alive);
            owner.remedies.clear();
            owner
                .hints
                .insert(0, format!("the name of the finalizer speaks of {group}"));
            Some(owner)
        }
    })
}

/// The workloads whose ServiceAccounts have the right.
pub fn by_rights(kind: &Kind, width: &Width, found: &[Candidate<'_>]) -> Owner {
    let right = match width {
        Width::Finalizers => format!("{}/finalizers", kind.plural),
        Width::Named | Width::Any => kind.resource(),
        Width::Group(group) => format!("finalizers of {group}"),
    };
    let ready = found.iter().find(|c| c.workload.ready > 0).or(found.first());
    let who = ready.map_or_else(String::new, |c| c.workload.object.name.clone());
    let mut owner = decide(who, found);
    owner.actor.evidence = match owner.actor.life {
        // The candidates are named below.
        Life::Unknown => {
            let each = if found.len() == 1 {
                "its ServiceAccount"
            } else {
                "their ServiceAccounts"
            };
            owner.hints.insert(0, format!("{each} may change {right}"));
            owner.actor.evidence
        }
        _ => format!("its ServiceAccount may change {right}; {}", owner.actor.evidence),
    };
    owner
}

/// What the object and the cluster say, which others can write.
#[derive(Default)]
struct Hints<'a> {
    lines: Vec<String>,
    /// Workloads with the name of a field manager.
    named: Vec<&'a Workload>,
    /// One of these names belongs to something that is alive.
    perhaps: bool,
    /// The object could not be read.
    unread: Option<&'a Said>,
}

impl Hints<'_> {
    fn into_owner(self) -> Owner {
        if let Some(said) = self.unread {
            return unread(SOMEBODY.into(), said);
        }
        let (life, evidence) = match (self.perhaps, self.named.len()) {
            (true, _) => (Life::Perhaps, String::new()),
            (false, 0) => (Life::Unknown, String::new()),
            (false, 1) => (Life::Unknown, "1 candidate, by its name alone".into()),
            (false, count) => (Life::Unknown, format!("{count} candidates")),
        };
        let stopped = self.named.iter().filter(|w| w.ready == 0 && !self.perhaps).take(SHOWN);
        Owner {
            remedies: stopped.map(|w| start_by_hand(w, "its controller")).collect(),
            hints: self.lines,
            actor: actor(SOMEBODY.into(), life, evidence),
        }
    }
}

/// What is written on the object and on its kind.
fn hints<'a>(desk: &Desk<'a>, kind: &Kind, object: &Object, finalizer: &str) -> Option<Hints<'a>> {
    let mut hints = Hints::default();
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    let raw = match desk.raw(&desk.sample(kind, finalizer, key))? {
        Ok(raw) => raw,
        Err(said) => {
            hints.unread = Some(said);
            return Some(hints);
        }
    };
    let meta: ObjectMeta = serde_json::from_value(raw["metadata"].clone()).unwrap_or_default();
    let entries = meta.managed_fields.unwrap_or_default();
    let mut managers = Vec::new();
    if let Some(entry) = entries.iter().find(|entry| has_set(entry, finalizer)) {
        let manager = entry.manager.clone().unwrap_or_default();
        let ago = ago(desk, entry).map(|(_, text)| text).unwrap_or_default();
        if manager.starts_with("kubectl") {
            hints.lines.push(format!(
                "hint: managedFields say that a person added it with {manager}{ago}"
            ));
        } else if DELIVER.contains(&manager.as_str()) {
            let text = format!("hint: managedFields say that {manager} added it{ago}, as it was told to");
            hints.lines.push(text);
        } else {
            hints
                .lines
                .push(format!("hint: managedFields say that {manager} added it{ago}"));
            managers.push(manager);
        }
    }
    if !is_built_in(&kind.group)
        && let Some(entry) = last_status(&entries)
        && let Some((seconds, ago)) = ago(desk, entry)
    {
        let manager = entry.manager.clone().unwrap_or_default();
        hints
            .lines
            .push(format!("hint: managedFields say that {manager} wrote its status{ago}"));
        hints.perhaps |= seconds < LATELY;
        if !managers.contains(&manager) {
            managers.push(manager);
        }
    }
    for manager in &managers {
        by_name(desk, kind, object, manager, &mut hints)?;
    }
    if !is_built_in(&kind.group) {
        hints
            .lines
            .extend(installed_by(desk, kind)?.map(|text| format!("hint: {text}")));
    }
    Some(hints)
}

/// Workloads and Leases that have the name of a field manager. One that may not change the object cannot be meant.
fn by_name<'a>(desk: &Desk<'a>, kind: &Kind, object: &Object, manager: &str, hints: &mut Hints<'a>) -> Option<()> {
    let Ok(workloads) = desk.workloads()? else {
        // Whether it is alive could not be looked at.
        hints.perhaps = true;
        return Some(());
    };
    let mut named: Vec<&Workload> = workloads.iter().filter(|w| w.object.name == manager).collect();
    let found_any = !named.is_empty();
    if found_any && let Ok(able) = rights::candidates(desk, kind, object.namespace.as_deref(), &Width::Any)? {
        let may = |w: &&Workload| able.iter().any(|c| std::ptr::eq(c.workload, *w));
        let unable: Vec<&Workload> = named.iter().copied().filter(|w| !may(w)).collect();
        hints.lines.extend(unable.iter().take(SHOWN).map(|w| {
            let what = kind.resource();
            format!(
                "hint: {} has that name, and its ServiceAccount may not change {what}",
                shown(w)
            )
        }));
        // It may have lost the right.
        hints.perhaps |= unable.iter().any(|w| w.ready > 0);
        named.retain(may);
    }
    for workload in named.iter().take(SHOWN) {
        hints.lines.push(format!("hint: {} has that name", shown(workload)));
    }
    hints.perhaps |= named.iter().any(|w| w.ready > 0);
    hints.named.extend(&named);
    let Ok(leases) = desk.metadata(&Ask::Leases)? else {
        return Some(());
    };
    let of_name = leases.iter().filter(|lease| lease.name == manager).take(SHOWN);
    let mut any = found_any;
    for lease in of_name {
        let (life, evidence) = by_lease(desk, lease.namespace.as_deref().unwrap_or_default(), &lease.name)?;
        hints.lines.push(format!("hint: {evidence}"));
        hints.perhaps |= life == Life::Alive;
        any = true;
    }
    if !any {
        let text = format!(
            "hint: no workload that may change {}, and no Lease, is called {manager}",
            kind.resource()
        );
        hints.lines.push(text);
    }
    Some(())
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
