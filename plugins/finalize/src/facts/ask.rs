//! Questions to the cluster.

use serde::{Deserialize, Serialize};
use upkeep::discovery::Kind;

/// Which object, whatever version it is read in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Group of its kind; empty for the core group.
    pub group: String,
    /// `pods`.
    pub plural: String,
    /// Nothing for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl Key {
    /// An object of this kind.
    pub fn new(kind: &Kind, namespace: Option<&str>, name: &str) -> Self {
        Self {
            group: kind.group.clone(),
            plural: kind.plural.clone(),
            namespace: namespace.filter(|_| kind.namespaced).map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// A cluster-scoped object.
    pub fn cluster(group: &str, plural: &str, name: &str) -> Self {
        Self {
            group: group.into(),
            plural: plural.into(),
            namespace: None,
            name: name.into(),
        }
    }

    /// A namespaced object.
    pub fn within(group: &str, plural: &str, namespace: &str, name: &str) -> Self {
        Self {
            namespace: Some(namespace.into()),
            ..Self::cluster(group, plural, name)
        }
    }

    /// Without blanks, for what is written down: `deployments.apps/shop/web`, `namespaces/stuck`.
    pub fn id(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        let namespace = self.namespace.iter().map(|namespace| format!("{namespace}/"));
        let namespace: String = namespace.collect();
        format!("{}{dot}{}/{namespace}{}", self.plural, self.group, self.name)
    }

    /// The singular of its kind, by the rules of English.
    pub fn one(&self) -> String {
        singular(&self.plural)
    }
}

/// The groups of Kubernetes itself with a dot in their name. Others that end in `k8s.io` are served by definitions.
const BUILT_IN: [&str; 18] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Whether a group belongs to Kubernetes itself.
pub fn is_built_in(group: &str) -> bool {
    !group.contains('.') || BUILT_IN.contains(&group)
}

/// `pod`, `ingress`, `networkpolicy`.
pub fn singular(plural: &str) -> String {
    let stem = |suffix: &str| plural.strip_suffix(suffix);
    match (stem("ies"), stem("es"), stem("s")) {
        (Some(stem), ..) => format!("{stem}y"),
        (_, Some(stem), _) if stem.ends_with("ss") || stem.ends_with('x') || stem.ends_with("ch") => stem.to_owned(),
        (.., Some(stem)) if plural != "endpoints" => stem.to_owned(),
        _ => plural.to_owned(),
    }
}

/// As reports call it: `deployment.apps shop/web`, `namespace/stuck`.
impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        write!(f, "{}{dot}{}", self.one(), self.group)?;
        match &self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None => write!(f, "/{}", self.name),
        }
    }
}

/// Something that a user may or may not do, whatever the name of the object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Right {
    /// `patch`.
    pub verb: &'static str,
    /// Its group.
    pub group: String,
    /// `pods`.
    pub plural: String,
    /// `eviction`; empty for the object itself.
    pub subresource: &'static str,
    /// Nothing for cluster-scoped kinds.
    pub namespace: Option<String>,
}

impl std::fmt::Display for Right {
    /// As RBAC spells it: `patch configmaps in namespace shop`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        let Self {
            verb,
            group,
            plural,
            subresource,
            ..
        } = self;
        write!(f, "{verb} {plural}{dot}{group}{slash}{subresource}")?;
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => Ok(()),
        }
    }
}

/// One question. The diagnosis asks; what has been answered is in [`super::Facts`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ask {
    /// One object, raw.
    Get(Key),
    /// All objects of a kind, raw: in one namespace, or everywhere.
    List {
        /// Its group.
        group: String,
        /// `pods`.
        plural: String,
        /// Nothing for everywhere.
        namespace: Option<String>,
    },
    /// The metadata of all objects of a kind.
    Metadata {
        /// Its group.
        group: String,
        /// `pods`.
        plural: String,
        /// Nothing for the version that the server prefers.
        version: Option<String>,
        /// Nothing for everywhere.
        namespace: Option<String>,
    },
    /// Pods of a namespace; nothing for everywhere.
    Pods(Option<String>),
    /// Pods of all namespaces on a node.
    PodsOn(String),
    /// The Ready conditions of all nodes.
    Ready,
    /// Deployments, StatefulSets and DaemonSets everywhere.
    Workloads,
    /// Metadata of all Leases but those of kubelets, of which there is one for each node.
    Leases,
    /// All CustomResourceDefinitions, without their schemas.
    Definitions,
    /// Whether this user may do something.
    May(Right),
    /// Whether a ServiceAccount may do something.
    AccountMay {
        /// Its namespace.
        namespace: String,
        /// Its name.
        account: String,
        /// What.
        right: Right,
    },
    /// Events about an object, raw. Those of cluster-scoped objects are in the namespace `default`.
    Events {
        /// Where they are.
        namespace: String,
        /// The UID of the object.
        uid: String,
    },
    /// What the server would say to a deletion.
    DryDelete(Key),
    /// What the server would say to a patch that changes nothing that matters.
    DryTouch(Key),
    /// What the server would say to the patch that removes a finalizer, and what would come of it.
    DryStrip {
        /// From this object.
        key: Key,
        /// Its UID.
        uid: String,
        /// The finalizer.
        finalizer: String,
        /// Where it stands in the list.
        at: usize,
    },
}

impl Ask {
    /// All objects of a kind, raw.
    pub fn list(group: &str, plural: &str, namespace: Option<&str>) -> Self {
        Self::List {
            group: group.into(),
            plural: plural.into(),
            namespace: namespace.map(str::to_owned),
        }
    }

    /// The metadata of all objects of a kind.
    pub fn metadata(kind: &Kind, namespace: Option<&str>) -> Self {
        Self::Metadata {
            group: kind.group.clone(),
            plural: kind.plural.clone(),
            version: None,
            namespace: namespace.filter(|_| kind.namespaced).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singulars() {
        for (many, single) in [
            ("pods", "pod"),
            ("ingresses", "ingress"),
            ("storageclasses", "storageclass"),
            ("networkpolicies", "networkpolicy"),
            ("leases", "lease"),
            ("namespaces", "namespace"),
            ("mailboxes", "mailbox"),
            ("endpoints", "endpoints"),
            ("validatingadmissionpolicies", "validatingadmissionpolicy"),
        ] {
            assert_eq!(singular(many), single);
        }
        let web = Key::within("apps", "deployments", "shop", "web");
        assert_eq!(
            (web.id().as_str(), web.to_string().as_str()),
            ("deployments.apps/shop/web", "deployment.apps shop/web")
        );
    }
}
