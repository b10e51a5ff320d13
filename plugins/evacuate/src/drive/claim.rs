//! A node in this run's hands: cordoned and claimed in one patch, kept alive, given back.

use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use kube::{
    Api, Error,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use upkeep::lock::{
    Claim, Identity, LOCK, STALE_AFTER, Verdict, WATCHED_FOR, at_work, heartbeat_patch, release_patch, verdict,
};

use super::{
    publish::{EVACUATION, EXCLUDE_LB, Evacuation, Wish, set_conditions},
    reply,
};
use crate::{
    engine::event::Reply,
    facts::CORDONED,
    uncordon::back::{Back, back},
};

/// Field manager of the patches, as it appears in `managedFields`.
pub const MANAGER: &str = "kubectl-evacuate";

/// How often a node that changes under one's hands is looked at again before giving up.
pub const TRIES: usize = 8;

/// What came of taking a node.
pub struct Taken {
    /// The answer for the engine.
    pub reply: Reply,
    /// The claim, if it was taken.
    pub claim: Option<Claim>,
    /// A claim of another run that was found stale and replaced.
    pub replaced: Option<String>,
}

impl Taken {
    fn not(reply: Reply) -> Self {
        Self {
            reply,
            claim: None,
            replaced: None,
        }
    }
}

/// Cordons and claims a node in one patch, bound to the node that was looked at: whoever comes second sees the claim of
/// the first. A claim that only looks stale is watched before it is replaced; `notice` is told whose it is.
pub async fn take(
    nodes: &Api<core::Node>,
    name: &str,
    uid: &str,
    me: &Identity,
    wish: &Wish,
    notice: impl Fn(String),
) -> Taken {
    let mut replaced = None;
    let mut watched: Option<String> = None;
    for _ in 0..TRIES {
        let node = match nodes.get(name).await {
            Ok(node) => node,
            Err(error) => return Taken::not(reply::read::<()>(Err(error))),
        };
        if node.metadata.uid.as_deref() != Some(uid) {
            let text = "it was deleted and made anew since it was looked at";
            return Taken::not(Reply::Rejected(text.into()));
        }
        let now = Timestamp::now();
        let existing = lock_of(&node);
        match verdict(existing, now, me) {
            Verdict::Free | Verdict::Mine => {}
            Verdict::Stale { holder, proven } if proven || watched.as_deref() == existing => replaced = Some(holder),
            Verdict::Stale { holder, .. } if watched.is_none() => {
                watched = existing.map(str::to_owned);
                notice(holder);
                tokio::time::sleep(WATCHED_FOR).await;
                continue;
            }
            Verdict::Stale { holder, .. } => return Taken::not(Reply::Conflict(at_work(&holder, STALE_AFTER))),
            Verdict::Fresh { holder, retry_in } => return Taken::not(Reply::Conflict(at_work(&holder, retry_in))),
        }
        if let Some(claim) = mine(&node, me) {
            // An earlier try was heard, although its answer was lost.
            return Taken {
                reply: Reply::Accepted,
                claim: Some(claim),
                replaced,
            };
        }
        let claim = Claim::new(me, now);
        let already = node.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or(false);
        let patch = cordon_patch(&node, &claim, me, wish, already);
        match nodes.patch(name, &params(), &Patch::Merge(patch)).await {
            Ok(_) => {
                return Taken {
                    reply: Reply::Accepted,
                    claim: Some(claim),
                    replaced,
                };
            }
            // The kubelet writes the same object; look again.
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Taken::not(reply::read::<()>(Err(error))),
        }
    }
    Taken::not(Reply::Contended(
        "the node changes faster than it can be patched".into(),
    ))
}

fn lock_of(node: &core::Node) -> Option<&str> {
    node.metadata.annotations.as_ref()?.get(LOCK).map(String::as_str)
}

/// The claim of this run on a node that is cordoned.
fn mine(node: &core::Node, me: &Identity) -> Option<Claim> {
    let text = lock_of(node)?;
    let cordoned = node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true);
    let held = cordoned && verdict(Some(text), Timestamp::now(), me) == Verdict::Mine;
    held.then(|| serde_json::from_str(text).ok()).flatten()
}

fn cordon_patch(node: &core::Node, claim: &Claim, me: &Identity, wish: &Wish, already: bool) -> Value {
    let evacuation = Evacuation::new(node, me, wish, claim.started);
    let mut annotations = json!({ LOCK: claim.to_value(), EVACUATION: evacuation.to_value() });
    if !already {
        annotations[CORDONED] = json!(me.run);
    }
    let mut patch = json!({
        "metadata": {
            "uid": node.metadata.uid,
            "resourceVersion": node.metadata.resource_version,
            "annotations": annotations,
        },
        "spec": { "unschedulable": true },
    });
    if evacuation.excluded_lb {
        patch["metadata"]["labels"] = json!({ EXCLUDE_LB: "" });
    }
    patch
}

/// Asks the server what it would say to a cordon.
pub async fn dry_run(nodes: &Api<core::Node>, name: &str) -> Result<(), Error> {
    let patch = json!({ "spec": { "unschedulable": true } });
    nodes
        .patch(name, &params().dry_run(), &Patch::Merge(patch))
        .await
        .map(drop)
}

/// Why a claim was not renewed.
pub enum Unrenewed {
    /// Another run holds the node now, or nobody.
    Lost(Option<String>),
    /// Try again.
    NoAnswer,
}

/// Renews the claim.
///
/// # Errors
/// It is not this run's any more, or nobody knows.
pub async fn renew(nodes: &Api<core::Node>, name: &str, claim: &Claim, me: &Identity) -> Result<Claim, Unrenewed> {
    let renewed = claim.renewed(Timestamp::now());
    match json_patch(nodes, name, heartbeat_patch(claim, &renewed)).await {
        Ok(()) => Ok(renewed),
        Err(Error::Api(status)) if matches!(status.code, 404 | 422) => {
            // Either the value is not ours any more, or our last renewal arrived although its answer did not.
            let node = nodes.get(name).await.map_err(|_| Unrenewed::NoAnswer)?;
            match lock_of(&node).map(|text| (verdict(Some(text), Timestamp::now(), me), text)) {
                Some((Verdict::Mine, text)) => serde_json::from_str(text).map_err(|_| Unrenewed::NoAnswer),
                Some((Verdict::Fresh { holder, .. } | Verdict::Stale { holder, .. }, _)) => {
                    Err(Unrenewed::Lost(Some(holder)))
                }
                Some((Verdict::Free, _)) | None => Err(Unrenewed::Lost(None)),
            }
        }
        Err(_) => Err(Unrenewed::NoAnswer),
    }
}

/// Gives the node back, as far as it is still this run's. A renewal that was cut off may have been heard all the same.
pub async fn release(nodes: &Api<core::Node>, name: &str, claim: &Claim, me: &Identity) -> Result<(), Error> {
    match json_patch(nodes, name, release_patch(claim)).await {
        Err(Error::Api(status)) if status.code == 422 => {
            let node = nodes.get(name).await?;
            let text = lock_of(&node).filter(|text| verdict(Some(text), Timestamp::now(), me) == Verdict::Mine);
            match text.and_then(|text| serde_json::from_str::<Claim>(text).ok()) {
                Some(renewed) => json_patch(nodes, name, release_patch(&renewed)).await,
                None => Ok(()),
            }
        }
        answer => answer,
    }
}

/// Takes back this run's cordon and claim, looking at the node first: an earlier try may have been heard although its
/// answer was lost.
pub async fn uncordon(nodes: &Api<core::Node>, name: &str, me: &Identity) -> Reply {
    for _ in 0..TRIES {
        let node = match nodes.get(name).await {
            Ok(node) => node,
            Err(error) => return reply::read::<()>(Err(error)),
        };
        let annotations = node.metadata.annotations.as_ref();
        if annotations.and_then(|a| a.get(CORDONED)) != Some(&me.run) {
            return match node.spec.as_ref().and_then(|s| s.unschedulable) {
                Some(true) => Reply::Rejected("its cordon is not this run's any more".into()),
                _ => Reply::Accepted,
            };
        }
        if let Verdict::Fresh { holder, .. } | Verdict::Stale { holder, .. } =
            verdict(lock_of(&node), Timestamp::now(), me)
        {
            return Reply::Rejected(format!("{holder} holds it now"));
        }
        if Evacuation::of(&node).is_some_and(|e| e.run != me.run) {
            return Reply::Rejected("another run has emptied it since".into());
        }
        let Back { patch, conditions, .. } = back(&node);
        let Some(patch) = patch else { return Reply::Accepted };
        match nodes.patch(name, &params(), &Patch::Merge(patch)).await {
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

async fn json_patch(nodes: &Api<core::Node>, name: &str, patch: Value) -> Result<(), Error> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Only what has to change is in the patch, bound to the node that was looked at.
    #[test]
    fn u03_the_patch_that_cordons() {
        let me = Identity::current();
        let claim = Claim::new(&me, Timestamp::UNIX_EPOCH);
        let mut node = core::Node::default();
        node.metadata.uid = Some("u1".into());
        node.metadata.resource_version = Some("7".into());
        let wish = Wish {
            reason: Some("disk swap".into()),
            exclude_lb: true,
            surge: false,
        };
        let patch = cordon_patch(&node, &claim, &me, &wish, false);
        assert_eq!(patch["metadata"]["uid"], "u1");
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["spec"], json!({ "unschedulable": true }));
        assert_eq!(patch["metadata"]["annotations"][CORDONED], json!(me.run));
        let said = patch["metadata"]["annotations"][EVACUATION].as_str();
        let said: Evacuation = said.and_then(|text| serde_json::from_str(text).ok()).unwrap();
        assert_eq!(said.reason.as_deref(), Some("disk swap"));
        assert!(said.excluded_lb && patch["metadata"]["labels"] == json!({ EXCLUDE_LB: "" }));
        // A label that is there already is somebody else's.
        node.metadata.labels = Some([(EXCLUDE_LB.to_owned(), "x".to_owned())].into());
        let patch = cordon_patch(&node, &claim, &me, &wish, false);
        assert!(patch["metadata"].get("labels").is_none());
        let foreign = cordon_patch(&node, &claim, &me, &Wish::default(), true);
        assert!(
            foreign["metadata"]["annotations"].get(CORDONED).is_none(),
            "a cordon of others is not ours"
        );
    }
}
