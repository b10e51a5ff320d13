//! A kind that cannot be listed. What is in it holds the namespace, seen or not.

use serde_json::Value;
use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
};

use super::super::{Cause, CauseKey, DENIED, Found, desk::Desk};
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
    let version_gone = said
        .message
        .contains("request to convert CR from an invalid group/version");
    if !conversion && !version_gone {
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
    if version_gone {
        found.unseen.insert(kind.resource());
    }
    let uid = raw["metadata"]["uid"].as_str().unwrap_or_default();
    let subject = ObjRef::cluster("customresourcedefinition.apiextensions.k8s.io", &definition, uid);
    let (id, says) = if conversion && answers(&said.message) {
        (
            DENIED,
            format!(
                "the conversion webhook of {} answers, and does not convert",
                kind.resource()
            ),
        )
    } else if conversion {
        (
            "conversion-down",
            format!("the conversion webhook of {} does not answer", kind.resource()),
        )
    } else {
        (
            "version-gone",
            format!(
                "objects of {} are stored in a version that is not there any more",
                kind.resource()
            ),
        )
    };
    let (objects, remedies) = if conversion {
        let stored = stored_version(desk, kind, raw, namespace)?;
        if stored.is_none() {
            found.unseen.insert(kind.resource());
        }
        let (version, objects) = stored.unwrap_or(("", &[]));
        let mut remedies = vec![Remedy::by_hand(Rung::Repair, "bring the conversion webhook back")];
        remedies.extend(by_stored_version(kind, objects, version));
        // Who answers has a reason.
        if !answers(&said.message) {
            remedies.push(unconvert(&definition, uid));
        }
        (objects, remedies)
    } else {
        let again = missing_version(&said.message, &definition);
        (&[][..], again.into_iter().collect())
    };
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
    let uid = raw["metadata"]["uid"].as_str().unwrap_or_default();
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
        remedies: vec![
            Remedy::by_hand(Rung::Repair, "bring the conversion webhook back"),
            unconvert(&definition, uid),
        ],
    });
    true
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

/// The version that the server names.
fn missing_version(message: &str, definition: &str) -> Option<Remedy> {
    let (_, rest) = message.split_once("invalid group/version: ")?;
    let named = rest.split_whitespace().next()?.trim_end_matches([',', ';', '"']);
    let version = named.rsplit('/').next()?;
    let mend = Mend::Serve {
        definition: definition.to_owned(),
        version: version.to_owned(),
    };
    let text = format!("serve the version {version} of {definition} again, without storing anything in it");
    Some(Remedy::mend(Rung::Repair, text, mend))
}
