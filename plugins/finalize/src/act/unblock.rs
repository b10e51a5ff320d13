//! Opens a circle of owners the way the garbage collector does: one owner no longer waits for one dependent.

use serde_json::{Value, json};

use super::{Hands, Made};
use crate::facts::Key;

impl Hands<'_> {
    /// Sets `blockOwnerDeletion` of the reference to this owner to false, as `unblockOwnerReferences` of the garbage collector
    /// does. The reference itself stays. Nothing is done where the owner does not wait any more.
    pub(super) async fn unblock(&self, key: &Key, object: &Value, owner: &str, dry_run: bool) -> Made {
        let operations = operations(object, owner);
        if operations.is_empty() {
            return Ok(());
        }
        self.patched(key, object, operations, dry_run).await
    }
}

/// The same owner may be named more than once.
fn operations(object: &Value, owner: &str) -> Vec<Value> {
    let references = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let blocking = references
        .enumerate()
        .filter(|(_, reference)| reference["uid"] == owner && reference["blockOwnerDeletion"] == true);
    let operations = blocking.flat_map(|(at, _)| {
        let place = format!("/metadata/ownerReferences/{at}");
        [
            json!({"op": "test", "path": format!("{place}/uid"), "value": owner}),
            json!({"op": "test", "path": format!("{place}/blockOwnerDeletion"), "value": true}),
            json!({"op": "replace", "path": format!("{place}/blockOwnerDeletion"), "value": false}),
        ]
    });
    operations.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_to_this_owner_that_block_are_changed() {
        let references = json!([
            {"uid": "other", "blockOwnerDeletion": true},
            {"uid": "owner", "blockOwnerDeletion": true},
            {"uid": "owner"},
        ]);
        let object = json!({"metadata": {"ownerReferences": references}});
        let made = operations(&object, "owner");
        assert_eq!(made.len(), 3);
        assert_eq!(made[2]["path"], "/metadata/ownerReferences/1/blockOwnerDeletion");
        assert!(operations(&object, "nobody").is_empty());
        assert!(operations(&json!({"metadata": {}}), "owner").is_empty());
    }
}
