//! What nothing would bring back is saved before it goes: pods that no controller starts again, and nodes.
//!
//! Objects are read and kept raw, so that fields this build does not know are saved as well.

use std::{cell::RefCell, collections::BTreeSet};

use http::Request;
use k8s_openapi::{
    api::core::v1::{self as core, Node},
    jiff::Timestamp,
};
use kube::{Error, api::ListParams};
use serde_json::Value;
use tokio::sync::OnceCell;
use upkeep::{
    backup::{Backup, restorable},
    client::Connection,
    report::{Finding, ObjRef, Severity},
};

use super::reply;
use crate::{engine::event::Reply, facts::Pod, gather::Lists, preflight::filters::Rules, uncordon::back::undone};

/// The backup of one run.
pub struct Saving {
    connection: Connection,
    began: Timestamp,
    backup: OnceCell<Backup>,
    saved: RefCell<BTreeSet<ObjRef>>,
}

impl Saving {
    /// Nothing is made or asked before something is saved.
    pub fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            began: Timestamp::now(),
            backup: OnceCell::new(),
            saved: RefCell::default(),
        }
    }

    /// Makes the folder, for a run that must not begin without.
    ///
    /// # Errors
    /// No place for backups, or a disk that does not take it.
    pub async fn prepare(&self) -> upkeep::Result<()> {
        self.backup().await?.prepare()
    }

    async fn backup(&self) -> upkeep::Result<&Backup> {
        let make = async || Backup::new("evacuate", &self.connection.cluster_uid().await, self.began);
        self.backup.get_or_try_init(make).await
    }

    /// Saves a pod as it is now, where nothing would bring it back. One that is gone, or is another one by now, is the
    /// business of the request that follows.
    ///
    /// # Errors
    /// What to tell the engine in place of the answer to that request, which must not be sent then.
    pub async fn pod(&self, pod: &ObjRef, is_irreplaceable: bool) -> Result<(), Reply> {
        if !is_irreplaceable || self.saved.borrow().contains(pod) {
            return Ok(());
        }
        let found = self.look(pod).await.map_err(|error| reply::read::<()>(Err(error)))?;
        match found {
            Some(object) if object["metadata"]["uid"] == pod.uid.as_str() => {
                self.keep(pod, &object, &restorable(&object)).await
            }
            _ => Ok(()),
        }
    }

    /// Who evicts may list pods, which is not yet to say that they may get one.
    async fn look(&self, pod: &ObjRef) -> Result<Option<Value>, Error> {
        let params = ListParams::default().fields(&format!("metadata.name={}", pod.name));
        let namespace = pod.namespace.as_deref().unwrap_or("default");
        let request = kube::core::Request::new(format!("/api/v1/namespaces/{namespace}/pods"));
        let request = request.list(&params).map_err(Error::BuildRequest)?;
        let mut list = self.connection.client.request::<Value>(request).await?;
        let Some(mut object) = list.pointer_mut("/items/0").filter(|o| o.is_object()).map(Value::take) else {
            return Ok(None);
        };
        // In a list they are left out.
        object["apiVersion"] = "v1".into();
        object["kind"] = "Pod".into();
        Ok(Some(object))
    }

    /// A node as it is now, read and raw.
    ///
    /// # Errors
    /// The server's.
    pub async fn look_at_node(&self, name: &str) -> Result<(Node, Value), Error> {
        let request = Request::get(format!("/api/v1/nodes/{name}")).body(Vec::new());
        let request = request.map_err(Error::HttpError)?;
        let text = self.connection.client.request_text(request).await?;
        let node = serde_json::from_str(&text).map_err(Error::SerdeError)?;
        Ok((node, serde_json::from_str(&text).map_err(Error::SerdeError)?))
    }

    /// Saves a node, without what this or another evacuation has done to it where it is to be restored.
    ///
    /// # Errors
    /// As [`Saving::pod`].
    pub async fn node(&self, node: &Node, raw: &Value) -> Result<(), Reply> {
        let meta = &node.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let what = ObjRef::cluster("node", &text(&meta.name), &text(&meta.uid));
        let form = restorable(&undone(node, raw));
        self.keep(&what, raw, &form).await
    }

    /// Saves each pod of a node that would go with the machine and not come back, whoever has asked it to go.
    ///
    /// # Errors
    /// As [`Saving::pod`].
    pub async fn pods_of(&self, node: &str, lists: &Lists, rules: &Rules) -> Result<(), Reply> {
        let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let pods = lists.all::<core::Pod, Pod>(params).await;
        let pods = pods.map_err(|error| reply::read::<()>(Err(error)))?;
        for pod in pods.iter().filter(|pod| !pod.mirror) {
            self.pod(&pod.reference(), rules.is_irreplaceable(pod)).await?;
        }
        Ok(())
    }

    async fn keep(&self, what: &ObjRef, object: &Value, form: &Value) -> Result<(), Reply> {
        if self.saved.borrow().contains(what) {
            return Ok(());
        }
        let saved = match self.backup().await {
            Ok(backup) => backup.save_as(object, form),
            Err(error) => Err(error),
        };
        saved.map_err(|error| {
            let causes = error.causes().iter().map(|cause| format!(": {cause}"));
            Reply::Rejected(format!("{error}{}", causes.collect::<String>()))
        })?;
        self.saved.borrow_mut().insert(what.clone());
        Ok(())
    }

    /// What was saved, where, and how it comes back.
    pub fn finding(&self) -> Option<Finding> {
        let saved = self.saved.borrow();
        let folder = self.backup.get().map(Backup::folder)?.display();
        let (it_was, it) = match saved.len() {
            0 => return None,
            1 => ("it was", "it"),
            _ => ("they were", "them"),
        };
        Some(Finding {
            id: "saved",
            severity: Severity::Info,
            subjects: saved.iter().cloned().collect(),
            evidence: format!("saved in {folder} as {it_was}"),
            hint: Some(format!("'kubectl apply -f {folder}' brings {it} back")),
        })
    }
}
