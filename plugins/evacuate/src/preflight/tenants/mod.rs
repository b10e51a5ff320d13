//! Who else has a say about the nodes: managers that own them, tools that are at work on them, kubelets that
//! report not to be Ready.

#[cfg(test)]
mod tests;

use serde_json::Value;
use upkeep::report::{Finding, ObjRef, Severity};

use crate::facts::{Facts, Node, Ready};

/// Where kured keeps its lock: on its own DaemonSet (`--lock-annotation`, default).
const KURED_LOCK: &str = "weave.works/kured-node-lock";

/// Nodes with the same finding, each with the detail that gave it away.
struct Group {
    id: &'static str,
    /// What stands before the details; `{}` becomes `1 node` or `3 nodes`.
    text: &'static str,
    hint: &'static str,
    /// What is particular about the node, where it belongs here.
    detail: fn(&Facts, &Node) -> Option<String>,
}

const GROUPS: [Group; 10] = [
    Group {
        id: "node-deleting",
        text: "{} already being deleted",
        hint: "somebody else has begun to remove it; finalizers on the node say who",
        detail: |_, node| node.deleting.then(String::new),
    },
    Group {
        id: "node-not-ready",
        text: "{} not Ready, with a kubelet that still reports",
        hint: "pods there can end in order, but may take longer",
        detail: |_, node| (node.ready == Ready::False).then(String::new),
    },
    Group {
        id: "autoscaler-removing",
        text: "{} being removed by the cluster autoscaler",
        hint: "it drains and deletes the node by itself",
        detail: |_, node| tainted(node, "ToBeDeletedByClusterAutoscaler"),
    },
    Group {
        id: "karpenter-removing",
        text: "{} being replaced by Karpenter",
        hint: "it drains and deletes the node by itself",
        detail: |_, node| tainted(node, "karpenter.sh/disrupted").or_else(|| tainted(node, "karpenter.sh/disruption")),
    },
    Group {
        id: "managed-by-cluster-api",
        text: "{} managed by Cluster API",
        hint: "it may remediate or replace the node meanwhile; to remove the node, delete its Machine",
        detail: |_, node| {
            // The second key is that of OpenShift's machine API, whose objects have the same kind.
            let keys = ["cluster.x-k8s.io/machine", "machine.openshift.io/machine"];
            let named = keys
                .iter()
                .find_map(|key| node.annotations.get(*key))
                .map(String::as_str);
            Some(format!("machine {}", named.or_else(|| owned(node, "Machine"))?))
        },
    },
    Group {
        id: "managed-by-karpenter",
        text: "{} managed by Karpenter",
        hint: "it may add or remove nodes meanwhile; to remove the node, delete its NodeClaim",
        detail: |_, node| {
            let pool = node
                .labels
                .get("karpenter.sh/nodepool")
                .map(|pool| format!("node pool {pool}"));
            pool.or_else(|| Some(format!("node claim {}", owned(node, "NodeClaim")?)))
        },
    },
    Group {
        id: "kured-lock",
        text: "{} locked by kured for a reboot",
        hint: "wait for the reboot, or it will uncordon the node behind this run",
        detail: |facts, node| {
            let sets = facts.daemon_sets.known()?;
            let holder = sets.iter().find(|set| {
                set.annotations
                    .get(KURED_LOCK)
                    .is_some_and(|lock| kured_holds(lock, &node.name, facts.now.as_second()))
            })?;
            Some(format!("daemonset {}/{}", holder.namespace, holder.name))
        },
    },
    Group {
        id: "kured-reboot",
        text: "{} about to be rebooted by kured",
        hint: "wait for the reboot, or it will uncordon the node behind this run",
        detail: |_, node| {
            node.annotations
                .contains_key("weave.works/kured-reboot-in-progress")
                .then(String::new)
        },
    },
    Group {
        id: "node-maintenance",
        text: "{} under maintenance by the node maintenance operator",
        hint: "it cordons and drains too; delete the NodeMaintenance to end its part",
        detail: |facts, node| Some(format!("nodemaintenance {}", of(&facts.maintenances, node)?)),
    },
    Group {
        id: "remediation-lease",
        text: "{} held by a remediation or maintenance lease",
        hint: "another operator is at work on it; wait until the lease is given back",
        detail: |facts, node| Some(format!("holder {}", of(&facts.leases, node)?)),
    },
];

/// Everything that is known about other hands on the nodes to be emptied.
pub fn other_owners(facts: &Facts) -> Vec<Finding> {
    GROUPS.iter().filter_map(|group| find(group, facts)).collect()
}

fn find(group: &Group, facts: &Facts) -> Option<Finding> {
    let nodes: Vec<(&Node, String)> = facts
        .targets
        .iter()
        .filter_map(|node| Some((node, (group.detail)(facts, node)?)))
        .collect();
    let count = match nodes.len() {
        0 => return None,
        1 => "1 node".to_owned(),
        n => format!("{n} nodes"),
    };
    let mut details: Vec<&str> = nodes
        .iter()
        .map(|(_, d)| d.as_str())
        .filter(|d| !d.is_empty())
        .collect();
    details.dedup();
    let tail = if details.is_empty() {
        String::new()
    } else {
        format!(" ({})", details.join(", "))
    };
    Some(Finding {
        id: group.id,
        severity: Severity::Warning,
        subjects: nodes
            .iter()
            .map(|(node, _)| ObjRef::cluster("node", &node.name, &node.uid))
            .collect(),
        evidence: format!("{}{tail}", group.text.replace("{}", &count)),
        hint: Some(group.hint.into()),
    })
}

fn tainted(node: &Node, key: &str) -> Option<String> {
    node.taints.iter().any(|t| t.key == key).then(|| format!("taint {key}"))
}

fn owned<'a>(node: &'a Node, kind: &str) -> Option<&'a str> {
    node.owners
        .iter()
        .find(|(k, _)| k == kind)
        .map(|(_, name)| name.as_str())
}

fn of<'a>(pairs: &'a [(String, String)], node: &Node) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(name, _)| *name == node.name)
        .map(|(_, by)| by.as_str())
}

/// One lock, or with `--concurrency` several under `locks`. A lock with a TTL (nanoseconds) ends by itself.
fn kured_holds(annotation: &str, node: &str, now: i64) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(annotation) else {
        return false;
    };
    let several = value
        .get("locks")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    std::iter::once(&value).chain(several).any(|lock| {
        let ttl = lock.get("TTL").and_then(Value::as_i64).unwrap_or(0) / 1_000_000_000;
        let created = lock.get("created").and_then(Value::as_str);
        let created = created.and_then(|at| at.parse::<k8s_openapi::jiff::Timestamp>().ok());
        let over = ttl > 0 && created.is_some_and(|at| now - at.as_second() >= ttl);
        lock.get("nodeID").and_then(Value::as_str) == Some(node) && !over
    })
}
