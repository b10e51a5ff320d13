//! Objects of any kind, as JSON.
//!
//! A kind is written as in a manifest: `v1/Pod`, `apps/v1/Deployment`, `policy/v1/PodDisruptionBudget`.

use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{Scope, pinned_kind};
use kube::error::DiscoveryError;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::wait::{DEFAULT_TIMEOUT, wait_for};

impl Cluster {
    /// Creates an object.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create(&self, object: Value) -> Value {
        self.try_create(object.clone())
            .unwrap_or_else(|e| panic!("failed to create {object}: {e}"))
    }

    /// Creates an object, or returns the server's answer.
    pub fn try_create(&self, object: Value) -> kube::Result<Value> {
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        let api = self.api_of(&object);
        self.block_on(async move { api.create(&PostParams::default(), &object).await })
            .map(to_value)
    }

    /// Server-side apply of one or more YAML or JSON documents, in order.
    pub fn apply(&self, documents: &str) -> Vec<Value> {
        let documents: Vec<Value> =
            serde_yaml::from_multiple(documents).unwrap_or_else(|e| panic!("not YAML: {e}\n{documents}"));
        let documents = documents.into_iter().filter(|document| !document.is_null());
        documents.map(|document| self.apply_value(document)).collect()
    }

    /// Server-side apply of one object.
    pub fn apply_value(&self, object: Value) -> Value {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap_or_else(|e| panic!("{e}: {object}"));
        let api = self.api_of(&object);
        let name = object.metadata.name.clone().unwrap_or_default();
        let params = PatchParams::apply("testbed").force();
        let result = self.block_on(async move { api.patch(&name, &params, &Patch::Apply(&object)).await });
        to_value(result.unwrap_or_else(|e| panic!("failed to apply: {e}")))
    }

    /// Reads an object; `None` if there is none.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let api = self.api(kind, namespace);
        self.block_on(async { api.get_opt(name).await })
            .unwrap_or_else(|e| panic!("failed to get {kind} {name}: {e}"))
            .map(to_value)
    }

    /// Lists objects by label selector; an empty namespace means all, an empty selector means all.
    pub fn list(&self, kind: &str, namespace: &str, selector: &str) -> Vec<Value> {
        let api = self.api(kind, namespace);
        let params = ListParams::default().labels(selector);
        let list = self.block_on(async { api.list(&params).await });
        list.unwrap_or_else(|e| panic!("failed to list {kind}: {e}"))
            .items
            .into_iter()
            .map(to_value)
            .collect()
    }

    /// Patches an object with a JSON merge patch.
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: Value) -> Value {
        let api = self.api(kind, namespace);
        let result = self.block_on(async { api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await });
        to_value(result.unwrap_or_else(|e| panic!("failed to patch {kind} {name}: {e}")))
    }

    /// Patches an object's status with a JSON merge patch.
    pub fn patch_status(&self, kind: &str, namespace: &str, name: &str, patch: Value) -> Value {
        let api = self.api(kind, namespace);
        let result = self.block_on(async {
            api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
        });
        to_value(result.unwrap_or_else(|e| panic!("failed to patch the status of {kind} {name}: {e}")))
    }

    /// Scales a workload.
    pub fn scale(&self, kind: &str, namespace: &str, name: &str, replicas: u32) {
        self.patch(kind, namespace, name, json!({"spec": {"replicas": replicas}}));
    }

    /// Deletes an object; it is fine if there is none. Does not wait for finalizers or grace periods.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        self.delete_with(kind, namespace, name, &DeleteParams::default());
    }

    /// Deletes an object with options of one's own.
    pub fn delete_with(&self, kind: &str, namespace: &str, name: &str, params: &DeleteParams) {
        let api = self.api(kind, namespace);
        match self.block_on(async { api.delete(name, params).await }) {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(e) => panic!("failed to delete {kind} {name}: {e}"),
        }
    }

    fn api_of(&self, object: &DynamicObject) -> Api<DynamicObject> {
        let types = object
            .types
            .as_ref()
            .unwrap_or_else(|| panic!("an object without apiVersion and kind"));
        let kind = format!("{}/{}", types.api_version, types.kind);
        self.api(&kind, object.metadata.namespace.as_deref().unwrap_or_default())
    }

    fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (resource, scope) = self.resource(kind);
        let client = self.own_client();
        match scope {
            Scope::Cluster => Api::all_with(client, &resource),
            Scope::Namespaced if namespace.is_empty() => Api::all_with(client, &resource),
            Scope::Namespaced => Api::namespaced_with(client, namespace, &resource),
        }
    }

    /// What discovery says about a kind, asked once. One in a group with a dot may have been defined a moment ago, and is
    /// waited for: that its definition is Established does not mean yet that the server answers for it.
    fn resource(&self, kind: &str) -> (ApiResource, Scope) {
        if let Some(found) = self.kinds().get(kind) {
            return found.clone();
        }
        let (version, name) = kind
            .rsplit_once('/')
            .unwrap_or_else(|| panic!("{kind} is not like apps/v1/Deployment"));
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let gvk = GroupVersionKind::gvk(group, version, name);
        let client = self.own_client();
        let (resource, capabilities) =
            wait_for(format!("the server to know {kind}"), DEFAULT_TIMEOUT, || {
                let asked = self.block_on(async { pinned_kind(&client, &gvk).await });
                match asked {
                    Ok(found) => Some(found),
                    Err(kube::Error::Api(status)) if status.code == 404 && group.contains('.') => None,
                    Err(kube::Error::Discovery(
                        DiscoveryError::MissingKind(_) | DiscoveryError::MissingApiGroup(_),
                    )) if group.contains('.') => None,
                    Err(e) => panic!("failed to find out about {kind}: {e}"),
                }
            });
        self.kinds()
            .insert(kind.to_owned(), (resource.clone(), capabilities.scope.clone()));
        (resource, capabilities.scope)
    }
}

fn to_value(object: DynamicObject) -> Value {
    serde_json::to_value(object).expect("an object is JSON")
}
