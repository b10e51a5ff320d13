//! What nothing would bring back is saved before it leaves: pods that no controller starts again, Jobs that fail without
//! their pods, and nodes.
//!
//! Objects are read and kept raw, so that fields this build does not know are saved as well.

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf};

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
    client::{Connection, Decoded},
    report::{Finding, ObjRef, Severity},
    ui::command,
};

use super::reply;
use crate::{
    engine::{event::Reply, view::Fate},
    facts::{JOB, Pod},
    gather::Lists,
    preflight::filters::Rules,
    uncordon::back::undone,
};

/// The backup of one run.
pub struct Saving {
    connection: Connection,
    began: Timestamp,
    backup: OnceCell<Backup>,
    /// What was saved, with the file for `kubectl apply`.
    saved: RefCell<BTreeMap<ObjRef, PathBuf>>,
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

    /// Saves a pod or a Job as it is now, where nothing would bring it back. One that is gone, or is another one by now, is
    /// the business of the request that follows.
    ///
    /// # Errors
    /// What to tell the engine in place of the answer to that request, which must not be sent then.
    pub async fn first(&self, what: Option<&ObjRef>) -> Result<(), Reply> {
        let Some(what) = what.filter(|what| !self.saved.borrow().contains_key(*what)) else {
            return Ok(());
        };
        let found = self.look(what).await.map_err(|error| reply::read::<()>(Err(error)))?;
        match found {
            Some(object) if object["metadata"]["uid"] == what.uid.as_str() => {
                self.keep(what, &object, &restorable(&object)).await
            }
            _ => Ok(()),
        }
    }

    /// Who evicts may list pods and Jobs, which is not yet to say that they may get one.
    async fn look(&self, what: &ObjRef) -> Result<Option<Value>, Error> {
        let params = ListParams::default().fields(&format!("metadata.name={}", what.name));
        let namespace = what.namespace.as_deref().unwrap_or("default");
        let (version, kind, path) = if what.kind == JOB {
            ("batch/v1", "Job", format!("/apis/batch/v1/namespaces/{namespace}/jobs"))
        } else {
            ("v1", "Pod", format!("/api/v1/namespaces/{namespace}/pods"))
        };
        let request = kube::core::Request::new(path);
        let request = request.list(&params).map_err(Error::BuildRequest)?;
        let mut list = self.connection.client.request::<Value>(request).await?;
        let Some(mut object) = list.pointer_mut("/items/0").filter(|o| o.is_object()).map(Value::take) else {
            return Ok(None);
        };
        // In a list they are left out.
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
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
        let raw = serde_json::from_str(&text).map_err(Error::SerdeError)?;
        let node = Decoded::<Node>::read(&text).object;
        let node = node.ok_or_else(|| Error::SerdeError(serde::de::Error::custom("its metadata cannot be read")))?;
        Ok((node, raw))
    }

    /// Saves a node, without what this or another evacuation has done to it where it is to be restored.
    ///
    /// # Errors
    /// As [`Saving::first`].
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
    /// As [`Saving::first`].
    pub async fn pods_of(&self, node: &str, lists: &Lists, rules: &Rules) -> Result<(), Reply> {
        let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let pods = lists.whole::<core::Pod, Pod>(params).await;
        let pods = pods.map_err(|error| reply::read::<()>(Err(error)))?;
        for pod in pods.iter().filter(|pod| !pod.mirror) {
            self.first(rules.to_save(pod).as_ref()).await?;
        }
        Ok(())
    }

    async fn keep(&self, what: &ObjRef, object: &Value, form: &Value) -> Result<(), Reply> {
        if self.saved.borrow().contains_key(what) {
            return Ok(());
        }
        let saved = match self.backup().await {
            Ok(backup) => backup.save_as(object, form),
            Err(error) => Err(error),
        };
        let file = saved.map_err(|error| {
            let causes = error.causes().iter().map(|cause| format!(": {cause}"));
            Reply::Rejected(format!("{error}{}", causes.collect::<String>()))
        })?;
        self.saved.borrow_mut().insert(what.clone(), file);
        Ok(())
    }

    /// What was saved and has left, where, and how it comes back. What stays needs no backup: its files are removed.
    pub fn findings(&self, fate: impl Fn(&ObjRef) -> Fate) -> Vec<Finding> {
        let mut saved = self.saved.borrow_mut();
        let Some(backup) = self.backup.get() else {
            return Vec::new();
        };
        saved.retain(|object, file| {
            let stays = fate(object) == Fate::Stays;
            if stays {
                backup.discard(file);
            }
            !stays
        });
        let with = |wanted: Fate| -> Vec<ObjRef> {
            let objects = saved
                .keys()
                .filter(|object| object.kind != JOB && fate(object) == wanted);
            objects.cloned().collect()
        };
        let (left, leaving) = (with(Fate::Left), with(Fate::Leaving));
        let folder = backup.folder().display();
        let apply = command("kubectl apply -f", [folder.to_string().as_str()]);
        let mut findings = Vec::new();
        if !left.is_empty() {
            let (it_was, it) = match left.len() {
                1 => ("it was", "it"),
                _ => ("they were", "them"),
            };
            findings.push(Finding {
                id: "saved",
                severity: Severity::Info,
                subjects: left,
                evidence: format!("saved in {folder} as {it_was}"),
                hint: Some(format!("'{apply}' brings {it} back")),
            });
        }
        if !leaving.is_empty() {
            let (asked, it, has) = match leaving.len() {
                1 => ("it was asked to leave and is still there", "it", "it has"),
                _ => ("they were asked to leave and are still there", "them", "they have"),
            };
            findings.push(Finding {
                id: "saved-leaving",
                severity: Severity::Info,
                subjects: leaving,
                evidence: format!("saved in {folder}; {asked}"),
                hint: Some(format!("once {has} left, '{apply}' brings {it} back")),
            });
        }
        let lost: Vec<_> = saved.iter().filter(|(object, _)| object.kind == JOB).collect();
        if !lost.is_empty() {
            findings.push(Finding {
                id: "job-failed",
                severity: Severity::Warning,
                subjects: lost.iter().map(|(job, _)| (*job).clone()).collect(),
                evidence: match lost.len() {
                    1 => "1 Job fails, because pods of it were evicted".into(),
                    count => format!("{count} Jobs fail, because pods of them were evicted"),
                },
                hint: Some(match lost.as_slice() {
                    [(_, file)] => format!("'kubectl replace --force -f {}' starts it again", file.display()),
                    _ => {
                        format!(
                            "'kubectl replace --force -f FILE' starts one again; the files are {folder}/*-job-*.yaml"
                        )
                    }
                }),
            });
        }
        findings
    }
}
