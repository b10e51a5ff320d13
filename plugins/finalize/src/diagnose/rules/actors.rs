//! Who takes a finalizer off, and whether they live.

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use upkeep::{discovery::Kind, ui::human_duration};
use wildmatch::WildMatch;

use super::{
    super::{Actor, Life, desk::Desk},
    finalizers::nobody_known,
    owners::by_rights,
};
use crate::{
    facts::{Key, Object, Workload},
    knowledge::{Entry, Part},
    ladder::{Mend, Remedy, Rung},
};

/// A Lease that is older than so many times its duration is given up.
const GIVEN_UP: i64 = 3;
/// Seconds, where a Lease does not say.
const DURATION: i64 = 15;

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
                actor(format!("{} in kube-controller-manager", entry.remover), life, evidence),
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
                actor(format!("{} in cloud-controller-manager", entry.remover), life, evidence),
                Vec::new(),
            ))
        }
        None => by_workload(desk, entry),
    }
}

fn actor(who: String, life: Life, evidence: String) -> Actor {
    Actor { who, life, evidence }
}

/// Whether somebody renews a Lease.
pub fn by_lease(desk: &Desk<'_>, namespace: &str, name: &str) -> Option<(Life, String)> {
    let key = Key::within("coordination.k8s.io", "leases", namespace, name);
    let lease = match desk.typed::<Lease>(&key)? {
        Ok(lease) => lease,
        Err(said) if said.is_missing() => {
            // It may run without leader election.
            return Some((Life::Unknown, format!("there is no Lease {namespace}/{name}")));
        }
        Err(said) => return Some((Life::Unknown, said.message.clone())),
    };
    let spec = lease.spec.unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    let Some(renewed) = spec.renew_time.map(|t| t.0) else {
        return Some((Life::Dead, format!("nobody holds the Lease {namespace}/{name}")));
    };
    let age = desk.seconds_since(renewed);
    let duration = i64::from(spec.lease_duration_seconds.unwrap_or(0)).max(DURATION);
    let ago = human_duration(std::time::Duration::from_secs(u64::try_from(age).unwrap_or(0)));
    let life = if age > duration * GIVEN_UP || holder.is_empty() {
        Life::Dead
    } else {
        Life::Alive
    };
    Some((life, format!("the Lease {namespace}/{name} was renewed {ago} ago")))
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

/// What the counts of a workload tell.
pub fn alive(who: String, workload: &Workload) -> (Actor, Vec<Remedy>) {
    let one = workload.plural.trim_end_matches('s');
    let namespace = workload.object.namespace.clone().unwrap_or_default();
    let name = &workload.object.name;
    let evidence = match (workload.wanted, workload.ready) {
        (0, _) => format!("{one} {namespace}/{name} is scaled to 0"),
        (wanted, ready) => format!("{ready} of {wanted} pods of {one} {namespace}/{name} are Ready"),
    };
    let mut remedies = Vec::new();
    if workload.wanted == 0 && workload.plural != "daemonsets" {
        let mend = Mend::ScaleUp {
            key: Key::within("apps", workload.plural, &namespace, name),
            replicas: 1,
        };
        remedies.push(Remedy::mend(
            Rung::Repair,
            format!("scale {one} {namespace}/{name} to 1"),
            mend,
        ));
    } else if workload.ready == 0 {
        let text = format!("find out why the pods of {one} {namespace}/{name} are not Ready");
        remedies.push(Remedy::by_hand(Rung::Repair, text));
    }
    let life = if workload.ready > 0 { Life::Alive } else { Life::Dead };
    (actor(who, life, evidence), remedies)
}

/// Nobody has written down who takes it off: who has put it on?
fn by_trace(desk: &Desk<'_>, kind: &Kind, object: &Object, finalizer: &str) -> Option<(Actor, Vec<Remedy>)> {
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
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
