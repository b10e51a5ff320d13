//! Who removes a finalizer, and whether they are alive.
//!
//! What decides are rights and the knowledge base, which no tenant can write. Names that a tenant can choose (field managers,
//! Leases, labels, owner references) are shown as hints.

use upkeep::discovery::Kind;
use wildmatch::WildMatch;

use super::{
    super::{Actor, Life, desk::Desk},
    account,
    liveness::{Owner, actor, by_lease, decide, shown, unread},
    rights::{self, Candidate, Width},
    traces,
};
use crate::{
    facts::{Object, Workload, is_built_in},
    knowledge::{Entry, Part},
    ladder::{Mend, Remedy},
};

/// The actor, with what brings it back. Nothing while it is not known.
///
/// A tenant chooses the name of a finalizer. It starts no workload that could not remove it anyway.
pub fn of(desk: &Desk<'_>, kind: &Kind, object: &Object, finalizer: &str, entry: Option<&Entry>) -> Option<Owner> {
    let mut owner = found(desk, kind, object, finalizer, entry)?;
    let starts = |remedy: &Remedy| matches!(remedy.mend, Some(Mend::ScaleUp { .. }));
    if owner.remedies.iter().any(starts) && account::lacks(desk, kind, object, &owner.actor, entry)?.is_some() {
        owner.remedies.retain(|remedy| !starts(remedy));
    }
    Some(owner)
}

fn found(desk: &Desk<'_>, kind: &Kind, object: &Object, finalizer: &str, entry: Option<&Entry>) -> Option<Owner> {
    let Some(entry) = entry else {
        return traces::of(desk, kind, object, finalizer);
    };
    let who = || entry.remover.clone();
    Some(match entry.part_of {
        Some(Part::KubeControllerManager) => {
            let (life, evidence) = by_lease(desk, "kube-system", "kube-controller-manager")?;
            actor(within(&entry.remover, "kube-controller-manager"), life, evidence).into()
        }
        Some(Part::KubeApiserver) => {
            let evidence = "the API server answers".to_owned();
            actor(who(), Life::Alive, evidence).into()
        }
        Some(Part::Outside) => {
            let evidence = "it runs outside of the cluster".to_owned();
            actor(who(), Life::Unknown, evidence).into()
        }
        Some(Part::CloudControllerManager) => {
            let (life, evidence) = by_lease(desk, "kube-system", "cloud-controller-manager")?;
            actor(within(&entry.remover, "cloud-controller-manager"), life, evidence).into()
        }
        None if entry.workloads.is_empty() => {
            let mut owner = traces::of(desk, kind, object, finalizer)?;
            owner.actor.named(who());
            owner
        }
        None => by_workload(desk, kind, object, entry)?,
    })
}

/// A workload with one of the names that the remover usually has: in one of its own namespaces, or with the right to change
/// the object. Another of that name is only shown.
fn by_workload(desk: &Desk<'_>, kind: &Kind, object: &Object, entry: &Entry) -> Option<Owner> {
    let who = entry.remover.clone();
    let all = match desk.workloads()? {
        Ok(all) => all,
        Err(said) => return Some(unread(who, said)),
    };
    let is_named = |w: &&Workload| {
        let mut names = entry.workloads.iter();
        names.any(|name| WildMatch::new(name).matches(&w.object.name))
    };
    let at_home = |w: &&Workload| {
        let namespace = w.object.namespace.as_deref().unwrap_or_default();
        entry.namespaces.iter().any(|n| n == namespace)
    };
    let (home, elsewhere): (Vec<&Workload>, Vec<&Workload>) = all.iter().filter(is_named).partition(at_home);
    let trusted = |workload| Candidate {
        workload,
        trusted: true,
    };
    let mut ours: Vec<Candidate<'_>> = home.into_iter().map(trusted).collect();
    if ours.iter().any(|c| c.workload.ready > 0) || (elsewhere.is_empty() && !ours.is_empty()) {
        return Some(decided(who, entry, &ours));
    }
    let namespace = object.namespace.as_deref();
    if elsewhere.is_empty() {
        return no_such_workload(desk, kind, namespace, entry);
    }
    // It may be installed anywhere.
    let allowed = match rights::candidates(desk, kind, namespace, &Width::Any)? {
        Ok(allowed) => allowed,
        Err(said) => return Some(unread(who, said)),
    };
    let (able, others): (Vec<&Workload>, Vec<&Workload>) = elsewhere
        .into_iter()
        .partition(|w| allowed.iter().any(|c| std::ptr::eq(c.workload, *w)));
    ours.extend(
        allowed
            .iter()
            .filter(|c| able.iter().any(|w| std::ptr::eq(c.workload, *w))),
    );
    let mut owner = if ours.is_empty() {
        no_such_workload(desk, kind, namespace, entry)?
    } else {
        decided(who, entry, &ours)
    };
    // It may have lost the right.
    if ours.is_empty() && owner.actor.life == Life::Dead && others.iter().any(|w| w.ready > 0) {
        owner.actor.life = Life::Perhaps;
    }
    owner.hints.extend(others.iter().map(|w| {
        format!(
            "hint: {} has its name; it is in none of its namespaces, and its ServiceAccount may not change {}",
            shown(w),
            kind.resource()
        )
    }));
    Some(owner)
}

/// A file of the user may say who it is, but starts nothing.
fn decided(who: String, entry: &Entry, candidates: &[Candidate<'_>]) -> Owner {
    let mut owner = decide(who, candidates);
    for remedy in owner
        .remedies
        .iter_mut()
        .filter(|remedy| entry.own && remedy.mend.is_some())
    {
        let text = format!(
            "{}, if that is what removes it: only the file of --knowledge says so",
            remedy.text
        );
        *remedy = Remedy::by_hand(remedy.rung, text);
    }
    owner
}

/// Nothing has its name. It may have been given another.
fn no_such_workload(desk: &Desk<'_>, kind: &Kind, namespace: Option<&str>, entry: &Entry) -> Option<Owner> {
    if !is_built_in(&kind.group) {
        match rights::candidates(desk, kind, namespace, &Width::Finalizers)? {
            Ok(allowed) if !allowed.is_empty() => return Some(traces::by_rights(kind, &Width::Finalizers, &allowed)),
            Ok(_) => {}
            Err(said) => return Some(unread(entry.remover.clone(), said)),
        }
    }
    let names = entry.workloads.join(", ");
    let evidence = match entry.namespaces.as_slice() {
        [] => format!("no workload is called {names}"),
        homes => format!("no workload is called {names} (usual namespace: {})", homes.join(", ")),
    };
    Some(actor(entry.remover.clone(), Life::Dead, evidence).into())
}

impl Actor {
    /// What is known of it is its name.
    fn named(&mut self, who: String) {
        if self.life != Life::Alive && self.life != Life::Dead && self.evidence.is_empty() {
            self.who = who;
        }
    }
}

fn within(remover: &str, program: &str) -> String {
    if remover.contains(program) {
        remover.to_owned()
    } else {
        format!("{remover} in {program}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;
    use upkeep::discovery::Discovery;

    use super::*;
    use crate::{
        facts::{Ask, Facts, Key, Reply, Said},
        knowledge::Knowledge,
    };

    /// What is done for a finalizer of Rancher on a ConfigMap, where Rancher is scaled to 0.
    fn done(may: bool) -> Vec<Mend> {
        let kind = Kind {
            version: "v1".into(),
            kind: "ConfigMap".into(),
            plural: "configmaps".into(),
            namespaced: true,
            ..Kind::default()
        };
        let object = Object {
            namespace: Some("tenant".into()),
            name: "x".into(),
            ..Object::default()
        };
        let rancher = Workload {
            plural: "deployments",
            object: Object {
                namespace: Some("cattle-system".into()),
                name: "rancher".into(),
                ..Object::default()
            },
            wanted: 0,
            ready: 0,
            service_account: "rancher".into(),
        };
        let knowledge = Knowledge::built_in().unwrap();
        let target = Key::within("", "configmaps", "tenant", "x");
        let mut facts = Facts::of(&Discovery::default(), target, SignedDuration::ZERO);
        let entry = knowledge.of_kind("wrangler.cattle.io/x", &kind);
        loop {
            let desk = Desk::new(&facts, &knowledge);
            if let Some(owner) = of(&desk, &kind, &object, "wrangler.cattle.io/x", entry) {
                return owner.remedies.into_iter().filter_map(|remedy| remedy.mend).collect();
            }
            let answers = desk.into_asks().into_iter().map(|ask| {
                let answer = match &ask {
                    Ask::Workloads => Ok(Reply::Workloads(vec![rancher.clone()])),
                    Ask::AccountMay { .. } if may => Ok(Reply::Done),
                    _ => Err(Said {
                        code: 403,
                        reason: "Forbidden".into(),
                        message: "no".into(),
                    }),
                };
                (ask, answer)
            });
            facts.learn(answers.collect());
        }
    }

    #[test]
    fn a_workload_that_may_not_change_the_object_is_not_started() {
        assert_eq!(done(false), []);
        assert!(matches!(done(true).as_slice(), [Mend::ScaleUp { key, .. }] if key.name == "rancher"));
    }
}
