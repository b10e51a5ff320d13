//! Repairs that are one call, and that one call takes back.

use serde_json::{Value, json};
use upkeep::Error;

use super::{Hands, Made};
use crate::facts::Key;

impl Hands<'_> {
    pub(super) async fn scale_up(&self, key: &Key, object: &Value, replicas: i32, dry_run: bool) -> Made {
        let operations = vec![
            json!({"op": "test", "path": "/spec/replicas", "value": 0}),
            json!({"op": "replace", "path": "/spec/replicas", "value": replicas}),
        ];
        self.patched(key, object, operations, dry_run).await
    }

    /// The version is served as the stored one is: what is stored in it was valid there.
    pub(super) async fn serve(&self, key: &Key, object: &Value, version: &str, dry_run: bool) -> Made {
        let versions = object["spec"]["versions"].as_array();
        let stored = versions.and_then(|all| all.iter().find(|v| v["storage"] == true));
        let Some(stored) = stored else {
            let text = format!("{} has no version in which it is stored", key.name);
            return Err(Error::failed(text).into());
        };
        let again = json!({"name": version, "served": true, "storage": false,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            "subresources": stored.get("subresources").cloned().unwrap_or_else(|| json!({}))});
        let operations = vec![json!({"op": "add", "path": "/spec/versions/-", "value": again})];
        self.patched(key, object, operations, dry_run).await
    }

    pub(super) async fn patched(&self, key: &Key, object: &Value, operations: Vec<Value>, dry_run: bool) -> Made {
        let path = self.path(key)?;
        let sent = self.patch(&path, object, None, operations, dry_run).await;
        sent.map(drop).map_err(|error| self.trouble(&error))
    }
}
