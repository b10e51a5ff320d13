//! Whether a finalizer can be removed: the server is asked with a dry run of the very patch.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use upkeep::{
    discovery::Kind,
    report::{Finding, Severity},
};

use super::{
    super::{Actor, Cause, CauseKey, Found, Life, REFUSED, desk::Desk},
    admission::{self, GROUP, Request},
    denied, invalid,
    matching::{self, Asked},
    webhooks::{self, Dead},
};
use crate::{
    facts::{Ask, Key, Object, Refusal, Reply, Said, is_built_in},
    ladder::{Remedy, Rung},
};

/// What the server says to it.
#[derive(Debug, Default)]
pub struct Removal {
    /// By which way it can be removed; nothing where the server refuses.
    pub way: Option<Way>,
    /// What has to be out of the way before.
    pub behind: Option<CauseKey>,
    /// What else is to be said.
    pub evidence: Option<String>,
}

/// Where the removal is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Way {
    /// On the object.
    #[default]
    Object,
    /// On its subresource `status`.
    Status,
}

impl Removal {
    fn by(way: Way) -> Self {
        Self {
            way: Some(way),
            ..Self::default()
        }
    }

    fn behind(cause: Option<CauseKey>) -> Self {
        Self {
            behind: cause,
            ..Self::default()
        }
    }
}

/// Asks the server early, so that it is asked with everything else.
pub fn ask<'a>(desk: &Desk<'a>, kind: &Kind, object: &Object, name: &str) -> Option<Result<&'a Value, &'a Said>> {
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    let at = object.finalizers.iter().position(|f| f == name)?;
    let is_sample = desk.sample(kind, name, key.clone()) == key;
    if !object.is_deleting() || !(is_sample || desk.refused(&key).is_some()) {
        return None;
    }
    let answer = desk.answer(&Ask::DryStrip {
        key,
        uid: object.uid.clone(),
        finalizer: name.to_owned(),
        at,
    })?;
    Some(match answer {
        Ok(Reply::One(object)) => Ok(object.as_ref()),
        Ok(_) => return None,
        Err(said) => Err(said),
    })
}

/// What follows from the answer. `actor` is who would remove the finalizer: what refuses them is in their way as well, but a
/// denial may be meant for others only.
pub fn judge(
    desk: &Desk<'_>,
    found: &mut Found,
    (kind, object, name): (&Kind, &Object, &str),
    answer: Option<Result<&Value, &Said>>,
    actor: &Actor,
    controller: Option<&[String]>,
) -> Removal {
    let said = match answer {
        None => return Removal::by(Way::Object),
        Some(Ok(shown)) => {
            let left = shown["metadata"]["finalizers"].as_array().into_iter().flatten();
            return match left.into_iter().any(|f| f == name) {
                true => Removal::behind(put_back(desk, found, kind, object, name)),
                false => Removal::by(Way::Object),
            };
        }
        Some(Err(said)) => said,
    };
    let alive = actor.life == Life::Alive;
    let request = Request {
        kind,
        object,
        verb: "UPDATE",
        controller,
    };
    let subject = desk.reference(kind, object);
    match said.refusal() {
        Refusal::Unreachable { webhook, why } => {
            let Some(dead) = webhooks::dead(desk, found, &request, webhook, why) else {
                return Removal::by(Way::Object);
            };
            let is_narrower = !alive && dead.is_dead() && !dead.guards_status(kind);
            if is_narrower && others(desk, kind, object, Some(&dead)).is_some_and(|o| o.is_empty()) {
                let evidence = format!(
                    "the webhook {webhook} does not answer ({why}); no other is asked about it, so that it can be removed through \
                     the subresource status"
                );
                return Removal {
                    way: Some(Way::Status),
                    behind: None,
                    evidence: Some(evidence),
                };
            }
            let cause = admission::unreachable(desk, found, &request, webhook, why);
            Removal {
                way: Some(Way::Object),
                ..Removal::behind(cause)
            }
        }
        Refusal::NoDryRun { .. } => {
            let cause = admission::refusal(desk, found, kind, object, "UPDATE", &said.message);
            Removal {
                way: Some(Way::Object),
                ..Removal::behind(cause)
            }
        }
        Refusal::Denied { .. } | Refusal::Policy { .. } => {
            let cause = denied::cause(desk, found, subject, "UPDATE", &said.message);
            // Who lives may be allowed to do what this user is not.
            Removal::behind(cause.filter(|_| !alive))
        }
        Refusal::Invalid => not_valid(desk, found, kind, object, said, alive),
        Refusal::Conversion => Removal::by(Way::Object),
        Refusal::Other if said.lacks_right() => {
            untried(found, said);
            Removal::by(Way::Object)
        }
        Refusal::Other if said.is_missing() || said.is_unreachable() => Removal::by(Way::Object),
        // A server that has just started, and asks nobody yet.
        Refusal::Other if said.message.contains("not yet ready to handle request") => Removal::by(Way::Object),
        // A test of the patch that does not hold any more, a conflict, a server in trouble.
        Refusal::Other if matches!(said.code, 409 | 422 | 500..) || said.code < 400 => Removal::by(Way::Object),
        Refusal::Other => Removal::behind(Some(refused(found, desk, kind, object, said))),
    }
}

/// What the server holds against the object, though only a finalizer is removed. Those that are required and missing can be filled;
/// the subresource `status` of a built-in kind ignores the rest, where nobody else would be asked about the change.
fn not_valid(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object, said: &Said, alive: bool) -> Removal {
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    if !is_built_in(&kind.group) {
        match desk.raw(&key) {
            Some(Ok(raw)) if invalid::can_be_filled(&said.message, raw) => return Removal::by(Way::Object),
            None => return Removal::default(),
            _ => {}
        }
    } else if !alive && others(desk, kind, object, None).is_some_and(|others| others.is_empty()) {
        let evidence = format!(
            "the server refuses other changes ({}); nobody else is asked about it, so that it can be removed through the subresource \
             status",
            said.message
        );
        return Removal {
            way: Some(Way::Status),
            behind: None,
            evidence: Some(evidence),
        };
    }
    Removal::behind(invalid::cause(desk, found, kind, object, &said.message))
}

/// Webhooks and policies that may be asked about a change of the object itself, but for `dead`: through the subresource nobody asks
/// them, and they might deny it. A webhook of the same name in another configuration is another one. Nothing while that is not known; where there is no such way, or it cannot be found out, a word
/// for that.
fn others(desk: &Desk<'_>, kind: &Kind, object: &Object, dead: Option<&Dead>) -> Option<Vec<String>> {
    let has_status = kind.subresources.iter().any(|s| s == "status");
    if !is_built_in(&kind.group) || !has_status {
        return Some(vec!["the object itself is the only way".into()]);
    }
    let mut all = Vec::new();
    for plural in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        if let Err(said) = desk.all::<Value>(&Ask::list(GROUP, plural, None))? {
            all.push(said.message.clone());
        }
    }
    for (configuration, entry) in webhooks::entries(desk)? {
        if dead.is_some_and(|dead| dead.is(&configuration, &entry)) {
            continue;
        }
        if matching::asked(desk, &entry, kind, object, "UPDATE")? != Asked::No {
            all.push(entry["name"].to_string());
        }
    }
    for (policies, bindings) in [
        ("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
        ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings"),
    ] {
        let policies = desk.all::<Value>(&Ask::list(GROUP, policies, None))?;
        let bindings = desk.all::<Value>(&Ask::list(GROUP, bindings, None))?;
        let (policies, bindings) = match (policies, bindings) {
            (Ok(policies), Ok(bindings)) => (policies, bindings),
            (Err(said), _) | (_, Err(said)) if said.is_missing() => continue,
            (Err(said), _) | (_, Err(said)) => {
                all.push(said.message.clone());
                continue;
            }
        };
        for policy in policies {
            let name = &policy["metadata"]["name"];
            let bound = bindings.iter().any(|b| b["spec"]["policyName"] == *name);
            let matches = &policy["spec"]["matchConstraints"];
            let entry = json!({"rules": matches["resourceRules"], "namespaceSelector": matches["namespaceSelector"],
                "objectSelector": matches["objectSelector"], "matchConditions": policy["spec"]["matchConditions"]});
            if bound && matching::asked(desk, &entry, kind, object, "UPDATE")? != Asked::No {
                all.push(name.to_string());
            }
        }
    }
    Some(all)
}

/// The patch is taken, and the finalizer is still there: a webhook or a policy that answers has put it there.
fn put_back(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object, name: &str) -> Option<CauseKey> {
    let subject = desk.reference(kind, object);
    let mut who = Vec::new();
    for (configuration, entry) in webhooks::entries(desk)? {
        let mutates = configuration.kind == "mutatingwebhookconfiguration";
        if mutates && matching::asked(desk, &entry, kind, object, "UPDATE")? != Asked::No {
            who.push(format!(
                "the webhook {} of {configuration}",
                entry["name"].as_str().unwrap_or_default()
            ));
        }
    }
    let key = CauseKey {
        id: REFUSED,
        subject: subject.clone(),
        detail: name.to_owned(),
    };
    let evidence = match who.as_slice() {
        [] => "a mutating policy may do that".to_owned(),
        who => format!("{} may do that", who.join(", ")),
    };
    found.cause(Cause {
        key: key.clone(),
        says: format!("the finalizer {name} of {subject} is written back while it is removed"),
        evidence: vec![evidence],
        actor: None,
        holds: vec![subject],
        behind: Vec::new(),
        remedies: vec![Remedy::by_hand(
            Rung::Repair,
            "ask its owner; nothing here gets around a rule that somebody has made",
        )],
    });
    Some(key)
}

/// For a reason that is none of those above: an admission plugin of the server itself, for example.
fn refused(found: &mut Found, desk: &Desk<'_>, kind: &Kind, object: &Object, said: &Said) -> CauseKey {
    let subject = desk.reference(kind, object);
    let key = CauseKey {
        id: REFUSED,
        subject: subject.clone(),
        detail: String::new(),
    };
    found.cause(Cause {
        key: key.clone(),
        says: format!("the server refuses changes of {subject}"),
        evidence: vec![said.message.clone()],
        actor: None,
        holds: vec![subject],
        behind: Vec::new(),
        remedies: vec![Remedy::by_hand(
            Rung::Repair,
            "do what the server says; nothing here gets around it",
        )],
    });
    key
}

/// That it could not be tried, for want of a right: once.
fn untried(found: &mut Found, said: &Said) {
    let id = "removal-untried";
    if found.notes.iter().all(|note| note.id != id) {
        found.notes.push(Finding {
            id,
            severity: Severity::Info,
            subjects: Vec::new(),
            evidence: "what webhooks and policies say to the removal of a finalizer was not tried: you may not patch"
                .into(),
            hint: Some(said.message.clone()),
        });
    }
}
