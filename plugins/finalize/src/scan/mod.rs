//! `scan`: everything in the cluster that is stuck, will get stuck, or was left behind. Pure, like the diagnosis.

mod hazards;
pub mod orphans;

use k8s_openapi::jiff::Timestamp;
use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
};

use crate::{
    diagnose::{Desk, by_hand_in_storage, is_double, is_unreadable, version_gone},
    facts::{Ask, Object, Said},
};

/// How long a deletion may take before it is worth a word, in seconds: controllers and kubelets need a moment.
const PATIENCE: i64 = 60;

/// What was found.
#[derive(Debug, Default, PartialEq)]
pub struct Scan {
    /// Objects whose deletion does not end, the oldest first.
    pub stuck: Vec<Stuck>,
    /// Everything else.
    pub findings: Vec<Finding>,
}

/// An object whose deletion does not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The object.
    pub object: ObjRef,
    /// Since when it should be gone.
    pub since: Timestamp,
    /// Its finalizers.
    pub finalizers: Vec<String>,
}

/// Looks at everything that can be listed.
pub fn scan(desk: &Desk<'_>) -> Scan {
    let mut found = Scan::default();
    let (objects, complete) = everything(desk, &mut found.findings, |_| true);
    found.stuck = objects
        .iter()
        .filter_map(|(kind, object)| stuck(desk, kind, object))
        .collect();
    found
        .stuck
        .sort_by(|a, b| (a.since, &a.object).cmp(&(b.since, &b.object)));
    found.findings.extend(hazards::dark_apis(desk));
    found.findings.extend(hazards::dead_webhooks(desk));
    found.findings.extend(hazards::left_by_us(desk, &objects));
    // Namespaces are listed after everything in them: what is new by then has its own.
    if complete {
        found.findings.extend(orphans::disarmed(desk));
        found
            .findings
            .extend(orphans::findings(orphans::groups(desk, &objects)));
    }
    found
}

/// Objects of every kind that can be listed and deleted, and whether that is all of them yet.
fn everything<'a>(
    desk: &Desk<'a>,
    findings: &mut Vec<Finding>,
    wanted: impl Fn(&Kind) -> bool,
) -> (Vec<(&'a Kind, &'a Object)>, bool) {
    let listable = |kind: &&Kind| kind.can("list") && kind.can("delete") && !is_double(kind);
    let mut objects = Vec::new();
    let mut forbidden = Vec::new();
    let mut complete = true;
    for kind in desk.discovery().preferred().filter(listable).filter(|k| wanted(k)) {
        match desk.metadata(&Ask::metadata(kind, None)) {
            None => complete = false,
            Some(Ok(here)) => objects.extend(here.iter().map(|object| (kind, object))),
            Some(Err(said)) if said.is_missing() || said.code == 405 => {}
            Some(Err(said)) if said.code == 403 => forbidden.push((kind.resource(), said.message.as_str())),
            Some(Err(said)) => findings.push(unlisted(kind, said)),
        }
    }
    findings.extend(without_right(&forbidden));
    (objects, complete)
}

/// A kind that cannot be listed holds every namespace.
fn unlisted(kind: &Kind, said: &Said) -> Finding {
    let resource = kind.resource();
    if let Some(version) = version_gone(&said.message) {
        let evidence = format!(
            "objects of {resource} are stored in the version {version}, which is not there any more, so no namespace can be deleted: {}",
            said.message
        );
        return Finding {
            id: "version-gone",
            hint: Some(format!(
                "serve the version {version} of {resource} again, without storing anything in it; 'kubectl finalize ns NAME \
                 --force-up-to=repair' does so for a namespace that waits for that"
            )),
            ..unseen(evidence)
        };
    }
    if is_unreadable(said) {
        let evidence = format!(
            "the API server cannot read {resource} from its storage: {}",
            said.message
        );
        return Finding {
            id: "unreadable",
            hint: by_hand_in_storage(kind, None, None, &said.message).into_iter().next(),
            ..unseen(evidence)
        };
    }
    unseen(format!("{resource} cannot be listed: {}", said.message))
}

fn unseen(evidence: String) -> Finding {
    Finding {
        id: "unseen",
        severity: Severity::Warning,
        subjects: Vec::new(),
        evidence,
        hint: None,
    }
}

/// Whoever has no right to one kind mostly has none to many.
fn without_right(kinds: &[(String, &str)]) -> Option<Finding> {
    let names: Vec<&str> = kinds.iter().map(|(name, _)| name.as_str()).collect();
    let evidence = match kinds {
        [] => return None,
        [(name, said)] => format!("{name} cannot be listed: {said}"),
        _ => format!(
            "{} kinds cannot be listed, for you may not: {}",
            names.len(),
            names.join(", ")
        ),
    };
    Some(Finding {
        hint: Some("the ClusterRole kubectl-finalize-look has the rights that are needed to look".into()),
        ..unseen(evidence)
    })
}

/// Objects in namespaces that do not exist, by namespace; nothing as long as it is not known. What cannot be listed is said.
pub fn orphans(desk: &Desk<'_>, findings: &mut Vec<Finding>) -> Option<orphans::Groups> {
    let (objects, complete) = everything(desk, findings, |kind| kind.namespaced);
    complete.then(|| orphans::groups(desk, &objects))
}

/// The deletionTimestamp of a pod lies ahead by its grace period, so that it is not early either.
fn stuck(desk: &Desk<'_>, kind: &Kind, object: &Object) -> Option<Stuck> {
    let since = object.deletion.filter(|at| desk.seconds_since(*at) > PATIENCE)?;
    Some(Stuck {
        object: desk.reference(kind, object),
        since,
        finalizers: object.finalizers.clone(),
    })
}
