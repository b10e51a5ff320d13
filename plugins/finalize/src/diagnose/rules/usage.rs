//! Volumes that are in use: a claim by a pod, a volume by a claim.

use k8s_openapi::api::core::v1 as core;
use upkeep::{discovery::Kind, report::ObjRef, ui::command};

use super::{
    super::{Cause, CauseKey, Found, Life, desk::Desk},
    liveness::actor,
    pods,
    subject::{LedOn, key},
};
use crate::{
    facts::{Key, Object, Pod},
    ladder::{Mend, Remedy, Rung},
};

/// A claim is kept while a pod that has a node names it, also one that has ended. True if that is why.
pub fn claim<'a>(desk: &Desk<'a>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> LedOn<'a> {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let pods = match desk.pods(namespace) {
        None => return Ok(true),
        Some(Err(said)) => return Err(said),
        Some(Ok(pods)) => pods,
    };
    let users: Vec<&Pod> = pods
        .iter()
        .filter(|pod| !pod.node.is_empty() && pod.claims.contains(&object.name))
        .collect();
    if users.is_empty() {
        return Ok(false);
    }
    let subject = desk.reference(kind, object);
    let behind: Vec<CauseKey> = users.iter().map(|pod| in_use(desk, found, pod, &subject)).collect();
    found.cause(Cause {
        key: key(desk, kind, object, name),
        says: format!("{subject} is kept while {} it", used_by(&users)),
        evidence: Vec::new(),
        actor: None,
        holds: vec![subject],
        behind,
        remedies: Vec::new(),
    });
    Ok(true)
}

fn used_by(users: &[&Pod]) -> String {
    let names: Vec<String> = users
        .iter()
        .take(3)
        .map(|pod| format!("pod {}", pod.object.name))
        .collect();
    match users.len() {
        1 => format!("{} uses", names[0]),
        many if many > 3 => format!("{} and {} more use", names.join(", "), many - 3),
        _ => format!("{} use", names.join(", ")),
    }
}

/// The pod that uses it. One that is being deleted is not evicted: it has its grace period, and then whatever holds it is behind this.
pub fn in_use(desk: &Desk<'_>, found: &mut Found, pod: &Pod, subject: &ObjRef) -> CauseKey {
    let object = &pod.object;
    let user = ObjRef::namespaced(
        "pod",
        object.namespace.as_deref().unwrap_or_default(),
        &object.name,
        &object.uid,
    );
    let key = CauseKey {
        id: "in-use",
        subject: user.clone(),
        detail: String::new(),
    };
    let owner = top_owner(desk, object);
    let unproven = object.owners.iter().find(|o| o.controller).filter(|_| owner.is_none());
    let state = match (object.is_deleting(), pod.finished) {
        (true, _) => "is being deleted itself",
        (false, true) => "has ended, but still names it",
        (false, false) => "runs",
    };
    let (mut remedies, mut behind, mut stops) = (Vec::new(), Vec::new(), None);
    if object.is_deleting() {
        let (in_time, holders) = pods::holders(desk, found, object);
        stops = in_time.map(|why| actor(user.to_string(), Life::Alive, why));
        behind = holders;
    } else {
        let again = owner.as_ref().map(|owner| {
            let (one, name) = (owner.one(), &owner.name);
            let scale = match (owner.group.as_str(), owner.plural.as_str()) {
                ("apps", "deployments" | "replicasets" | "statefulsets") => {
                    let namespace = owner.namespace.as_deref().unwrap_or_default();
                    let what = format!("{one}/{name}");
                    let arguments = [what.as_str(), "-n", namespace, "--replicas=0"];
                    format!("; '{}' prevents that", command("kubectl scale", arguments))
                }
                _ => String::new(),
            };
            format!("; {one} {name} starts another one, which cannot use {subject} once it is deleted{scale}")
        });
        let mend = Mend::Evict {
            pod: Key::within(
                "",
                "pods",
                object.namespace.as_deref().unwrap_or_default(),
                &object.name,
            ),
            uid: object.uid.clone(),
        };
        let again = again.unwrap_or_else(|| match pod.finished {
            true => String::new(),
            false => "; nothing starts another one, so it is saved first".into(),
        });
        remedies.push(Remedy::mend(Rung::EvictUser, format!("evict {user}{again}"), mend));
    }
    found.cause(Cause {
        key: key.clone(),
        says: format!("{user} uses {subject}: it {state}"),
        evidence: owner
            .map(|owner| format!("it belongs to {} {}", owner.one(), owner.name))
            .or_else(|| {
                unproven.map(|o| {
                    format!(
                        "its ownerReference names {:?} {:?}; no object with that UID was found",
                        o.kind, o.name
                    )
                })
            })
            .into_iter()
            .collect(),
        actor: stops,
        holds: vec![subject.clone()],
        behind,
        remedies,
    });
    key
}

/// Who would start another pod: the Deployment rather than its ReplicaSet. Nothing where no such object is found.
fn top_owner(desk: &Desk<'_>, object: &Object) -> Option<Key> {
    let (key, owner) = controller(desk, object)?;
    let above = controller(desk, &owner).filter(|_| key.plural == "replicasets");
    Some(above.map_or(key, |(key, _)| key))
}

/// The controller of an object. Kind and name in an ownerReference are what its writer says: only the object that has the UID,
/// too, is the one.
fn controller(desk: &Desk<'_>, object: &Object) -> Option<(Key, Object)> {
    let named = object.owners.iter().find(|owner| owner.controller)?;
    let group = named.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let kind = desk.discovery().preferred().find(|kind| kind.is(group, &named.kind))?;
    let key = Key::new(kind, object.namespace.as_deref(), &named.name);
    let owner = desk.typed::<Object>(&key)?.ok()?;
    (owner.uid == named.uid && !owner.uid.is_empty()).then_some((key, owner))
}

/// A volume is kept while it is bound. True if that is why.
pub fn volume<'a>(desk: &Desk<'a>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> LedOn<'a> {
    let volume = match desk.typed::<core::PersistentVolume>(&Key::new(kind, None, &object.name)) {
        None => return Ok(true),
        Some(Err(said)) => return Err(said),
        Some(Ok(volume)) => volume,
    };
    let bound = volume.status.and_then(|s| s.phase).as_deref() == Some("Bound");
    let claim = volume.spec.and_then(|s| s.claim_ref).filter(|_| bound);
    let Some((namespace, claim)) = claim.and_then(|c| Some((c.namespace?, c.name?))) else {
        return Ok(false);
    };
    let subject = desk.reference(kind, object);
    let Some(claims) = desk.discovery().find("persistentvolumeclaims") else {
        return Ok(false);
    };
    let bound_to = match desk.typed::<Object>(&Key::new(claims, Some(&namespace), &claim)) {
        None => return Ok(true),
        Some(Err(said)) => return Err(said),
        Some(Ok(bound_to)) => bound_to,
    };
    let reference = desk.reference(claims, &bound_to);
    if bound_to.is_deleting() {
        found.later(desk, claims, &bound_to);
    }
    let mut behind = Vec::new();
    if bound_to.has("kubernetes.io/pvc-protection") && bound_to.is_deleting() {
        behind.push(key(desk, claims, &bound_to, "kubernetes.io/pvc-protection"));
    }
    found.cause(Cause {
        key: key(desk, kind, object, name),
        says: format!("{subject} is kept while {reference} is bound to it"),
        evidence: Vec::new(),
        actor: None,
        holds: vec![subject],
        behind,
        remedies: vec![Remedy::by_hand(
            Rung::EvictUser,
            format!("delete {reference}, if its data is not needed any more"),
        )],
    });
    Ok(true)
}
