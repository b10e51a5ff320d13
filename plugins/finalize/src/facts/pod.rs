//! What is kept of a pod.

use k8s_openapi::api::core::v1 as core;
use serde::Deserialize;
use upkeep::node::OUT_OF_SERVICE;

use super::{Key, Object, object::Meta};

/// A pod that may hold something, or be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its metadata.
    pub object: Object,
    /// Its node; empty until it is scheduled.
    pub node: String,
    /// Names of the claims that it mounts, those of its ephemeral volumes too.
    pub claims: Vec<String>,
    /// It has ended: `Succeeded` or `Failed`.
    pub finished: bool,
    /// `spec.serviceAccountName`.
    pub service_account: String,
    /// It is Ready.
    pub ready: bool,
    /// It tolerates the taint `node.kubernetes.io/out-of-service` for ever, so that the taint alone does not delete it.
    pub stays: bool,
}

impl Pod {
    /// Whether the taint removes it from its node.
    pub fn is_forced_off(&self) -> bool {
        !self.stays || self.object.is_deleting()
    }

    /// Whether no controller starts it again. `target` is the id of what is to be deleted: its pods are not meant to come back.
    pub fn is_lost_beside(&self, target: &str) -> bool {
        let namespace = self.object.namespace.as_deref().unwrap_or_default();
        let within = target == Key::cluster("", "namespaces", namespace).id()
            || target == Key::within("", "pods", namespace, &self.object.name).id();
        !within && !self.finished && !self.object.owners.iter().any(|owner| owner.controller)
    }
}

/// Reads a pod from a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Read {
    metadata: Meta,
    #[serde(default)]
    spec: core::PodSpec,
    #[serde(default)]
    status: core::PodStatus,
}

impl From<Read> for Pod {
    fn from(Read { metadata, spec, status }: Read) -> Self {
        let object = Object::from(metadata);
        let volumes = spec.volumes.into_iter().flatten();
        let claims = volumes.filter_map(|volume| {
            let ephemeral = volume.ephemeral.map(|_| format!("{}-{}", object.name, volume.name));
            volume.persistent_volume_claim.map(|c| c.claim_name).or(ephemeral)
        });
        let ready = |c: &core::PodCondition| c.type_ == "Ready" && c.status == "True";
        Self {
            claims: claims.collect(),
            node: spec.node_name.unwrap_or_default(),
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            service_account: spec.service_account_name.unwrap_or_default(),
            ready: status.conditions.iter().flatten().any(ready),
            stays: spec.tolerations.iter().flatten().any(tolerates),
            object,
        }
    }
}

/// As the taint eviction controller matches the taint, which has the effect `NoExecute` and the value `nodeshutdown`.
fn tolerates(toleration: &core::Toleration) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let value = exists || toleration.value.as_deref() == Some("nodeshutdown");
    let effect = toleration.effect.as_deref().unwrap_or_default();
    (key == OUT_OF_SERVICE || (key.is_empty() && exists))
        && value
        && matches!(effect, "" | "NoExecute")
        && toleration.toleration_seconds.is_none()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn pods_that_no_controller_starts_again() {
        let pod = |owners: Value, phase: &str| {
            let pod = json!({"metadata": {"name": "p", "namespace": "shop", "ownerReferences": owners},
                "spec": {"containers": []}, "status": {"phase": phase}});
            Pod::from(serde_json::from_value::<Read>(pod).unwrap())
        };
        let owner = |controller: bool| json!([{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "o", "controller": controller}]);
        let other = "namespaces/dead";
        let bare = pod(json!([]), "Running");
        assert!(bare.is_lost_beside(other) && pod(owner(false), "Pending").is_lost_beside(other));
        assert!(!pod(owner(true), "Running").is_lost_beside(other));
        assert!(!pod(json!([]), "Succeeded").is_lost_beside(other));
        assert!(!bare.is_lost_beside("namespaces/shop") && !bare.is_lost_beside("pods/shop/p"));
        assert!(bare.is_lost_beside("pods/shop/other"));
    }

    #[test]
    fn pods_that_the_taint_does_not_delete() {
        let stays = |tolerations: Value| {
            let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [], "tolerations": tolerations}});
            Pod::from(serde_json::from_value::<Read>(pod).unwrap()).stays
        };
        assert!(stays(json!([{"operator": "Exists"}])));
        assert!(stays(json!([{"operator": "Exists", "effect": "NoExecute"}])));
        assert!(stays(
            json!([{"key": "a", "operator": "Exists"}, {"key": OUT_OF_SERVICE, "operator": "Exists"}])
        ));
        assert!(stays(json!([{"key": OUT_OF_SERVICE, "value": "nodeshutdown"}])));
        for leaves in [
            json!([]),
            json!([{"operator": "Exists", "effect": "NoSchedule"}]),
            json!([{"key": OUT_OF_SERVICE, "value": "other"}]),
            json!([{"key": OUT_OF_SERVICE, "operator": "Exists", "tolerationSeconds": 300}]),
            json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}]),
        ] {
            assert!(!stays(leaves.clone()), "{leaves}");
        }
    }
}
