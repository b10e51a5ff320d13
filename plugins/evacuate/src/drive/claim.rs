//! A node in this run's hands: cordoned and claimed in one patch, kept alive, given back.

use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use kube::{
    Api, Error,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use upkeep::lock::{Claim, Identity, LOCK, Verdict, heartbeat_patch, verdict};

use super::reply;
use crate::engine::event::Reply;

/// Which run has cordoned a node; stays until the cordon is taken back, so that it is known who may do that.
pub const CORDONED: &str = "kubectl-upkeep/cordoned-by";

/// Field manager of the patches, as it appears in `managedFields`.
pub const MANAGER: &str = "kubectl-evacuate";

/// How often a node that changes under one's hands is looked at again before giving up.
const TRIES: usize = 8;

/// What came of taking a node.
pub struct Taken {
    /// The answer for the engine.
    pub reply: Reply,
    /// The claim, if it was taken.
    pub claim: Option<Claim>,
    /// A claim of another run that was found stale and replaced.
    pub replaced: Option<String>,
}

/// Cordons and claims a node in one patch, bound to the node that was looked at: whoever comes second sees the claim of
/// the first.
pub async fn take(nodes: &Api<core::Node>, name: &str, me: &Identity) -> Taken {
    let mut replaced = None;
    for _ in 0..TRIES {
        let node = match nodes.get(name).await {
            Ok(node) => node,
            Err(error) => {
                return Taken {
                    reply: reply::read::<()>(Err(error)),
                    claim: None,
                    replaced,
                };
            }
        };
        let now = Timestamp::now();
        let existing = node
            .metadata
            .annotations
            .as_ref()
            .and_then(|a| a.get(LOCK))
            .map(String::as_str);
        match verdict(existing, now, me) {
            Verdict::Free | Verdict::Mine => {}
            Verdict::Stale { holder, .. } => replaced = Some(holder),
            Verdict::Fresh { holder, retry_in } => {
                let seconds = retry_in.as_secs();
                let text = format!(
                    "{holder} is at work on it; if that run has died, it can be taken over in {seconds}s at the latest"
                );
                return Taken {
                    reply: Reply::Conflict(text),
                    claim: None,
                    replaced: None,
                };
            }
        }
        let claim = Claim::new(me, now);
        let already = node.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or(false);
        let patch = cordon_patch(&node, &claim, me, already);
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
            Err(error) => {
                return Taken {
                    reply: reply::read::<()>(Err(error)),
                    claim: None,
                    replaced,
                };
            }
        }
    }
    Taken {
        reply: Reply::Contended("the node changes faster than it can be patched".into()),
        claim: None,
        replaced,
    }
}

fn cordon_patch(node: &core::Node, claim: &Claim, me: &Identity, already: bool) -> Value {
    let mut annotations = json!({ LOCK: claim.to_value() });
    if !already {
        annotations[CORDONED] = json!(me.run);
    }
    json!({
        "metadata": {
            "uid": node.metadata.uid,
            "resourceVersion": node.metadata.resource_version,
            "annotations": annotations,
        },
        "spec": { "unschedulable": true },
    })
}

/// Asks the server what it would say to a cordon.
pub async fn dry_run(nodes: &Api<core::Node>, name: &str) -> Result<(), Error> {
    let patch = json!({ "spec": { "unschedulable": true } });
    nodes
        .patch(name, &params().dry_run(), &Patch::Merge(patch))
        .await
        .map(drop)
}

/// Renews the claim. `Err(Some(holder))`: another run holds the node now; `Err(None)`: no answer, try again.
pub async fn renew(nodes: &Api<core::Node>, name: &str, claim: &Claim, me: &Identity) -> Result<Claim, Option<String>> {
    let renewed = claim.renewed(Timestamp::now());
    match json_patch(nodes, name, heartbeat_patch(claim, &renewed)).await {
        Ok(()) => Ok(renewed),
        Err(Error::Api(status)) if matches!(status.code, 404 | 422) => {
            // Either the value is not ours any more, or our last renewal arrived although its answer did not.
            let node = nodes.get(name).await.map_err(|_| None)?;
            let existing = node.metadata.annotations.as_ref().and_then(|a| a.get(LOCK));
            match existing.map(|text| (verdict(Some(text), Timestamp::now(), me), text)) {
                Some((Verdict::Mine, text)) => serde_json::from_str(text).map_err(|_| None),
                Some((Verdict::Fresh { holder, .. } | Verdict::Stale { holder, .. }, _)) => Err(Some(holder)),
                Some((Verdict::Free, _)) | None => Err(Some("someone who has removed the claim of this run".into())),
            }
        }
        Err(_) => Err(None),
    }
}

/// Gives the node back, and with `uncordon` takes back the cordon, as far as both are still this run's.
pub async fn release(nodes: &Api<core::Node>, name: &str, claim: &Claim, uncordon: bool) -> Result<(), Error> {
    let pointer = |key: &str| format!("/metadata/annotations/{}", key.replace('/', "~1"));
    let mut patch = vec![
        json!({ "op": "test", "path": pointer(LOCK), "value": claim.to_value() }),
        json!({ "op": "remove", "path": pointer(LOCK) }),
    ];
    if uncordon {
        patch.extend([
            json!({ "op": "test", "path": pointer(CORDONED), "value": claim.holder.run }),
            json!({ "op": "remove", "path": pointer(CORDONED) }),
            json!({ "op": "replace", "path": "/spec/unschedulable", "value": false }),
        ]);
    }
    json_patch(nodes, name, Value::Array(patch)).await
}

async fn json_patch(nodes: &Api<core::Node>, name: &str, patch: Value) -> Result<(), Error> {
    let patch = serde_json::from_value(patch).map_err(Error::SerdeError)?;
    nodes
        .patch(name, &params(), &Patch::<core::Node>::Json(patch))
        .await
        .map(drop)
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.into()),
        ..PatchParams::default()
    }
}

#[cfg(test)]
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
        let patch = cordon_patch(&node, &claim, &me, false);
        assert_eq!(patch["metadata"]["uid"], "u1");
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["spec"], json!({ "unschedulable": true }));
        assert_eq!(patch["metadata"]["annotations"][CORDONED], json!(me.run));
        let foreign = cordon_patch(&node, &claim, &me, true);
        assert!(
            foreign["metadata"]["annotations"].get(CORDONED).is_none(),
            "a cordon of others is not ours"
        );
    }
}
