//! Finalizers of which nothing is known: what tells who may look after them.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    custom::{KIND, define, version},
    kit::{Ran, command, finalize, kubectl, kubectl_in, run},
    scene::Scene,
};

/// Somebody may change the finalizers of orders, and is scaled to this.
fn operator(scene: &Scene, replicas: u8) -> String {
    let rbac = "rbac.authorization.k8s.io/v1";
    let name = scene.name.as_str();
    let group = format!("{name}.example.com");
    scene.cluster.create(
        json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [
        {"apiGroups": [group], "resources": ["orders", "orders/finalizers"], "verbs": ["update"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]}),
    );
    let operators = scene.cluster.namespace(&format!("{name}-operators"));
    scene.cluster.create(
        json!({"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": operators.name(), "name": "order-keeper"}]}),
    );
    let labels = json!({"app": "keeper"});
    operators.create(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "keeper"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"serviceAccountName": "order-keeper", "containers": [{"name": "c", "image": "i"}]}}}}),
    );
    operators.name().to_owned()
}

/// An order, put in by a field manager.
fn order(scene: &Scene, manager: &str) {
    let object = json!({"apiVersion": format!("{}.example.com/v1", scene.name), "kind": "Kindorders",
        "metadata": {"name": "o", "namespace": scene.name, "finalizers": ["example.com/cleanup"]}});
    let manager = format!("--field-manager={manager}");
    kubectl_in(scene.cluster, &["create", &manager, "-f", "-"], &object.to_string());
}

fn deleted(scene: &Scene) -> Ran {
    let kind = format!("orders.{}.example.com", scene.name);
    kubectl(
        scene.cluster,
        &["delete", &kind, "o", "-n", &scene.name, "--wait=false"],
    );
    finalize(scene.cluster, &[&kind, "o", "-n", &scene.name, "--dry-run"]).expect(0)
}

#[test]
fn unknown_finalizer_of_an_operator_that_is_scaled_to_0() {
    let scene = Scene::new("operated");
    let name = define(&scene, "orders", &[version("v1", true)]);
    let operators = operator(&scene, 0);
    order(&scene, "kubectl-create");
    scene.delete();
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("a person added it with kubectl-create")
        .says("its ServiceAccount may change orders/finalizers")
        .says(&format!("deployment {operators}/keeper is scaled to 0"))
        .says("scale deployment");
    let mending = command(scene.cluster, &["ns", "operated", "--force-up-to=strip"]);
    let mending = std::thread::spawn(move || run(mending));
    wait_for("the operator to be back", DEFAULT_TIMEOUT, || {
        let keeper = scene.cluster.get("apps/v1/Deployment", &operators, "keeper")?;
        (keeper["spec"]["replicas"] == 1).then_some(())
    });
    // The operator does what it is there for.
    let patch = [
        "patch",
        "orders.operated.example.com",
        "o",
        "-n",
        "operated",
        "--type=merge",
        "-p",
    ];
    kubectl(
        scene.cluster,
        &[&patch[..], &[r#"{"metadata": {"finalizers": null}}"#]].concat(),
    );
    let ran = mending.join().unwrap().expect(0);
    ran.says("repair:")
        .says("keeper stays scaled to 1")
        .says_nothing_of("strip:");
    scene.cluster.delete(KIND, "", &name);
}

/// A finalizer on an object of a kind that is built in, whose name speaks of a group.
#[test]
fn unknown_finalizer_with_a_group_in_its_name() {
    let scene = Scene::new("spoken");
    let name = define(&scene, "orders", &[version("v1", true)]);
    let operators = operator(&scene, 0);
    scene.config_map("a", &["finalizer.spoken.example.com/cleanup"]);
    scene.delete();
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("the name of the finalizer speaks of spoken.example.com")
        .says(&format!("deployment {operators}/keeper is scaled to 0"));
    let free = r#"{"metadata": {"finalizers": null}}"#;
    kubectl(
        scene.cluster,
        &["patch", "cm", "a", "-n", "spoken", "--type=merge", "-p", free],
    );
    scene.finalize(&[]).expect(0);
    scene.cluster.delete(KIND, "", &name);
}

/// Who writes the status of an object is at work.
#[test]
fn unknown_finalizer_of_one_who_writes_the_status() {
    let scene = Scene::new("written");
    let with_status: Value = {
        let mut version = version("v1", true);
        version["subresources"] = json!({"status": {}});
        version
    };
    let name = define(&scene, "orders", &[with_status]);
    order(&scene, "shop-setup");
    let patch = [
        "patch",
        "orders.written.example.com",
        "o",
        "-n",
        "written",
        "--subresource=status",
        "--type=merge",
    ];
    let says = ["-p", r#"{"status": {"seen": true}}"#, "--field-manager=order-robot"];
    kubectl(scene.cluster, &[&patch[..], &says[..]].concat());
    deleted(&scene)
        .says("hint: managedFields say that shop-setup added it")
        .says("order-robot wrote its status")
        .says("owner unknown: may be alive");
    let args = ["orders.written.example.com", "o", "-n", "written"];
    let kept = finalize(
        scene.cluster,
        &[&args[..], &["--force-up-to=strip", "--timeout=3s"]].concat(),
    );
    kept.expect(5);
    finalize(
        scene.cluster,
        &[&args[..], &["--force-up-to=strip", "--even-if-alive"]].concat(),
    )
    .expect(0);
    scene.cluster.delete(KIND, "", &name);
}

/// A Lease with the name of the field manager, which nobody renews any more; Helm has installed the definition.
#[test]
fn unknown_finalizer_with_a_lease_and_a_release() {
    let scene = Scene::new("leased");
    let name = define(&scene, "orders", &[version("v1", true)]);
    let helm = json!({"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "leased-shop"});
    scene
        .cluster
        .patch(KIND, "", &name, json!({"metadata": {"annotations": helm}}));
    order(&scene, "order-keeper");
    deleted(&scene)
        .says("no workload that may change orders.leased.example.com, and no Lease, is called order-keeper")
        .says("its kind was installed by the Helm release leased-shop/shop, and nothing runs in leased-shop");
    scene.create(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "order-keeper"},
        "spec": {"holderIdentity": "keeper-0", "leaseDurationSeconds": 15, "renewTime": "2024-01-01T00:00:00.000000Z"}}));
    let ran = finalize(
        scene.cluster,
        &["orders.leased.example.com", "o", "-n", "leased", "--dry-run"],
    )
    .expect(0);
    ran.says("owner unknown")
        .says("hint: the Lease leased/order-keeper was renewed")
        .says_nothing_of("dead");
    let args = ["orders.leased.example.com", "o", "-n", "leased", "--force-up-to=strip"];
    finalize(scene.cluster, &args).expect(0);
    scene.cluster.delete(KIND, "", &name);
}

/// A tenant names a finalizer after a controller that has no right in their namespace: it is not started for that.
#[test]
fn known_finalizer_of_a_controller_without_the_right() {
    let scene = Scene::new("named-after");
    let home = scene.cluster.namespace("cattle-system");
    let labels = json!({"app": "rancher"});
    home.create(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "rancher"}, "spec": {
        "replicas": 0, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"serviceAccountName": "rancher", "containers": [{"name": "c", "image": "i"}]}}}}),
    );
    scene.config_map("a", &["wrangler.cattle.io/x"]);
    scene.delete();
    let ran = scene.finalize(&["--force-up-to=repair"]).expect(4);
    ran.says("its ServiceAccount cattle-system/rancher may neither update nor patch configmaps")
        .says_nothing_of("scale deployment");
    let rancher = scene.cluster.get("apps/v1/Deployment", "cattle-system", "rancher");
    assert_eq!(rancher.unwrap()["spec"]["replicas"], 0);
    scene.mended(&["--force-up-to=strip"]);
}
