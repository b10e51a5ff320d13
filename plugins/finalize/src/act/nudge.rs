//! A namespace that was freed may sit for a minute, until its controller looks again; any write makes it look in five
//! seconds.

use http::{Request, header::CONTENT_TYPE};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::Hands;
use crate::{facts::Key, gather::MANAGER};

/// When it was last nudged.
const NUDGED: &str = "kubectl-upkeep/nudged";

impl Hands<'_> {
    /// Best effort: without it the target goes a little later. A definition is tried again by the API server less and less
    /// often, too. Not a namespace whose controller has nothing to say any more: there a write would remove the namespace,
    /// and leave behind what is in it.
    pub async fn nudge(&self, target: &Key) {
        let path = match (target.group.as_str(), target.plural.as_str()) {
            ("", "namespaces") => format!("/api/v1/namespaces/{}", target.name),
            (group @ "apiextensions.k8s.io", plural) => format!("/apis/{group}/v1/{plural}/{}", target.name),
            _ => return,
        };
        let Ok(found) = self.read(target).await else {
            return;
        };
        let finalizers = found["spec"]["finalizers"].as_array();
        if target.plural == "namespaces" && !finalizers.is_some_and(|all| all.iter().any(|f| f == "kubernetes")) {
            return;
        }
        let patch = json!({"metadata": {
            "resourceVersion": found["metadata"]["resourceVersion"],
            "annotations": {NUDGED: Timestamp::now().to_string()},
        }});
        let request = Request::patch(format!("{path}?fieldManager={MANAGER}"))
            .header(CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string().into_bytes());
        drop(self.send(request.map_err(kube::Error::HttpError)).await);
    }
}
