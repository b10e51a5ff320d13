//! What can be typed next: words of this command, kinds that the server knows, objects that are stuck.

use std::ffi::OsStr;

use clap_complete::engine::CompletionCandidate;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{ListParams, ObjectList},
    core::{PartialObjectMeta, Request},
};
use upkeep::{
    backup::runs,
    client::Connection,
    complete::{from_cluster, matching, words_before},
    discovery::Discovery,
    node::Ready,
};

use crate::{gather::of_kind, knowledge::Knowledge};

/// The words that are no kinds.
const WORDS: [&str; 5] = ["scan", "preflight", "orphans", "restore", "explain"];
/// Nobody picks from more.
const MOST: u32 = 1_000;

/// What may follow the words before.
pub fn target(current: &OsStr) -> Vec<CompletionCandidate> {
    let text = current.to_string_lossy().into_owned();
    let before: Vec<&str> = words_before().iter().map(String::as_str).collect();
    match before.as_slice() {
        [] => match text.split_once('/') {
            Some((kind, _)) => {
                let names = names(kind).into_iter().map(|name| format!("{kind}/{name}"));
                matching(names, &text)
            }
            None => {
                let words = WORDS.into_iter().map(str::to_owned);
                matching(words.chain(from_cluster(kinds)), &text)
            }
        },
        ["explain"] => {
            let known = Knowledge::built_in().unwrap_or_default();
            matching(known.finalizers().into_iter().map(str::to_owned), &text)
        }
        ["preflight"] => matching(["ns".to_owned()], &text),
        ["preflight", "ns" | "namespace" | "namespaces"] => matching(
            from_cluster(async |c| objects(&c, "namespaces", "status.phase=Active").await),
            &text,
        ),
        ["restore"] => matching(runs("finalize").iter().map(|run| run.display().to_string()), &text),
        [kind] if !WORDS.contains(kind) => matching(names(kind), &text),
        _ => Vec::new(),
    }
}

/// Nodes that have stopped reporting.
pub fn powered_off(current: &OsStr) -> Vec<CompletionCandidate> {
    let text = current.to_string_lossy().into_owned();
    matching(from_cluster(unavailable), &text)
}

async fn unavailable(connection: Connection) -> Option<Vec<String>> {
    let nodes: Api<Node> = Api::all(connection.client);
    let params = ListParams::default().limit(MOST).match_any();
    let found = nodes.list(&params).await.ok()?.items.into_iter();
    let unavailable = found.filter(|node| Ready::of_node(node).0 == Ready::Unknown);
    Some(unavailable.filter_map(|node| node.metadata.name).collect())
}

/// Every kind whose objects can be deleted, as `kubectl` names it.
async fn kinds(connection: Connection) -> Option<Vec<String>> {
    let discovery = Discovery::ask(&connection).await.ok()?;
    let deletable = discovery
        .preferred()
        .filter(|kind| kind.can("delete") && kind.can("list"));
    Some(deletable.map(|kind| kind.plural.clone()).collect())
}

/// Objects that are being deleted; all of them where there are none.
fn names(kind: &str) -> Vec<String> {
    from_cluster(async |connection| {
        let stuck = matches!(kind, "ns" | "namespace" | "namespaces");
        let stuck = if stuck { "status.phase=Terminating" } else { "" };
        objects(&connection, kind, stuck).await
    })
}

async fn objects(connection: &Connection, kind: &str, fields: &str) -> Option<Vec<String>> {
    let discovery = Discovery::ask(connection).await.ok()?;
    let kind = discovery.find(kind)?;
    let mut params = ListParams::default().limit(MOST).match_any();
    if !fields.is_empty() {
        params = params.fields(fields);
    }
    let path = of_kind(kind, Some(&connection.namespace));
    let request = Request::new(path).list_metadata(&params).ok()?;
    let found = connection
        .client
        .request::<ObjectList<PartialObjectMeta>>(request)
        .await;
    let found = found.ok()?.items.into_iter().map(|item| item.metadata);
    let (going, staying): (Vec<_>, Vec<_>) = found.partition(|meta| meta.deletion_timestamp.is_some());
    let offered = if going.is_empty() { staying } else { going };
    Some(offered.into_iter().filter_map(|meta| meta.name).collect())
}
