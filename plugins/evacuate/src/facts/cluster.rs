//! Everything that was read before the first decision.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{core::v1 as api, storage::v1::VolumeAttachment},
    jiff::Timestamp,
};
use upkeep::{
    client::Lost,
    report::{ObjRef, Seen},
};

use super::{Budget, Jobs, Node, Pod, Scaling, Uid, Workloads};

/// An object of which only the metadata was read.
#[derive(Debug, Clone)]
pub struct Meta {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.annotations`, without the large ones.
    pub annotations: BTreeMap<String, String>,
}

/// An admission webhook that hears evictions.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The configuration that it stands in.
    pub configuration: ObjRef,
    /// Its name within the configuration.
    pub name: String,
    /// It may change the request, for example into a dry run.
    pub mutating: bool,
    /// When it does not answer, the eviction is refused.
    pub fails_closed: bool,
    /// Namespace and name of the service that it is behind; `None` for a URL.
    pub service: Option<(String, String)>,
    /// Nodes on which ready endpoints of that service run.
    pub backends: Seen<Vec<String>>,
}

/// A PersistentVolume.
#[derive(Debug, Clone)]
pub struct Volume {
    /// `metadata.name`.
    pub name: String,
    /// `spec.nodeAffinity.required`.
    pub node_affinity: Option<api::NodeSelector>,
    /// `metadata.labels`: older volumes carry their zone there.
    pub labels: BTreeMap<String, String>,
    /// A local or hostPath volume: its data stay on the node.
    pub local: bool,
    /// The CSI driver that it is from.
    pub driver: Option<String>,
}

/// Claims and volumes.
#[derive(Debug, Clone, Default)]
pub struct Volumes {
    /// Name of the bound volume (empty while unbound), by namespace and name of the claim.
    pub claims: BTreeMap<(String, String), String>,
    /// Volumes by name.
    pub volumes: BTreeMap<String, Volume>,
}

/// A VolumeAttachment: which volume is (or is being) attached where.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// `metadata.name`.
    pub name: String,
    /// `spec.nodeName`.
    pub node: String,
    /// `spec.source.persistentVolumeName`.
    pub volume: Option<String>,
}

impl From<VolumeAttachment> for Attachment {
    fn from(object: VolumeAttachment) -> Self {
        Self {
            name: object.metadata.name.unwrap_or_default(),
            node: object.spec.node_name,
            volume: object.spec.source.persistent_volume_name,
        }
    }
}

/// What is known about nodes whose kubelets are silent; read only where one of them is to be emptied.
#[derive(Debug, Clone)]
pub struct Silence {
    /// When the kubelet of each was last heard of: the renewal of its Lease, nothing where it has none.
    pub leases: BTreeMap<String, Seen<Option<Timestamp>>>,
    /// Whether the server's controllers know the taint `out-of-service` for certain (Kubernetes 1.28 and later).
    pub knows_taint: bool,
}

/// An object of which something could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partial {
    /// The object; in place of a name that could not be read, its place in the list.
    pub object: ObjRef,
    /// What is missing.
    pub lost: Lost,
    /// The parser's words.
    pub why: String,
}

/// Everything that was read, at the same time.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When.
    pub now: Timestamp,
    /// The nodes to be emptied, in the order in which they were named.
    pub targets: Vec<Node>,
    /// All nodes.
    pub nodes: Seen<Vec<Node>>,
    /// All pods; those of the nodes to be emptied alone where `elsewhere` is unknown.
    pub pods: Vec<Pod>,
    /// Whether the pods of the other nodes are among them.
    pub elsewhere: Seen<()>,
    /// With `--pod-selector`: UIDs of the pods on the targets that match.
    pub selected: Option<BTreeSet<Uid>>,
    /// Nodes to be emptied on which another run is at work.
    pub claimed: Vec<Claimed>,
    /// All budgets.
    pub budgets: Seen<Vec<Budget>>,
    /// All DaemonSets of apps/v1.
    pub daemon_sets: Seen<Vec<Meta>>,
    /// UIDs of controllers by kind, for the kinds that were listed (ReplicaSet, StatefulSet, Job,
    /// ReplicationController).
    pub controllers: BTreeMap<&'static str, Seen<BTreeSet<Uid>>>,
    /// Controllers of pods that budgets hold back now; none where no budget does.
    pub workloads: Workloads,
    /// Jobs in the namespaces of pods of Jobs on the nodes; read only where there are such pods.
    pub jobs: Seen<Jobs>,
    /// Admission webhooks that hear evictions.
    pub webhooks: Seen<Vec<Webhook>>,
    /// Claims and volumes; read only where a pod that goes has claims.
    pub volumes: Seen<Volumes>,
    /// Volumes that are attached to the nodes to be emptied; read only where it matters beforehand.
    pub attachments: Seen<Vec<Attachment>>,
    /// Of nodes whose kubelets are silent.
    pub silence: Option<Silence>,
    /// Names of nodes that a NodeMaintenance object names, with the name of that object.
    pub maintenances: Vec<(String, String)>,
    /// What a surge would change, where one was asked for.
    pub scaling: Option<Scaling>,
    /// Labels of namespaces by name; read only where a term of pod affinity looks at them.
    pub namespaces: Seen<BTreeMap<String, BTreeMap<String, String>>>,
    /// How many volumes a node takes, by its name and CSI driver; read only where a pod that goes has such volumes.
    pub volume_limits: Seen<BTreeMap<String, BTreeMap<String, i64>>>,
    /// Objects that were read only in part.
    pub partial: Vec<Partial>,
    /// Holder of a remediation Lease, by node.
    pub leases: Vec<(String, String)>,
}

/// A node that another run holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Name of the node.
    pub node: String,
    /// Name of the run.
    pub run: String,
    /// The words for it.
    pub text: String,
    /// It is an annotation of the node that says so, which the node itself can write.
    pub by_annotation: bool,
}

impl Facts {
    /// The budgets, where the pods that they count were read as well.
    pub fn counted_budgets(&self) -> Option<&[Budget]> {
        self.elsewhere.known()?;
        self.budgets.known().map(Vec::as_slice)
    }
}
