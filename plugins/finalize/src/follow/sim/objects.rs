//! What is served, and how objects are stored.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use upkeep::discovery::{Dark, Discovery, Kind};

use super::{
    words,
    world::{DEFINITION, KINDS, Orders, PODS, SPACE, Thing, World},
};

/// Kinds that are there for the work itself.
const OWN: [(&str, &str, &str, bool); 4] = [
    ("", "Namespace", "namespaces", false),
    ("", "Node", "nodes", false),
    ("apps", "Deployment", "deployments", true),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        false,
    ),
];

impl World {
    /// What the server serves.
    pub fn discovery(&self) -> Discovery {
        let things = KINDS.iter().map(|(group, kind, plural, namespaced, status)| {
            let subresources = if *status { vec!["status".to_owned()] } else { Vec::new() };
            (*group, *kind, *plural, *namespaced, subresources)
        });
        let own = OWN
            .iter()
            .map(|(group, kind, plural, namespaced)| (*group, *kind, *plural, *namespaced, Vec::new()));
        let served = |plural: &str| plural != "orders" || self.orders != Orders::Unserved;
        let kinds = things.chain(own).filter(|kind| served(kind.2));
        let kinds = kinds.flat_map(|(group, kind, plural, namespaced, subresources)| {
            let versions = if plural == "orders" {
                vec!["v1", "v1beta1"]
            } else {
                vec!["v1"]
            };
            versions.into_iter().map(move |version| Kind {
                group: group.into(),
                version: version.into(),
                preferred: version == "v1",
                kind: kind.into(),
                plural: plural.into(),
                singular: kind.to_lowercase(),
                namespaced,
                verbs: vec!["list".into(), "delete".into()],
                subresources: subresources.clone(),
                ..Kind::default()
            })
        });
        let dark = self.dark.map(|_| Dark {
            group: "metrics.example.com".into(),
            version: "v1".into(),
            reason: "the server is currently unable to handle the request".into(),
        });
        Discovery {
            kinds: kinds.collect(),
            dark: dark.into_iter().collect(),
        }
    }

    /// One object as it is stored.
    pub fn json(&self, index: usize, thing: &Thing, now: Timestamp) -> Value {
        let key = thing.key(index);
        let (more, status) = words::of_object(thing.words, &now.to_string());
        let mut meta = json!({"name": key.name, "uid": format!("uid-{index}"), "finalizers": thing.finalizers});
        if let Some(namespace) = &key.namespace {
            meta["namespace"] = json!(namespace);
        }
        if let Some(age) = thing.deleted {
            meta["deletionTimestamp"] = json!((now - SignedDuration::from_secs(age)).to_string());
        }
        if thing.kind == PODS && thing.deleted.is_some() {
            meta["deletionGracePeriodSeconds"] = json!(30);
        }
        if thing.labelled {
            meta["labels"] = json!({"hold": "yes"});
        }
        for (field, value) in more.as_object().into_iter().flatten() {
            meta[field] = value.clone();
        }
        let spec = match thing.kind {
            PODS => json!({"containers": [], "nodeName": "n1", "volumes": [{"name": "d",
                "persistentVolumeClaim": {"claimName": self.claim()}}]}),
            _ => json!({"volumeName": "pv-1"}),
        };
        let status = if status.is_null() { json!({}) } else { status };
        json!({"metadata": meta, "spec": spec, "status": status})
    }

    /// The first claim for a volume, which pods use.
    fn claim(&self) -> String {
        let mut claims = self
            .things
            .iter()
            .filter(|(_, thing)| KINDS[thing.kind].2 == "persistentvolumeclaims");
        claims
            .next()
            .map_or_else(|| "none".to_owned(), |(index, _)| format!("o{index}"))
    }

    /// The namespace, if it is there.
    pub fn namespace(&self, now: Timestamp) -> Option<Value> {
        let space = self.space.as_ref()?;
        let mut namespace = json!({"metadata": {"name": SPACE, "uid": "ns", "labels": {"team": SPACE},
            "finalizers": space.finalizers}, "spec": {"finalizers": space.spec}, "status": {}});
        if let Some(age) = space.deleted {
            namespace["metadata"]["deletionTimestamp"] = json!((now - SignedDuration::from_secs(age)).to_string());
        }
        if let Some((kind, message)) = &space.condition {
            namespace["status"]["conditions"] = json!([{"type": kind, "status": "True", "message": message}]);
        }
        Some(namespace)
    }

    /// The definition of orders.
    pub fn definition(&self) -> Value {
        let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage});
        json!({"metadata": {"name": DEFINITION, "uid": "crd"}, "spec": {"versions": [version("v1", false),
            version("v1beta1", true)], "conversion": {"webhook": {"clientConfig": {"service": {"namespace": "ops",
            "name": "conv"}}}}}})
    }
}
