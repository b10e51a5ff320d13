//! A request that admission does not let through: a webhook that is dead, or somebody who says no.

use serde_json::Value;
use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
};

use super::{
    super::{Actor, Cause, CauseKey, DENIED, Found, Life, desk::Desk},
    backend::Backend,
    matching::{self, Asked},
};
use crate::{
    facts::{Ask, Key, Object, singular},
    ladder::{Mend, Remedy, Rung},
};

/// What the server's words about a refused request mean.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<'a> {
    /// A webhook does not answer.
    Unreachable {
        /// Its name.
        webhook: &'a str,
        /// Why.
        why: &'a str,
    },
    /// A webhook says no.
    Denied {
        /// Its name.
        webhook: &'a str,
        /// Why.
        why: &'a str,
    },
    /// A ValidatingAdmissionPolicy says no.
    Policy {
        /// Its name.
        policy: &'a str,
        /// The binding.
        binding: &'a str,
    },
    /// Something else.
    Other,
}

/// Reads the server's words (apiserver/pkg/admission/plugin/webhook/errors, .../policy/validating).
pub fn read(message: &str) -> Refused<'_> {
    let quoted = |text: &'static str, end: char| {
        let rest = message.split_once(text)?.1;
        rest.split_once(end)
    };
    // Who says no may say anything, the words of the server too: those are at the beginning.
    let dead = message.strip_prefix("Internal error occurred: failed calling webhook \"");
    if let Some((webhook, rest)) = dead.and_then(|rest| rest.split_once('"')) {
        let why = rest.trim_start_matches(':').trim();
        let why = why.strip_prefix("failed to call webhook:").unwrap_or(why).trim();
        return Refused::Unreachable { webhook, why };
    }
    if let Some((webhook, rest)) = quoted("admission webhook \"", '"') {
        let why = rest.trim().strip_prefix("denied the request").unwrap_or(rest);
        return Refused::Denied {
            webhook,
            why: why.trim_start_matches(':').trim(),
        };
    }
    if let Some((policy, rest)) = quoted("ValidatingAdmissionPolicy '", '\'') {
        let binding = rest.split_once("binding '").and_then(|(_, rest)| rest.split_once('\''));
        return Refused::Policy {
            policy,
            binding: binding.map_or("", |(binding, _)| binding),
        };
    }
    Refused::Other
}

/// A deletion or a change of an object that the server refuses, in its words. The cause, if it is one.
pub fn refusal(
    desk: &Desk<'_>,
    found: &mut Found,
    kind: &Kind,
    object: &Object,
    verb: &str,
    said: &str,
) -> Option<CauseKey> {
    let subject = desk.reference(kind, object);
    match read(said) {
        Refused::Unreachable { webhook, why } => {
            let request = Request { kind, object, verb };
            dead_webhook(desk, found, &subject, &request, webhook, why)
        }
        Refused::Denied { webhook, why } => {
            let rule = ObjRef::cluster("webhook", webhook, "");
            Some(denied(
                found,
                subject,
                verb,
                rule,
                format!("the webhook {webhook}"),
                why,
            ))
        }
        Refused::Policy { policy, binding } => {
            let rule = ObjRef::cluster("validatingadmissionpolicy", policy, "");
            let who = format!("the ValidatingAdmissionPolicy {policy} with the binding {binding}");
            Some(denied(found, subject, verb, rule, who, said))
        }
        Refused::Other => {
            found.notes.push(Finding {
                id: "not-allowed",
                severity: Severity::Warning,
                evidence: format!("the server refuses {verb} of {subject}: {said}"),
                subjects: vec![subject],
                hint: None,
            });
            None
        }
    }
}

/// Somebody who answers does not want it: that is no fault.
fn denied(found: &mut Found, subject: ObjRef, verb: &str, rule: ObjRef, who: String, why: &str) -> CauseKey {
    let key = CauseKey {
        id: DENIED,
        subject: rule,
        detail: verb.to_owned(),
    };
    found.cause(Cause {
        key: key.clone(),
        says: format!("{who} does not allow {verb}"),
        evidence: (!why.is_empty()).then(|| why.to_owned()).into_iter().collect(),
        actor: Some(Actor {
            who,
            life: Life::Alive,
            evidence: "it answers, so this is meant".into(),
            workload: None,
        }),
        holds: vec![subject],
        behind: Vec::new(),
        remedies: vec![Remedy::by_hand(
            Rung::Repair,
            "ask its owner; nothing here gets around a rule that somebody has made",
        )],
    });
    key
}

/// A webhook that cannot be reached holds everything that it is asked about.
fn dead_webhook(
    desk: &Desk<'_>,
    found: &mut Found,
    subject: &ObjRef,
    request: &Request<'_>,
    webhook: &str,
    why: &str,
) -> Option<CauseKey> {
    let verb = request.verb;
    let Some((configuration, entry)) = find(desk, request, webhook)? else {
        let text = format!("the API server has not noticed yet that the webhook {webhook} was changed");
        found.in_time.push((subject.clone(), text));
        return None;
    };
    let backend = Backend::of(&entry["clientConfig"])?;
    let state = backend.state(desk)?;
    let right = match &backend {
        Backend::Service { namespace, name } => format!("bring the Service {namespace}/{name} and its pods back"),
        Backend::Url(url) => format!("bring back what answers at {url}"),
    };
    let key = CauseKey {
        id: "webhook-down",
        subject: configuration.clone(),
        detail: webhook.to_owned(),
    };
    found.cause(Cause {
        key: key.clone(),
        says: format!("the webhook {webhook} of {configuration} does not answer, and {verb} is refused without it"),
        evidence: vec![why.to_owned()],
        actor: Some(Actor {
            who: backend.to_string(),
            life: state.0,
            evidence: state.1,
            workload: None,
        }),
        holds: vec![subject.clone()],
        behind: Vec::new(),
        remedies: vec![
            Remedy::by_hand(Rung::Repair, right),
            exclude(&configuration, webhook, subject),
        ],
    });
    Some(key)
}

/// The narrowest way: the webhook still guards everything but this namespace.
fn exclude(configuration: &ObjRef, webhook: &str, subject: &ObjRef) -> Remedy {
    let itself = (subject.kind == "namespace").then_some(&subject.name);
    let namespace = subject.namespace.as_ref().or(itself).cloned();
    let plural = format!("{}s", configuration.kind);
    let mend = Mend::Exclude {
        key: Key::cluster("admissionregistration.k8s.io", &plural, &configuration.name),
        uid: configuration.uid.clone(),
        entry: webhook.to_owned(),
        namespace: namespace.clone(),
    };
    let text = match namespace {
        Some(name) => {
            format!("leave the namespace {name} out of the webhook {webhook} until this is done; then it is put back")
        }
        None => format!(
            "let through what the webhook {webhook} cannot answer, in the whole cluster, until this is done; then it is put back"
        ),
    };
    Remedy::mend(Rung::Neutralise, text, mend)
}

/// What was refused.
struct Request<'a> {
    kind: &'a Kind,
    object: &'a Object,
    verb: &'a str,
}

/// The configuration that has this entry. The same name may stand in several: the one that is asked about the request, and of
/// those one that nobody answers for. Nothing inside where none is, and nothing at all while it is not known.
fn find(desk: &Desk<'_>, request: &Request<'_>, webhook: &str) -> Option<Option<(ObjRef, Value)>> {
    let mut best: Option<((Asked, bool), ObjRef, Value)> = None;
    for plural in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        let group = "admissionregistration.k8s.io";
        let all = match desk.all::<Value>(&Ask::list(group, plural, None))? {
            Ok(all) => all,
            Err(_) => continue,
        };
        for configuration in all {
            let entries = configuration["webhooks"].as_array().cloned().unwrap_or_default();
            let Some(entry) = entries.into_iter().find(|e| e["name"] == webhook) else {
                continue;
            };
            let asked = matching::asked(desk, &entry, request.kind, request.object, request.verb)?;
            if asked == Asked::No {
                continue;
            }
            let dead = match Backend::of(&entry["clientConfig"]) {
                Some(backend) => backend.state(desk)?.0 == Life::Dead,
                None => false,
            };
            let text = |field: &str| configuration["metadata"][field].as_str().unwrap_or_default();
            let one = singular(plural);
            let reference = ObjRef::cluster(&one, text("name"), text("uid"));
            if best.as_ref().is_none_or(|(rank, ..)| *rank < (asked, dead)) {
                best = Some(((asked, dead), reference, entry));
            }
        }
    }
    Some(best.map(|(_, reference, entry)| (reference, entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_server_are_understood() {
        let dead = "Internal error occurred: failed calling webhook \"deny.example.com\": failed to call webhook: Post \
                    \"https://nope.x.svc:443/?timeout=2s\": service \"nope\" not found";
        assert_eq!(
            read(dead),
            Refused::Unreachable {
                webhook: "deny.example.com",
                why: "Post \"https://nope.x.svc:443/?timeout=2s\": service \"nope\" not found"
            }
        );
        assert_eq!(
            read("admission webhook \"guard.example.com\" denied the request: not today"),
            Refused::Denied {
                webhook: "guard.example.com",
                why: "not today"
            }
        );
        let policy = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'no-delete' with binding 'no-delete-b' \
                      denied request: failed expression: false";
        assert_eq!(
            read(policy),
            Refused::Policy {
                policy: "no-delete",
                binding: "no-delete-b"
            }
        );
        assert_eq!(read("configmaps \"a\" not found"), Refused::Other);
    }
}
