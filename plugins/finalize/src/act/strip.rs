//! Removes one finalizer. The way is the object itself; another one is only taken where what is in the way has denied nothing.

use serde_json::{Value, json};
use upkeep::{Error, discovery::Kind};

use super::{Hands, Made, Trouble, schema};
use crate::{
    facts::{Key, Refusal, Said},
    gather::of_kind,
};

/// How often it is asked what is still missing.
const ROUNDS: usize = 4;

/// What is removed, and whether it is only tried.
struct Removal<'a> {
    object: &'a Value,
    finalizer: &'a str,
    dry_run: bool,
}

/// Another way to remove a finalizer than a change of the object as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through the subresource `status`.
    Status,
    /// With the required fields that the object misses.
    Filled,
    /// In another version of the kind.
    OtherVersion,
}

/// Which way is tried after the server has refused the change of the object. A denial leaves none. `status`: the diagnosis has
/// found that nobody else is asked about the object.
pub fn other_way(said: &Said, status: bool) -> Option<Way> {
    match said.refusal() {
        Refusal::Unreachable { .. } | Refusal::Invalid if status => Some(Way::Status),
        Refusal::Invalid => Some(Way::Filled),
        Refusal::Conversion => Some(Way::OtherVersion),
        Refusal::Unreachable { .. }
        | Refusal::NoDryRun { .. }
        | Refusal::Denied { .. }
        | Refusal::Policy { .. }
        | Refusal::Other => None,
    }
}

impl Hands<'_> {
    /// A denial is final. `status`: the diagnosis has found that the removal may be made through the subresource `status`, which
    /// is another resource for admission and ignores a spec that is not valid any more. That is only taken while a webhook does
    /// not answer, or the object is not valid. A conversion that does not work is passed by in the version in which the object
    /// is stored.
    pub(super) async fn strip(&self, key: &Key, object: &Value, finalizer: &str, status: bool, dry_run: bool) -> Made {
        let finalizers = object["metadata"]["finalizers"].as_array();
        let at = finalizers.and_then(|all| all.iter().position(|f| f == finalizer));
        let Some(at) = at else { return Ok(()) };
        let kind = self.kind(key)?;
        let place = format!("/metadata/finalizers/{at}");
        let operations = vec![
            json!({"op": "test", "path": place, "value": finalizer}),
            json!({"op": "remove", "path": place}),
        ];
        let path = of_kind(&kind, key.namespace.as_deref());
        let removal = Removal {
            object,
            finalizer,
            dry_run,
        };
        let Err(refused) = self.tried(&removal, &path, None, &operations).await? else {
            return Ok(());
        };
        let trouble = self.trouble(&refused);
        match trouble.said.as_ref().and_then(|said| other_way(said, status)) {
            Some(Way::Status) => {
                let through = self.tried(&removal, &path, Some("status"), &operations).await?;
                through.map_err(|error| self.trouble(&error))
            }
            Some(Way::Filled) => match self.filled(&kind, object, &path, &operations, &refused).await {
                Ok(Some(filled)) => {
                    let made = self.tried(&removal, &path, None, &filled).await?;
                    made.map_err(|error| self.trouble(&error))
                }
                Ok(None) => Err(trouble),
                Err(denied) => Err(denied),
            },
            Some(Way::OtherVersion) => self.in_another_version(key, &removal, &operations, trouble).await,
            None => Err(trouble),
        }
    }

    async fn in_another_version(&self, key: &Key, removal: &Removal<'_>, operations: &[Value], first: Trouble) -> Made {
        for other in self.discovery.versions(&key.group, &key.plural).skip(1) {
            let path = of_kind(other, key.namespace.as_deref());
            let Err(error) = self.tried(removal, &path, None, operations).await? else {
                return Ok(());
            };
            let trouble = self.trouble(&error);
            if !matches!(trouble.said.as_ref().map(Said::refusal), Some(Refusal::Conversion)) {
                return Err(trouble);
            }
        }
        Err(first)
    }

    /// A dry run, and the change itself where that is wanted and the dry run has shown that the finalizer would be gone.
    async fn tried(
        &self,
        removal: &Removal<'_>,
        path: &str,
        subresource: Option<&str>,
        operations: &[Value],
    ) -> std::result::Result<kube::Result<()>, Trouble> {
        let tried = self.patch(path, removal.object, subresource, operations.to_vec(), true);
        let shown = match tried.await {
            Ok(shown) => shown,
            Err(error) => return Ok(Err(error)),
        };
        let left = shown["metadata"]["finalizers"].as_array().into_iter().flatten();
        if left.into_iter().any(|f| f == removal.finalizer) {
            let text = format!(
                "the server would keep the finalizer {}: a webhook or a policy writes it back",
                removal.finalizer
            );
            return Err(Error::failed(text).into());
        }
        if removal.dry_run {
            return Ok(Ok(()));
        }
        let made = self.patch(path, removal.object, subresource, operations.to_vec(), false);
        Ok(made.await.map(drop))
    }

    /// The schema may have become stricter since the object was written. Fields that it misses are filled with the least that
    /// is valid; the object is about to go, and nothing else of it is changed. The error is a denial of that.
    async fn filled(
        &self,
        kind: &Kind,
        object: &Value,
        path: &str,
        operations: &[Value],
        refused: &kube::Error,
    ) -> std::result::Result<Option<Vec<Value>>, Trouble> {
        let mut missing = schema::missing(refused);
        if missing.is_empty() {
            return Ok(None);
        }
        let definition = format!("{}.{}", kind.plural, kind.group);
        let definition = Key::cluster("apiextensions.k8s.io", "customresourcedefinitions", &definition);
        let Ok(definition) = self.read(&definition).await else {
            return Ok(None);
        };
        let mut versions = definition["spec"]["versions"].as_array().into_iter().flatten();
        let Some(version) = versions.find(|v| v["name"] == kind.version.as_str()) else {
            return Ok(None);
        };
        let schema = &version["schema"]["openAPIV3Schema"];
        let mut operations = operations.to_vec();
        // What is filled in may itself be wanted to have more.
        for _ in 0..ROUNDS {
            for field in &missing {
                let Some(least) = schema::least(schema, field, object) else {
                    return Ok(None);
                };
                operations.push(least);
            }
            let Err(error) = self.patch(path, object, None, operations.clone(), true).await else {
                return Ok(Some(operations));
            };
            let trouble = self.trouble(&error);
            if trouble.is_denial() {
                return Err(trouble);
            }
            missing = schema::missing(&error);
            if missing.is_empty() {
                return Ok(None);
            }
        }
        Ok(None)
    }
}
