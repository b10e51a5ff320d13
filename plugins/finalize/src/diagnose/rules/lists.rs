//! A kind that cannot be listed. What is in it holds the namespace, seen or not.

use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
};

use super::super::{Cause, CauseKey, Found, desk::Desk};
use crate::{
    facts::{Ask, Key, Object, Said},
    ladder::{Mend, Remedy, Rung},
};

/// Says why, and tries the version in which the objects are stored, which needs no conversion. Nothing while that is not
/// known.
pub fn unlisted<'a>(
    desk: &Desk<'a>,
    found: &mut Found,
    kind: &Kind,
    namespace: &str,
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
        Err(_) => return Some(&[]),
    };
    let uid = raw["metadata"]["uid"].as_str().unwrap_or_default();
    let subject = ObjRef::cluster("customresourcedefinition.apiextensions.k8s.io", &definition, uid);
    let (id, says) = if conversion {
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
    let versions = raw["spec"]["versions"].as_array();
    let stored = versions.into_iter().flatten().find(|v| v["storage"] == true);
    let stored = stored.and_then(|v| v["name"].as_str()).filter(|_| conversion);
    let objects = match stored {
        None => &[][..],
        Some(version) => {
            let ask = Ask::Metadata {
                group: kind.group.clone(),
                plural: kind.plural.clone(),
                version: Some(version.to_owned()),
                namespace: Some(namespace.to_owned()),
            };
            desk.metadata(&ask)?.unwrap_or(&[])
        }
    };
    let remedies = match stored {
        Some(version) => by_stored_version(kind, objects, version),
        None => missing_version(&said.message, &definition).into_iter().collect(),
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
        holds: vec![ObjRef::cluster("namespace", namespace, "")],
        behind: Vec::new(),
        remedies,
    });
    Some(objects)
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
    let right = Remedy::by_hand(Rung::Repair, "bring the conversion webhook back");
    std::iter::once(right).chain(each).collect()
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
