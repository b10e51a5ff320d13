//! Finalizers whose controller is alive.

use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, wait_for};

use crate::{
    custom::KIND,
    kit::{Ran, finalize, kubectl},
    scene::Scene,
};

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// A definition in a group of another project; returns when it is served.
fn define(cluster: &Cluster, group: &str, kind: &str, plural: &str, scope: &str) {
    let name = format!("{plural}.{group}");
    cluster.create(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name,
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {"group": group, "scope": scope, "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}));
    wait_for("the definition", DEFAULT_TIMEOUT, || {
        let conditions = cluster.get(KIND, "", &name)?["status"]["conditions"].clone();
        let established = |c: &Value| c["type"] == "Established" && c["status"] == "True";
        conditions.as_array()?.iter().any(established).then_some(())
    });
}

/// A controller with its pod Ready.
fn controller(cluster: &Cluster, namespace: &str, name: &str) {
    let labels = json!({"app": name});
    cluster.create(
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}),
    );
    cluster.create(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"serviceAccountName": name, "containers": [{"name": "c", "image": "i"}]}}}}),
    );
    wait_for("its pod", DEFAULT_TIMEOUT, || {
        let deployment = cluster.get("apps/v1/Deployment", namespace, name)?;
        (deployment["status"]["readyReplicas"] == 1).then_some(())
    });
}

/// Its account may change everything of these groups, everywhere.
fn allow(cluster: &Cluster, namespace: &str, name: &str, groups: &[&str]) {
    let role = format!("{namespace}-{name}");
    cluster.create(
        json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": role}, "rules": [
        {"apiGroups": groups, "resources": ["*"], "verbs": ["*"]}]}),
    );
    cluster.create(
        json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}]}),
    );
}

fn look(cluster: &Cluster, target: &[&str]) -> Ran {
    finalize(cluster, &[target, &["--dry-run"]].concat()).expect(0)
}

/// A cluster with pools in it: its own words, what is in the way, and force last, with what it loses.
#[test]
fn r28_a_ceph_cluster_with_dependents() {
    let scene = Scene::new("rook-ceph");
    let cluster = scene.cluster;
    define(cluster, "ceph.rook.io", "CephCluster", "cephclusters", "Namespaced");
    define(cluster, "ceph.rook.io", "CephBlockPool", "cephblockpools", "Namespaced");
    controller(cluster, "rook-ceph", "rook-ceph-operator");
    allow(cluster, "rook-ceph", "rook-ceph-operator", &["ceph.rook.io"]);
    scene.create(
        json!({"apiVersion": "ceph.rook.io/v1", "kind": "CephCluster", "metadata": {"name": "main",
        "finalizers": ["cephcluster.ceph.rook.io"]}}),
    );
    scene.create(json!({"apiVersion": "ceph.rook.io/v1", "kind": "CephBlockPool", "metadata": {"name": "pool"}}));
    let condition = json!({"type": "DeletionIsBlocked", "status": "True", "reason": "ObjectHasDependents",
        "message": "CephCluster rook-ceph/main will not be deleted until all dependents are removed: CephBlockPools: [pool] \u{1b}[2J"});
    cluster.patch_status(
        "ceph.rook.io/v1/CephCluster",
        "rook-ceph",
        "main",
        json!({"status": {"conditions": [condition]}}),
    );
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "main.1"}, "type": "Warning",
        "reason": "ReconcileFailed", "message": "failed to delete: pools are left", "source": {"component": "rook-ceph-cluster"},
        "involvedObject": {"kind": "CephCluster", "namespace": "rook-ceph", "name": "main",
            "uid": cluster.get("ceph.rook.io/v1/CephCluster", "rook-ceph", "main").unwrap()["metadata"]["uid"]},
        "lastTimestamp": "2026-01-01T00:00:00Z"});
    scene.create(event);
    kubectl(
        cluster,
        &["delete", "cephcluster", "main", "-n", "rook-ceph", "--wait=false"],
    );
    let target = ["cephclusters.ceph.rook.io", "main", "-n", "rook-ceph"];
    let ran = look(cluster, &target);
    ran.says("rook-ceph-operator: alive, but stalled")
        .says("its status says: DeletionIsBlocked is True (ObjectHasDependents): CephCluster rook-ceph/main will not be deleted")
        .says("CephBlockPools: [pool] ^[[2J")
        .says("an Event of rook-ceph-cluster says")
        .says("it is used by cephblockpool.ceph.rook.io rook-ceph/pool")
        .says("'kubectl delete cephblockpools.ceph.rook.io pool -n rook-ceph'")
        .says("by hand     delete what the condition DeletionIsBlocked names first")
        .says("hint: what is said above as 'by hand' comes first")
        .says("hint: the last resort is --force-up-to=strip --even-if-alive: pools and their data are left without an operator");
    let hints: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("hint: ")).collect();
    assert!(hints.last().unwrap().contains("--even-if-alive"), "{hints:?}");
    // Nothing is forced, and nobody waits for what does not come.
    finalize(cluster, &[&target[..], &["--force-up-to=finalize"]].concat()).expect(4);
    // The least force: what uses it is deleted, and the controller does the rest.
    kubectl(cluster, &["delete", "cephblockpool", "pool", "-n", "rook-ceph"]);
    let free = json!({"status": {"conditions": []}});
    cluster.patch_status("ceph.rook.io/v1/CephCluster", "rook-ceph", "main", free);
    look(cluster, &target)
        .says("rook-ceph-operator: alive (")
        .says_nothing_of("stalled");
    finalize(
        cluster,
        &[&target[..], &["--force-up-to=strip", "--even-if-alive"]].concat(),
    )
    .expect(0);
    for name in ["cephclusters.ceph.rook.io", "cephblockpools.ceph.rook.io"] {
        cluster.delete(KIND, "", name);
    }
}

/// Paused objects of Crossplane and Cluster API: by an annotation, and by the Cluster that they belong to.
#[test]
fn r28_paused_objects() {
    let scene = Scene::new("r28-paused");
    let cluster = scene.cluster;
    define(cluster, "r28.upbound.example.com", "Bucket", "buckets", "Namespaced");
    define(cluster, "cluster.x-k8s.io", "Cluster", "clusters", "Namespaced");
    define(
        cluster,
        "infrastructure.cluster.x-k8s.io",
        "R28Machine",
        "r28machines",
        "Namespaced",
    );
    let ops = cluster.namespace("r28-paused-ops");
    controller(cluster, ops.name(), "provider");
    let groups = ["r28.upbound.example.com", "infrastructure.cluster.x-k8s.io"];
    allow(cluster, ops.name(), "provider", &groups);
    scene.create(
        json!({"apiVersion": "r28.upbound.example.com/v1", "kind": "Bucket", "metadata": {"name": "b",
        "annotations": {"crossplane.io/paused": "true"}, "finalizers": ["example.com/cleanup"]}}),
    );
    scene.create(json!({"apiVersion": "cluster.x-k8s.io/v1", "kind": "Cluster", "metadata": {"name": "c"}, "spec": {"paused": true}}));
    scene.create(json!({"apiVersion": "infrastructure.cluster.x-k8s.io/v1", "kind": "R28Machine", "metadata": {"name": "m",
        "labels": {"cluster.x-k8s.io/cluster-name": "c"}, "finalizers": ["r28machine.infrastructure.cluster.x-k8s.io"]}}));
    let ns = ["-n", "r28-paused", "--wait=false"];
    kubectl(
        cluster,
        &[&["delete", "buckets.r28.upbound.example.com", "b"], &ns[..]].concat(),
    );
    kubectl(
        cluster,
        &[&["delete", "r28machines.infrastructure.cluster.x-k8s.io", "m"], &ns[..]].concat(),
    );
    let bucket = ["buckets.r28.upbound.example.com", "b", "-n", "r28-paused"];
    look(cluster, &bucket)
        .says("provider: alive, but stalled")
        .says("its annotation crossplane.io/paused pauses its controller")
        .says("resume it: kubectl annotate buckets.r28.upbound.example.com b -n r28-paused crossplane.io/paused-");
    finalize(cluster, &[&bucket[..], &["--force-up-to=finalize"]].concat()).expect(4);
    let machine = ["r28machines.infrastructure.cluster.x-k8s.io", "m", "-n", "r28-paused"];
    look(cluster, &machine)
        .says("stalled")
        .says("spec.paused of cluster.cluster.x-k8s.io r28-paused/c pauses its controllers")
        .says(r#"resume it: kubectl patch clusters.cluster.x-k8s.io c -n r28-paused --type=merge -p '{"spec":{"paused":false}}'"#)
        // The name of the finalizer is made from that of the kind.
        .says("look at its credentials; delete only the Cluster, never its parts");
    // What is printed works.
    let resume = [
        "annotate",
        "buckets.r28.upbound.example.com",
        "b",
        "-n",
        "r28-paused",
        "crossplane.io/paused-",
    ];
    kubectl(cluster, &resume);
    look(cluster, &bucket)
        .says("provider: alive (")
        .says_nothing_of("stalled");
    for target in [bucket, machine] {
        finalize(
            cluster,
            &[&target[..], &["--force-up-to=strip", "--even-if-alive"]].concat(),
        )
        .expect(0);
    }
    let clusters = [
        "clusters.cluster.x-k8s.io",
        "r28machines.infrastructure.cluster.x-k8s.io",
        "buckets.r28.upbound.example.com",
    ];
    clusters.iter().for_each(|name| cluster.delete(KIND, "", name));
}

/// A class that a Gateway uses, and a claim that a broken snapshot is of.
#[test]
fn r28_in_use() {
    let scene = Scene::new("r28-used");
    let cluster = scene.cluster;
    define(
        cluster,
        "gateway.networking.k8s.io",
        "GatewayClass",
        "gatewayclasses",
        "Cluster",
    );
    define(
        cluster,
        "gateway.networking.k8s.io",
        "Gateway",
        "gateways",
        "Namespaced",
    );
    define(
        cluster,
        "snapshot.storage.k8s.io",
        "VolumeSnapshot",
        "volumesnapshots",
        "Namespaced",
    );
    cluster.create(
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "r28",
        "finalizers": ["gateway-exists-finalizer.gateway.networking.k8s.io"]}}),
    );
    for (name, class) in [("public", "r28"), ("other", "another")] {
        scene.create(
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": name},
            "spec": {"gatewayClassName": class}}),
        );
    }
    kubectl(cluster, &["delete", "gatewayclass", "r28", "--wait=false"]);
    look(cluster, &["gatewayclass/r28"])
        .says("it is used by gateway.gateway.networking.k8s.io r28-used/public")
        .says("'kubectl delete gateways.gateway.networking.k8s.io public -n r28-used'")
        .says("delete the Gateways of this class, or give them another one")
        .says_nothing_of("r28-used/other");
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data",
        "finalizers": ["snapshot.storage.kubernetes.io/pvc-as-source-protection"]}, "spec": {"storageClassName": "none",
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    for (name, ready) in [("broken", false), ("good", true)] {
        scene.create(
            json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": name},
            "spec": {"source": {"persistentVolumeClaimName": "data"}}}),
        );
        let status = json!({"status": {"readyToUse": ready}});
        cluster.patch_status("snapshot.storage.k8s.io/v1/VolumeSnapshot", "r28-used", name, status);
    }
    kubectl(cluster, &["delete", "pvc", "data", "-n", "r28-used", "--wait=false"]);
    look(cluster, &["pvc/data", "-n", "r28-used"])
        .says("it is used by volumesnapshot.snapshot.storage.k8s.io r28-used/broken")
        .says("'kubectl delete volumesnapshots.snapshot.storage.k8s.io broken -n r28-used'")
        .says_nothing_of("r28-used/good");
    finalize(cluster, &["pvc/data", "-n", "r28-used", "--force-up-to=strip"]).expect(0);
    finalize(cluster, &["gatewayclass/r28", "--force-up-to=strip"]).expect(0);
    let names = [
        "gatewayclasses.gateway.networking.k8s.io",
        "gateways.gateway.networking.k8s.io",
        "volumesnapshots.snapshot.storage.k8s.io",
    ];
    names.iter().for_each(|name| cluster.delete(KIND, "", name));
}

/// A controller that is alive and has lost its right, and one that would have to create something in the dying namespace.
#[test]
fn r28_a_controller_that_may_not_any_more() {
    let scene = Scene::new("r28-rights");
    let cluster = scene.cluster;
    define(cluster, "r28-rights.example.com", "Order", "orders", "Namespaced");
    let ops = cluster.namespace("r28-rights-ops");
    controller(cluster, ops.name(), "r28-keeper");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.yaml");
    let own = "- finalizers: [r28.example.com/x]\n  remover: the keeper\n  workloads: [r28-keeper]\n  \
               namespaces: [r28-rights-ops]\n  protects: that it is kept\n  stripped: orders are lost\n  right: ask the keeper\n  \
               risk: data\n  source: https://example.com\n  checked: true\n";
    std::fs::write(&file, own).unwrap();
    let knowledge = format!("--knowledge={}", file.display());
    scene.create(
        json!({"apiVersion": "r28-rights.example.com/v1", "kind": "Order", "metadata": {"name": "o",
        "finalizers": ["r28.example.com/x"]}}),
    );
    let rules =
        json!([{"apiGroups": ["r28-rights.example.com"], "resources": ["orders"], "verbs": ["update", "patch"]}]);
    scene.create(json!({"apiVersion": RBAC, "kind": "Role", "metadata": {"name": "keeper"}, "rules": rules}));
    scene.create(
        json!({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "keeper"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "keeper"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "r28-rights-ops", "name": "r28-keeper"}]}),
    );
    let target = ["orders.r28-rights.example.com", "o", "-n", "r28-rights", &knowledge];
    kubectl(cluster, &["delete", target[0], "o", "-n", "r28-rights", "--wait=false"]);
    wait_for("the right", DEFAULT_TIMEOUT, || {
        look(cluster, &target)
            .text()
            .contains("the keeper: alive (")
            .then_some(())
    });
    look(cluster, &target)
        .says("by hand     ask the keeper")
        .says_nothing_of("may neither");
    // Where nothing else is being deleted, the right is granted no further than it was.
    kubectl(cluster, &["delete", "rolebinding", "keeper", "-n", "r28-rights"]);
    let ran = wait_for("the right to be lost", DEFAULT_TIMEOUT, || {
        let ran = look(cluster, &target);
        ran.text().contains("stalled").then_some(ran)
    });
    ran.says("'kubectl create role kubectl-finalize-r28-keeper-orders --verb=get,list,watch,update,patch")
        .says("take it back with 'kubectl delete rolebinding,role kubectl-finalize-r28-keeper-orders -n r28-rights'")
        .says_nothing_of("clusterrole");
    // The namespace controller deletes the binding before the object.
    scene.delete();
    let ran = look(cluster, &target);
    ran.says("its ServiceAccount r28-rights-ops/r28-keeper may neither update nor patch orders.r28-rights.example.com in namespace")
        .says("'kubectl create clusterrolebinding kubectl-finalize-r28-keeper-orders --clusterrole=kubectl-finalize-r28-keeper-orders --serviceaccount=r28-rights-ops:r28-keeper'");
    // A variant: it says that the server refuses what it wants to create.
    let condition = json!({"type": "Synced", "status": "False", "reason": "ReconcileError", "message":
        "secrets \"o\" is forbidden: unable to create new content in namespace r28-rights because it is being terminated"});
    cluster.patch_status(
        "r28-rights.example.com/v1/Order",
        "r28-rights",
        "o",
        json!({"status": {"conditions": [condition]}}),
    );
    look(cluster, &target)
        .says("its status says: Synced is False (ReconcileError): secrets \"o\" is forbidden")
        .says("it wants to create an object in a namespace that is being deleted")
        .says("the last resort is --force-up-to=strip --even-if-alive: orders are lost");
    scene.mended(&["--force-up-to=strip", "--even-if-alive", &knowledge]);
    cluster.delete(KIND, "", "orders.r28-rights.example.com");
}
