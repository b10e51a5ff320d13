//! A kind that cannot be listed. What is in it holds the namespace, seen or not.

use serde_json::Value;
use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
};

use super::{
    super::{Cause, CauseKey, DENIED, Found, desk::Desk},
    backend::Backend,
    call::Call,
    stored::{self, is_unreadable},
};
use crate::{
    facts::{Ask, Key, Object, Said},
    knowledge::Risk,
    ladder::{Mend, Remedy, Rung},
};

/// Says why, and tries the version in which the objects are stored, which needs no conversion. Nothing while that is not
/// known.
pub fn unlisted<'a>(
    desk: &Desk<'a>,
    found: &mut Found,
    kind: &Kind,
    namespace: Option<&str>,
    said: &Said,
) -> Option<&'a [Object]> {
    if said.is_missing() || said.code == 405 {
        return Some(&[]);
    }
    let definition = format!("{}.{}", kind.plural, kind.group);
    let conversion = said.message.contains("conversion webhook for");
    if stored::version_gone(&said.message).is_some() {
        found.unseen.insert(kind.resource());
        return stored::gone_version(desk, found, kind, said).map(|()| &[][..]);
    }
    if !conversion && is_unreadable(said) {
        found.unseen.insert(kind.resource());
        stored::unreadable(found, kind, namespace, None, &said.message);
        return Some(&[]);
    }
    if !conversion && said.code == 403 {
        found.unseen.insert(kind.resource());
        found.unread.insert(kind.resource(), said.message.clone());
        return Some(&[]);
    }
    if !conversion {
        found.unseen.insert(kind.resource());
        found.notes.push(Finding {
            id: "unseen",
            severity: Severity::Warning,
            subjects: Vec::new(),
            evidence: format!("{} cannot be listed: {}", kind.resource(), said.message),
            hint: None,
        });
        return Some(&[]);
    }
    let key = Key::cluster("apiextensions.k8s.io", "customresourcedefinitions", &definition);
    let raw = match desk.raw(&key)? {
        Ok(raw) => raw,
        Err(_) => {
            found.unseen.insert(kind.resource());
            return Some(&[]);
        }
    };
    let uid = raw["metadata"]["uid"].as_str().unwrap_or_default();
    let subject = ObjRef::cluster("customresourcedefinition.apiextensions.k8s.io", &definition, uid);
    let (id, says) = if answers(&said.message) {
        (
            DENIED,
            format!(
                "the conversion webhook of {} answers, and does not convert",
                kind.resource()
            ),
        )
    } else {
        (
            "conversion-down",
            format!("the conversion webhook of {} does not answer", kind.resource()),
        )
    };
    let by_version = stored_version(desk, kind, raw, namespace)?;
    if by_version.is_none() {
        found.unseen.insert(kind.resource());
    }
    let (version, objects) = by_version.unwrap_or(("", &[]));
    let mut remedies = vec![Remedy::by_hand(Rung::Repair, "bring the conversion webhook back")];
    remedies.extend(by_stored_version(kind, objects, version));
    // Who answers has a reason. One whose backend is Ready is for a person.
    if !answers(&said.message) && is_dead(desk, raw, &said.message)? {
        remedies.push(unconvert(&definition, uid));
    }
    found.cause(Cause {
        key: CauseKey {
            id,
            subject,
            detail: String::new(),
        },
        says,
        evidence: vec![said.message.clone()],
        actor: None,
        holds: match namespace {
            Some(namespace) => vec![ObjRef::cluster("namespace", namespace, "")],
            None => Vec::new(),
        },
        behind: Vec::new(),
        remedies,
    });
    Some(objects)
}

/// What the namespace controller has written about a kind that it cannot list: a conversion that does not work keeps the
/// objects of all namespaces from being listed, so that it holds namespaces in which there are none.
pub fn conversion_elsewhere(desk: &Desk<'_>, found: &mut Found, message: &str) -> bool {
    let named = message
        .split_once("conversion webhook for ")
        .and_then(|(_, rest)| rest.split_once(" failed"));
    let Some((version, kind)) = named.and_then(|(named, _)| named.split_once(", Kind=")) else {
        return false;
    };
    let Some(kind) = desk.discovery().of_kind(version, kind) else {
        return false;
    };
    let definition = format!("{}.{}", kind.plural, kind.group);
    let key = Key::cluster("apiextensions.k8s.io", "customresourcedefinitions", &definition);
    if answers(message) {
        return false;
    }
    let Some(Ok(raw)) = desk.raw(&key) else { return true };
    let Some(is_dead) = is_dead(desk, raw, message) else {
        return true;
    };
    let uid = raw["metadata"]["uid"].as_str().unwrap_or_default();
    let back = Remedy::by_hand(Rung::Repair, "bring the conversion webhook back");
    let unconvert = is_dead.then(|| unconvert(&definition, uid));
    found.cause(Cause {
        key: CauseKey {
            id: "conversion-down",
            subject: ObjRef::cluster("customresourcedefinition.apiextensions.k8s.io", &definition, uid),
            detail: String::new(),
        },
        says: format!(
            "the conversion webhook of {} does not answer, which holds every namespace",
            kind.resource()
        ),
        evidence: vec![message.to_owned()],
        actor: None,
        holds: vec![ObjRef::cluster("namespace", &desk.target().name, "")],
        behind: Vec::new(),
        remedies: [back].into_iter().chain(unconvert).collect(),
    });
    true
}

/// Whether no object at all is converted: nothing is behind the webhook. Nothing while that is not known.
fn is_dead(desk: &Desk<'_>, definition: &Value, message: &str) -> Option<bool> {
    let Some(backend) = Backend::of(&definition["spec"]["conversion"]["webhook"]["clientConfig"]) else {
        return Some(false);
    };
    let why = message.split_once(" failed: ").map_or("", |(_, why)| why);
    let is_service = matches!(backend, Backend::Service { .. });
    Some(Call::of(why).is_dead(backend.state(desk)?.0, is_service))
}

/// Whether the webhook was reached: then the server tells what it has said, otherwise what became of the request.
fn answers(message: &str) -> bool {
    let failed = message
        .split_once("conversion webhook for ")
        .and_then(|(_, rest)| rest.split_once(" failed: "));
    failed.is_some_and(|(_, why)| !why.starts_with("Post \""))
}

/// The version in which the objects can be listed, because they are stored in it. Nothing while that is not known.
fn stored_version<'a, 'r>(
    desk: &Desk<'a>,
    kind: &Kind,
    definition: &'r Value,
    namespace: Option<&str>,
) -> Option<Option<(&'r str, &'a [Object])>> {
    let served = definition["spec"]["versions"].as_array().into_iter().flatten();
    let served = served
        .filter(|v| v["served"] == true)
        .filter_map(|v| v["name"].as_str());
    for version in served.filter(|v| *v != kind.version) {
        let ask = Ask::Metadata {
            group: kind.group.clone(),
            plural: kind.plural.clone(),
            version: Some(version.to_owned()),
            namespace: namespace.map(str::to_owned),
        };
        if let Ok(objects) = desk.metadata(&ask)? {
            return Some(Some((version, objects)));
        }
    }
    Some(None)
}

/// The last way to what is stored in several versions, or in one that is not served any more.
fn unconvert(definition: &str, uid: &str) -> Remedy {
    let mend = Mend::Unconvert {
        definition: definition.to_owned(),
        uid: uid.to_owned(),
    };
    let text = format!(
        "set the conversion of {definition} to None until this is done; meanwhile every client reads and writes its objects \
         without conversion"
    );
    Remedy {
        risk: Some(Risk::Data),
        ..Remedy::mend(Rung::Neutralise, text, mend)
    }
}

/// What is stored in a version can be deleted through it: nothing has to be converted.
fn by_stored_version(kind: &Kind, objects: &[Object], version: &str) -> Vec<Remedy> {
    let live = objects.iter().filter(|object| !object.is_deleting());
    let each = live.map(|object| {
        let mend = Mend::DeleteStored {
            key: Key::new(kind, object.namespace.as_deref(), &object.name),
            uid: object.uid.clone(),
            version: version.to_owned(),
        };
        let text = format!(
            "delete {} {} through {version}, in which it is stored",
            kind.one(),
            object.name
        );
        Remedy::mend(Rung::Narrow, text, mend)
    });
    each.collect()
}
