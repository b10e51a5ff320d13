//! A finalizer on an object that is being deleted.

use serde_json::Value;
use upkeep::discovery::Kind;

use super::{
    super::{Cause, Found, Life, desk::Desk},
    account, accounts, actors, chain,
    definitions::{self, CLEANUP},
    liveness::Owner,
    paused, references,
    removal::{self, Way},
    subject::key,
    told, usage, users,
};
use crate::{
    facts::{Key, Object, Said},
    knowledge::{Entry, Risk},
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
    let entry = desk.knowledge.of_kind(name, kind);
    let subject = desk.reference(kind, object);
    let strips = may_be_stripped(desk, kind, object, name);
    let answer = if strips {
        removal::ask(desk, kind, object, name)
    } else {
        None
    };
    let Some(mut owner) = actors::of(desk, kind, object, name, entry) else {
        return;
    };
    let Some(()) = details(desk, kind, object, name, entry, &mut owner) else {
        return;
    };
    let (mut actor, mut remedies) = (owner.actor, owner.remedies);
    if let Some(said) = unread {
        actor.life = Life::Unread;
        actor.evidence = format!("what uses it could not be looked at: {}", said.message);
    }
    // The right way helps an actor that is alive, too.
    if let Some(right) = entry.and_then(|entry| right_way(&entry.right, actor.life))
        && !remedies.iter().any(|r| r.rung == Rung::Repair && r.mend.is_some())
        && !remedies.iter().any(|r| r.text == right)
    {
        remedies.push(Remedy::by_hand(Rung::Repair, right));
    }
    let accounts = accounts::of(desk, &actor, entry);
    let what = (kind, object, name);
    let removal = removal::judge(desk, found, what, answer, &actor, accounts.as_deref());
    if let Some(way) = removal.way.filter(|_| strips) {
        remedies.push(strip(desk, kind, object, name, entry, way));
    }
    remedies.sort_by_key(|remedy| remedy.rung);
    let mut evidence: Vec<String> = entry.iter().map(|e| format!("it is there so {}", e.protects)).collect();
    evidence.extend(owner.hints);
    evidence.extend(removal.evidence);
    found.cause(Cause {
        key: key(desk, kind, object, name),
        says: format!("{subject} waits for {} to remove its finalizer {name}", actor.who),
        evidence,
        actor: Some(actor),
        holds: vec![subject],
        behind: removal.behind.into_iter().collect(),
        remedies,
    });
}

/// The right way, without the advice to bring back a controller that is alive. Nothing where that is all of it.
fn right_way(right: &str, life: Life) -> Option<&str> {
    let lives = matches!(life, Life::Alive | Life::Stalled);
    let rest = right.strip_prefix("bring ").and_then(|rest| rest.split_once(" back"));
    match rest {
        Some((_, rest)) if lives => {
            let words = [", and ", " and ", "; ", ", "];
            words.iter().find_map(|word| rest.strip_prefix(word))
        }
        _ => Some(right),
    }
}

/// What the object, its users and its controller say, for the first few objects that are alike: why an actor that is alive
/// does not do it. Nothing while it is not known.
fn details(
    desk: &Desk<'_>,
    kind: &Kind,
    object: &Object,
    name: &str,
    entry: Option<&Entry>,
    owner: &mut Owner,
) -> Option<()> {
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    if desk.sample(kind, name, key.clone()) != key {
        return Some(());
    }
    let raw = desk.raw(&key);
    let events = told::by_events(desk, object);
    let users = users::users(desk, object, entry.map_or(&[], |entry| entry.used_by.as_slice()));
    let lacks = account::lacks(desk, kind, object, &owner.actor, entry);
    let mut stalls = Vec::new();
    let mut told = Vec::new();
    if let Ok(raw) = raw? {
        stalls.extend(
            paused::paused(desk, kind, object, raw)?
                .map(|(why, line)| (why, format!("resume it: {line}"), Rung::Repair)),
        );
        told.extend(told::by_status(raw));
    }
    told.extend(events?);
    stalls.extend(users?.map(|(why, way)| (why, way, Rung::EvictUser)));
    stalls.extend(lacks?.map(|(why, way)| (why, way, Rung::Repair)));
    if told::must_create(&told) {
        let why =
            "it wants to create an object in a namespace that is being deleted, which the server refuses".to_owned();
        let way = "do by hand what it would do for the object; then remove the finalizer".to_owned();
        stalls.push((why, way, Rung::Repair));
    }
    for (why, way, rung) in stalls {
        if owner.actor.life == Life::Alive {
            owner.actor.life = Life::Stalled;
        }
        owner.hints.push(why);
        owner.remedies.push(Remedy::by_hand(rung, way));
    }
    owner.hints.extend(told);
    Some(())
}

/// Never the one of a definition, which would leave its objects in etcd, and never of a pod that has time left to stop.
fn may_be_stripped(desk: &Desk<'_>, kind: &Kind, object: &Object, name: &str) -> bool {
    let stopping = kind.is("", "Pod") && object.deletion.is_some_and(|at| desk.seconds_since(at) < 0);
    !stopping && name != CLEANUP
}

/// The last resort for one finalizer.
pub fn strip(desk: &Desk<'_>, kind: &Kind, object: &Object, name: &str, entry: Option<&Entry>, way: Way) -> Remedy {
    let mend = Mend::Strip {
        key: Key::new(kind, object.namespace.as_deref(), &object.name),
        uid: object.uid.clone(),
        finalizer: name.to_owned(),
        status: way == Way::Status,
    };
    let lost = match entry {
        Some(entry) => format!("; {}", entry.stripped),
        None => "; what it protects is not known".to_owned(),
    };
    Remedy {
        risk: Some(entry.map_or(Risk::Orphans, |e| e.risk)),
        leaves: leaks(desk, kind, object, entry, false),
        stays: leaks(desk, kind, object, entry, true),
        overdue: object.deletion.map(|at| desk.seconds_since(at)),
        ..Remedy::mend(Rung::Strip, format!("remove this one finalizer{lost}"), mend)
    }
}

/// What the object tells about that which would be left, in the cluster or outside of it.
fn leaks(desk: &Desk<'_>, kind: &Kind, object: &Object, entry: Option<&Entry>, inside: bool) -> Vec<String> {
    let leaks = entry.iter().flat_map(|entry| &entry.leaks);
    let mut leaks = leaks.filter(|leak| leak.inside == inside).peekable();
    if leaks.peek().is_none() {
        return Vec::new();
    }
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    let Some(Ok(raw)) = desk.raw(&key) else {
        return Vec::new();
    };
    let told = leaks.filter_map(|leak| {
        let value = raw.pointer(&leak.at)?;
        let text = in_words(value, 0);
        (!text.is_empty()).then(|| format!("{} {text}", leak.what))
    });
    told.collect()
}

/// How deep values may lie in each other; what lies deeper is left out.
const DEPTH: usize = 8;

/// The texts in a value, without what is around them.
fn in_words(value: &Value, depth: usize) -> String {
    match value {
        _ if depth > DEPTH => String::new(),
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all
            .iter()
            .map(|one| in_words(one, depth + 1))
            .filter(|t| !t.is_empty())
            .collect::<Vec<_>>()
            .join(", "),
        Value::Object(fields) => {
            let name = ["hostname", "ip", "value", "name", "id"]
                .iter()
                .find_map(|f| fields.get(*f));
            name.map_or_else(|| value.to_string(), |name| in_words(name, depth + 1))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_told_in_words_down_to_a_depth() {
        let balancers = json!([{"hostname": "a.example.com"}, {"ip": "10.0.0.1"}]);
        assert_eq!(in_words(&balancers, 0), "a.example.com, 10.0.0.1");
        let mut deep = json!("end");
        for _ in 0..100 {
            deep = json!([{"name": deep}]);
        }
        assert_eq!(in_words(&deep, 0), "");
    }

    #[test]
    fn what_is_alive_is_not_to_be_brought_back() {
        for (right, alive) in [
            (
                "bring the controller of this kind back, and read its log",
                Some("read its log"),
            ),
            (
                "bring its controller back; delete only the Cluster",
                Some("delete only the Cluster"),
            ),
            ("bring shop-operator back", None),
            ("ask the keeper", Some("ask the keeper")),
        ] {
            assert_eq!(right_way(right, Life::Alive), alive);
            assert_eq!(right_way(right, Life::Stalled), alive);
            assert_eq!(right_way(right, Life::Unknown), Some(right));
        }
    }
}
