//! Whether somebody lives: by the Lease that they renew, by the pods of their workload.

use k8s_openapi::api::coordination::v1::Lease;
use upkeep::ui::{command, human_duration};

use super::{
    super::{Actor, Life, SOMEBODY, desk::Desk},
    rights::Candidate,
};
use crate::{
    facts::{Key, Said, Workload, singular},
    ladder::{Mend, Remedy, Rung},
};

/// A Lease that is older than so many times its duration is given up.
const GIVEN_UP: i64 = 3;
/// Seconds, where a Lease does not say.
const DURATION: i64 = 15;
/// How many candidates are named.
const SHOWN: usize = 3;

/// Nothing more is known of it.
pub fn actor(who: String, life: Life, evidence: String) -> Actor {
    Actor {
        who,
        life,
        evidence,
        workload: None,
    }
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
        Err(said) => return Some((Life::Unread, said.message.clone())),
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

/// Who removes a finalizer, what brings it back, and what else speaks of it.
pub struct Owner {
    /// The actor.
    pub actor: Actor,
    /// What brings it back.
    pub remedies: Vec<Remedy>,
    /// What others could have written, too: it is shown, and decides nothing.
    pub hints: Vec<String>,
}

impl From<Actor> for Owner {
    fn from(actor: Actor) -> Self {
        Self {
            actor,
            remedies: Vec::new(),
            hints: Vec::new(),
        }
    }
}

/// `deployment ops/keeper, 1 of 1 pods Ready`
pub fn shown(workload: &Workload) -> String {
    let one = singular(workload.plural);
    let namespace = workload.object.namespace.as_deref().unwrap_or_default();
    let name = &workload.object.name;
    match (workload.wanted, workload.ready) {
        (0, _) => format!("{one} {namespace}/{name} (scaled to 0)"),
        (wanted, ready) => format!("{one} {namespace}/{name} ({ready} of {wanted} pods Ready)"),
    }
}

/// What the counts of a workload tell.
pub fn alive(who: String, workload: &Workload) -> Owner {
    let one = singular(workload.plural);
    let namespace = workload.object.namespace.clone().unwrap_or_default();
    let name = &workload.object.name;
    let evidence = match (workload.wanted, workload.ready) {
        (0, _) => format!("{one} {namespace}/{name} is scaled to 0"),
        (wanted, ready) => format!("{ready} of {wanted} pods of {one} {namespace}/{name} are Ready"),
    };
    let key = key_of(workload);
    let mut remedies = Vec::new();
    if workload.wanted == 0 && workload.plural != "daemonsets" {
        let mend = Mend::ScaleUp {
            key: key.clone(),
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
    let actor = Actor {
        workload: Some(key),
        ..actor(who, life, evidence)
    };
    Owner {
        remedies,
        ..actor.into()
    }
}

fn key_of(workload: &Workload) -> Key {
    let namespace = workload.object.namespace.as_deref().unwrap_or_default();
    Key::within("apps", workload.plural, namespace, &workload.object.name)
}

/// What a person does to start a workload, if it is the one.
pub fn start_by_hand(workload: &Workload, what: &str) -> Remedy {
    let one = singular(workload.plural);
    let namespace = workload.object.namespace.as_deref().unwrap_or_default();
    let named = format!("{one}/{}", workload.object.name);
    let text = if workload.wanted == 0 && workload.plural != "daemonsets" {
        let arguments = [named.as_str(), "-n", namespace, "--replicas=1"];
        format!(
            "if {named} is {what}, start it: '{}'",
            command("kubectl scale", arguments)
        )
    } else {
        let arguments = [named.as_str(), "-n", namespace];
        let line = command("kubectl describe", arguments);
        format!("if {named} is {what}, find out why its pods are not Ready: '{line}'")
    };
    Remedy::by_hand(Rung::Repair, text)
}

/// Which of several it is: one that is Ready is alive, and one that alone can be meant is brought back. Of several nobody knows
/// which, and none is changed.
pub fn decide(who: String, candidates: &[Candidate<'_>]) -> Owner {
    if let Some(ready) = candidates.iter().find(|c| c.workload.ready > 0) {
        return alive(who, ready.workload);
    }
    if let [
        Candidate {
            workload,
            trusted: true,
        },
    ] = candidates
    {
        return alive(who, workload);
    }
    let evidence = match candidates.len() {
        1 => "1 candidate".to_owned(),
        count => format!("{count} candidates"),
    };
    let mut owner: Owner = actor(SOMEBODY.into(), Life::Unknown, evidence).into();
    for Candidate { workload, .. } in candidates.iter().take(SHOWN) {
        owner.hints.push(format!("candidate: {}", shown(workload)));
        owner.remedies.push(start_by_hand(workload, "its controller"));
    }
    owner
}

/// An actor of which nothing is known because it could not be looked at.
pub fn unread(who: String, said: &Said) -> Owner {
    actor(who, Life::Unread, said.message.clone()).into()
}
