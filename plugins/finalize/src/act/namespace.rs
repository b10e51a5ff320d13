//! `spec.finalizers` of a namespace can only be changed through its subresource `finalize`.

use http::{Request, header::CONTENT_TYPE};
use serde_json::{Value, json};
use upkeep::Result;

use super::Hands;

impl Hands<'_> {
    /// The whole object as it was read, without the one entry: a body with the name alone would wipe labels and annotations.
    /// Its resourceVersion and UID bind it to what was looked at.
    pub(super) async fn finalize(&self, namespace: &Value, finalizer: &str, dry_run: bool) -> Result<()> {
        let mut namespace = namespace.clone();
        if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
            finalizers.retain(|f| f != finalizer);
        }
        namespace["apiVersion"] = json!("v1");
        namespace["kind"] = json!("Namespace");
        let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
        let dry = if dry_run { "?dryRun=All" } else { "" };
        let request = Request::put(format!("/api/v1/namespaces/{name}/finalize{dry}"))
            .header(CONTENT_TYPE, "application/json")
            .body(namespace.to_string().into_bytes());
        let sent = self.send(request.map_err(kube::Error::HttpError)).await;
        sent.map(drop).map_err(|error| self.connection.explain(&error))
    }
}
