//! Volumes that are in use: a claim by a pod, a volume by a claim.

use k8s_openapi::api::core::v1 as core;
use upkeep::{discovery::Kind, report::ObjRef};

use super::{
    super::{Cause, CauseKey, Found, desk::Desk},
    subject::key,
};
use crate::{
    facts::{Key, Object, Pod},
    ladder::{Mend, Remedy, Rung},
};

/// A claim is kept while a pod that has a node names it, also one that has ended. True if that is why.
pub fn claim(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> bool {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let pods = match desk.pods(namespace) {
        None => return true,
        Some(Err(_)) => return false,
        Some(Ok(pods)) => pods,
    };
    let users: Vec<&Pod> = pods
        .iter()
        .filter(|pod| !pod.node.is_empty() && pod.claims.contains(&object.name))
        .collect();
    if users.is_empty() {
        return false;
    }
    let subject = desk.reference(kind, object);
    let behind: Vec<CauseKey> = users.iter().map(|pod| in_use(found, pod, &subject)).collect();
    found.cause(Cause {
        key: key(desk, kind, object, name),
        says: format!("{subject} is kept while {} it", used_by(&users)),
        evidence: Vec::new(),
        actor: None,
        holds: vec![subject],
        behind,
        remedies: Vec::new(),
    });
    true
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

/// The pod that uses it. One that is going needs no push; what holds that one is found with it.
pub fn in_use(found: &mut Found, pod: &Pod, subject: &ObjRef) -> CauseKey {
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
    let owner = object.owners.iter().find(|o| o.controller);
    let state = match (object.is_deleting(), pod.finished) {
        (true, _) => "is being deleted itself",
        (false, true) => "has ended, but still names it",
        (false, false) => "runs",
    };
    let mut remedies = Vec::new();
    if !object.is_deleting() {
        let again = owner.map(|o| format!("; {} {} would start another one: scale it to 0 first", o.kind, o.name));
        let mend = Mend::Evict {
            pod: Key::within(
                "",
                "pods",
                object.namespace.as_deref().unwrap_or_default(),
                &object.name,
            ),
            uid: object.uid.clone(),
        };
        remedies.push(Remedy::mend(
            Rung::EvictUser,
            format!("evict {user}{}", again.unwrap_or_default()),
            mend,
        ));
    }
    found.cause(Cause {
        key: key.clone(),
        says: format!("{user} uses {subject}: it {state}"),
        evidence: owner
            .map(|o| format!("it belongs to {} {}", o.kind, o.name))
            .into_iter()
            .collect(),
        actor: None,
        holds: vec![subject.clone()],
        behind: Vec::new(),
        remedies,
    });
    key
}

/// A volume is kept while it is bound. True if that is why.
pub fn volume(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> bool {
    let volume = match desk.typed::<core::PersistentVolume>(&Key::new(kind, None, &object.name)) {
        None => return true,
        Some(Err(_)) => return false,
        Some(Ok(volume)) => volume,
    };
    let bound = volume.status.and_then(|s| s.phase).as_deref() == Some("Bound");
    let claim = volume.spec.and_then(|s| s.claim_ref).filter(|_| bound);
    let Some((namespace, claim)) = claim.and_then(|c| Some((c.namespace?, c.name?))) else {
        return false;
    };
    let subject = desk.reference(kind, object);
    let Some(claims) = desk.discovery().find("persistentvolumeclaims") else {
        return false;
    };
    let bound_to = match desk.typed::<Object>(&Key::new(claims, Some(&namespace), &claim)) {
        None => return true,
        Some(Err(_)) => return false,
        Some(Ok(bound_to)) => bound_to,
    };
    let reference = desk.reference(claims, &bound_to);
    if bound_to.is_deleting() {
        super::holds(desk, found, claims, &bound_to);
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
    true
}
