//! At the end everything is put back that was only taken out of the way: by this run, by one for the same target that was
//! cut off, and what is overdue.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use upkeep::{Error, Result};

use super::{
    Hands,
    neutralise::{KINDS, NEUTRALISED, back, read},
    repair::{OFF, OUT_OF_SERVICE},
};
use crate::{
    facts::{Ask, Key, Object, Reply},
    gather::{Cluster, of_kind},
};

/// Objects per page.
const CHUNK: u32 = 500;

impl Hands<'_> {
    /// Says what was put back, and what others have changed since.
    pub async fn put_back(&self) -> Vec<Result<String>> {
        let mut done = Vec::new();
        let kinds = KINDS
            .iter()
            .map(|(group, plural)| self.marked(group, plural, NEUTRALISED));
        let marked = futures::future::join_all(kinds).await;
        for key in marked.into_iter().flatten() {
            match self.read(&key).await {
                Ok(object) => done.extend(self.as_it_was(&key, &object).await),
                Err(error) => done.push(Err(error)),
            }
        }
        for key in self.marked("", "nodes", OFF).await {
            match self.read(&key).await {
                Ok(node) => done.extend(self.in_service(&key, &node).await),
                Err(error) => done.push(Err(error)),
            }
        }
        done
    }

    /// Objects of a kind that carry this annotation. Who may not list them has not changed them either.
    async fn marked(&self, group: &str, plural: &str, annotation: &str) -> Vec<Key> {
        let Some(kind) = self.discovery.versions(group, plural).next() else {
            return Vec::new();
        };
        let ask = Ask::metadata(kind, None);
        let cluster = Cluster::new(self.connection, self.discovery, CHUNK);
        let mut answers = cluster.answer([ask.clone()].into()).await;
        let Some(Ok(Reply::Metadata(all))) = answers.remove(&ask) else {
            return Vec::new();
        };
        let marked = all.into_iter().filter(|o: &Object| o.marks.contains_key(annotation));
        marked.map(|o| Key::cluster(group, plural, &o.name)).collect()
    }

    async fn as_it_was(&self, key: &Key, object: &Value) -> Option<Result<String>> {
        let record = read(object)?;
        if record.target != self.target && record.until >= Timestamp::now() {
            return None;
        }
        let (operations, theirs) = back(object)?;
        let path = match self.path(key) {
            Ok(path) => path,
            Err(error) => return Some(Err(error)),
        };
        Some(
            match (
                self.patch(&path, object, None, operations, false).await,
                theirs.as_slice(),
            ) {
                (Ok(()), []) => Ok(format!("{key} is as it was")),
                (Ok(()), theirs) => Ok(format!(
                    "{key}: somebody else has changed {} since, which stays",
                    theirs.join(", ")
                )),
                (Err(error), _) => Err(Error::failed(format!("{key} could not be put back"))
                    .caused_by(self.connection.explain(&error).headline())
                    .hint(format!("what it was stands in its annotation {NEUTRALISED}"))),
            },
        )
    }

    /// The taint throws out every pod once the machine is back, so it does not stay longer than it is needed.
    async fn in_service(&self, key: &Key, node: &Value) -> Option<Result<String>> {
        let annotation = format!("/metadata/annotations/{}", OFF.replace('/', "~1"));
        let ours = node.pointer(&annotation)?;
        if ours != &json!(self.mark()) {
            return None;
        }
        let mut operations = vec![
            json!({"op": "test", "path": annotation, "value": ours}),
            json!({"op": "remove", "path": annotation}),
        ];
        let taints = node["spec"]["taints"].as_array();
        if let Some(at) = taints.and_then(|all| all.iter().position(|t| t["key"] == OUT_OF_SERVICE)) {
            operations.push(json!({"op": "test", "path": format!("/spec/taints/{at}/key"), "value": OUT_OF_SERVICE}));
            operations.push(json!({"op": "remove", "path": format!("/spec/taints/{at}")}));
        }
        let path = match self.kind(key) {
            Ok(kind) => of_kind(&kind, None),
            Err(error) => return Some(Err(error)),
        };
        let name = &key.name;
        Some(match self.patch(&path, node, None, operations, false).await {
            Ok(()) => Ok(format!("node/{name} is not out of service any more")),
            Err(error) => Err(Error::failed(format!("node/{name} is still tainted as out of service"))
                .caused_by(self.connection.explain(&error).headline())
                .hint(format!(
                    "take that off before its machine is started: kubectl taint node {name} {OUT_OF_SERVICE}-"
                ))),
        })
    }
}
