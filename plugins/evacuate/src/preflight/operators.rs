//! Who besides the user can change what a budget allows: the operator that owns the budget, or pods that it selects.
//!
//! Operators move labels from pod to pod, delete or replace budgets, and move pods themselves once the node is cordoned
//! (CloudNativePG, Longhorn, Rook, Strimzi). What they will do cannot be known, so a refusal becomes waiting.
//!
//! ownerReferences are free text that a tenant can write. They are shown as a hint, and soften a refusal into waiting;
//! nothing is forced because of them.

use std::fmt;

use crate::facts::{Budget, Owner, Pod, Workloads};

/// API groups that kube-apiserver itself serves. Definitions may be added to other groups of `k8s.io` (the Gateway API),
/// so the names are compared in full.
const OWN_GROUPS: [&str; 23] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// The longest name that the API gives to objects; a reference may say anything.
const LONGEST: usize = 253;

/// Whether a controller of Kubernetes itself acts on the owner.
pub fn is_own(owner: &Owner) -> bool {
    OWN_GROUPS.contains(&owner.group())
}

/// The custom resource behind a budget or a pod: its operator acts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    kind: String,
    name: String,
    group: String,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind, self.name, self.group)
    }
}

impl Operator {
    fn of(owner: &Owner, workloads: Option<&Workloads>) -> Option<Self> {
        let first = (!is_own(owner)).then_some(owner);
        let above = || workloads?.chain(owner).find(|owner| !is_own(owner));
        let found = first.or_else(above)?;
        let cut = |text: &str| text.chars().take(LONGEST).collect();
        Some(Self {
            kind: cut(&found.kind),
            name: cut(&found.name),
            group: cut(found.group()),
        })
    }

    /// That of a budget.
    pub fn of_budget(budget: &Budget, workloads: Option<&Workloads>) -> Option<Self> {
        budget.owners.iter().find_map(|owner| Self::of(owner, workloads))
    }

    /// That of a pod.
    pub fn of_pod(pod: &Pod, workloads: Option<&Workloads>) -> Option<Self> {
        pod.owner.as_ref().and_then(|owner| Self::of(owner, workloads))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::{apps::v1 as apps, policy::v1::PodDisruptionBudget};
    use serde_json::{Value, json};

    use super::*;
    use crate::preflight::testkit::pod;

    fn reference(api_version: &str, kind: &str, uid: &str, controller: bool) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "name": uid, "uid": uid, "controller": controller})
    }

    fn named(operator: Option<Operator>) -> Option<String> {
        operator.map(|operator| operator.to_string())
    }

    #[test]
    fn r01_groups_of_kubernetes_are_no_operators() {
        let table = [
            ("v1", "Node", false),
            ("apps/v1", "ReplicaSet", false),
            ("batch/v1", "Job", false),
            ("extensions/v1beta1", "ReplicaSet", false),
            ("postgresql.cnpg.io/v1", "Cluster", true),
            ("apps.kruise.io/v1alpha1", "CloneSet", true),
            ("gateway.networking.k8s.io/v1", "Gateway", true),
            ("jobset.x-k8s.io/v1alpha2", "JobSet", true),
            ("apps.example/v1", "Deployment", true),
        ];
        for (version, kind, expected) in table {
            let owner = json!({"metadata": {"ownerReferences": [reference(version, kind, "x", true)]}});
            let found = Operator::of_pod(&pod("p", "n", "", owner), None);
            assert_eq!(found.is_some(), expected, "{version} {kind}");
        }
    }

    #[test]
    fn r01_owners_are_followed_by_uid() {
        let set = |owner: Value| -> apps::ReplicaSet {
            serde_json::from_value(json!({"metadata": {"name": "rs", "uid": "rs", "ownerReferences": [owner]}}))
                .unwrap()
        };
        let deployment = |owner: Value| -> apps::Deployment {
            let object = json!({"metadata": {"name": "web", "uid": "web", "ownerReferences": [owner]},
                "spec": {"selector": {}, "template": {}}});
            serde_json::from_value(object).unwrap()
        };
        let cluster = reference("ceph.rook.io/v1", "CephCluster", "rook", true);
        let mut workloads = Workloads::default();
        workloads.add(
            "ReplicaSet",
            vec![set(reference("apps/v1", "Deployment", "web", true)).into()],
        );
        let osd = pod("p", "n", "rs", json!({}));
        assert_eq!(
            Operator::of_pod(&osd, Some(&workloads)),
            None,
            "the Deployment was not read"
        );
        workloads.add("Deployment", vec![deployment(cluster.clone()).into()]);
        assert_eq!(
            named(Operator::of_pod(&osd, Some(&workloads))).as_deref(),
            Some("CephCluster rook (ceph.rook.io)")
        );
        assert_eq!(Operator::of_pod(&osd, None), None);
        // A circle of references ends.
        let mut circle = Workloads::default();
        circle.add(
            "ReplicaSet",
            vec![set(reference("apps/v1", "ReplicaSet", "rs", true)).into()],
        );
        assert_eq!(Operator::of_pod(&osd, Some(&circle)), None);
    }

    #[test]
    fn r01_a_budget_has_any_owner() {
        let budget = |owners: Value| -> Budget {
            let object = json!({"metadata": {"name": "b", "uid": "b", "ownerReferences": owners}});
            serde_json::from_value::<PodDisruptionBudget>(object).unwrap().into()
        };
        let kafka = reference("kafka.strimzi.io/v1", "Kafka", "events", false);
        let config = reference("v1", "ConfigMap", "c", true);
        assert_eq!(
            named(Operator::of_budget(&budget(json!([config, kafka])), None)).as_deref(),
            Some("Kafka events (kafka.strimzi.io)")
        );
        assert_eq!(Operator::of_budget(&budget(json!([config])), None), None);
        let long = reference("x.example/v1", "K", &"x".repeat(5_000), true);
        let text = named(Operator::of_budget(&budget(json!([long])), None)).unwrap();
        assert!(text.len() < 300, "{}", text.len());
    }
}
