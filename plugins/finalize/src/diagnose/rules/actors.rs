//! Who takes a finalizer off, and whether they live.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use upkeep::{discovery::Kind, ui::human_duration};
use wildmatch::WildMatch;

use super::{
    super::{Actor, Life, desk::Desk},
    liveness::{actor, alive, by_lease, nobody_known},
    owners::by_rights,
};
use crate::{
    facts::{Key, Object, Workload},
    knowledge::{Entry, Part},
    ladder::Remedy,
};

/// The actor, with what brings them back. Nothing while it is not known.
pub fn of(
    desk: &Desk<'_>,
    kind: &Kind,
    object: &Object,
    finalizer: &str,
    entry: Option<&Entry>,
) -> Option<(Actor, Vec<Remedy>)> {
    let Some(entry) = entry else {
        return by_trace(desk, kind, object, finalizer);
    };
    match entry.part_of {
        Some(Part::KubeControllerManager) => {
            let (life, evidence) = by_lease(desk, "kube-system", "kube-controller-manager")?;
            Some((
                actor(within(&entry.remover, "kube-controller-manager"), life, evidence),
                Vec::new(),
            ))
        }
        Some(Part::KubeApiserver) => {
            let evidence = "the API server answers".to_owned();
            Some((actor(entry.remover.clone(), Life::Alive, evidence), Vec::new()))
        }
        Some(Part::Outside) => {
            let evidence = "it runs outside of the cluster".to_owned();
            Some((actor(entry.remover.clone(), Life::Unknown, evidence), Vec::new()))
        }
        Some(Part::CloudControllerManager) => {
            let (life, evidence) = by_lease(desk, "kube-system", "cloud-controller-manager")?;
            Some((
                actor(within(&entry.remover, "cloud-controller-manager"), life, evidence),
                Vec::new(),
            ))
        }
        None => by_workload(desk, entry),
    }
}

/// A workload with one of the names that the remover usually has.
fn by_workload(desk: &Desk<'_>, entry: &Entry) -> Option<(Actor, Vec<Remedy>)> {
    let who = entry.remover.clone();
    if entry.workloads.is_empty() {
        return Some((actor(who, Life::Unknown, String::new()), Vec::new()));
    }
    let all = match desk.workloads()? {
        Ok(all) => all,
        Err(said) => return Some((actor(who, Life::Unknown, said.message.clone()), Vec::new())),
    };
    let named = |w: &&Workload| {
        entry
            .workloads
            .iter()
            .any(|name| WildMatch::new(name).matches(&w.object.name))
    };
    let at_home = |w: &Workload| {
        let namespace = w.object.namespace.as_deref().unwrap_or_default();
        entry.namespaces.iter().any(|n| n == namespace)
    };
    let mut found: Vec<&Workload> = all.iter().filter(named).collect();
    found.sort_by_key(|w| (w.ready == 0, !at_home(w)));
    let Some(workload) = found.first() else {
        let names = entry.workloads.join(", ");
        return Some((
            actor(who, Life::Dead, format!("no workload is called {names}")),
            Vec::new(),
        ));
    };
    Some(alive(who, workload))
}

fn within(remover: &str, program: &str) -> String {
    if remover.contains(program) {
        remover.to_owned()
    } else {
        format!("{remover} in {program}")
    }
}

/// Nobody has written down who takes it off: who has put it on?
fn by_trace(desk: &Desk<'_>, kind: &Kind, object: &Object, finalizer: &str) -> Option<(Actor, Vec<Remedy>)> {
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    let key = desk.sample(kind, finalizer, key);
    let raw = match desk.raw(&key)? {
        Ok(raw) => raw,
        Err(_) => return Some((nobody_known(), Vec::new())),
    };
    let meta: ObjectMeta = serde_json::from_value(raw.get("metadata")?.clone()).ok()?;
    let entries = meta.managed_fields.unwrap_or_default();
    let field = format!("v:\"{finalizer}\"");
    let put_on = entries.iter().find(|entry| {
        let fields = entry.fields_v1.as_ref().map(|f| &f.0);
        fields.is_some_and(|f| {
            f.pointer("/f:metadata/f:finalizers")
                .is_some_and(|f| f.get(&field).is_some())
        })
    });
    let Some(manager) = put_on.and_then(|entry| entry.manager.clone()) else {
        return by_rights(desk, kind).map(|found| found.unwrap_or_else(|| (nobody_known(), Vec::new())));
    };
    let at = put_on.and_then(|entry| entry.time.as_ref()).map(|t| t.0);
    let when = at.map(|at| format!(" {} ago", ago(desk, at))).unwrap_or_default();
    if manager.starts_with("kubectl") {
        let evidence = format!("a person put it on with {manager}{when}");
        let unknown = || {
            (
                actor("somebody unknown".into(), Life::Unknown, evidence.clone()),
                Vec::new(),
            )
        };
        let found = by_rights(desk, kind)?.map(|(mut actor, remedies)| {
            actor.evidence = format!("{evidence}; {}", actor.evidence);
            (actor, remedies)
        });
        return Some(found.unwrap_or_else(unknown));
    }
    let put_on = format!("{manager} put it on{when}");
    let workloads = match desk.workloads()? {
        Ok(workloads) => workloads,
        Err(_) => return Some((actor(manager, Life::Unknown, put_on), Vec::new())),
    };
    match workloads.iter().find(|w| w.object.name == manager) {
        Some(workload) => {
            let (mut found, remedies) = alive(manager, workload);
            found.evidence = format!("{put_on}; {}", found.evidence);
            Some((found, remedies))
        }
        None => Some(match by_rights(desk, kind)? {
            Some((mut found, remedies)) => {
                found.evidence = format!("{put_on}; {}", found.evidence);
                (found, remedies)
            }
            None => {
                let evidence = format!("{put_on}; no workload has that name");
                (actor(manager, Life::Unknown, evidence), Vec::new())
            }
        }),
    }
}

fn ago(desk: &Desk<'_>, at: Timestamp) -> String {
    let seconds = u64::try_from(desk.seconds_since(at)).unwrap_or(0);
    human_duration(std::time::Duration::from_secs(seconds))
}
