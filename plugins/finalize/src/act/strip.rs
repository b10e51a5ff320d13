//! Removes one finalizer by the first way that the server lets through.

use serde_json::{Value, json};
use upkeep::Result;

use super::Hands;
use crate::{facts::Key, gather::of_kind};

impl Hands<'_> {
    /// The object itself; its `status`, which is another resource for admission and ignores a spec that is not valid any
    /// more (only kinds that are built in); other versions, which may need no conversion.
    pub(super) async fn strip(&self, key: &Key, object: &Value, finalizer: &str, dry_run: bool) -> Result<()> {
        let finalizers = object["metadata"]["finalizers"].as_array();
        let at = finalizers.and_then(|all| all.iter().position(|f| f == finalizer));
        let Some(at) = at else { return Ok(()) };
        let kind = self.kind(key)?;
        let built_in = !kind.group.contains('.') || kind.group.ends_with(".k8s.io");
        let has_status = kind.subresources.iter().any(|s| s == "status");
        let mut ways = vec![(kind.clone(), None)];
        if built_in && has_status {
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
            let tried = self.patch(&path, object, subresource, operations.clone(), true).await;
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
}
