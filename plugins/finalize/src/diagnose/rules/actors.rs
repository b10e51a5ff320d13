//! Who takes a finalizer off, and whether they live.

use upkeep::discovery::Kind;
use wildmatch::WildMatch;

use super::{
    super::{Actor, Life, desk::Desk},
    liveness::{actor, alive, by_lease, unread},
    traces,
};
use crate::{
    facts::{Object, Workload},
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
        return traces::of(desk, kind, object, finalizer);
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
        Err(said) => return Some(unread(who, said)),
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
