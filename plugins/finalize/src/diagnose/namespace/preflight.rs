//! What would hold the namespace if somebody deleted it now.

use std::collections::BTreeMap;

use serde_json::Value;
use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
};

use super::{
    super::{Found, Life, desk::Desk, rules},
    content::Content,
};
use crate::facts::{Ask, Definition, Key, Object, singular};

/// How many objects of a kind are asked about: webhooks and policies rarely tell one from another.
const ASKED: usize = 3;
/// Finalizers whose reason goes with the namespace.
const BY_ITSELF: [&str; 4] = [
    "kubernetes.io/pvc-protection",
    "kubernetes.io/pv-protection",
    "foregroundDeletion",
    "orphan",
];

/// Everything that the deletion would come across.
pub fn look(desk: &Desk<'_>, found: &mut Found) {
    let content = Content::list(desk, found);
    rules::dark_apis(desk, found);
    inside(desk, found);
    let Some(content) = content else { return };
    let mut asked = BTreeMap::<String, usize>::new();
    for (kind, object) in &content.objects {
        found.left_for_later(desk.reference(kind, object), object);
        let held = rules::judged(desk, object)
            .into_iter()
            .filter(|f| !BY_ITSELF.contains(f));
        held.for_each(|finalizer| rules::finalizer(desk, found, kind, object, finalizer));
        if kind.is("", "Pod") {
            rules::silent(desk, found, kind, object);
        }
        let count = asked.entry(kind.resource()).or_default();
        *count += 1;
        if *count <= ASKED {
            refused(desk, found, kind, object);
        }
    }
    // Who lives takes them off.
    let alive = |life: Life| life == Life::Alive;
    found
        .causes
        .retain(|key, cause| key.id != "finalizer" || !cause.actor.as_ref().is_some_and(|a| alive(a.life)));
}

fn refused(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object) {
    let key = Key::new(kind, object.namespace.as_deref(), &object.name);
    match desk.answer(&Ask::DryDelete(key)) {
        Some(Err(said)) if said.lacks_right() => found.untried(said),
        Some(Err(said)) if !said.is_missing() => {
            rules::refusal(desk, found, kind, object, "DELETE", &said.message);
        }
        _ => {}
    }
}

/// What is answered from within the namespace stops answering when its pods go, which is first.
fn inside(desk: &Desk<'_>, found: &mut Found) {
    let namespace = desk.target().name.as_str();
    let mut warn = |subject: ObjRef, evidence: String| {
        found.notes.push(Finding {
            id: "served-from-inside",
            severity: Severity::Warning,
            subjects: vec![subject],
            evidence,
            hint: Some("delete that first, or what it belongs to in the way that its makers describe".into()),
        });
    };
    for plural in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        let Some(Ok(all)) = desk.all::<Value>(&Ask::list("admissionregistration.k8s.io", plural, None)) else {
            continue;
        };
        for configuration in all {
            let entries = configuration["webhooks"].as_array().into_iter().flatten();
            let mut closed = entries
                .filter(|e| e["failurePolicy"] != "Ignore" && e["clientConfig"]["service"]["namespace"] == namespace);
            if let Some(entry) = closed.next() {
                let text = |field: &str| configuration["metadata"][field].as_str().unwrap_or_default();
                let subject = ObjRef::cluster(&singular(plural), text("name"), text("uid"));
                let name = entry["name"].as_str().unwrap_or_default();
                let evidence = format!(
                    "the webhook {name} of {subject} is answered from within this namespace, and must answer: once its pods are \
                     gone, what it is asked about is refused"
                );
                warn(subject, evidence);
            }
        }
    }
    if let Some(Ok(all)) = desk.all::<Value>(&Ask::list("apiregistration.k8s.io", "apiservices", None)) {
        for service in all.iter().filter(|s| s["spec"]["service"]["namespace"] == namespace) {
            let text = |field: &str| service["metadata"][field].as_str().unwrap_or_default();
            let subject = ObjRef::cluster("apiservice.apiregistration.k8s.io", text("name"), text("uid"));
            let evidence = format!(
                "{subject} is answered from within this namespace: once its pods are gone, it holds every namespace, this one too"
            );
            warn(subject, evidence);
        }
    }
    if let Some(Ok(all)) = desk.definitions() {
        let of_this = |d: &&Definition| d.conversion["webhook"]["clientConfig"]["service"]["namespace"] == namespace;
        for definition in all.iter().filter(of_this) {
            let object = &definition.object;
            let subject = ObjRef::cluster("customresourcedefinition", &object.name, &object.uid);
            let evidence = format!(
                "the objects of {subject} are converted from within this namespace: once its pods are gone they cannot be read, \
                 and as long as there are any, no namespace can be deleted"
            );
            warn(subject, evidence);
        }
    }
}
