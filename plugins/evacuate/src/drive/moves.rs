//! The two requests that make a pod go, each bound to the UID of the pod that was looked at.

use k8s_openapi::{
    api::{core::v1::Pod, policy::v1::Eviction},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions},
};
use kube::{
    Api, Client, Error,
    api::{DeleteParams, PostParams, Preconditions as DeletePreconditions},
    core::Status,
};
use upkeep::report::ObjRef;

use crate::gather::access::Eviction as Support;

/// How pods are asked to go.
#[derive(Debug, Clone, Copy)]
pub struct Moves {
    /// `--grace-period`, where given.
    pub grace: Option<i64>,
    /// In which version the server takes evictions.
    pub support: Support,
}

impl Moves {
    /// Asks for an eviction. `dry_run` asks the server what it would say; it does not decrement the budget then.
    ///
    /// The body is written here and not by `Api::evict`, whose delete options never reach the server.
    ///
    /// # Errors
    /// The server's.
    pub async fn evict(&self, client: &Client, pod: &ObjRef, dry_run: bool) -> Result<(), Error> {
        let namespace = pod.namespace.as_deref().unwrap_or("default");
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let body = Eviction {
            metadata: ObjectMeta {
                name: Some(pod.name.clone()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            delete_options: Some(DeleteOptions {
                grace_period_seconds: self.grace,
                preconditions: Some(Preconditions {
                    uid: Some(pod.uid.clone()),
                    resource_version: None,
                }),
                dry_run: dry_run.then(|| vec!["All".into()]),
                ..DeleteOptions::default()
            }),
        };
        let params = PostParams {
            dry_run,
            field_manager: None,
        };
        match self.support {
            Support::Served("policy/v1beta1") => {
                let mut old = serde_json::to_value(&body).map_err(Error::SerdeError)?;
                old["apiVersion"] = "policy/v1beta1".into();
                old["kind"] = "Eviction".into();
                let path = format!("/api/v1/namespaces/{namespace}/pods/{}/eviction", pod.name);
                let bytes = serde_json::to_vec(&old).map_err(Error::SerdeError)?;
                let request = kube::core::Request::new("")
                    .create(&params, bytes)
                    .map_err(Error::BuildRequest)
                    .map(|mut request| {
                        let query = if dry_run { "?dryRun=All" } else { "" };
                        if let Ok(uri) = format!("{path}{query}").parse() {
                            *request.uri_mut() = uri;
                        }
                        request
                    })?;
                client.request::<Status>(request).await.map(drop)
            }
            _ => api
                .create_subresource::<Eviction, Status>("eviction", &pod.name, &params, &body)
                .await
                .map(drop),
        }
    }

    /// Deletes the pod: no budget is asked.
    ///
    /// # Errors
    /// The server's.
    pub async fn delete(&self, client: &Client, pod: &ObjRef, grace: Option<i64>, dry_run: bool) -> Result<(), Error> {
        let namespace = pod.namespace.as_deref().unwrap_or("default");
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let params = DeleteParams {
            dry_run,
            grace_period_seconds: grace.or(self.grace).and_then(|s| u32::try_from(s).ok()),
            preconditions: Some(DeletePreconditions {
                uid: Some(pod.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        api.delete(&pod.name, &params).await.map(drop)
    }
}
