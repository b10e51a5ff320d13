//! Objects that are no namespaces.

use std::time::Duration;

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{finalize, kubectl},
    scene::Scene,
};

#[test]
fn an_object_that_nobody_deletes_is_left_alone() {
    let scene = Scene::new("living");
    scene.config_map("a", &["example.com/cleanup"]);
    let ran = finalize(scene.cluster, &["cm/a", "-n", &scene.name, "--force-up-to=strip"]).expect(3);
    ran.says("is not being deleted");
}

#[test]
fn s09_a_volume_that_a_pod_uses() {
    let scene = Scene::new("s09");
    let cluster = scene.cluster;
    cluster.create(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "s09"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, "storageClassName": "none",
        "claimRef": {"namespace": "s09", "name": "data"}}}));
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "volumeName": "s09", "storageClassName": "none", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {"nodeName": "live-0",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}),
    );
    wait_for("the claim to be bound", DEFAULT_TIMEOUT, || {
        let claim = cluster.get("v1/PersistentVolumeClaim", "s09", "data")?;
        let volume = cluster.get("v1/PersistentVolume", "", "s09")?;
        (claim["status"]["phase"] == "Bound" && volume["status"]["phase"] == "Bound").then_some(())
    });
    kubectl(cluster, &["delete", "pvc", "data", "-n", "s09", "--wait=false"]);
    kubectl(cluster, &["delete", "pv", "s09", "--wait=false"]);
    let ran = finalize(cluster, &["pv", "s09", "--dry-run"]).expect(0);
    ran.says("pod s09/user uses")
        .says("behind it: persistentvolume/s09 is kept while persistentvolumeclaim s09/data is bound to it");
    finalize(cluster, &["pvc/data", "-n", "s09"])
        .expect(4)
        .says("evict pod s09/user");
    finalize(cluster, &["pv/s09", "--force-up-to=evict-user"]).expect(0);
    assert!(cluster.get("v1/PersistentVolumeClaim", "s09", "data").is_none());
}

/// What refers to it is named; when that is gone it goes by itself.
#[test]
fn s23_a_range_of_addresses_that_a_service_uses() {
    let scene = Scene::new("s23");
    let cluster = scene.cluster;
    cluster.create(
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "s23"},
        "spec": {"cidrs": ["10.97.250.0/24"]}}),
    );
    wait_for("the range", DEFAULT_TIMEOUT, || {
        let range = cluster.get("networking.k8s.io/v1/ServiceCIDR", "", "s23")?;
        range["metadata"]["finalizers"].is_array().then_some(())
    });
    scene.create(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec":
        {"clusterIP": "10.97.250.7", "ports": [{"port": 80}]}}),
    );
    kubectl(cluster, &["delete", "servicecidr", "s23", "--wait=false"]);
    wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = finalize(cluster, &["servicecidr/s23", "--dry-run"]).expect(0);
        ran.text()
            .contains("is kept while it is used by service s23/web")
            .then_some(())
    });
    finalize(cluster, &["servicecidr/s23", "--force-up-to=finalize"])
        .expect(4)
        .says("delete these Services");
    kubectl(cluster, &["delete", "service", "web", "-n", "s23"]);
    finalize(cluster, &["servicecidr/s23"]).expect(0);
}

#[test]
fn s23_attributes_of_a_volume_that_a_claim_has() {
    let scene = Scene::new("s23-class");
    let cluster = scene.cluster;
    cluster.create(
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "s23"},
        "driverName": "example.com", "parameters": {"iops": "1"}}),
    );
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "storageClassName": "none", "volumeAttributesClassName": "s23", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    wait_for("the class to be protected", DEFAULT_TIMEOUT, || {
        let class = cluster.get("storage.k8s.io/v1/VolumeAttributesClass", "", "s23")?;
        class["metadata"]["finalizers"].is_array().then_some(())
    });
    kubectl(cluster, &["delete", "volumeattributesclass", "s23", "--wait=false"]);
    let ran = finalize(cluster, &["volumeattributesclass/s23", "--dry-run"]).expect(0);
    ran.says("is kept while it is used by persistentvolumeclaim s23-class/data");
    kubectl(cluster, &["delete", "pvc", "data", "-n", "s23-class"]);
    finalize(cluster, &["volumeattributesclass/s23"]).expect(0);
}

#[test]
fn s23_a_device_that_is_reserved_for_a_pod() {
    let scene = Scene::new("s23-device");
    let cluster = scene.cluster;
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {"nodeName": "live-0",
        "containers": [{"name": "c", "image": "i"}]}}),
    );
    let pod = cluster.get("v1/Pod", "s23-device", "user").unwrap();
    scene.create(
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "device",
        "finalizers": ["resource.kubernetes.io/delete-protection"]}, "spec": {"devices": {"requests": [
            {"name": "r", "exactly": {"deviceClassName": "c"}}]}}}),
    );
    let reserved = json!({"status": {"allocation": {"devices": {}}, "reservedFor": [
        {"resource": "pods", "name": "user", "uid": pod["metadata"]["uid"]}]}});
    cluster.patch_status("resource.k8s.io/v1/ResourceClaim", "s23-device", "device", reserved);
    kubectl(
        cluster,
        &["delete", "resourceclaim", "device", "-n", "s23-device", "--wait=false"],
    );
    let ran = finalize(cluster, &["resourceclaim/device", "-n", "s23-device", "--dry-run"]).expect(0);
    ran.says("is kept while it is used by pod s23-device/user")
        .says("evict pod s23-device/user");
}

/// Who may write an object can add as many finalizers as the server takes: the run is quick all the same, and says how many.
#[test]
fn an_object_with_a_thousand_finalizers() {
    let scene = Scene::new("thousand");
    let names: Vec<String> = (0..1000).map(|i| format!("f{i}.example.com/x")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    scene.config_map("held", &names);
    scene.delete();
    let ran = wait_for("the deletion of its content", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text().contains("configmap thousand/held waits").then_some(ran)
    });
    ran.says("980 more of configmap thousand/held")
        .says("20 causes hold it");
    assert!(ran.took < Duration::from_secs(3), "{:?}", ran.took);
    let ran = scene.finalize(&["--force-up-to=strip", "--timeout=3s"]).expect(5);
    assert!(ran.took < Duration::from_secs(8), "{:?}", ran.took);
    kubectl(
        scene.cluster,
        &[
            "patch",
            "cm",
            "held",
            "-n",
            &scene.name,
            "--type=merge",
            "-p",
            r#"{"metadata":{"finalizers":null}}"#,
        ],
    );
    scene.mended(&[]);
}
