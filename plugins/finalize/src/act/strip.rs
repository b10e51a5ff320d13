//! Removes one finalizer by the first way that the server lets through.

use serde_json::{Value, json};
use upkeep::{Result, discovery::Kind};

use super::{Hands, schema};
use crate::{
    facts::{Key, is_built_in},
    gather::of_kind,
};

/// How often it is asked what is still missing.
const ROUNDS: usize = 4;

impl Hands<'_> {
    /// The object itself; its `status`, which is another resource for admission and ignores a spec that is not valid any
    /// more (only kinds that are built in); other versions, which may need no conversion.
    pub(super) async fn strip(&self, key: &Key, object: &Value, finalizer: &str, dry_run: bool) -> Result<()> {
        let finalizers = object["metadata"]["finalizers"].as_array();
        let at = finalizers.and_then(|all| all.iter().position(|f| f == finalizer));
        let Some(at) = at else { return Ok(()) };
        let kind = self.kind(key)?;
        let has_status = kind.subresources.iter().any(|s| s == "status");
        let mut ways = vec![(kind.clone(), None)];
        if is_built_in(&kind.group) && has_status {
            ways.push((kind.clone(), Some("status")));
        }
        let others = self.discovery.versions(&key.group, &key.plural).skip(1);
        ways.extend(others.map(|other| (other.clone(), None)));
        let place = format!("/metadata/finalizers/{at}");
        let operations = vec![
            json!({"op": "test", "path": place, "value": finalizer}),
            json!({"op": "remove", "path": place}),
        ];
        let mut refused = None;
        for (kind, subresource) in ways {
            let path = of_kind(&kind, key.namespace.as_deref());
            // Only a way that a dry run has found to be open is taken.
            let mut operations = operations.clone();
            let mut tried = self.patch(&path, object, subresource, operations.clone(), true).await;
            if let Err(error) = &tried
                && let Some(filled) = self.filled(&kind, object, &path, &operations, error).await
            {
                (operations, tried) = (filled, Ok(()));
            }
            match tried {
                Ok(()) if dry_run => return Ok(()),
                Ok(()) => {
                    let made = self.patch(&path, object, subresource, operations, false).await;
                    return made.map_err(|error| self.connection.explain(&error));
                }
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        refused.map_or(Ok(()), |error| Err(self.connection.explain(&error)))
    }

    /// The schema may have become stricter since the object was written. Fields that it misses are filled with the least that
    /// is valid; the object is about to go, and nothing else of it is changed.
    async fn filled(
        &self,
        kind: &Kind,
        object: &Value,
        path: &str,
        operations: &[Value],
        refused: &kube::Error,
    ) -> Option<Vec<Value>> {
        let mut missing = schema::missing(refused);
        if missing.is_empty() {
            return None;
        }
        let definition = format!("{}.{}", kind.plural, kind.group);
        let definition = Key::cluster("apiextensions.k8s.io", "customresourcedefinitions", &definition);
        let definition = self.read(&definition).await.ok()?;
        let versions = definition["spec"]["versions"].as_array()?;
        let version = versions.iter().find(|v| v["name"] == kind.version.as_str())?;
        let schema = &version["schema"]["openAPIV3Schema"];
        let mut operations = operations.to_vec();
        // What is filled in may itself be wanted to have more.
        for _ in 0..ROUNDS {
            for field in &missing {
                operations.push(schema::least(schema, field, object)?);
            }
            match self.patch(path, object, None, operations.clone(), true).await {
                Ok(()) => return Some(operations),
                Err(error) => missing = schema::missing(&error),
            }
            if missing.is_empty() {
                return None;
            }
        }
        None
    }
}
