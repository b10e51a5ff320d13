//! What is left behind when a node was removed: what nobody else removes, and signs that its kubelet still runs.

use std::time::{Duration, Instant};

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1 as core,
    storage::v1::{CSINode, VolumeAttachment},
};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, GroupVersionKind, ListParams},
};
use upkeep::{
    client::Connection,
    report::{Finding, ObjRef, Severity},
};

use crate::{
    facts::{Attachment, Meta},
    gather::Lists,
};

/// How long the garbage collector has for what belongs to the node.
const COLLECTED: Duration = Duration::from_secs(5);
/// The size of a page.
const CHUNK: u32 = 500;
/// Between two looks.
const LOOKS: Duration = Duration::from_millis(250);

/// What was found of one node.
#[derive(Debug, Default)]
struct Left {
    /// A Node object of this name exists again.
    back: bool,
    /// Its Lease: whether it belongs to a Node object, so that it goes with that.
    lease: Option<bool>,
    /// Its CSINode.
    csi_node: bool,
    /// VolumeAttachments.
    attachments: Vec<String>,
    /// Pods that are recorded on it, of DaemonSets and static ones.
    pods: Vec<ObjRef>,
    /// Objects of the network that are about it.
    network: Vec<ObjRef>,
}

impl Left {
    /// Whether the garbage collector may still be about to remove something.
    fn is_being_collected(&self) -> bool {
        !self.back && (self.lease == Some(true) || self.csi_node)
    }
}

/// Looks for what is left of nodes that were removed. What cannot be read is not reported.
pub async fn leftovers(connection: &Connection, nodes: &[String], patience: Duration) -> Vec<Finding> {
    let each = nodes
        .iter()
        .map(async |node| findings(node, &look_until_collected(connection, node, patience).await));
    futures::future::join_all(each).await.into_iter().flatten().collect()
}

async fn look_until_collected(connection: &Connection, node: &str, patience: Duration) -> Left {
    let until = Instant::now() + patience.min(COLLECTED);
    loop {
        let left = look(connection, node).await;
        if !left.is_being_collected() || Instant::now() >= until {
            return left;
        }
        tokio::time::sleep(LOOKS).await;
    }
}

async fn look(connection: &Connection, name: &str) -> Left {
    let client = || connection.client.clone();
    let nodes: Api<core::Node> = Api::all(client());
    let leases: Api<Lease> = Api::namespaced(client(), "kube-node-lease");
    let csi_nodes: Api<CSINode> = Api::all(client());
    let lists = Lists::new(connection, CHUNK);
    let here = ListParams::default().fields(&format!("spec.nodeName={name}"));
    let (node, lease, csi_node, attached, pods, cilium, calico) = futures::join!(
        nodes.get_opt(name),
        leases.get_opt(name),
        csi_nodes.get_opt(name),
        lists.all::<VolumeAttachment, Attachment>(ListParams::default()),
        lists.all_metadata::<core::Pod, Meta>(here),
        network(&lists, ("cilium.io", "v2", "CiliumNode", "ciliumnodes"), name),
        network(
            &lists,
            ("crd.projectcalico.org", "v1", "BlockAffinity", "blockaffinities"),
            name
        ),
    );
    let attached = attached.unwrap_or_default().into_iter();
    Left {
        back: matches!(node, Ok(Some(_))),
        lease: lease.ok().flatten().map(|l| !l.owner_references().is_empty()),
        csi_node: matches!(csi_node, Ok(Some(_))),
        attachments: attached.filter(|a| a.node == name).map(|a| a.name).collect(),
        pods: pods.unwrap_or_default().iter().map(pod).collect(),
        network: cilium.into_iter().chain(calico).collect(),
    }
}

fn pod(pod: &Meta) -> ObjRef {
    ObjRef::namespaced("pod", &pod.namespace, &pod.name, &pod.uid)
}

/// Objects of a network's kind that are named after a node or name it. Most clusters do not have the kind.
async fn network(lists: &Lists, kind: (&str, &str, &str, &str), node: &str) -> Vec<ObjRef> {
    let (group, version, kind, plural) = kind;
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    let found = lists.dynamic(&resource, None).await.unwrap_or_default();
    let about = found.into_iter().filter(|object| {
        let named = object.data.pointer("/spec/node").and_then(|n| n.as_str());
        object.name_any() == node || named == Some(node)
    });
    let kind = kind.to_lowercase();
    about
        .map(|object| {
            ObjRef::cluster(
                &format!("{kind}.{group}"),
                &object.name_any(),
                &object.uid().unwrap_or_default(),
            )
        })
        .collect()
}

fn findings(node: &str, left: &Left) -> Vec<Finding> {
    let finding = |id, subjects, evidence: String, hint: &str| Finding {
        id,
        severity: Severity::Warning,
        subjects,
        evidence,
        hint: Some(hint.into()),
    };
    let mut found = Vec::new();
    if left.back {
        found.push(finding(
            "node-back",
            Vec::new(),
            format!("node/{node} is back: its kubelet has registered it again, without a cordon"),
            "stop the kubelet on the machine, then remove the node once more",
        ));
        return found;
    }
    match left.lease {
        Some(false) => found.push(finding(
            "lease-left",
            Vec::new(),
            format!(
                "the kubelet of node/{node} still runs: it has made its Lease anew, and nobody removes that \
                 (lease kube-node-lease/{node})"
            ),
            &format!(
                "stop the kubelet on the machine, then 'kubectl delete lease -n kube-node-lease {node}'; when it is started again \
                 the node is back"
            ),
        )),
        Some(true) => found.push(collector(format!("lease kube-node-lease/{node}"))),
        None => {}
    }
    if left.csi_node {
        found.push(collector(format!("csinode {node}")));
    }
    if !left.attachments.is_empty() {
        found.push(finding(
            "attachments-left",
            Vec::new(),
            format!(
                "volumes are attached to node/{node}, which is gone: volumeattachments {}",
                left.attachments.join(", ")
            ),
            "their driver may need help to detach them",
        ));
    }
    if !left.pods.is_empty() {
        found.push(finding(
            "pods-left",
            left.pods.clone(),
            format!(
                "{} still recorded on node/{node}, and run on the machine as long as its kubelet does",
                if left.pods.len() == 1 {
                    "1 pod is".to_owned()
                } else {
                    format!("{} pods are", left.pods.len())
                }
            ),
            "stop the kubelet on the machine; the pod garbage collector removes the objects within a minute",
        ));
    }
    if !left.network.is_empty() {
        found.push(Finding {
            hint: Some("its controllers usually remove them within minutes".into()),
            severity: Severity::Info,
            ..finding(
                "network-left",
                left.network.clone(),
                format!("the network still knows node/{node}"),
                "",
            )
        });
    }
    found
}

fn collector(what: String) -> Finding {
    Finding {
        id: "not-collected",
        severity: Severity::Warning,
        subjects: Vec::new(),
        evidence: format!("the garbage collector has not removed {what} yet"),
        hint: Some("look at kube-controller-manager if that lasts".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b24_what_is_left_is_named() {
        let ids = |left: &Left| findings("n", left).iter().map(|f| f.id).collect::<Vec<_>>();
        assert_eq!(ids(&Left::default()), [""; 0]);
        let kubelet = Left {
            lease: Some(false),
            ..Left::default()
        };
        assert!(!kubelet.is_being_collected());
        assert_eq!(ids(&kubelet), ["lease-left"]);
        let slow = Left {
            lease: Some(true),
            csi_node: true,
            attachments: vec!["csi-1".into()],
            pods: vec![ObjRef::namespaced("pod", "kube-system", "proxy-1", "u1")],
            network: vec![ObjRef::cluster("ciliumnode.cilium.io", "n", "u")],
            ..Left::default()
        };
        assert!(slow.is_being_collected());
        assert_eq!(
            ids(&slow),
            [
                "not-collected",
                "not-collected",
                "attachments-left",
                "pods-left",
                "network-left"
            ]
        );
        let back = Left { back: true, ..slow };
        assert!(!back.is_being_collected());
        assert_eq!(ids(&back), ["node-back"]);
    }
}
