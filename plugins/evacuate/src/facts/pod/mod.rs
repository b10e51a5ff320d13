//! A pod, as far as the rules look at it.

mod requests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1 as api,
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::{SignedDuration, Timestamp},
};
use upkeep::report::ObjRef;

use self::requests::{differ, host_ports, requests};
use super::{Resources, Uid};

/// Marks a static pod's image in the API; the kubelet owns it, the API cannot stop it.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The controller of a pod (the ownerReference with `controller: true`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// `apiVersion` of the reference, `apps/v1`.
    pub api_version: String,
    /// `kind` of the reference.
    pub kind: String,
    /// `name` of the reference.
    pub name: String,
    /// `uid` of the reference.
    pub uid: Uid,
}

impl From<OwnerReference> for Owner {
    fn from(reference: OwnerReference) -> Self {
        Self {
            api_version: reference.api_version,
            kind: reference.kind,
            name: reference.name,
            uid: reference.uid,
        }
    }
}

impl Owner {
    /// The API group of the reference; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether it is exactly a DaemonSet of apps/v1; DaemonSets of other groups are controllers like any other
    /// (kubectl's drain compares the same way).
    pub fn is_daemon_set(&self) -> bool {
        self.api_version == "apps/v1" && self.kind == "DaemonSet"
    }
}

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not all containers have been started.
    Pending,
    /// Running, or unknown to this build.
    Running,
    /// All containers ended well.
    Succeeded,
    /// At least one container failed and will not be restarted.
    Failed,
}

/// A volume that comes from a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Name of the PersistentVolumeClaim, generated for an ephemeral volume.
    pub name: String,
    /// It is the pod's own: another pod of the same template has another one.
    pub ephemeral: bool,
}

/// What a scheduler would look at to place the pod again.
#[derive(Debug, Clone, Default)]
pub struct Scheduling {
    /// What the pod asks a node for: the larger of its init phase and its steady state, plus overhead.
    pub requests: Resources,
    /// What it takes from its node now: while it is resized in place that may be more.
    pub held: Resources,
    /// It holds something else than it asks for.
    pub is_resizing: bool,
    /// It is resized as a whole (pod-level resources), of which the status is not known to this build.
    pub is_unclear: bool,
    /// `spec.nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// `spec.affinity`.
    pub affinity: Option<Box<api::Affinity>>,
    /// `spec.topologySpreadConstraints`.
    pub spread: Vec<api::TopologySpreadConstraint>,
    /// Host ports: protocol, host address, port.
    pub host_ports: Vec<(String, String, i32)>,
    /// `spec.schedulerName` where it is not the default scheduler.
    pub other_scheduler: Option<String>,
    /// Whether scheduling gates or dynamic resource claims keep us from knowing where it fits.
    pub opaque: Option<&'static str>,
}

impl Scheduling {
    /// Whether a required term of pod affinity or anti-affinity selects namespaces by their labels.
    pub fn looks_at_namespaces(&self) -> bool {
        let Some(affinity) = &self.affinity else { return false };
        let pro = affinity.pod_affinity.iter();
        let pro = pro.filter_map(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let anti = affinity.pod_anti_affinity.iter();
        let anti = anti.filter_map(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        pro.chain(anti).flatten().any(|term| term.namespace_selector.is_some())
    }
}

/// One pod.
#[derive(Debug, Clone)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `spec.nodeName`; empty while unscheduled.
    pub node: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`, without the large ones that no rule reads.
    pub annotations: BTreeMap<String, String>,
    /// The controller, where there is one.
    pub owner: Option<Owner>,
    /// `metadata.deletionTimestamp`: the time of the request plus the grace period.
    pub deletion: Option<Timestamp>,
    /// When it was asked to go: the grace period is no part of it.
    pub asked: Option<Timestamp>,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// `status.phase`.
    pub phase: Phase,
    /// The Ready condition.
    pub ready: bool,
    /// Seconds of `spec.terminationGracePeriodSeconds`.
    pub grace: i64,
    /// `spec.priority`.
    pub priority: i32,
    /// Whether it is the API image of a static pod.
    pub mirror: bool,
    /// Has any emptyDir, on disk or in memory.
    pub empty_dir: bool,
    /// Has a hostPath volume.
    pub host_path: bool,
    /// Volumes from claims.
    pub claims: Vec<Claim>,
    /// `spec.tolerations`.
    pub tolerations: Vec<api::Toleration>,
    /// What a scheduler needs to know.
    pub scheduling: Scheduling,
}

impl Pod {
    /// `namespace/name`, as kubectl prints pods.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The pod's reference, for findings.
    pub fn reference(&self) -> ObjRef {
        ObjRef::namespaced("pod", &self.namespace, &self.name, &self.uid)
    }

    /// Succeeded or Failed: nothing runs any more.
    pub fn finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Whether the server evicts it without asking any budget: nothing of it serves anybody
    /// (`canIgnorePDB` in the eviction registry).
    pub fn ignores_budgets(&self) -> bool {
        self.finished() || self.phase == Phase::Pending || self.deletion.is_some()
    }

    /// Whether the scheduler could put it back on a cordoned node.
    pub fn tolerates_cordon(&self) -> bool {
        self.tolerates(UNSCHEDULABLE_TAINT, "NoSchedule", "")
    }

    /// Whether it tolerates a taint.
    pub fn tolerates(&self, taint: &str, with: &str, of: &str) -> bool {
        self.tolerations.iter().any(|t| {
            let operator = t.operator.as_deref().unwrap_or("Equal");
            let effect = t.effect.as_deref().unwrap_or("");
            let key = t.key.as_deref().unwrap_or("");
            let value = t.value.as_deref().unwrap_or("");
            (effect.is_empty() || effect == with)
                && match operator {
                    "Exists" => key.is_empty() || key == taint,
                    _ => key == taint && value == of,
                }
        })
    }
}

/// The taint that stands for a cordon.
pub const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";

/// Annotations that hold whole objects; no rule reads them, and they are most of a pod's size.
const LARGE: [&str; 2] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubernetes.io/config.seen",
];

impl From<api::Pod> for Pod {
    fn from(pod: api::Pod) -> Self {
        let meta = pod.metadata;
        let mut spec = pod.spec.unwrap_or_default();
        // Every pod has a container and a status. Of one whose spec does not decode nothing is known, so it may have any volume.
        let is_unread = spec.containers.is_empty() && pod.status.is_none();
        let status = pod.status.unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.retain(|key, _| !LARGE.contains(&key.as_str()));
        let name = meta.name.unwrap_or_default();
        let volumes = spec.volumes.take().unwrap_or_default();
        let tolerations = spec.tolerations.take().unwrap_or_default();
        let has_inline_disk = volumes.iter().any(is_inline_disk);
        Self {
            namespace: meta.namespace.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            node: spec.node_name.take().unwrap_or_default(),
            labels: meta.labels.unwrap_or_default(),
            mirror: annotations.contains_key(MIRROR),
            annotations,
            owner: meta
                .owner_references
                .into_iter()
                .flatten()
                .find(|o| o.controller == Some(true))
                .map(Owner::from),
            // The grace period is the tenant's, and may be longer than the calendar.
            asked: meta.deletion_timestamp.as_ref().map(|t| {
                let grace = SignedDuration::from_secs(meta.deletion_grace_period_seconds.unwrap_or(0));
                t.0.checked_sub(grace).unwrap_or(Timestamp::MIN)
            }),
            created: meta.creation_timestamp.map(|t| t.0),
            deletion: meta.deletion_timestamp.map(|t| t.0),
            finalizers: meta.finalizers.unwrap_or_default(),
            phase: match status.phase.as_deref() {
                Some("Pending") => Phase::Pending,
                Some("Succeeded") => Phase::Succeeded,
                Some("Failed") => Phase::Failed,
                _ => Phase::Running,
            },
            ready: status
                .conditions
                .iter()
                .flatten()
                .any(|c| c.type_ == "Ready" && c.status == "True"),
            grace: spec.termination_grace_period_seconds.unwrap_or(30),
            priority: spec.priority.unwrap_or(0),
            empty_dir: is_unread || volumes.iter().any(|v| v.empty_dir.is_some()),
            host_path: volumes.iter().any(|v| v.host_path.is_some()),
            claims: volumes.iter().filter_map(|v| claim(&name, v)).collect(),
            tolerations,
            scheduling: scheduling(spec, &status, is_unread, has_inline_disk),
            name,
        }
    }
}

/// An ephemeral volume's claim is called pod-volume.
fn claim(pod: &str, volume: &api::Volume) -> Option<Claim> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(Claim {
            name: source.claim_name.clone(),
            ephemeral: false,
        });
    }
    volume.ephemeral.as_ref().map(|_| Claim {
        name: format!("{pod}-{}", volume.name),
        ephemeral: true,
    })
}

/// Disks that only one pod, or one node, may use, and that no claim stands for (`VolumeRestrictions`).
fn is_inline_disk(volume: &api::Volume) -> bool {
    volume.gce_persistent_disk.is_some()
        || volume.aws_elastic_block_store.is_some()
        || volume.rbd.is_some()
        || volume.iscsi.is_some()
}

fn scheduling(spec: api::PodSpec, status: &api::PodStatus, is_unread: bool, has_inline_disk: bool) -> Scheduling {
    let asked = requests(&spec, None);
    let held = requests(&spec, Some(status));
    let mut conditions = status.conditions.iter().flatten();
    let resized = conditions.any(|c| matches!(c.type_.as_str(), "PodResizePending" | "PodResizeInProgress"));
    Scheduling {
        is_resizing: resized || differ(&held, &asked),
        is_unclear: resized && spec.resources.as_ref().is_some_and(|r| r.requests.is_some()),
        requests: asked,
        held,
        host_ports: host_ports(&spec),
        opaque: if is_unread {
            Some("its spec cannot be read")
        } else if spec.resource_claims.is_some_and(|c| !c.is_empty()) {
            Some("it uses dynamic resource claims")
        } else if spec.scheduling_gates.is_some_and(|g| !g.is_empty()) {
            Some("it has scheduling gates")
        } else if has_inline_disk {
            Some("it mounts a disk without a claim")
        } else {
            None
        },
        node_selector: spec.node_selector.unwrap_or_default(),
        affinity: spec.affinity.map(Box::new),
        spread: spec.topology_spread_constraints.unwrap_or_default(),
        other_scheduler: spec.scheduler_name.filter(|s| s != "default-scheduler"),
    }
}
