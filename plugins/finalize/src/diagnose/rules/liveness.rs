//! Whether somebody lives: by the Lease that they renew, by the pods of their workload.

use k8s_openapi::api::coordination::v1::Lease;
use upkeep::ui::human_duration;

use super::super::{Actor, Life, SOMEBODY, desk::Desk};
use crate::{
    facts::{Key, Said, Workload, singular},
    ladder::{Mend, Remedy, Rung},
};

/// A Lease that is older than so many times its duration is given up.
const GIVEN_UP: i64 = 3;
/// Seconds, where a Lease does not say.
const DURATION: i64 = 15;

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

/// What the counts of a workload tell.
pub fn alive(who: String, workload: &Workload) -> (Actor, Vec<Remedy>) {
    let one = singular(workload.plural);
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
    let key = Key::within("apps", workload.plural, &namespace, name);
    let actor = Actor {
        workload: Some(key),
        ..actor(who, life, evidence)
    };
    (actor, remedies)
}

/// An actor of which nothing is known because it could not be looked at.
pub fn unread(who: String, said: &Said) -> (Actor, Vec<Remedy>) {
    (actor(who, Life::Unread, said.message.clone()), Vec::new())
}

/// An actor of which nothing is known, and whom nobody can bring back.
pub fn nobody_known() -> (Actor, Vec<Remedy>) {
    (actor(SOMEBODY.into(), Life::Unknown, String::new()), Vec::new())
}
