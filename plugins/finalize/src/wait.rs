//! Waits until something happens to the target: one watch instead of looking again and again.

use std::time::Duration;

use futures::TryStreamExt as _;
use kube::{
    Api,
    api::{DynamicObject, WatchEvent, WatchParams},
};
use upkeep::{client::Connection, discovery::Kind};

use crate::facts::Key;

/// Ends with the first news after this version, or when `patience` is over. Without a watch it ends a second later.
pub async fn for_news(connection: &Connection, kind: &Kind, target: &Key, version: &str, patience: Duration) {
    let resource = kind.api_resource();
    let client = connection.client.clone();
    let api: Api<DynamicObject> = match &target.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let seconds = u32::try_from(patience.as_secs()).unwrap_or(u32::MAX).max(1);
    let params = WatchParams::default()
        .fields(&format!("metadata.name={}", escaped(&target.name)))
        .timeout(seconds);
    let news = async {
        let stream = api.watch_metadata(&params, version).await?;
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.try_next().await? {
            if !matches!(event, WatchEvent::Bookmark(_)) {
                return Ok(());
            }
        }
        Ok::<_, kube::Error>(())
    };
    if matches!(tokio::time::timeout(patience, news).await, Ok(Err(_))) {
        tokio::time::sleep(Duration::from_secs(1).min(patience)).await;
    }
}

/// As a value of a field selector. Names of roles may have any character.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '\\' | ',' | '=') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
