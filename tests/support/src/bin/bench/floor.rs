//! The floor: cordon, list, ask for all evictions, wait until the watch has seen every pod go.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{
    core::v1::{Node, Pod},
    policy::v1::Eviction,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::Status,
};
use serde_json::json;
use testsupport::Cluster;

/// As many as the tool that is measured against it.
const IN_FLIGHT: usize = 32;

/// Empties the nodes at the same time.
pub fn empty(cluster: &Cluster, nodes: &[String]) {
    cluster.block_on(async {
        let client = cluster.client();
        futures::future::join_all(nodes.iter().map(|node| one(client.clone(), node.clone()))).await;
    });
}

async fn one(client: Client, node: String) {
    let patch = Patch::Merge(json!({"spec": {"unschedulable": true}}));
    let nodes: Api<Node> = Api::all(client.clone());
    nodes
        .patch(&node, &PatchParams::default(), &patch)
        .await
        .expect("it can be cordoned");
    let all: Api<Pod> = Api::all(client.clone());
    let here = format!("spec.nodeName={node}");
    let list = all
        .list(&ListParams::default().fields(&here))
        .await
        .expect("pods can be listed");
    let version = list.metadata.resource_version.unwrap_or_default();
    let total = list.items.len();
    let watch = async {
        let params = WatchParams::default().fields(&here);
        let (mut version, mut gone) = (version, 0);
        // The server ends the watch of a client that reads too slowly; it goes on from what was seen last.
        while gone < total {
            let mut events = std::pin::pin!(all.watch(&params, &version).await.expect("pods can be watched"));
            while let Some(event) = events.try_next().await.expect("the watch goes on") {
                let (pod, deleted) = match event {
                    WatchEvent::Deleted(pod) => (pod, 1),
                    WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, 0),
                    other => panic!("not expected here: {other:?}"),
                };
                gone += deleted;
                version = pod.resource_version().unwrap_or_default();
                if gone == total {
                    break;
                }
            }
        }
    };
    let evict = futures::stream::iter(list.items).for_each_concurrent(IN_FLIGHT, |pod: Pod| {
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        async move {
            let body = Eviction {
                metadata: pod.metadata.clone(),
                ..Eviction::default()
            };
            let params = PostParams::default();
            api.create_subresource::<Eviction, Status>("eviction", &pod.name_any(), &params, &body)
                .await
                .expect("evicted");
        }
    });
    futures::join!(watch, evict);
}
