//! A request that admission refuses: a webhook that is dead, or a denial.

use serde_json::Value;
use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
};

use super::{
    super::{Actor, Cause, CauseKey, Found, Life, WRITTEN_BACK, desk::Desk},
    backend::Backend,
    call::Call,
    denied, invalid, matching,
    webhooks::{Dead, dead},
};
use crate::{
    facts::{Key, Object, Refusal, last_writer},
    ladder::{Mend, Remedy, Rung},
};

/// The group of configurations of webhooks and of policies.
pub const GROUP: &str = "admissionregistration.k8s.io";
/// Who works on the deletion of what is in a namespace, whatever finalizers there are: kube-controller-manager runs them with
/// accounts of their own, or with its own.
const DELETERS: [&str; 4] = [
    "system:kube-controller-manager",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:pod-garbage-collector",
];

/// What was refused.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its kind.
    pub kind: &'a Kind,
    /// The object.
    pub object: &'a Object,
    /// As admission calls it: `DELETE`, `UPDATE`.
    pub verb: &'a str,
    /// Who else has to get through, where that is known: the account of a living controller. Nothing inside where there is one
    /// of which the account is not known.
    pub controller: Option<&'a [String]>,
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
    let request = Request {
        kind,
        object,
        verb,
        controller: Some(&[]),
    };
    let subject = desk.reference(kind, object);
    match Refusal::read(said) {
        Refusal::Unreachable { webhook, why } => unreachable(desk, found, &request, webhook, why),
        Refusal::Denied { .. } | Refusal::Policy { .. } => denied::cause(desk, found, subject, verb, said),
        Refusal::NoDryRun { webhook } => not_tried(desk, found, &request, webhook),
        Refusal::Invalid if verb == "UPDATE" => invalid::cause(desk, found, kind, object, said),
        Refusal::Invalid | Refusal::Conversion | Refusal::Other => {
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

/// A webhook that cannot be asked holds everything that it is asked about.
pub fn unreachable(
    desk: &Desk<'_>,
    found: &mut Found,
    request: &Request<'_>,
    webhook: &str,
    why: &str,
) -> Option<CauseKey> {
    let dead = dead(desk, found, request, webhook, why)?;
    down(desk, found, request, webhook, &dead, why)
}

/// A webhook that has side effects is not called for a dry run. What it would say to the real request is known only of one that
/// nobody answers for.
fn not_tried(desk: &Desk<'_>, found: &mut Found, request: &Request<'_>, webhook: &str) -> Option<CauseKey> {
    let why = "it has side effects, so the API server does not call it for a dry run";
    let dead = dead(desk, found, request, webhook, "")?;
    down(desk, found, request, webhook, &dead, why)
}

fn down(
    desk: &Desk<'_>,
    found: &mut Found,
    request: &Request<'_>,
    webhook: &str,
    dead: &Dead,
    why: &str,
) -> Option<CauseKey> {
    let subject = desk.reference(request.kind, request.object);
    let Dead {
        configuration,
        backend,
        call,
        ..
    } = dead;
    let key = |id| CauseKey {
        id,
        subject: configuration.clone(),
        detail: webhook.to_owned(),
    };
    let since = since_opened(desk, request, webhook, dead)?;
    let is_dead = dead.is_dead();
    let mut remedies = vec![Remedy::by_hand(
        Rung::Repair,
        repair(backend, *call, is_dead, dead.life),
    )];
    let mut evidence = vec![why.to_owned()];
    let id = match since {
        Since::WrittenBack { by } => {
            let hint = by.map_or(String::new(), |by| {
                format!(" (its managedFields name {by}, a name that writers choose themselves)")
            });
            evidence.push(format!(
                "this run left the request out of it, and {configuration} was written back since{hint}"
            ));
            remedies.push(Remedy::by_hand(
                Rung::Neutralise,
                format!(
                    "suspend what keeps {configuration} as it is (a GitOps controller, an operator), and run this again"
                ),
            ));
            WRITTEN_BACK
        }
        Since::Unchanged => {
            remedies.extend(is_dead.then(|| exclude(desk, request, configuration, webhook)));
            "webhook-down"
        }
    };
    found.cause(Cause {
        key: key(id),
        says: format!(
            "the webhook {webhook} of {configuration} {}, and {} is refused without it",
            call.says(),
            request.verb
        ),
        evidence,
        actor: Some(Actor {
            who: backend.to_string(),
            life: if is_dead { Life::Dead } else { Life::Unknown },
            evidence: dead.evidence.clone(),
            workload: None,
        }),
        holds: vec![subject],
        behind: Vec::new(),
        remedies,
    });
    Some(key(id))
}

/// What a person has to do about it.
fn repair(backend: &Backend, call: Call, is_dead: bool, life: Life) -> String {
    let what = match backend {
        Backend::Service { namespace, name } => format!("the Service {namespace}/{name}"),
        Backend::Url(url) => url.clone(),
    };
    match (call, backend) {
        (Call::Untrusted, _) => format!("renew the certificate of {what}, or the caBundle of the webhook"),
        (Call::NoReview, _) => {
            format!("find out why {what} answers this instead of a review; it is up, so it stays in force")
        }
        (_, Backend::Service { .. }) if life == Life::Dead => format!("bring {what} and its pods back"),
        (_, Backend::Url(_)) if is_dead => format!("bring back what answers at {what}"),
        _ => format!("find out why {what} does not answer this request; others may be answered, so it stays in force"),
    }
}

/// What became of a configuration after this run has changed it.
enum Since {
    /// It was not changed by this run, or is as that has left it.
    Unchanged,
    /// What this run has changed is not there any more.
    WrittenBack {
        /// The name that whoever did it has given.
        by: Option<String>,
    },
}

/// Nothing while it is not known.
fn since_opened(desk: &Desk<'_>, request: &Request<'_>, webhook: &str, dead: &Dead) -> Option<Since> {
    let key = configuration_key(&dead.configuration);
    let name = request.object.namespace.as_ref().unwrap_or(&request.object.name);
    let selector = dead.entry["namespaceSelector"].to_string();
    let is_open = matching::is_left_out(&dead.entry, name)
        || (selector.contains("\"NotIn\"") && selector.contains(&Value::from(name.as_str()).to_string()))
        || dead.entry["failurePolicy"] == "Ignore";
    if is_open || !desk.has_opened(&key, webhook) {
        return Some(Since::Unchanged);
    }
    let by = desk.raw(&key)?.ok().and_then(last_writer);
    Some(Since::WrittenBack { by })
}

fn configuration_key(configuration: &ObjRef) -> Key {
    Key::cluster(GROUP, &format!("{}s", configuration.kind), &configuration.name)
}

/// The narrowest way: the webhook still guards everything but what these users ask for in this namespace.
fn exclude(desk: &Desk<'_>, request: &Request<'_>, configuration: &ObjRef, webhook: &str) -> Remedy {
    let subject = desk.reference(request.kind, request.object);
    let itself = (subject.kind == "namespace").then_some(&subject.name);
    let namespace = subject.namespace.as_ref().or(itself).cloned();
    let known = request.controller.filter(|_| desk.has_match_conditions());
    let accounts = known.map(|more| {
        let mut accounts: Vec<String> = DELETERS
            .iter()
            .map(ToString::to_string)
            .chain(more.iter().cloned())
            .collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    });
    let what = match &namespace {
        Some(namespace) => format!("the namespace {namespace}"),
        None => subject.to_string(),
    };
    let text = match (&accounts, &namespace) {
        (Some(accounts), _) => {
            let more: Vec<&str> = accounts
                .iter()
                .map(String::as_str)
                .filter(|a| !DELETERS.contains(a))
                .collect();
            let more = more.iter().map(|account| format!(", {account}")).collect::<String>();
            format!(
                "leave {what} out of the webhook {webhook} for you and the controllers that delete{more}, until this is done; \
                 other users are still refused"
            )
        }
        (None, Some(_)) => format!(
            "leave {what} out of the webhook {webhook} for every user and controller, until this is done; what they write there \
             meanwhile is not checked by it"
        ),
        (None, None) => format!(
            "allow what the webhook {webhook} cannot answer, for every user in the whole cluster, until this is done"
        ),
    };
    let mend = Mend::Exclude {
        key: configuration_key(configuration),
        uid: configuration.uid.clone(),
        entry: webhook.to_owned(),
        only: (namespace.is_none() && accounts.is_some()).then(|| Key::new(request.kind, None, &request.object.name)),
        namespace,
        accounts,
    };
    Remedy::mend(Rung::Neutralise, text, mend)
}
