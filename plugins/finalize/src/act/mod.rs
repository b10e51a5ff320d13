//! Makes one change: tried with a dry run, what it is made to is saved, made, noted down.

mod delete;
mod fence;
mod namespace;
mod neutralise;
mod nudge;
mod put_back;
mod record;
mod repair;
mod schema;
mod strip;
mod unblock;

#[cfg(test)]
pub use self::strip::{Way, other_way};
pub use self::{
    fence::{Fences, OFF},
    namespace::CLEANED,
    record::{NEUTRALISED, closed, parse},
};

use std::sync::OnceLock;

use http::Request;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{
    api::{Patch, PatchParams},
    core::{Request as Requests, request::Error as RequestError},
};
use serde::Serialize;
use serde_json::{Value, json};
use upkeep::{
    Error, Exit, Result,
    backup::Backup,
    client::{Connection, Shallow},
    discovery::{Discovery, Kind},
    lock::Identity,
};

use crate::{
    facts::{Key, Said},
    gather::{MANAGER, of_kind, of_object, said, segment},
    ladder::Mend,
};

/// Objects per page.
const CHUNK: u32 = 500;

/// What changes are made with.
pub struct Hands<'a> {
    pub connection: &'a Connection,
    pub discovery: &'a Discovery,
    pub backup: Backup,
    /// What will not go away: `namespaces/stuck`.
    pub target: String,
    /// This run.
    pub run: Identity,
    /// Nodes that it has tainted as out of service.
    pub fences: Fences,
    /// How far the server's clock is ahead of this machine's.
    pub skew: SignedDuration,
    /// The name by which the server knows this user, once it was asked for.
    pub user: OnceLock<String>,
}

/// Why a change was not made.
#[derive(Debug)]
pub struct Trouble {
    /// In words.
    pub error: Error,
    /// What the server said, where it did.
    pub said: Option<Said>,
}

/// An object as it was before a change.
pub struct Original {
    /// It, without what nests too deep.
    pub object: Value,
    /// All of it as it came, where something is left out.
    whole: Option<String>,
}

/// What came of a change.
type Made = std::result::Result<(), Trouble>;

impl Trouble {
    /// Whether somebody who was asked does not want the change.
    pub fn is_denial(&self) -> bool {
        self.said.as_ref().is_some_and(Said::is_denial)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self { error, said: None }
    }
}

/// A line of the journal.
#[derive(Serialize)]
struct Note<'a> {
    time: String,
    why: &'a str,
    change: &'a Mend,
    object: &'a Key,
    uid: &'a str,
    version: &'a str,
    result: &'a str,
}

impl Hands<'_> {
    /// Has the server try the change, and returns the object that it would be made to.
    ///
    /// # Errors
    /// The server's; an object that is another one by now.
    pub async fn try_out(&self, mend: &Mend) -> std::result::Result<Original, Trouble> {
        let key = mend.key();
        let original = self.original(&key).await?;
        let object = &original.object;
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some(wanted) = mend.uid().filter(|wanted| !wanted.is_empty() && *wanted != uid) {
            let text = format!("{} is another object by now (its UID was {wanted})", key.name);
            return Err(Error::failed(text).into());
        }
        self.make(mend, object, true).await?;
        Ok(original)
    }

    /// Makes a change that was tried out on this object; `why` is written into the journal.
    ///
    /// # Errors
    /// The server's; a disk that takes no backup.
    pub async fn apply(&self, mend: &Mend, original: &Original, why: &str) -> std::result::Result<(), Trouble> {
        let key = mend.key();
        let object = &original.object;
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        // Without a backup nothing is changed.
        self.save(original).map_err(|error| error.with_exit(Exit::Refused))?;
        let note = |result: &str| {
            self.backup.note(&Note {
                time: Timestamp::now().to_string(),
                why,
                change: mend,
                object: &key,
                uid: text("uid"),
                version: text("resourceVersion"),
                result,
            })
        };
        note("asked for")?;
        let made = self.make(mend, object, false).await;
        note(
            &made
                .as_ref()
                .map_or_else(|trouble| trouble.error.headline().to_owned(), |()| "done".to_owned()),
        )?;
        made
    }

    async fn make(&self, mend: &Mend, object: &Value, dry_run: bool) -> Made {
        match mend {
            Mend::Strip {
                key, finalizer, status, ..
            } => self.strip(key, object, finalizer, *status, dry_run).await,
            Mend::Unblock { key, owner, .. } => self.unblock(key, object, owner, dry_run).await,
            Mend::DeleteAgain { key, uid } => self.delete(key, uid, None, dry_run).await,
            Mend::DeleteStored { key, uid, version } => self.delete(key, uid, Some(version), dry_run).await,
            Mend::Evict { pod, uid } => self.evict(pod, uid, dry_run).await,
            Mend::Finalize { finalizer, .. } => self.finalize(object, finalizer, dry_run).await,
            Mend::Abandon { .. } => self.finalize(object, "kubernetes", dry_run).await,
            Mend::Unconvert { .. } => self.unconvert(object, dry_run).await,
            Mend::ScaleUp { key, replicas } => self.scale_up(key, object, *replicas, dry_run).await,
            Mend::OutOfService { node, renewed, .. } => self.out_of_service(node, *renewed, object, dry_run).await,
            Mend::Exclude {
                entry,
                namespace,
                only,
                accounts,
                ..
            } => {
                let what = (namespace.as_deref(), only.as_ref());
                self.exclude(object, entry, what, accounts.as_deref(), dry_run).await
            }
            Mend::Serve { version, .. } => self.serve(&mend.key(), object, version, dry_run).await,
        }
    }

    fn save(&self, original: &Original) -> Result<()> {
        let Original { object, whole } = original;
        match whole {
            Some(text) => self.backup.save_text(object, text).map(drop),
            None => self.backup.save(object).map(drop),
        }
    }

    async fn read(&self, key: &Key) -> Result<Value> {
        Ok(self.original(key).await?.object)
    }

    /// In the first version that can be read: the preferred one may need a conversion that does not work.
    async fn original(&self, key: &Key) -> Result<Original> {
        let mut refused = None;
        for kind in self.discovery.versions(&key.group, &key.plural) {
            let request = Request::get(of_object(kind, key)).body(Vec::new());
            match self.answered(request.map_err(kube::Error::HttpError)).await {
                Ok(original) => return Ok(original),
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        Err(match refused {
            Some(error) => self.connection.explain(&error),
            None => Error::failed(format!("the server does not serve {}", key.plural)),
        })
    }

    /// A JSON patch that first tests that it is the object which was looked at.
    async fn patch(
        &self,
        path: &str,
        object: &Value,
        subresource: Option<&str>,
        mut operations: Vec<Value>,
        dry_run: bool,
    ) -> kube::Result<Value> {
        let uid = &object["metadata"]["uid"];
        operations.insert(0, json!({"op": "test", "path": "/metadata/uid", "value": uid}));
        let patch = serde_json::from_value(Value::Array(operations)).map_err(kube::Error::SerdeError)?;
        let patch = Patch::<()>::Json(patch);
        let params = PatchParams {
            dry_run,
            field_manager: Some(MANAGER.into()),
            ..PatchParams::default()
        };
        let name = segment(object["metadata"]["name"].as_str().unwrap_or_default()).to_string();
        let requests = Requests::new(path);
        let request = match subresource {
            Some(subresource) => requests.patch_subresource(subresource, &name, &params, &patch),
            None => requests.patch(&name, &params, &patch),
        };
        self.send(built(request)).await
    }

    /// The server's clock.
    fn now(&self) -> Timestamp {
        Timestamp::now() + self.skew
    }

    fn trouble(&self, error: &kube::Error) -> Trouble {
        Trouble {
            error: self.connection.explain(error),
            said: matches!(error, kube::Error::Api(_)).then(|| said(self.connection, error)),
        }
    }

    fn kind(&self, key: &Key) -> Result<Kind> {
        let kind = self.discovery.versions(&key.group, &key.plural).next().cloned();
        kind.ok_or_else(|| Error::failed(format!("the server does not serve {}", key.plural)))
    }

    fn path(&self, key: &Key) -> Result<String> {
        Ok(of_kind(&self.kind(key)?, key.namespace.as_deref()))
    }

    async fn send(&self, request: kube::Result<Request<Vec<u8>>>) -> kube::Result<Value> {
        Ok(self.answered(request).await?.object)
    }

    async fn answered(&self, request: kube::Result<Request<Vec<u8>>>) -> kube::Result<Original> {
        let text = self.connection.client.request_text(request?).await?;
        let Shallow { object, left_out } = Shallow::read(&text).map_err(kube::Error::SerdeError)?;
        Ok(Original {
            object,
            whole: (!left_out.is_empty()).then_some(text),
        })
    }
}

fn built(request: std::result::Result<Request<Vec<u8>>, RequestError>) -> kube::Result<Request<Vec<u8>>> {
    request.map_err(kube::Error::BuildRequest)
}
