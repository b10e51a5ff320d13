//! At the end everything is put back that was only taken out of the way: by this run, by one for the same target that was
//! cut off, and what is overdue.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use upkeep::{Error, Result, node::OUT_OF_SERVICE};

use super::{
    CHUNK, Hands,
    fence::{OFF, annotation},
    neutralise::{KINDS, TRIES, is_conflict},
    record::{NEUTRALISED, Need, back},
};
use crate::{
    facts::{Ask, Key, Object, Reply, last_writer},
    gather::Cluster,
};

/// How long a server that does not answer is waited for, where this run has taken something out of the way.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Nobody answers.
pub(super) struct Unreachable(String);

/// What came of a patch.
enum Written {
    /// It was made, or refused.
    Done(Result<String>),
    /// Somebody else was quicker.
    Conflict,
}

impl Hands<'_> {
    /// Says what was put back, and what others have changed since. `ours` is what this run has taken out of the way, for which
    /// a server that does not answer is waited for. `gone`: the target is.
    pub async fn put_back(&self, ours: &[Key], gone: bool) -> Vec<Result<String>> {
        let began = Instant::now();
        let mut done = Vec::new();
        loop {
            match self.all_of_it(ours, gone, &mut done).await {
                Ok(()) => return done,
                Err(Unreachable(_)) if ours.is_empty() => return done,
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
    async fn all_of_it(
        &self,
        ours: &[Key],
        gone: bool,
        done: &mut Vec<Result<String>>,
    ) -> std::result::Result<(), Unreachable> {
        let kinds = KINDS
            .iter()
            .map(|(group, plural)| self.marked(group, plural, NEUTRALISED));
        let (marked, nodes) = futures::join!(futures::future::join_all(kinds), self.marked("", "nodes", OFF));
        // Who may not list them all knows at least those of this run.
        let (ours_off, ours): (Vec<Key>, Vec<Key>) = ours.iter().cloned().partition(|key| key.plural == "nodes");
        let mut opened: BTreeSet<Key> = ours.into_iter().collect();
        for keys in marked {
            opened.extend(keys?);
        }
        for key in opened {
            if let Some(object) = self.seen(&key, done).await? {
                done.extend(self.as_it_was(&key, &object, gone).await?);
            }
        }
        let mut off: BTreeSet<Key> = ours_off.into_iter().collect();
        off.extend(nodes?);
        for key in off {
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

    /// Objects of a kind that carry this annotation, as far as they may be listed.
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

    /// What this run and those before it for the same target have changed, and what is overdue.
    async fn as_it_was(
        &self,
        key: &Key,
        object: &Value,
        gone: bool,
    ) -> std::result::Result<Option<Result<String>>, Unreachable> {
        let now = self.now();
        let is_over = |need: &Need| need.is_over(&self.target, &self.run, gone, now);
        let mut object = object.clone();
        let mut tries = 1;
        loop {
            let Some(back) = back(&object, is_over) else {
                return Ok(None);
            };
            let failed = Error::failed(format!("{key} could not be put back"))
                .hint(format!("what it was stands in its annotation {NEUTRALISED}"));
            let text = match (back.theirs.as_slice(), back.needed.as_slice()) {
                ([], []) => format!("{key} is as it was"),
                ([], needed) => format!("{key} is as it was, but for {}", needed.join(", ")),
                (theirs, _) => {
                    let by = last_writer(&object).map(|by| format!(" (its managedFields name {by})"));
                    format!(
                        "{key}: another user or controller has changed {} since{}, which stays",
                        theirs.join(", "),
                        by.unwrap_or_default()
                    )
                }
            };
            match self.written(key, &object, back.operations, text, failed).await? {
                Written::Conflict if tries < TRIES => tries += 1,
                Written::Conflict => return Ok(Some(Err(Error::failed(format!("{key} is written all the time"))))),
                Written::Done(done) => return Ok(Some(done)),
            }
            match self.seen(key, &mut Vec::new()).await? {
                Some(newer) => object = newer,
                None => return Ok(None),
            }
        }
    }

    /// The taint forces off every pod once the machine is back, so it does not stay longer than it is needed.
    pub(super) async fn in_service(
        &self,
        key: &Key,
        node: &Value,
    ) -> std::result::Result<Option<Result<String>>, Unreachable> {
        let annotation = annotation();
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
            "remove it before its machine is started: kubectl taint node {name} {OUT_OF_SERVICE}-"
        ));
        let text = format!("node/{name} is not out of service any more");
        match self.written(key, node, operations, text, failed).await? {
            Written::Done(done) => Ok(Some(done)),
            Written::Conflict => Ok(Some(Err(Error::failed(format!("node/{name} is written all the time"))))),
        }
    }

    async fn written(
        &self,
        key: &Key,
        object: &Value,
        operations: Vec<Value>,
        text: String,
        failed: Error,
    ) -> std::result::Result<Written, Unreachable> {
        let path = match self.path(key) {
            Ok(path) => path,
            Err(error) => return Ok(Written::Done(Err(error))),
        };
        match self.patch(&path, object, None, operations, false).await {
            Ok(_) => Ok(Written::Done(Ok(text))),
            Err(kube::Error::Api(status)) if is_conflict(&status) => Ok(Written::Conflict),
            Err(error @ kube::Error::Api(_)) => {
                let error = failed.caused_by(self.connection.explain(&error).headline());
                Ok(Written::Done(Err(error)))
            }
            Err(error) => Err(Unreachable(self.connection.explain(&error).headline().to_owned())),
        }
    }
}
