//! `--delete`: nodes that are empty leave the cluster, unless something would be stranded.

use serde_json::json;
use testsupport::{Cluster, DEFAULT_TIMEOUT, Live, Node, Shape, wait_for};

use crate::{
    kit::{command, evacuate},
    place::Place,
    scene,
    volumes::{Attachment, attaching, with_volume},
};

fn exists(cluster: &Cluster, node: &str) -> bool {
    cluster.get("v1/Node", "", node).is_some()
}

#[test]
fn b36_an_empty_node_is_removed() {
    let place = Place::new("b36");
    place.ns.replicaset("web", 2, &Shape::new().prefers(&place.node));
    scene::wait_all_on(&place.ns, &place.node, 2);
    let refused = place.evacuate(&["--delete"]).expect(3);
    refused.says_line("error: --delete needs a confirmation; nothing was changed");
    place.assert_untouched();
    let shown = place.evacuate(&["--delete", "--dry-run=client"]).expect(0);
    assert!(
        shown.stdout.ends_with("node \"b36-a\" deleted (dry run)\n"),
        "{}",
        shown.text()
    );
    assert!(exists(place.cluster(), &place.node));
    let ran = place.evacuate(&["--delete", "--yes"]).expect(0);
    assert!(
        ran.stdout.ends_with("node/b36-a drained\nnode \"b36-a\" deleted\n"),
        "{}",
        ran.text()
    );
    assert!(!exists(place.cluster(), &place.node));
    assert_eq!(place.ns.wait_pods_ready(2).len(), 2);
    let again = place.evacuate(&["--delete", "--yes"]).expect(1);
    again.says_line("Error from server (NotFound): nodes \"b36-a\" not found");
}

#[test]
fn b36_every_form_of_output_names_the_removed() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b36o");
    let [a, b] = ns.nodes(["a", "b"]);
    let ran = evacuate(cluster, &[&a, "--delete", "-y", "-o", "json"]).expect(0);
    assert_eq!(ran.json()["nodes"][0]["state"], "Removed");
    let ran = evacuate(cluster, &[&b, "--delete", "-y", "-o", "name"]).expect(0);
    assert_eq!(ran.stdout, "node/b36o-b\n");
}

/// A volume that is attached again while the node is emptied, or for somebody else, keeps the node.
#[test]
fn b22_a_node_with_attached_volumes_is_not_removed() {
    let ns = Cluster::shared().namespace("b22");
    let cluster = ns.cluster();
    let [a, _b] = attaching(&ns, ["a", "b"]);
    with_volume(&ns, &a);
    let attachment = Attachment::held(&ns, &a);
    // Without waiting for it, it is there at the end.
    let ran = evacuate(cluster, &[&a, "--delete", "--yes", "--wait-detach=false"]).expect(4);
    ran.says_line("error: node/b22-a is empty, and is still there: volumes are still attached to it: b22");
    assert!(exists(cluster, &a));
    // Now nobody uses it any more, and it is there before.
    let ran = evacuate(cluster, &[&a, "--delete", "--yes"]).expect(3);
    ran.says_line("cause: volumes stay attached to node/b22-a, whatever pods go: b22");
    attachment.let_go();
    attachment.wait_gone();
    evacuate(cluster, &[&a, "--delete", "--yes"]).expect(0);
    assert!(!exists(cluster, &a));
}

#[test]
fn b22_a_volume_is_waited_for_before_its_node_goes() {
    let ns = Cluster::shared().namespace("b22w");
    let [a, _b] = attaching(&ns, ["a", "b"]);
    with_volume(&ns, &a);
    let attachment = Attachment::held(&ns, &a);
    let mut live = Live::start(command(ns.cluster(), &[&a, "--delete", "--yes"]));
    live.wait_for(" evicted");
    wait_for("the volume to be given up", DEFAULT_TIMEOUT, || {
        attachment.get()?["metadata"]["deletionTimestamp"].as_str().map(drop)
    });
    assert!(exists(ns.cluster(), &a), "{}", live.said());
    attachment.let_go();
    let ran = live.finish().expect(0);
    assert!(!exists(ns.cluster(), &a), "{}", ran.text());
}

#[test]
fn b22_what_would_be_stranded_is_refused() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b22r");
    let plane = Node::new("b22r-a").label("node-role.kubernetes.io/control-plane", "");
    let a = ns.node(plane);
    let labels = json!({"component": "etcd", "tier": "control-plane"});
    ns.pod(
        "etcd",
        &Shape::new().on(&a).metadata(json!({"labels": labels,
        "annotations": {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.source": "file"}})),
    );
    cluster.create(json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "b22r"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "local": {"path": "/data"},
            "claimRef": {"namespace": "b22r", "name": "data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [a]}]}]}},
        },
    }));
    ns.create(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "b22r",
            "resources": {"requests": {"storage": "1Gi"}}},
    }));
    wait_for("the claim to be bound", DEFAULT_TIMEOUT, || {
        let claim = ns.get("v1/PersistentVolumeClaim", "data")?;
        (claim["status"]["phase"] == "Bound").then_some(())
    });
    let ran = evacuate(cluster, &[&a, "--delete", "--yes"]).expect(3);
    assert_run!(ran, @r#"
    --- stderr
    error: refused to evacuate b22r-a; nothing was changed
      cause: without b22r-a no control plane node would be left that is Ready
      cause: a member of etcd runs on node/b22r-a, and would be counted for the quorum although it is gone: b22r/etcd
      cause: the data of this claim are on node/b22r-a alone, and would be lost to the cluster: b22r/data
      hint: add another control plane node first
      hint: take the member out first: 'kubeadm reset' on the machine does it, or 'etcdctl member remove'; then its pod goes
      hint: move the data elsewhere and delete the claims first
    --- exit Some(3)
    "#);
    assert!(!scene::is_cordoned(cluster, &a));
}

/// The deletion is asked for, and waits for somebody else.
#[test]
fn b36_a_node_with_a_finalizer_is_not_called_removed() {
    let place = Place::new("b36f");
    let finalizers = |list: serde_json::Value| {
        let patch = json!({"metadata": {"finalizers": list}});
        place.cluster().patch("v1/Node", "", &place.node, patch);
    };
    finalizers(json!(["example.com/machine"]));
    let ran = place.evacuate(&["--delete", "--yes"]).expect(4);
    ran.says_line(
        "error: node/b36f-a is empty, and is still there: its deletion cannot be taken back, and waits for its finalizers: \
         example.com/machine",
    );
    let warned = "Warning: node/b36f-a goes only when its finalizers are taken off";
    assert!(ran.stderr.contains(warned), "{}", ran.text());
    assert!(!ran.text().contains("--uncordon"), "{}", ran.text());
    finalizers(json!(null));
}

/// The kubelet of a removed node goes on: it makes its Lease anew, which belongs to nobody then.
#[test]
fn b24_a_kubelet_that_lives_on_is_named() {
    let place = Place::new("b24");
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"namespace": "kube-node-lease", "name": place.node},
        "spec": {"holderIdentity": place.node},
    });
    // The simulated kubelet keeps none for a node that is gone.
    let cluster = place.cluster();
    cluster.delete("coordination.k8s.io/v1/Lease", "kube-node-lease", &place.node);
    cluster.patch(
        "v1/Node",
        "",
        &place.node,
        json!({"metadata": {"labels": {"testbed/kubelet-alive": null}}}),
    );
    wait_for("the Lease is its own", DEFAULT_TIMEOUT, || {
        cluster.delete("coordination.k8s.io/v1/Lease", "kube-node-lease", &place.node);
        cluster.try_create(lease.clone()).ok().map(drop)
    });
    let ran = place.evacuate(&["--delete", "--yes"]).expect(0);
    assert_run!(ran, @r#"
    node/b24-a cordoned
    node/b24-a drained
    node "b24-a" deleted
    --- stderr
    Warning: the kubelet of node/b24-a is running: it goes on renewing its Lease, and when it is started again the node is back, without its cordon
      hint: stop it for good ('systemctl disable --now kubelet' on the machine) before or after
    b24-a: drained and removed from the cluster in TIME; 0 pods gone
    Warning: the kubelet of node/b24-a still runs: it has made its Lease anew, and nobody removes that (lease kube-node-lease/b24-a)
      hint: stop the kubelet on the machine, then 'kubectl delete lease -n kube-node-lease b24-a'; when it is started again the node is back
    Note: saved in SAVED as it was: b24-a
      hint: 'kubectl apply -f SAVED' brings it back
    --- exit Some(0)
    "#);
}
