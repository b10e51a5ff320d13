//! What tells who has written an object.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry, jiff::Timestamp};
use serde::Deserialize as _;
use serde_json::Value;

/// The name of the match condition that leaves requests out of a webhook.
pub const CONDITION: &str = "kubectl-upkeep/finalize";

/// Who has written an object last, but for this plugin: whoever writes chooses that name, so it is a hint and no more.
pub fn last_writer(object: &Value) -> Option<String> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let entries = entries
        .iter()
        .filter_map(|entry| ManagedFieldsEntry::deserialize(entry).ok());
    let others = entries.filter(|entry| entry.subresource.is_none() && entry.manager.as_deref() != Some(OURS));
    let last = others.max_by_key(|entry| entry.time.as_ref().map_or(Timestamp::MIN, |time| time.0))?;
    last.manager
}

const OURS: &str = "kubectl-finalize";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_other_writer() {
        let entry = |manager: &str, time: &str| json!({"manager": manager, "operation": "Update", "time": time});
        let object = json!({"metadata": {"managedFields": [entry("helm", "2026-01-01T00:00:00Z"),
            entry("argocd-controller", "2026-01-01T00:00:02Z"), entry("kubectl-finalize", "2026-01-01T00:00:03Z")]}});
        assert_eq!(last_writer(&object).as_deref(), Some("argocd-controller"));
        assert_eq!(last_writer(&json!({"metadata": {}})), None);
    }
}
