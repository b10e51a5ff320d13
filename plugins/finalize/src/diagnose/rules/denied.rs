//! A webhook or a policy that answers and denies: that is meant, and is final.

use upkeep::report::ObjRef;

use super::{
    super::{Actor, Cause, CauseKey, DENIED, Found, Life, WEBHOOK, desk::Desk},
    admission::GROUP,
};
use crate::{
    facts::{Key, Refusal},
    ladder::{Remedy, Rung},
};

/// What the server says where the parameter of a policy is not there (apiserver/pkg/admission/plugin/policy/generic).
const NO_PARAMETER: &str = "no params found for policy binding";

/// The cause of a refusal that is a denial; nothing for any other.
pub fn cause(desk: &Desk<'_>, found: &mut Found, subject: ObjRef, verb: &str, said: &str) -> Option<CauseKey> {
    let (rule, who, why, remedy) = match Refusal::read(said) {
        Refusal::Denied { webhook, why } => {
            let who = format!("the webhook {webhook}");
            (ObjRef::cluster(WEBHOOK, webhook, ""), who, why, ask_its_owner())
        }
        Refusal::Policy {
            kind,
            policy,
            binding,
            why,
        } => {
            let bound = match binding {
                "" => String::new(),
                binding => format!(" with the binding {binding}"),
            };
            let remedy = match why.contains(NO_PARAMETER) {
                true => parameter(desk, kind, binding, &subject),
                false => ask_its_owner(),
            };
            let rule = ObjRef::cluster(&kind.to_lowercase(), policy, "");
            (rule, format!("the {kind} {policy}{bound}"), why, remedy)
        }
        _ => return None,
    };
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
        remedies: vec![remedy],
    });
    Some(key)
}

fn ask_its_owner() -> Remedy {
    Remedy::by_hand(
        Rung::Repair,
        "ask its owner; nothing here gets around a rule that somebody has made",
    )
}

/// The parameter of a policy was deleted, maybe with the namespace: what is meant then is written in the binding.
fn parameter(desk: &Desk<'_>, kind: &str, binding: &str, subject: &ObjRef) -> Remedy {
    let plural = format!("{}bindings", kind.to_lowercase());
    let raw = desk.raw(&Key::cluster(GROUP, &plural, binding));
    let reference = raw.and_then(Result::ok).map(|binding| &binding["spec"]["paramRef"]);
    let text = |field: &str| reference.and_then(|r| r[field].as_str()).unwrap_or_default();
    let name = match text("name") {
        "" => "the parameter that it selects".to_owned(),
        name => format!("its parameter {name}"),
    };
    let namespace = match (text("namespace"), &subject.namespace) {
        ("", Some(namespace)) => format!(" in the namespace {namespace}"),
        ("", None) => String::new(),
        (namespace, _) => format!(" in the namespace {namespace}"),
    };
    let exempt = match &subject.namespace {
        Some(namespace) => format!("exempt the namespace {namespace} in spec.matchResources"),
        None => "narrow spec.matchResources".to_owned(),
    };
    Remedy::by_hand(
        Rung::Repair,
        format!(
            "{name}{namespace} is missing, and the binding denies without it: have its owner re-create the parameter, set \
             spec.paramRef.parameterNotFoundAction to Allow, or {exempt} (kubectl edit {} {binding})",
            plural.trim_end_matches('s')
        ),
    )
}
