//! The namespace object itself: its two lists of finalizers.

use k8s_openapi::api::core::v1 as core;
use upkeep::report::{Finding, ObjRef, Severity};

use super::{
    super::{CONTROLLER_SAYS, Cause, CauseKey, Found, desk::Desk, rules},
    content::Content,
};
use crate::{
    facts::Object,
    knowledge::{Field, Risk},
    ladder::{Mend, Remedy, Rung},
};

/// What the namespace controller removes when everything is gone.
const KUBERNETES: &str = "kubernetes";
/// How long controllers have to remove finalizers before the run says that something holds the namespace, in seconds.
const SETTLED: i64 = 15;
/// The condition that says that objects have finalizers.
const FINALIZERS_REMAINING: &str = "NamespaceFinalizersRemaining";
/// The condition that says that objects could not be deleted.
const CONTENT_FAILURE: &str = "NamespaceDeletionContentFailure";

/// A namespace that nobody deletes. One whose `spec.finalizers` were emptied would be removed without its content.
pub fn living(namespace: &core::Namespace, found: &mut Found) {
    if spec_finalizers(namespace).next().is_some() {
        return;
    }
    found.notes.push(Finding {
        id: "disarmed",
        severity: Severity::Warning,
        subjects: vec![reference(namespace)],
        evidence:
            "spec.finalizers of this namespace is empty although it is not being deleted: a deletion would leave \
                   everything in it behind, without a namespace"
                .into(),
        hint: Some("delete its content before the namespace".into()),
    });
}

/// What is on a namespace that is being deleted.
pub fn going(desk: &Desk<'_>, found: &mut Found, namespace: &core::Namespace, content: &Content<'_>) {
    let subject = reference(namespace);
    let meta = namespace.metadata.finalizers.as_deref().unwrap_or_default();
    if let (Some(kind), Some(Ok(object))) = (desk.discovery().find("namespaces"), desk.typed::<Object>(desk.target())) {
        found.left_for_later(subject.clone(), &object);
        for finalizer in rules::judged(desk, &object) {
            rules::finalizer(desk, found, kind, &object, finalizer);
        }
    }
    let spec: Vec<&str> = spec_finalizers(namespace).collect();
    for finalizer in spec.iter().filter(|f| **f != KUBERNETES) {
        foreign(desk, found, &subject, finalizer);
    }
    if spec.is_empty() && meta.is_empty() {
        zombie(found, &subject, content);
    }
}

/// Whether the controller has tried to delete the content, and was not let to.
pub fn has_failed(namespace: &core::Namespace) -> bool {
    let conditions = namespace.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c.type_ == CONTENT_FAILURE && c.status == "True")
}

/// What the controller has written. What it meets elsewhere, or is refused, shows nowhere else. The rest is told as its words
/// where nothing else was found, or where this user may not look: evidence is better than nothing.
pub fn conditions(desk: &Desk<'_>, found: &mut Found, namespace: &core::Namespace, age: i64) {
    let failures = [
        CONTENT_FAILURE,
        "NamespaceDeletionDiscoveryFailure",
        "NamespaceDeletionGroupVersionParsingFailure",
    ];
    let remaining = ["NamespaceContentRemaining", FINALIZERS_REMAINING];
    let blind = !found.unread.is_empty();
    let empty = found.causes.is_empty();
    let conditions = namespace.status.as_ref().and_then(|s| s.conditions.as_ref());
    let said = conditions.into_iter().flatten().filter(|c| c.status == "True");
    let mut words = Vec::new();
    let mut waits = false;
    for condition in said {
        let message = condition.message.clone().unwrap_or_default();
        let is_failure = failures.contains(&condition.type_.as_str());
        if is_failure
            && (rules::version_gone_elsewhere(desk, found, &message)
                || rules::controller_refused(desk, found, &message))
        {
            continue;
        }
        if is_failure && empty && rules::conversion_elsewhere(desk, found, &message) {
            continue;
        }
        if (is_failure && (empty || blind)) || (blind && remaining.contains(&condition.type_.as_str())) {
            waits |= is_failure || condition.type_ == FINALIZERS_REMAINING;
            words.push(message);
        }
    }
    if blind && waits && age > SETTLED && found.causes.is_empty() {
        unread(found, reference(namespace), words);
        return;
    }
    found.notes.extend(words.into_iter().map(|message| Finding {
        id: CONTROLLER_SAYS,
        severity: Severity::Warning,
        subjects: vec![reference(namespace)],
        evidence: format!("the namespace controller says: {message}"),
        hint: None,
    }));
}

/// Something holds it that this user may not see; to wait would not show it.
fn unread(found: &mut Found, subject: ObjRef, words: Vec<String>) {
    found.cause(Cause {
        key: CauseKey {
            id: "unread",
            subject: subject.clone(),
            detail: String::new(),
        },
        says: "something in the namespace holds it that you may not see".into(),
        evidence: words
            .into_iter()
            .map(|message| format!("the namespace controller says: {message}"))
            .collect(),
        actor: None,
        holds: vec![subject],
        behind: Vec::new(),
        remedies: vec![Remedy::by_hand(
            Rung::Repair,
            "ask for the ClusterRole kubectl-finalize-look, with which it is shown what that is, or ask who has it",
        )],
    });
}

/// A finalizer in `spec` that the namespace controller leaves alone.
fn foreign(desk: &Desk<'_>, found: &mut Found, subject: &ObjRef, finalizer: &str) {
    let entry = desk.knowledge.of(finalizer, Some("Namespace"), Field::Spec);
    let mend = Mend::Finalize {
        namespace: subject.name.clone(),
        uid: subject.uid.clone(),
        finalizer: finalizer.to_owned(),
    };
    found.cause(Cause {
        key: CauseKey {
            id: "namespace-finalizer",
            subject: subject.clone(),
            detail: finalizer.to_owned(),
        },
        says: format!("spec.finalizers of the namespace has {finalizer}, which the namespace controller leaves alone"),
        evidence: entry
            .map(|e| format!("it is there so {}", e.protects))
            .into_iter()
            .collect(),
        actor: None,
        holds: vec![subject.clone()],
        behind: Vec::new(),
        remedies: vec![Remedy {
            risk: Some(entry.map_or(Risk::Orphans, |e| e.risk)),
            ..Remedy::mend(Rung::Strip, format!("remove {finalizer} from spec.finalizers"), mend)
        }],
    });
}

/// Both lists are empty, and the controller passes by (its code returns early).
fn zombie(found: &mut Found, subject: &ObjRef, content: &Content<'_>) {
    let live = content.objects.len();
    let evidence = match live {
        0 => Vec::new(),
        live => vec![format!("{live} objects are still in it, and nobody deletes them")],
    };
    let mut remedies = Vec::new();
    if live == 0 {
        let mend = Mend::DeleteAgain {
            key: crate::facts::Key::cluster("", "namespaces", &subject.name),
            uid: subject.uid.clone(),
        };
        remedies.push(Remedy::mend(
            Rung::Narrow,
            "delete it once more, which removes it at once",
            mend,
        ));
    } else {
        for (kind, object) in content.objects.iter().filter(|(_, o)| !o.is_deleting()) {
            let key = crate::facts::Key::new(kind, object.namespace.as_deref(), &object.name);
            let mend = Mend::DeleteAgain {
                key,
                uid: object.uid.clone(),
            };
            remedies.push(Remedy::mend(
                Rung::Narrow,
                format!(
                    "delete {} {}, as the namespace controller would have done",
                    kind.one(),
                    object.name
                ),
                mend,
            ));
        }
    }
    found.cause(Cause {
        key: CauseKey {
            id: "zombie",
            subject: subject.clone(),
            detail: String::new(),
        },
        says: "the namespace has no finalizers left, and its controller passes it by".into(),
        evidence,
        actor: None,
        holds: vec![subject.clone()],
        behind: Vec::new(),
        remedies,
    });
}

fn spec_finalizers(namespace: &core::Namespace) -> impl Iterator<Item = &str> {
    let spec = namespace.spec.as_ref();
    spec.and_then(|s| s.finalizers.as_ref())
        .into_iter()
        .flatten()
        .map(String::as_str)
}

fn reference(namespace: &core::Namespace) -> ObjRef {
    let meta = &namespace.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    ObjRef::cluster("namespace", &text(&meta.name), &text(&meta.uid))
}
