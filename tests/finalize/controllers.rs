//! Finalizers whose controller is not there, and controllers that do not run.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{finalize, kubectl},
    scene::{Scene, alone},
};

/// What would be left outside of the cluster is named before and after.
#[test]
fn s10_a_load_balancer_without_a_cloud() {
    let scene = Scene::new("s10");
    scene.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb",
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}));
    let status = json!({"status": {"loadBalancer": {"ingress": [{"hostname": "a1b2c3.elb.example.com"}]}}});
    scene.cluster.patch_status("v1/Service", "s10", "lb", status);
    scene.delete();
    scene
        .finalize(&["--dry-run"])
        .expect(0)
        .says("service s10/lb waits for")
        .says("cloud-controller-manager")
        .says("a1b2c3.elb.example.com");
    scene
        .mended(&["--force-up-to=strip"])
        .says("this is left outside of the cluster, where nobody removes it: load balancer a1b2c3.elb.example.com");
}

#[test]
fn s11_an_attachment_whose_driver_is_gone() {
    let scene = Scene::new("s11");
    let cluster = scene.cluster;
    let finalizers = json!(["external-attacher/ebs-csi-aws-com"]);
    cluster.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "s11", "finalizers": finalizers},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "none",
            "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-0123456789"}}}),
    );
    cluster.create(
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "s11",
        "finalizers": finalizers}, "spec": {"attacher": "ebs.csi.aws.com", "nodeName": "live-0",
            "source": {"persistentVolumeName": "s11"}}}),
    );
    kubectl(cluster, &["delete", "volumeattachment", "s11", "--wait=false"]);
    kubectl(cluster, &["delete", "pv", "s11", "--wait=false"]);
    finalize(cluster, &["volumeattachment/s11", "--dry-run"])
        .expect(0)
        .says("s11 waits for");
    finalize(cluster, &["volumeattachment/s11", "--force-up-to=strip"]).expect(0);
    finalize(cluster, &["pv/s11", "--dry-run"])
        .expect(0)
        .says("external-attacher/ebs-csi-aws-com");
    finalize(cluster, &["pv/s11", "--force-up-to=strip"]).expect(0);
    assert!(cluster.get("v1/PersistentVolume", "", "s11").is_none());
}

/// Who works on the deletion does not run; nothing is forced for that.
#[test]
fn s17_nobody_works_on_the_deletion() {
    let cluster = alone();
    let ns = cluster.namespace("s17");
    ns.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    wait_for("the Lease", DEFAULT_TIMEOUT, || {
        cluster.get("coordination.k8s.io/v1/Lease", "kube-system", "kube-controller-manager")
    });
    cluster.controller_manager().kill();
    kubectl(&cluster, &["delete", "namespace", "s17", "--wait=false"]);
    let ran = wait_for("the Lease to run out", DEFAULT_TIMEOUT * 3, || {
        let ran = finalize(&cluster, &["ns", "s17", "--dry-run"]).expect(0);
        ran.text()
            .contains("kube-controller-manager does not run")
            .then_some(ran)
    });
    ran.says("the Lease kube-system/kube-controller-manager was renewed");
    finalize(&cluster, &["ns", "s17", "--force-up-to=finalize"]).expect(4);
    assert!(cluster.get("v1/ConfigMap", "s17", "a").is_some());
    cluster.controller_manager().restart();
    wait_for("the Lease", DEFAULT_TIMEOUT, || {
        let ran = finalize(&cluster, &["ns", "s17", "--dry-run"]).expect(0);
        (!ran.text().contains("does not run")).then_some(())
    });
    finalize(&cluster, &["ns", "s17"]).expect(0).says_nothing_of("strip:");
    assert!(cluster.get("v1/Namespace", "", "s17").is_none());
}

#[test]
fn s21_a_node_whose_autoscaler_is_gone() {
    let scene = Scene::new("s21");
    let cluster = scene.cluster;
    cluster.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "s21", "finalizers": ["karpenter.sh/termination"]},
        "spec": {"providerID": "aws:///eu-central-1a/i-0123456789"}}));
    kubectl(cluster, &["delete", "node", "s21", "--wait=false"]);
    let ran = finalize(cluster, &["node/s21", "--dry-run"]).expect(0);
    ran.says("node/s21 waits for").says("arpenter").says("i-0123456789");
    finalize(cluster, &["node/s21"]).expect(4);
    finalize(cluster, &["node", "s21", "--force-up-to=strip"]).expect(0);
    assert!(cluster.get("v1/Node", "", "s21").is_none());
}

/// A foreground deletion of the namespace waits for something outside of it.
#[test]
fn s35_a_dependent_outside_of_the_namespace() {
    let scene = Scene::new("s35");
    let cluster = scene.cluster;
    let namespace = cluster.get("v1/Namespace", "", "s35").unwrap();
    cluster.create(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "s35",
        "finalizers": ["example.com/cleanup"], "ownerReferences": [{"apiVersion": "v1", "kind": "Namespace", "name": "s35",
            "uid": namespace["metadata"]["uid"], "blockOwnerDeletion": true}]}, "provisioner": "example.com/none"}));
    let foreground = ["delete", "namespace", "s35", "--cascade=foreground", "--wait=false"];
    kubectl(cluster, &foreground);
    wait_for("the dependent to be deleted", DEFAULT_TIMEOUT, || {
        let class = cluster.get("storage.k8s.io/v1/StorageClass", "", "s35")?;
        class["metadata"]["deletionTimestamp"].is_string().then_some(())
    });
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("s35 waits for").says("is deleted in the foreground");
    scene.mended(&["--force-up-to=strip"]);
    assert!(cluster.get("storage.k8s.io/v1/StorageClass", "", "s35").is_none());
}
