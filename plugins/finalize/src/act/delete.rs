//! Deletes an object, bound to its UID; evicts a pod.

use kube::core::{
    Request as Requests,
    params::{DeleteParams, Preconditions},
};
use serde_json::json;

use super::{Hands, Made, built};
use crate::{
    facts::Key,
    gather::{of_kind, segment},
};

impl Hands<'_> {
    /// In the given version, or the one that the server prefers.
    pub(super) async fn delete(&self, key: &Key, uid: &str, version: Option<&str>, dry_run: bool) -> Made {
        let mut kind = self.kind(key)?;
        if let Some(version) = version {
            kind = kind.in_version(version);
        }
        let params = DeleteParams {
            dry_run,
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let request =
            Requests::new(of_kind(&kind, key.namespace.as_deref())).delete(&segment(&key.name).to_string(), &params);
        let sent = self.send(built(request)).await;
        sent.map(drop).map_err(|error| self.trouble(&error))
    }

    /// Its budget has its say.
    pub(super) async fn evict(&self, pod: &Key, uid: &str, dry_run: bool) -> Made {
        let mut options = json!({"preconditions": {"uid": uid}});
        if dry_run {
            options["dryRun"] = json!(["All"]);
        }
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": options});
        let path = format!("{}/{}/eviction", self.path(pod)?, pod.name);
        let request = http::Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(eviction.to_string().into_bytes());
        let sent = self.send(request.map_err(kube::Error::HttpError)).await;
        sent.map(drop).map_err(|error| self.trouble(&error))
    }
}
