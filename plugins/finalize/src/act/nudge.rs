//! A namespace that was freed may sit for a minute, until its controller looks again; any write makes it look in five
//! seconds.

use http::{Request, header::CONTENT_TYPE};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::{Hands, MANAGER};
use crate::facts::Key;

/// When it was last nudged.
const NUDGED: &str = "kubectl-upkeep/nudged";

impl Hands<'_> {
    /// Best effort: without it the namespace goes a little later. Not where its controller has nothing to say any more: there
    /// a write would remove the namespace, and leave behind what is in it.
    pub async fn nudge(&self, namespace: &str) {
        let Ok(found) = self.read(&Key::cluster("", "namespaces", namespace)).await else {
            return;
        };
        let finalizers = found["spec"]["finalizers"].as_array();
        if !finalizers.is_some_and(|all| all.iter().any(|f| f == "kubernetes")) {
            return;
        }
        let patch = json!({"metadata": {
            "resourceVersion": found["metadata"]["resourceVersion"],
            "annotations": {NUDGED: Timestamp::now().to_string()},
        }});
        let request = Request::patch(format!("/api/v1/namespaces/{namespace}?fieldManager={MANAGER}"))
            .header(CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string().into_bytes());
        drop(self.send(request.map_err(kube::Error::HttpError)).await);
    }
}
