//! Everything in the cluster but what is meant to change, so that it shows when anything else was touched.

use std::collections::BTreeMap;

use serde_json::Value;
use testsupport::Cluster;

/// Kinds that tests make and the plugin could touch. Leases, Events and EndpointSlices change by themselves.
const KINDS: [&str; 18] = [
    "v1/Namespace",
    "v1/ConfigMap",
    "v1/Secret",
    "v1/Service",
    "v1/Pod",
    "v1/PersistentVolumeClaim",
    "v1/PersistentVolume",
    "v1/Node",
    "v1/ServiceAccount",
    "apps/v1/Deployment",
    "apps/v1/ReplicaSet",
    "networking.k8s.io/v1/Ingress",
    "storage.k8s.io/v1/StorageClass",
    "apiextensions.k8s.io/v1/CustomResourceDefinition",
    "apiregistration.k8s.io/v1/APIService",
    "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
];

/// UID, finalizers, labels, annotations and spec of every object outside of one namespace and of those that belong to other
/// tests, by kind and name.
pub fn of(cluster: &Cluster, except: &str) -> BTreeMap<String, String> {
    let mut digest = BTreeMap::new();
    for kind in KINDS {
        for object in cluster.list(kind, "", "") {
            let meta = &object["metadata"];
            let namespace = meta["namespace"].as_str().unwrap_or_default();
            let name = meta["name"].as_str().unwrap_or_default();
            // Other tests work in namespaces of their own at the same time.
            if namespace == except || (kind == "v1/Namespace" && name == except) {
                continue;
            }
            let ours = namespace == "bystander" || name.starts_with("bystander") || is_system(namespace);
            if ours {
                let parts: [&Value; 5] = [
                    &meta["uid"],
                    &meta["finalizers"],
                    &meta["labels"],
                    &meta["deletionTimestamp"],
                    &object["spec"],
                ];
                digest.insert(format!("{kind} {namespace}/{name}"), format!("{parts:?}"));
            }
        }
    }
    digest
}

fn is_system(namespace: &str) -> bool {
    matches!(namespace, "kube-system" | "kube-public" | "default")
}
