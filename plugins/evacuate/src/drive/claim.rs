//! A node in this run's hands: locked, cordoned, and brought back where the run ends early.

use futures::future::join;
use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use kube::{
    Error,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use upkeep::lock::{Claim, STALE_AFTER, Verdict, WATCHED_FOR, at_work, lease, verdict};

use super::{
    cordon::{Cordon, Form, first_accepted},
    lock::{Acquired, Lock, Locks, annotation, by_hand, ended},
    publish::{Evacuation, Wish, set_conditions},
    reply,
    runs::Act,
};
use crate::{
    engine::event::Reply,
    facts::{CORDONED, Node},
    gather::{Nodes, in_short},
    uncordon::back::{Back, back},
};

/// Field manager of the patches, as it appears in `managedFields`.
pub const MANAGER: &str = "kubectl-evacuate";

/// How often a node that changes under one's hands is looked at again before giving up.
pub const TRIES: usize = 8;

/// A node that this run holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// The UID of the node.
    pub uid: String,
    /// How.
    pub lock: Lock,
    /// This run has cordoned it, and nothing on the node says so.
    pub plain: bool,
}

/// What came of taking a node.
pub struct Taken {
    /// The answer for the engine.
    pub reply: Reply,
    /// The node, where this run holds it, also if it could not be cordoned.
    pub held: Option<Held>,
    /// Whose claim was replaced, and why.
    pub replaced: Option<String>,
    /// What the server has refused and the run does without.
    pub degraded: Vec<String>,
    /// What this run has done to the node.
    pub did: Vec<Act>,
}

impl Taken {
    fn not(reply: Reply) -> Self {
        Self {
            reply,
            held: None,
            replaced: None,
            degraded: Vec::new(),
            did: Vec::new(),
        }
    }

    fn with(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }
}

/// Locks and cordons a node, bound to the node that was looked at. The lock is asked for while the node is read. A claim
/// that only looks stale is watched before it is replaced; `notice` is told whose it is.
pub async fn take(nodes: &Nodes, locks: &Locks, name: &str, uid: &str, wish: &Wish, notice: impl Fn(String)) -> Taken {
    let (first, acquired) = join(nodes.get(name), locks.acquire(name, uid, &notice)).await;
    let mut taken = Taken::not(Reply::Contended(
        "the node changes faster than it can be patched".into(),
    ));
    let mut unwritable = None;
    match acquired {
        Acquired::Held { lease, replaced } => {
            taken.replaced = replaced;
            taken.held = Some(Held {
                uid: uid.to_owned(),
                lock: Lock::Lease(lease),
                plain: false,
            });
        }
        Acquired::Busy(text) => return taken.with(Reply::Conflict(text)),
        Acquired::Failed(reply) => return taken.with(reply),
        Acquired::Unwritable(text) => unwritable = Some(in_short(&text)),
    }
    let mut first = Some(first);
    let mut watched: Option<String> = None;
    for _ in 0..TRIES {
        let read = match first.take() {
            Some(read) => read,
            None => nodes.get(name).await,
        };
        let node = match read {
            Ok(node) => node,
            Err(error) => return taken.with(reply::read::<()>(Err(error))),
        };
        if node.metadata.uid.as_deref() != Some(uid) {
            let text = "it was deleted and made anew since it was looked at";
            return taken.with(Reply::Rejected(text.into()));
        }
        let now = Timestamp::now();
        let existing = annotation(&node);
        match verdict(existing, now, locks.me()) {
            Verdict::Free | Verdict::Mine => {}
            Verdict::Fresh { run, holder, .. } | Verdict::Stale { run, holder, .. }
                if locks.is_annotation_over(&run) =>
            {
                taken.replaced.get_or_insert(by_hand(&holder));
            }
            Verdict::Stale { holder, proven, .. } if proven || watched.as_deref() == existing => {
                taken.replaced.get_or_insert(ended(&holder));
            }
            Verdict::Stale { holder, .. } if watched.is_none() => {
                watched = existing.map(str::to_owned);
                notice(holder);
                tokio::time::sleep(WATCHED_FOR).await;
                continue;
            }
            Verdict::Stale { holder, .. } => return taken.with(Reply::Conflict(at_work(&holder, STALE_AFTER))),
            Verdict::Fresh { holder, retry_in, .. } => return taken.with(Reply::Conflict(at_work(&holder, retry_in))),
        }
        let claim = Claim::new(locks.me(), now);
        let by_annotation = unwritable.as_ref().map(|_| &claim);
        let earlier = mine(&node, locks);
        if is_told(&node, locks) && (by_annotation.is_none() || earlier.is_some()) {
            // An earlier try was heard, although its answer was lost.
            taken.held = taken.held.or(earlier.map(|claim| Held {
                uid: uid.to_owned(),
                lock: Lock::Annotation(claim),
                plain: false,
            }));
            let annotations = node.metadata.annotations.as_ref();
            let cordoned = annotations.and_then(|a| a.get(CORDONED)) == Some(&locks.me().run);
            taken.did = did(cordoned, wish.exclude_lb);
            return taken.with(Reply::Accepted);
        }
        let version = node.metadata.resource_version.clone();
        let node = Node::from(node.into_inner());
        let cordon = Cordon {
            node: &node,
            version: version.as_deref(),
            me: locks.me(),
            wish,
            lock: by_annotation,
            now,
        };
        match cordon.send(nodes, &params()).await {
            Ok(cordoned) => {
                taken.degraded = cordon.losses(&cordoned);
                taken
                    .degraded
                    .extend(unwritable.map(|why| unlocked(&why, cordoned.form)));
                taken.did = did(!node.unschedulable, cordon.sets_label() && cordoned.form == Form::Whole);
                let plain = cordoned.form == Form::Plain;
                let held = taken.held.get_or_insert(Held {
                    uid: uid.to_owned(),
                    lock: if plain { Lock::None } else { Lock::Annotation(claim) },
                    plain: false,
                });
                held.plain = plain && !node.unschedulable;
                return taken.with(Reply::Accepted);
            }
            // The kubelet writes the same object; look again.
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => return taken.with(reply::read::<()>(Err(error))),
        }
    }
    taken
}

fn did(cordoned: bool, labelled: bool) -> Vec<Act> {
    let cordon = cordoned.then_some(Act::Cordon);
    cordon.into_iter().chain(labelled.then_some(Act::ExcludeLb)).collect()
}

/// What it means that no Lease can be written.
pub(super) fn unlocked(why: &str, form: Form) -> String {
    let namespace = lease::NAMESPACE;
    match form {
        Form::Plain => format!(
            "two runs at once are not kept apart: no Lease can be written in namespace {namespace} ({why}), and the node takes no \
             annotation"
        ),
        _ => format!(
            "two runs at once are kept apart only by an annotation, which the node itself can write: no Lease can be written in \
             namespace {namespace} ({why}); the Role kubectl-evacuate-lock gives the right"
        ),
    }
}

/// Whether the node is cordoned and tells of this run.
fn is_told(node: &core::Node, locks: &Locks) -> bool {
    let cordoned = node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true);
    cordoned && Evacuation::of(node).is_some_and(|e| e.run == locks.me().run)
}

/// The claim of this run, where it is an annotation.
fn mine(node: &core::Node, locks: &Locks) -> Option<Claim> {
    let claim = serde_json::from_str::<Claim>(annotation(node)?).ok();
    claim.filter(|claim| claim.holder.run == locks.me().run)
}

/// Takes back this run's cordon, looking at the node first: an earlier try may have been heard although its answer was
/// lost.
pub async fn uncordon(nodes: &Nodes, locks: &Locks, name: &str, held: Option<&Held>) -> Reply {
    let me = locks.me();
    let plain = held.is_some_and(|held| held.plain);
    let lock = held.map_or(Lock::None, |held| held.lock.clone());
    for _ in 0..TRIES {
        let node = match nodes.get(name).await {
            Ok(node) => node,
            Err(error) => return reply::read::<()>(Err(error)),
        };
        let cordoned = node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true);
        let annotations = node.metadata.annotations.as_ref();
        let marked = annotations.and_then(|a| a.get(CORDONED)) == Some(&me.run);
        match (cordoned, marked, plain) {
            (false, false, _) => return Reply::Accepted,
            (true, false, false) => return Reply::Rejected("its cordon is not this run's any more".into()),
            _ => {}
        }
        if let Some(holder) = locks.usurper(&node, &lock).await {
            return Reply::Rejected(format!("{holder} holds it now"));
        }
        if Evacuation::of(&node).is_some_and(|e| e.run != me.run) {
            return Reply::Rejected("another run has emptied it since".into());
        }
        let Back { patch, conditions, .. } = back(&node);
        let whole = patch.filter(|_| marked);
        let patches = whole.into_iter().chain([spec_only(&node)]).collect();
        match first_accepted(nodes, name, &params(), patches).await {
            // A heartbeat or somebody else came first; look again.
            Err(Error::Api(status)) if status.code == 409 => {}
            Ok(_) => {
                // Nobody waits for the conditions: the node can be used again.
                if let Some(patch) = conditions {
                    drop(set_conditions(nodes, name, patch).await);
                }
                return Reply::Accepted;
            }
            Err(error) => return reply::read::<()>(Err(error)),
        }
    }
    Reply::Contended("the node changes faster than it can be patched".into())
}

/// The uncordon alone, bound to the node that was read: for a server that refuses changes of annotations.
pub fn spec_only(node: &core::Node) -> Value {
    json!({
        "metadata": {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version},
        "spec": {"unschedulable": false},
    })
}

pub(super) async fn json_patch(nodes: &Nodes, name: &str, patch: Value) -> Result<(), Error> {
    let patch = serde_json::from_value(patch).map_err(Error::SerdeError)?;
    nodes
        .patch(name, &params(), &Patch::<core::Node>::Json(patch))
        .await
        .map(drop)
}

/// How all patches of this program are sent.
pub fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.into()),
        ..PatchParams::default()
    }
}
