//! A finalizer on an object that is being deleted.

use serde_json::Value;
use upkeep::discovery::Kind;

use super::{
    super::{Cause, Found, Life, desk::Desk},
    actors, admission, chain,
    definitions::{self, CLEANUP},
    references,
    subject::key,
    usage,
};
use crate::{
    facts::{Key, Object, Said},
    knowledge::{Entry, Field, Risk},
    ladder::{Mend, Remedy, Rung},
};

/// Who waits for others is led on to them; everything else is between the object and whoever takes the finalizer off.
pub fn finalizer(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object, name: &str) {
    let led_on = match (kind.kind.as_str(), name) {
        ("PersistentVolumeClaim", "kubernetes.io/pvc-protection") => usage::claim(desk, found, kind, object, name),
        ("PersistentVolume", "kubernetes.io/pv-protection") => usage::volume(desk, found, kind, object, name),
        ("VolumeAttributesClass", "kubernetes.io/vac-protection") => {
            references::attributes_class(desk, found, kind, object, name)
        }
        ("ServiceCIDR", "networking.k8s.io/service-cidr-finalizer") => {
            references::service_range(desk, found, kind, object, name)
        }
        ("ResourceClaim", "resource.kubernetes.io/delete-protection") => {
            references::reserved(desk, found, kind, object, name)
        }
        ("CustomResourceDefinition", CLEANUP) => Ok(definitions::instances(desk, found, kind, object, name)),
        (_, "foregroundDeletion") => chain::dependents(desk, found, kind, object, name),
        _ => Ok(false),
    };
    match led_on {
        Ok(true) => {}
        Ok(false) => held(desk, found, kind, object, name, None),
        Err(said) => held(desk, found, kind, object, name, Some(said)),
    }
}

/// `unread`: what would tell why it is there could not be looked at.
fn held(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object, name: &str, unread: Option<&Said>) {
    let entry = desk.knowledge.of(name, Some(&kind.kind), Field::Metadata);
    let subject = desk.reference(kind, object);
    let Some((mut actor, mut remedies)) = actors::of(desk, kind, object, name, entry) else {
        return;
    };
    if let Some(said) = unread {
        actor.life = Life::Unread;
        actor.evidence = format!("what uses it could not be looked at: {}", said.message);
    }
    if let Some(entry) = entry {
        let right = Remedy::by_hand(Rung::Repair, entry.right.clone());
        if actor.life != Life::Alive && !remedies.iter().any(|r| r.rung == Rung::Repair) {
            remedies.push(right);
        }
    }
    if may_be_stripped(desk, kind, object, name) {
        remedies.push(strip(desk, kind, object, name, entry));
    }
    remedies.sort_by_key(|remedy| remedy.rung);
    let evidence = entry.map(|e| format!("it is there so {}", e.protects));
    let refused = desk.refused(&Key::new(kind, object.namespace.as_deref(), &object.name));
    let behind = refused.and_then(|said| admission::refusal(desk, found, kind, object, "UPDATE", said));
    found.cause(Cause {
        key: key(desk, kind, object, name),
        says: format!("{subject} waits for {} to take off its finalizer {name}", actor.who),
        evidence: evidence.into_iter().collect(),
        actor: Some(actor),
        holds: vec![subject],
        behind: behind.into_iter().collect(),
        remedies,
    });
}

/// Never the one of a definition, which would leave its objects in etcd, and never of a pod that has time left to stop.
fn may_be_stripped(desk: &Desk<'_>, kind: &Kind, object: &Object, name: &str) -> bool {
    let stopping = kind.is("", "Pod") && object.deletion.is_some_and(|at| desk.seconds_since(at) < 0);
    !stopping && name != CLEANUP
}

/// The last resort for one finalizer.
pub fn strip(desk: &Desk<'_>, kind: &Kind, object: &Object, name: &str, entry: Option<&Entry>) -> Remedy {
    let mend = Mend::Strip {
        key: Key::new(kind, object.namespace.as_deref(), &object.name),
        uid: object.uid.clone(),
        finalizer: name.to_owned(),
    };
    let lost = match entry {
        Some(entry) => format!("; {}", entry.stripped),
        None => "; what it protects is not known".to_owned(),
    };
    Remedy {
        risk: Some(entry.map_or(Risk::Orphans, |e| e.risk)),
        leaves: entry.map(|e| leaks(desk, kind, object, e)).unwrap_or_default(),
        overdue: object.deletion.map(|at| desk.seconds_since(at)),
        ..Remedy::mend(Rung::Strip, format!("remove this one finalizer{lost}"), mend)
    }
}

/// What the object tells about that which would be left outside of the cluster.
fn leaks(desk: &Desk<'_>, kind: &Kind, object: &Object, entry: &Entry) -> Vec<String> {
    if entry.leaks.is_empty() {
        return Vec::new();
    }
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    let Some(Ok(raw)) = desk.raw(&key) else {
        return Vec::new();
    };
    let told = entry.leaks.iter().filter_map(|leak| {
        let value = raw.pointer(&leak.at)?;
        let text = in_words(value);
        (!text.is_empty()).then(|| format!("{} {text}", leak.what))
    });
    told.collect()
}

/// The texts in a value, without what is around them.
fn in_words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all
            .iter()
            .map(in_words)
            .filter(|t| !t.is_empty())
            .collect::<Vec<_>>()
            .join(", "),
        Value::Object(fields) => {
            let name = ["hostname", "ip", "value", "name", "id"]
                .iter()
                .find_map(|f| fields.get(*f));
            name.map_or_else(|| value.to_string(), in_words)
        }
        other => other.to_string(),
    }
}
