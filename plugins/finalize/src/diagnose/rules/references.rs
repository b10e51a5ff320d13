//! What is kept while something else refers to it, and goes by itself when that is gone: attributes of volumes, ranges of
//! Service addresses, claims of devices.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;
use upkeep::{discovery::Kind, report::ObjRef};

use super::{
    super::{Cause, CauseKey, Found, desk::Desk},
    subject::{LedOn, key},
    usage::in_use,
};
use crate::{
    facts::{Ask, Key, Object, Pod, singular},
    ladder::{Remedy, Rung},
};

/// How many users are named.
const SHOWN: usize = 3;

/// A VolumeAttributesClass, while a claim or a volume has it. True if that is why, or it is not known yet.
pub fn attributes_class<'a>(desk: &Desk<'a>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> LedOn<'a> {
    let mut users = Vec::new();
    for plural in ["persistentvolumeclaims", "persistentvolumes"] {
        match desk.all::<Value>(&Ask::list("", plural, None)) {
            None => return Ok(true),
            Some(Err(said)) => return Err(said),
            Some(Ok(all)) => users.extend(
                all.iter()
                    .filter(|o| has_class(o, &object.name))
                    .map(|o| reference(plural, o)),
            ),
        }
    }
    let way = "give these another class, or delete them";
    Ok(kept(desk, found, kind, object, name, users, Vec::new(), way))
}

fn has_class(object: &Value, class: &str) -> bool {
    let at = [
        "/spec/volumeAttributesClassName",
        "/status/currentVolumeAttributesClassName",
    ];
    at.iter()
        .any(|at| object.pointer(at).is_some_and(|named| named == class))
}

/// A ServiceCIDR, while Services have addresses of it. True if that is why, or it is not known yet.
pub fn service_range<'a>(desk: &Desk<'a>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> LedOn<'a> {
    let range = match desk.raw(&Key::new(kind, None, &object.name)) {
        None => return Ok(true),
        Some(Err(said)) => return Err(said),
        Some(Ok(range)) => range,
    };
    // Addresses that lie in another range as well do not keep it; its controller has counted.
    let mut conditions = range["status"]["conditions"].as_array().into_iter().flatten();
    if !conditions.any(|c| c["type"] == "Ready" && c["status"] == "False") {
        return Ok(false);
    }
    let cidrs = range["spec"]["cidrs"].as_array().into_iter().flatten();
    let cidrs: Vec<IpNet> = cidrs.filter_map(|c| c.as_str()?.parse().ok()).collect();
    let addresses = match desk.all::<Value>(&Ask::list("networking.k8s.io", "ipaddresses", None)) {
        None => return Ok(true),
        Some(Err(said)) => return Err(said),
        Some(Ok(addresses)) => addresses,
    };
    let within = |address: &&Value| {
        let ip: Option<IpAddr> = address["metadata"]["name"].as_str().and_then(|ip| ip.parse().ok());
        ip.is_some_and(|ip| cidrs.iter().any(|cidr| cidr.contains(&ip)))
    };
    let users = addresses.iter().filter(within).map(|address| {
        let text = |field: &str| address["spec"]["parentRef"][field].as_str().unwrap_or_default();
        ObjRef::namespaced("service", text("namespace"), text("name"), "")
    });
    let way = "delete these Services, or add another ServiceCIDR that has their addresses";
    Ok(kept(desk, found, kind, object, name, users.collect(), Vec::new(), way))
}

/// A ResourceClaim, while it is reserved for pods. True if that is why, or it is not known yet.
pub fn reserved<'a>(desk: &Desk<'a>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> LedOn<'a> {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let claim = match desk.raw(&Key::new(kind, Some(namespace), &object.name)) {
        None => return Ok(true),
        Some(Err(said)) => return Err(said),
        Some(Ok(claim)) => claim,
    };
    let pods: &[Pod] = match desk.pods(namespace) {
        None => return Ok(true),
        Some(Err(said)) => return Err(said),
        Some(Ok(pods)) => pods,
    };
    let reserved = claim["status"]["reservedFor"].as_array().into_iter().flatten();
    let reserved: Vec<&str> = reserved.filter_map(|user| user["uid"].as_str()).collect();
    let subject = desk.reference(kind, object);
    let users = pods.iter().filter(|pod| reserved.contains(&pod.object.uid.as_str()));
    let (mut names, mut behind) = (Vec::new(), Vec::new());
    for pod in users {
        names.push(ObjRef::namespaced("pod", namespace, &pod.object.name, &pod.object.uid));
        behind.push(in_use(desk, found, pod, &subject));
    }
    Ok(kept(desk, found, kind, object, name, names, behind, ""))
}

fn reference(plural: &str, object: &Value) -> ObjRef {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let one = singular(plural);
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => ObjRef::namespaced(&one, namespace, text("name"), text("uid")),
        None => ObjRef::cluster(&one, text("name"), text("uid")),
    }
}

#[allow(clippy::too_many_arguments)]
fn kept(
    desk: &Desk<'_>,
    found: &mut Found,
    kind: &Kind,
    object: &Object,
    name: &str,
    users: Vec<ObjRef>,
    behind: Vec<CauseKey>,
    way: &str,
) -> bool {
    if users.is_empty() {
        return false;
    }
    let subject = desk.reference(kind, object);
    let named: Vec<String> = users.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = match users.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let remedies = match way {
        "" => Vec::new(),
        way => vec![Remedy::by_hand(Rung::EvictUser, way)],
    };
    found.cause(Cause {
        key: key(desk, kind, object, name),
        says: format!("{subject} is kept while it is used by {}{more}", named.join(", ")),
        evidence: Vec::new(),
        actor: None,
        holds: vec![subject],
        behind,
        remedies,
    });
    true
}
