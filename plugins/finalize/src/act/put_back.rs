//! At the end everything is put back that was only taken out of the way: by this run, by one for the same target that was
//! cut off, and what is overdue.

use std::time::{Duration, Instant};

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
    gather::Cluster,
};

/// Objects per page.
const CHUNK: u32 = 500;
/// How long a server that does not answer is waited for, where this run has taken something out of the way.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Nobody answers.
struct Unreachable(String);

impl Hands<'_> {
    /// Says what was put back, and what others have changed since. `ours`: this run has taken something out of the way, so
    /// that a server which does not answer is waited for.
    pub async fn put_back(&self, ours: bool) -> Vec<Result<String>> {
        let began = Instant::now();
        let mut done = Vec::new();
        loop {
            match self.all_of_it(&mut done).await {
                Ok(()) => return done,
                Err(Unreachable(_)) if !ours => return done,
                Err(Unreachable(_)) if began.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
                Err(Unreachable(why)) => {
                    let error = Error::failed("what was taken out of the way could not be put back").caused_by(why);
                    let hint =
                        format!("run the same command again; what it was stands in the annotation {NEUTRALISED}");
                    done.push(Err(error.hint(hint)));
                    return done;
                }
            }
        }
    }

    /// What was done before nobody answered any more is not there a second time.
    async fn all_of_it(&self, done: &mut Vec<Result<String>>) -> std::result::Result<(), Unreachable> {
        let kinds = KINDS
            .iter()
            .map(|(group, plural)| self.marked(group, plural, NEUTRALISED));
        let (marked, nodes) = futures::join!(futures::future::join_all(kinds), self.marked("", "nodes", OFF));
        for keys in marked {
            for key in keys? {
                if let Some(object) = self.seen(&key, done).await? {
                    done.extend(self.as_it_was(&key, &object).await?);
                }
            }
        }
        for key in nodes? {
            if let Some(node) = self.seen(&key, done).await? {
                done.extend(self.in_service(&key, &node).await?);
            }
        }
        Ok(())
    }

    async fn seen(&self, key: &Key, done: &mut Vec<Result<String>>) -> std::result::Result<Option<Value>, Unreachable> {
        let ask = Ask::Get(key.clone());
        let cluster = Cluster::new(self.connection, self.discovery, CHUNK);
        match cluster.answer([ask.clone()].into()).await.remove(&ask) {
            Some(Ok(Reply::One(object))) => Ok(Some(*object)),
            Some(Err(said)) if said.is_unreachable() => Err(Unreachable(said.message)),
            Some(Err(said)) if !said.is_missing() => {
                done.push(Err(
                    Error::failed(format!("{key} cannot be read")).caused_by(said.message)
                ));
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Objects of a kind that carry this annotation. Who may not list them has not changed them either.
    async fn marked(&self, group: &str, plural: &str, annotation: &str) -> std::result::Result<Vec<Key>, Unreachable> {
        let Some(kind) = self.discovery.versions(group, plural).next() else {
            return Ok(Vec::new());
        };
        let ask = Ask::metadata(kind, None);
        let cluster = Cluster::new(self.connection, self.discovery, CHUNK);
        match cluster.answer([ask.clone()].into()).await.remove(&ask) {
            Some(Ok(Reply::Metadata(all))) => {
                let marked = all.into_iter().filter(|o: &Object| o.marks.contains_key(annotation));
                Ok(marked.map(|o| Key::cluster(group, plural, &o.name)).collect())
            }
            Some(Err(said)) if said.is_unreachable() => Err(Unreachable(said.message)),
            _ => Ok(Vec::new()),
        }
    }

    async fn as_it_was(&self, key: &Key, object: &Value) -> std::result::Result<Option<Result<String>>, Unreachable> {
        let Some(record) = read(object) else { return Ok(None) };
        if record.target != self.target && record.until >= Timestamp::now() {
            return Ok(None);
        }
        let Some((operations, theirs)) = back(object) else {
            return Ok(None);
        };
        let failed = Error::failed(format!("{key} could not be put back"))
            .hint(format!("what it was stands in its annotation {NEUTRALISED}"));
        let text = match theirs.as_slice() {
            [] => format!("{key} is as it was"),
            theirs => format!(
                "{key}: somebody else has changed {} since, which stays",
                theirs.join(", ")
            ),
        };
        self.written(key, object, operations, text, failed).await.map(Some)
    }

    /// The taint throws out every pod once the machine is back, so it does not stay longer than it is needed.
    async fn in_service(&self, key: &Key, node: &Value) -> std::result::Result<Option<Result<String>>, Unreachable> {
        let annotation = format!("/metadata/annotations/{}", OFF.replace('/', "~1"));
        let Some(ours) = node.pointer(&annotation).filter(|mark| **mark == json!(self.mark())) else {
            return Ok(None);
        };
        let mut operations = vec![
            json!({"op": "test", "path": annotation, "value": ours}),
            json!({"op": "remove", "path": annotation}),
        ];
        let taints = node["spec"]["taints"].as_array();
        if let Some(at) = taints.and_then(|all| all.iter().position(|t| t["key"] == OUT_OF_SERVICE)) {
            operations.push(json!({"op": "test", "path": format!("/spec/taints/{at}/key"), "value": OUT_OF_SERVICE}));
            operations.push(json!({"op": "remove", "path": format!("/spec/taints/{at}")}));
        }
        let name = &key.name;
        let failed = Error::failed(format!("node/{name} is still tainted as out of service")).hint(format!(
            "take that off before its machine is started: kubectl taint node {name} {OUT_OF_SERVICE}-"
        ));
        let text = format!("node/{name} is not out of service any more");
        self.written(key, node, operations, text, failed).await.map(Some)
    }

    async fn written(
        &self,
        key: &Key,
        object: &Value,
        operations: Vec<Value>,
        text: String,
        failed: Error,
    ) -> std::result::Result<Result<String>, Unreachable> {
        let path = match self.path(key) {
            Ok(path) => path,
            Err(error) => return Ok(Err(error)),
        };
        match self.patch(&path, object, None, operations, false).await {
            Ok(()) => Ok(Ok(text)),
            Err(error @ kube::Error::Api(_)) => Ok(Err(failed.caused_by(self.connection.explain(&error).headline()))),
            Err(error) => Err(Unreachable(self.connection.explain(&error).headline().to_owned())),
        }
    }
}
