//! Volumes that are attached to nodes. Attachments are made and deleted by the real attach-detach controller; only the
//! driver, which keeps one by a finalizer until the volume is off, is played here.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Node, Ns, Shape, wait_for};

use crate::scene::text;

const KIND: &str = "storage.k8s.io/v1/VolumeAttachment";

/// Nodes whose volumes the controller attaches.
pub fn attaching<const N: usize>(ns: &Ns<'_>, suffixes: [&str; N]) -> [String; N] {
    suffixes.map(|suffix| {
        let node = Node::new(format!("{}-{suffix}", ns.name()));
        ns.node(node.annotation("volumes.kubernetes.io/controller-managed-attach-detach", "true"))
    })
}

/// A ReplicaSet of one pod with a CSI volume, on this node. Returns the pod's name.
pub fn with_volume(ns: &Ns<'_>, node: &str) -> String {
    let cluster = ns.cluster();
    let claim = json!({"namespace": ns.name(), "name": "data", "kind": "PersistentVolumeClaim", "apiVersion": "v1"});
    cluster.create(json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": ns.name()},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": claim,
            "csi": {"driver": "csi.example.com", "volumeHandle": ns.name()},
        },
    }));
    ns.create(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": ns.name(),
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }));
    let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data"}});
    ns.replicaset("db", 1, &Shape::new().prefers(node).volume(volume));
    text(&ns.wait_pods_ready(1)[0]["metadata"]["name"])
}

/// The attachment of the namespace's volume to one node.
pub struct Attachment<'a> {
    ns: &'a Ns<'a>,
    pub name: String,
}

impl<'a> Attachment<'a> {
    /// Waits for it; then the driver says that it is attached, and keeps it.
    pub fn held(ns: &'a Ns<'a>, node: &str) -> Self {
        let cluster = ns.cluster();
        let found = wait_for("the volume to be attached", DEFAULT_TIMEOUT, || {
            let all = cluster.list(KIND, "", "");
            all.into_iter()
                .find(|v| v["spec"]["source"]["persistentVolumeName"] == ns.name() && v["spec"]["nodeName"] == node)
        });
        let name = text(&found["metadata"]["name"]);
        let held = Self { ns, name };
        held.finalizers(json!(["external-attacher/csi-example-com"]));
        cluster.patch_status(KIND, "", &held.name, json!({"status": {"attached": true}}));
        held
    }

    fn finalizers(&self, list: Value) {
        let patch = json!({"metadata": {"finalizers": list}});
        self.ns.cluster().patch(KIND, "", &self.name, patch);
    }

    /// The object, while it is there.
    pub fn get(&self) -> Option<Value> {
        self.ns.cluster().get(KIND, "", &self.name)
    }

    /// The volume is off: the driver lets the attachment go.
    pub fn let_go(&self) {
        self.finalizers(json!(null));
    }

    /// Waits until it is gone.
    pub fn wait_gone(&self) {
        wait_for("the volume to be detached", DEFAULT_TIMEOUT, || {
            self.get().is_none().then_some(())
        });
    }
}
