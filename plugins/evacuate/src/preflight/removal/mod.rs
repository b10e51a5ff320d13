//! `--delete`: what would be stranded when a node is removed from the cluster.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use upkeep::report::{Finding, ObjRef, Seen, Severity};

use super::capacity::selects;
use crate::facts::{Facts, Node, Pod, Ready, Volume};

/// Labels of control plane nodes; the second is that of kubeadm before 1.20.
const CONTROL_PLANE: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// Everything that forbids to remove the nodes, or that a person should know. `going` are the pods that are to go;
/// `off` are the nodes whose machines are off: nothing stays on them.
pub fn removal(facts: &Facts, going: &[&Pod], off: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(last_control_plane(facts));
    for node in &facts.targets {
        findings.extend(etcd_member(facts, node));
        findings.extend(attached(facts, node, going, off));
        findings.extend(local_volumes(facts, node));
        findings.extend(alive(node));
        findings.extend(finalizers(node));
    }
    findings
}

/// Whoever has put them there has to take them off; a deletion is not taken back.
fn finalizers(node: &Node) -> Option<Finding> {
    (!node.finalizers.is_empty()).then(|| Finding {
        id: "node-finalizers",
        severity: Severity::Warning,
        subjects: vec![ObjRef::cluster("node", &node.name, &node.uid)],
        evidence: format!(
            "node/{} goes only when its finalizers are taken off by those who have put them there: {}",
            node.name,
            node.finalizers.join(", ")
        ),
        hint: Some("its deletion cannot be taken back".into()),
    })
}

fn refusal(id: &'static str, subjects: Vec<ObjRef>, evidence: String, hint: &str) -> Finding {
    Finding {
        id,
        severity: Severity::Refusal,
        subjects,
        evidence,
        hint: Some(hint.into()),
    }
}

fn is_control_plane(node: &Node) -> bool {
    CONTROL_PLANE.iter().any(|label| node.labels.contains_key(*label))
}

fn last_control_plane(facts: &Facts) -> Option<Finding> {
    let ours = |node: &&Node| facts.targets.iter().any(|t| t.name == node.name);
    let going: Vec<&str> = facts
        .targets
        .iter()
        .filter(|n| is_control_plane(n))
        .map(|n| n.name.as_str())
        .collect();
    let stays = facts.nodes.known().into_iter().flatten();
    // One that does not answer is no control plane to rely on.
    let stays = stays.filter(|n| is_control_plane(n) && !ours(n) && n.ready == Ready::True && !n.deleting);
    (!going.is_empty() && stays.count() == 0).then(|| {
        refusal(
            "last-control-plane",
            Vec::new(),
            format!(
                "without {} no control plane node would be left that is Ready",
                going.join(", ")
            ),
            "add another control plane node first",
        )
    })
}

/// A static pod of etcd as kubeadm makes it.
fn etcd_member(facts: &Facts, node: &Node) -> Option<Finding> {
    let is = |pod: &&Pod, key: &str, value: &str| pod.labels.get(key).is_some_and(|v| v == value);
    let pod = facts
        .pods
        .iter()
        .find(|p| p.node == node.name && p.mirror && is(p, "component", "etcd") && is(p, "tier", "control-plane"))?;
    Some(refusal(
        "etcd-member",
        vec![pod.reference()],
        format!(
            "a member of etcd runs on node/{}, and would be counted for the quorum although it is gone",
            node.name
        ),
        "take the member out first: 'kubeadm reset' on the machine does it, or 'etcdctl member remove'; then its pod goes",
    ))
}

/// Volumes that no pod of the run gives free: nobody detaches them without the node.
fn attached(facts: &Facts, node: &Node, going: &[&Pod], off: &BTreeSet<&str>) -> Option<Finding> {
    let hint = "find out who uses them, or wait until they are detached";
    let attachments = match &facts.attachments {
        Seen::Known(attachments) => attachments,
        Seen::Unknown { verb, resource, .. } => {
            return Some(refusal(
                "volumes-attached",
                Vec::new(),
                format!(
                    "it cannot be told whether volumes are attached to node/{}: you may not {verb} {resource}",
                    node.name
                ),
                "ask for that right",
            ));
        }
    };
    if off.contains(node.name.as_str()) {
        return None;
    }
    let claims = facts.volumes.known().map(|v| &v.claims);
    let uses = |pod: &Pod| -> Vec<&str> {
        let names = pod
            .claims
            .iter()
            .filter_map(|c| claims?.get(&(pod.namespace.clone(), c.name.clone())));
        names.map(String::as_str).collect()
    };
    let freed: BTreeSet<&str> = going
        .iter()
        .filter(|p| p.node == node.name)
        .flat_map(|p| uses(p))
        .collect();
    let kept: BTreeSet<&str> = facts
        .pods
        .iter()
        .filter(|p| p.node == node.name && !going.iter().any(|g| g.uid == p.uid))
        .flat_map(uses)
        .collect();
    let stays = attachments.iter().filter(|a| a.node == node.name).filter_map(|a| {
        let volume = a.volume.as_deref();
        let goes = volume.is_some_and(|v| freed.contains(v) && !kept.contains(v));
        (!goes).then(|| volume.unwrap_or(&a.name))
    });
    let stays: Vec<&str> = stays.collect();
    (!stays.is_empty()).then(|| {
        refusal(
            "volumes-attached",
            Vec::new(),
            format!(
                "volumes stay attached to node/{}, whatever pods go: {}",
                node.name,
                stays.join(", ")
            ),
            hint,
        )
    })
}

/// Volumes whose data are on this node alone, as long as somebody claims them.
fn local_volumes(facts: &Facts, node: &Node) -> Option<Finding> {
    let volumes = match &facts.volumes {
        Seen::Known(volumes) => volumes,
        Seen::Unknown { verb, resource, .. } => {
            return Some(refusal(
                "local-volumes",
                Vec::new(),
                format!(
                    "it cannot be told whether data are on node/{} alone: you may not {verb} {resource}",
                    node.name
                ),
                "ask for that right",
            ));
        }
    };
    let going = |n: &&Node| facts.targets.iter().any(|t| t.name == n.name);
    let others = || facts.nodes.known().into_iter().flatten().filter(|n| !going(n));
    let claims = volumes.claims.iter().filter(|(_, name)| {
        volumes.volumes.get(*name).is_some_and(|volume| {
            let reached_from = |n: &Node| volume.node_affinity.as_ref().is_none_or(|s| selects(s, n));
            is_on_nodes(volume) && reached_from(node) && !others().any(reached_from)
        })
    });
    let claims: Vec<ObjRef> = claims
        .map(|((namespace, name), _)| ObjRef::namespaced("persistentvolumeclaim", namespace, name, ""))
        .collect();
    let theirs = if claims.len() == 1 {
        "this claim are"
    } else {
        "these claims are"
    };
    (!claims.is_empty()).then(|| {
        refusal(
            "local-volumes",
            claims,
            format!(
                "the data of {theirs} on node/{} alone, and would be lost to the cluster",
                node.name
            ),
            "move the data elsewhere and delete the claims first",
        )
    })
}

/// Whether a volume belongs to single nodes, and not to a zone or to the whole cluster.
fn is_on_nodes(volume: &Volume) -> bool {
    let terms = volume.node_affinity.iter().flat_map(|a| &a.node_selector_terms);
    let mut keys = terms.flat_map(|t| {
        t.match_expressions
            .iter()
            .flatten()
            .chain(t.match_fields.iter().flatten())
    });
    let place = |key: &str| key.ends_with("/zone") || key.ends_with("/region");
    keys.any(|e| !place(&e.key))
}

/// A kubelet does not notice that its node is gone.
fn alive(node: &Node) -> Option<Finding> {
    (node.ready != Ready::Unknown).then(|| Finding {
        id: "kubelet-running",
        severity: Severity::Warning,
        subjects: vec![ObjRef::cluster("node", &node.name, &node.uid)],
        evidence: format!(
            "the kubelet of node/{} is running: it goes on renewing its Lease, and when it is started again the node is back, \
             without its cordon",
            node.name
        ),
        hint: Some("stop it for good ('systemctl disable --now kubelet' on the machine) before or after".into()),
    })
}
