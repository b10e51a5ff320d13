//! `spec.finalizers` of a namespace can only be changed through its subresource `finalize`.

use http::{Request, header::CONTENT_TYPE};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use upkeep::{Error, Exit, Result};

use super::{Hands, Made, Trouble};
use crate::{
    facts::Key,
    gather::{MANAGER, of_object},
};

/// On a namespace that is only made so that its deletion cleans up.
pub const CLEANED: &str = "kubectl-upkeep/orphans";

impl Hands<'_> {
    /// The whole object as it was read, without the one entry: a body with the name alone would wipe labels and annotations.
    /// Its resourceVersion and UID bind it to what was looked at.
    pub(super) async fn finalize(&self, namespace: &Value, finalizer: &str, dry_run: bool) -> Made {
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
        sent.map(drop).map_err(|error| self.trouble(&error))
    }

    /// Makes a namespace that does not exist and deletes just that one. Where the name is back already, it is somebody's.
    ///
    /// # Errors
    /// The name is back; what the server says.
    pub async fn bring_to_an_end(&self, namespace: &str) -> Result<()> {
        // Whoever finds it for that moment shall not take it for one that has been there before.
        let label = Timestamp::now().as_nanosecond().to_string();
        let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {CLEANED: label}}});
        let request = Request::post(format!("/api/v1/namespaces?fieldManager={MANAGER}"))
            .header(CONTENT_TYPE, "application/json")
            .body(wanted.to_string().into_bytes());
        let made = match self.send(request.map_err(kube::Error::HttpError)).await {
            Ok(made) => made,
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = self.read(&Key::cluster("", "namespaces", namespace)).await?;
                let meta = &found["metadata"];
                // A run before this one did not come to delete it.
                if meta["labels"][CLEANED].is_string() && meta["deletionTimestamp"].is_null() {
                    let uid = meta["uid"].as_str().unwrap_or_default();
                    return self.delete_again(namespace, uid).await;
                }
                let text = format!("namespace/{namespace} is back: what is in it belongs to whoever has made it");
                return Err(Error::refused(text));
            }
            Err(error) => return Err(denied(self.trouble(&error))),
        };
        let uid = made["metadata"]["uid"].as_str().unwrap_or_default();
        self.delete_again(namespace, uid).await
    }

    /// Nothing here gets around a denial: then the namespace is there, and whoever may delete it ends the work.
    async fn delete_again(&self, namespace: &str, uid: &str) -> Result<()> {
        let key = Key::cluster("", "namespaces", namespace);
        let sent = self.delete(&key, uid, None, false).await;
        sent.map_err(|trouble| {
            let hint = format!("namespace/{namespace} was re-created for its deletion and is still there");
            denied(trouble).hint(hint)
        })
    }

    /// Saves an object as it is, before it goes with its namespace. One that is gone needs no backup.
    ///
    /// # Errors
    /// A disk that takes no backup; what the server says.
    pub async fn keep(&self, key: &Key) -> Result<()> {
        let request = Request::get(of_object(&self.kind(key)?, key)).body(Vec::new());
        match self.answered(request.map_err(kube::Error::HttpError)).await {
            Ok(original) => self.save(&original),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.connection.explain(&error)),
        }
    }
}

/// A denial ends the run with the rest listed.
fn denied(trouble: Trouble) -> Error {
    match trouble.is_denial() {
        true => trouble.error.with_exit(Exit::Incomplete),
        false => trouble.error,
    }
}
