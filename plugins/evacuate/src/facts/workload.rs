//! Controllers that keep a number of pods, and who controls them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::{PodTemplateSpec, ReplicationController},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Owner, Pod, Uid};

/// How many controllers are followed upwards from a pod. Kubernetes itself has two levels; an operator adds one or two.
const LEVELS: usize = 8;

/// A controller of pods, or of such a controller.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// `StatefulSet`, without its group: all of them are Kubernetes' own.
    pub kind: &'static str,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `spec.replicas`; `None` where it keeps no number of pods, or is being deleted.
    pub replicas: Option<usize>,
    /// `spec.ordinals.start` of a StatefulSet.
    pub first_ordinal: usize,
    /// Labels of the pods that it creates.
    pub labels: BTreeMap<String, String>,
    /// Message of the condition `ReplicaFailure`: why it creates no more pods.
    pub failure: Option<String>,
    /// Its own controller.
    pub owner: Option<Owner>,
}

impl Workload {
    /// `StatefulSet db`.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// Names of the pods that a StatefulSet wants. Other controllers make names up.
    pub fn wanted_names(&self) -> impl Iterator<Item = String> {
        let count = match self.kind {
            "StatefulSet" => self.replicas.unwrap_or(0),
            _ => 0,
        };
        (0..count).map(|i| format!("{}-{}", self.name, self.first_ordinal.saturating_add(i)))
    }
}

/// Controllers of some namespaces. They are read only where a budget allows nothing now.
#[derive(Debug, Clone, Default)]
pub struct Workloads {
    /// By UID.
    by_uid: BTreeMap<Uid, Workload>,
    /// Kinds that were listed.
    listed: Vec<&'static str>,
    /// Resources that could not be listed, each with the server's reason.
    pub unread: Vec<(&'static str, String)>,
}

impl Workloads {
    /// Adds all controllers of one kind.
    pub fn add(&mut self, kind: &'static str, found: Vec<Workload>) {
        self.listed.push(kind);
        self.by_uid.extend(found.into_iter().map(|w| (w.uid.clone(), w)));
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Workload> {
        self.by_uid.values()
    }

    /// The controller that a reference names, by UID.
    pub fn get(&self, owner: &Owner) -> Option<&Workload> {
        self.by_uid.get(&owner.uid)
    }

    /// Whether the kind was listed and the controller was not among them.
    pub fn is_missing(&self, owner: &Owner) -> bool {
        self.listed.contains(&owner.kind.as_str()) && !self.by_uid.contains_key(&owner.uid)
    }

    /// The controller whose `spec.replicas` counts for a pod: the Deployment above its ReplicaSet, as in the disruption
    /// controller (`getPodDeployment`).
    pub fn counting(&self, owner: &Owner) -> Option<&Workload> {
        let workload = self.get(owner)?;
        let above = workload.owner.as_ref().and_then(|above| self.get(above));
        above
            .filter(|above| workload.kind == "ReplicaSet" && above.kind == "Deployment")
            .or(Some(workload))
            .filter(|counting| counting.replicas.is_some())
    }

    /// The reference itself and those above it, as far as they were read.
    pub fn chain<'a>(&'a self, owner: &'a Owner) -> impl Iterator<Item = &'a Owner> {
        std::iter::successors(Some(owner), |owner| self.get(owner)?.owner.as_ref()).take(LEVELS)
    }

    /// Whether the pod counts for this controller.
    pub fn counts_for(&self, pod: &Pod, workload: &Workload) -> bool {
        let counting = pod.owner.as_ref().and_then(|owner| self.counting(owner));
        counting.is_some_and(|counting| counting.uid == workload.uid)
    }
}

fn workload(
    kind: &'static str,
    meta: ObjectMeta,
    replicas: Option<i32>,
    template: Option<PodTemplateSpec>,
    failure: Option<String>,
) -> Workload {
    let deleting = meta.deletion_timestamp.is_some();
    let owners = meta.owner_references.into_iter().flatten();
    Workload {
        kind,
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        replicas: replicas.and_then(|n| usize::try_from(n).ok()).filter(|_| !deleting),
        first_ordinal: 0,
        labels: template.and_then(|t| t.metadata?.labels).unwrap_or_default(),
        failure,
        owner: owners.filter(|o| o.controller == Some(true)).map(Owner::from).next(),
    }
}

/// Message of a condition `ReplicaFailure=True`.
macro_rules! failure {
    ($status:expr) => {{
        let conditions = $status.into_iter().flat_map(|s| s.conditions).flatten();
        let mut failed = conditions.filter(|c| c.type_ == "ReplicaFailure" && c.status == "True");
        failed.next().and_then(|c| c.message)
    }};
}

// Where `spec.replicas` is left out, the server fills in 1.
impl From<Deployment> for Workload {
    fn from(object: Deployment) -> Self {
        let (replicas, template) = object.spec.map(|s| (s.replicas, s.template)).unzip();
        let failure = failure!(object.status);
        workload(
            "Deployment",
            object.metadata,
            replicas.flatten().or(Some(1)),
            template,
            failure,
        )
    }
}

impl From<ReplicaSet> for Workload {
    fn from(object: ReplicaSet) -> Self {
        let (replicas, template) = object.spec.map(|s| (s.replicas, s.template)).unzip();
        let failure = failure!(object.status);
        workload(
            "ReplicaSet",
            object.metadata,
            replicas.flatten().or(Some(1)),
            template.flatten(),
            failure,
        )
    }
}

impl From<ReplicationController> for Workload {
    fn from(object: ReplicationController) -> Self {
        let (replicas, template) = object.spec.map(|s| (s.replicas, s.template)).unzip();
        let failure = failure!(object.status);
        workload(
            "ReplicationController",
            object.metadata,
            replicas.flatten().or(Some(1)),
            template.flatten(),
            failure,
        )
    }
}

impl From<StatefulSet> for Workload {
    fn from(object: StatefulSet) -> Self {
        let spec = object.spec.unwrap_or_default();
        let start = spec.ordinals.and_then(|o| o.start);
        let set = workload(
            "StatefulSet",
            object.metadata,
            spec.replicas.or(Some(1)),
            Some(spec.template),
            None,
        );
        Self {
            first_ordinal: start.and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
            ..set
        }
    }
}

impl From<Job> for Workload {
    fn from(object: Job) -> Self {
        workload("Job", object.metadata, None, None, None)
    }
}
