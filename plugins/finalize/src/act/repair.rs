//! Repairs that are one call, and that one call takes back.

use serde_json::{Value, json};
use upkeep::{Error, Result};

use super::Hands;
use crate::facts::Key;

/// What says to the cluster that a machine is off (KEP-2268).
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// That the taint is ours: the same annotation as that of `kubectl evacuate`, whose `--uncordon` takes both off.
pub const OFF: &str = "kubectl-upkeep/out-of-service";

impl Hands<'_> {
    pub(super) async fn scale_up(&self, key: &Key, object: &Value, replicas: i32, dry_run: bool) -> Result<()> {
        let operations = vec![
            json!({"op": "test", "path": "/spec/replicas", "value": 0}),
            json!({"op": "replace", "path": "/spec/replicas", "value": replicas}),
        ];
        self.patched(key, object, operations, dry_run).await
    }

    pub(super) async fn out_of_service(&self, node: &str, object: &Value, dry_run: bool) -> Result<()> {
        let taint = json!({"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"});
        let taints = object["spec"]["taints"].as_array();
        if taints.is_some_and(|all| all.iter().any(|t| t["key"] == OUT_OF_SERVICE)) {
            return Ok(());
        }
        let mut operations = vec![match taints {
            Some(_) => json!({"op": "add", "path": "/spec/taints/-", "value": taint}),
            None => json!({"op": "add", "path": "/spec/taints", "value": [taint]}),
        }];
        if !object["metadata"]["annotations"].is_object() {
            operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
        }
        let annotation = format!("/metadata/annotations/{}", OFF.replace('/', "~1"));
        operations.push(json!({"op": "add", "path": annotation, "value": self.mark()}));
        // Bound to what was looked at: somebody may have given it back meanwhile.
        let version = &object["metadata"]["resourceVersion"];
        operations.insert(
            0,
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}),
        );
        let key = Key::cluster("", "nodes", node);
        self.patched(&key, object, operations, dry_run).await
    }

    /// What stands on a node that was tainted for this target.
    pub(super) fn mark(&self) -> String {
        format!("finalize {}", self.target)
    }

    /// The version is served as the stored one is: what is stored in it was valid there.
    pub(super) async fn serve(&self, key: &Key, object: &Value, version: &str, dry_run: bool) -> Result<()> {
        let versions = object["spec"]["versions"].as_array();
        let stored = versions.and_then(|all| all.iter().find(|v| v["storage"] == true));
        let Some(stored) = stored else {
            return Err(Error::failed(format!(
                "{} has no version in which it is stored",
                key.name
            )));
        };
        let again = json!({"name": version, "served": true, "storage": false,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            "subresources": stored.get("subresources").cloned().unwrap_or_else(|| json!({}))});
        let operations = vec![json!({"op": "add", "path": "/spec/versions/-", "value": again})];
        self.patched(key, object, operations, dry_run).await
    }

    async fn patched(&self, key: &Key, object: &Value, operations: Vec<Value>, dry_run: bool) -> Result<()> {
        let path = self.path(key)?;
        let sent = self.patch(&path, object, None, operations, dry_run).await;
        sent.map_err(|error| self.connection.explain(&error))
    }
}
