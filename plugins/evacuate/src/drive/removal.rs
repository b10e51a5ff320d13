//! The request that removes a node, and what is looked at directly before it.

use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::{
    Api, Error, ResourceExt as _,
    api::{DeleteParams, ListParams, Preconditions},
};

use super::{claim::TRIES, reply, saving::Saving};
use crate::{
    engine::event::Reply,
    facts::Attachment,
    gather::{Lists, Nodes},
};

/// Saves a Node object and deletes it, bound to the node that was looked at. Not where volumes are attached to it:
/// without the node nobody would ever detach them.
pub async fn remove(lists: &Lists, saving: &Saving, name: &str, uid: &str) -> Reply {
    let nodes: Nodes = Api::all(lists.client());
    for _ in 0..TRIES {
        let (node, raw) = match saving.look_at_node(name).await {
            Ok(read) => read,
            Err(error) => return reply::read::<()>(Err(error)),
        };
        if node.uid().as_deref() != Some(uid) {
            return Reply::Rejected("it was deleted and made anew since it was looked at".into());
        }
        if node.spec.as_ref().and_then(|s| s.unschedulable) != Some(true) {
            return Reply::Rejected("it was uncordoned by someone else".into());
        }
        match attached(lists, name).await {
            Ok(volumes) if volumes.is_empty() => {}
            Ok(volumes) => return Reply::Rejected(format!("volumes are still attached to it: {}", volumes.join(", "))),
            Err(error) => return reply::read::<()>(Err(error)),
        }
        if let Err(reply) = saving.node(&node, &raw).await {
            return reply;
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: node.resource_version(),
            }),
            ..DeleteParams::default()
        };
        match nodes.delete(name, &params).await.map(|answer| answer.left()) {
            // The kubelet writes the same object; look again.
            Err(Error::Api(status)) if status.code == 409 => {}
            Ok(Some(node)) if !node.finalizers().is_empty() => {
                let finalizers = node.finalizers().join(", ");
                return Reply::Underway(format!(
                    "its deletion cannot be taken back, and waits for its finalizers: {finalizers}"
                ));
            }
            answer => return reply::read(answer.map(drop)),
        }
    }
    Reply::Contended("the node changes faster than it can be looked at".into())
}

/// Names of the volumes (or of the attachments, where they have none) that are attached to a node.
async fn attached(lists: &Lists, node: &str) -> Result<Vec<String>, Error> {
    let all = lists.all::<VolumeAttachment, Attachment>(ListParams::default()).await?;
    let here = all.into_iter().filter(|a| a.node == node);
    Ok(here.map(|a| a.volume.unwrap_or(a.name)).collect())
}
