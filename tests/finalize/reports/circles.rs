//! Objects that own each other.

use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, wait_for};

use crate::{
    custom::{KIND, define, version},
    kit::{finalize, kubectl},
    scene::{Scene, alone},
};

/// A ConfigMap of the default namespace of a test.
fn map(cluster: &Cluster, namespace: &str, name: &str) -> Value {
    cluster.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}))
}

/// The first is owned by the second, which waits for it when it is deleted in the foreground.
fn own(cluster: &Cluster, dependent: &Value, owner: &Value) {
    let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let version = |object: &Value| object["apiVersion"].as_str().unwrap().to_owned();
    let kind = format!("{}/{}", version(dependent), dependent["kind"].as_str().unwrap());
    let reference = json!({"apiVersion": version(owner), "kind": owner["kind"], "name": text(owner, "name"),
        "uid": text(owner, "uid"), "blockOwnerDeletion": true});
    let patch = json!({"metadata": {"ownerReferences": [reference]}});
    cluster.patch(&kind, &text(dependent, "namespace"), &text(dependent, "name"), patch);
}

/// Each is owned by the one before it, and the first by the last.
fn circle(cluster: &Cluster, members: &[Value]) {
    let before = members.iter().cycle().skip(members.len() - 1);
    members
        .iter()
        .zip(before)
        .for_each(|(member, owner)| own(cluster, member, owner));
}

fn delete_in_the_foreground(cluster: &Cluster, namespace: &str, kind: &str, names: &[&str]) {
    let args = ["delete", kind, "-n", namespace, "--cascade=foreground", "--wait=false"];
    kubectl(cluster, &[&args[..], names].concat());
}

fn held(cluster: &Cluster, namespace: &str, name: &str) -> bool {
    let object = cluster.get("v1/ConfigMap", namespace, name);
    object.is_some_and(|o| o["metadata"]["finalizers"] == json!(["foregroundDeletion"]))
}

#[test]
fn r21_an_object_that_owns_itself() {
    let scene = Scene::new("r21");
    let cluster = scene.cluster;
    circle(cluster, &[map(cluster, "r21", "self")]);
    delete_in_the_foreground(cluster, "r21", "cm", &["self"]);
    wait_for("the finalizer", DEFAULT_TIMEOUT, || {
        held(cluster, "r21", "self").then_some(())
    });
    let says = "configmap r21/self is deleted in the foreground and owns itself";
    let ran = finalize(cluster, &["cm/self", "-n", "r21", "--dry-run"]).expect(0);
    ran.says(says)
        .says("narrow")
        .says("blockOwnerDeletion")
        .says("--force-up-to=narrow");
    // The whole namespace can be diagnosed: its pod holds everything else back.
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "finalizers": ["example.com/cleanup"]},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}),
    );
    scene.delete();
    scene
        .finalize(&["--dry-run"])
        .expect(0)
        .says(says)
        .says("pod r21/p waits for");
    // Less is not enough, and this is: the reference stays, and no finalizer is removed.
    finalize(cluster, &["cm/self", "-n", "r21", "--force-up-to=repair"])
        .expect(4)
        .says("re-run with --force-up-to=narrow");
    finalize(cluster, &["cm/self", "-n", "r21", "--force-up-to=strip"])
        .expect(0)
        .says("narrow: set blockOwnerDeletion to false")
        .says_nothing_of("strip:");
    assert!(cluster.get("v1/ConfigMap", "r21", "self").is_none());
    scene.mended(&["--force-up-to=strip"]);
}

/// A variant: many, of several kinds, and something else that one of them waits for.
#[test]
fn r21_a_circle_across_kinds() {
    let scene = Scene::apart("r21-kinds");
    let cluster = scene.cluster;
    let ns = scene.name.as_str();
    let name = define(&scene, "orders", &[version("v1", true)]);
    let group = format!("{ns}.example.com/v1");
    // The garbage collector opens some circles by itself, when two of its workers do not look at the same time.
    cluster.controller_manager().stop();
    let order = scene.create(json!({"apiVersion": group, "kind": "Kindorders", "metadata": {"name": "o"}}));
    let secret = scene.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}));
    let members = [
        map(cluster, ns, "a"),
        order,
        map(cluster, ns, "b"),
        secret,
        map(cluster, ns, "c"),
    ];
    circle(cluster, &members);
    // One that is owned by the circle, and holds by itself.
    let leaf = scene.config_map("leaf", &["example.com/cleanup"]);
    own(cluster, &leaf, &members[0]);
    let kinds = format!("cm,secret,orders.{ns}.example.com");
    let all = [
        "delete",
        &kinds,
        "--all",
        "-n",
        ns,
        "--cascade=foreground",
        "--wait=false",
    ];
    kubectl(cluster, &all);
    let target = ["cm/a", "-n", ns];
    let ran = finalize(cluster, &[&target[..], &["--dry-run"]].concat()).expect(0);
    ran.says(
        "5 objects own each other in a circle, and each waits for the next to be deleted: configmap r21-kinds/a -> ",
    )
    .says("configmap r21-kinds/leaf waits for");
    cluster.controller_manager().cont();
    finalize(cluster, &[&target[..], &["--force-up-to=strip"]].concat())
        .expect(0)
        .says("leaf: remove example.com/cleanup")
        .says_nothing_of("remove foregroundDeletion");
    // The garbage collector does the rest.
    wait_for("the circle to be deleted", DEFAULT_TIMEOUT, || {
        let maps = ["a", "b", "c", "leaf"]
            .iter()
            .all(|name| cluster.get("v1/ConfigMap", ns, name).is_none());
        (maps && cluster.get("v1/Secret", ns, "s").is_none()).then_some(())
    });
    cluster.delete(KIND, "", &name);
}

/// Nobody acts on an open circle: that is said first, and what is removed is one finalizer after the other.
#[test]
fn r21_a_circle_without_a_garbage_collector() {
    let cluster = alone();
    cluster.namespace("r21");
    wait_for("the Lease", DEFAULT_TIMEOUT, || {
        cluster.get("coordination.k8s.io/v1/Lease", "kube-system", "kube-controller-manager")
    });
    cluster.controller_manager().kill();
    let names: Vec<String> = (0..40).map(|i| format!("m{i:02}")).collect();
    let members: Vec<Value> = names.iter().map(|name| map(&cluster, "r21", name)).collect();
    circle(&cluster, &members);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    delete_in_the_foreground(&cluster, "r21", "cm", &names);
    let args = ["cm/m07", "-n", "r21", "--dry-run"];
    let ran = wait_for("the Lease to run out", DEFAULT_TIMEOUT * 3, || {
        let ran = finalize(&cluster, &args).expect(0);
        ran.text().contains("dead").then_some(ran)
    });
    ran.says("40 objects own each other in a circle, and each waits for the next to be deleted: configmap r21/m07 -> ")
        .says("garbage collector in kube-controller-manager: dead")
        .says("start kube-controller-manager")
        .says("remove the finalizer foregroundDeletion of configmap r21/m07");
    finalize(&cluster, &["cm/m07", "-n", "r21", "--force-up-to=narrow"]).expect(4);
    finalize(&cluster, &["cm/m07", "-n", "r21", "--force-up-to=strip"]).expect(0);
    assert!(cluster.get("v1/ConfigMap", "r21", "m07").is_none());
    assert!(
        cluster.get("v1/ConfigMap", "r21", "m08").is_some(),
        "only what was named"
    );
}
