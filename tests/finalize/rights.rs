//! The ClusterRoles of `docs/rbac`, each as a user who has just that.

use std::path::Path;

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Rule, wait_for};

use crate::{
    kit::{Ran, command, finalize, kubectl, run},
    scene::Scene,
};

fn as_user(scene: &Scene, user: &Path, args: &[&str]) -> Ran {
    let all: Vec<&str> = ["ns", scene.name.as_str()].iter().chain(args).copied().collect();
    let mut command = command(scene.cluster, &all);
    command.env("KUBECONFIG", user);
    run(command)
}

/// Who may only look is told what it would take, before anything is tried.
#[test]
fn rights_to_look() {
    let scene = Scene::new("rbac-look");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let look = scene.cluster.user_with_roles("rbac-look", &["finalize-look"]);
    let ran = wait_for("the rights", DEFAULT_TIMEOUT, || {
        let ran = as_user(&scene, &look, &["--dry-run"]);
        (ran.code == Some(0) && !ran.text().contains("cannot be listed")).then_some(ran)
    });
    ran.says("configmap rbac-look/a waits for")
        .says("(you may not patch configmaps in namespace rbac-look)");
    let ran = as_user(&scene, &look, &["--force-up-to=strip"]).expect(4);
    ran.says_nothing_of("strip:");
    // Who may not even look is told so once, not kind by kind.
    let nobody = scene.cluster.user_kubeconfig("rbac-nobody", &[]);
    let mut scan = command(scene.cluster, &["scan"]);
    scan.env("KUBECONFIG", nobody);
    let ran = run(scan).expect(1);
    ran.says("kinds cannot be listed, for you may not: ")
        .says("hint: the ClusterRole kubectl-finalize-look has the rights");
    assert!(ran.stdout.lines().count() < 10, "{}", ran.text());
    assert!(scene.cluster.get("v1/ConfigMap", "rbac-look", "a").is_some());
    finalize(scene.cluster, &["ns", "rbac-look", "--force-up-to=strip"]).expect(0);
}

#[test]
fn rights_to_mend() {
    let scene = Scene::new("rbac-mend");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let roles = ["finalize-look", "finalize-mend"];
    let user = scene.cluster.user_with_roles("rbac-mend", &roles);
    wait_for("the rights", DEFAULT_TIMEOUT, || {
        let ran = as_user(&scene, &user, &["--dry-run"]);
        let whole = !ran.text().contains("cannot be listed") && !ran.text().contains("you may not");
        (ran.code == Some(0) && whole).then_some(())
    });
    as_user(&scene, &user, &["--force-up-to=strip"]).expect(0);
    assert!(scene.is_gone());
}

/// Who may not see the pods does not know that none of them uses a claim.
#[test]
fn rights_that_hide_who_uses_a_claim() {
    let scene = Scene::new("blind");
    let cluster = scene.cluster;
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "storageClassName": "none", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {"nodeName": "live-0",
        "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}),
    );
    kubectl(cluster, &["delete", "pvc", "data", "-n", "blind", "--wait=false"]);
    let rules = [Rule::allow(
        "get,list,watch,patch,delete",
        "namespaces,persistentvolumeclaims,configmaps",
    )];
    let user = cluster.user_kubeconfig("blind-user", &rules);
    let pvc = |args: &[&str]| {
        let mut command = command(cluster, &[&["pvc/data", "-n", "blind"], args].concat());
        command.env("KUBECONFIG", &user);
        run(command)
    };
    let ran = pvc(&["--dry-run"]).expect(0);
    ran.says("could not be looked at (what uses it could not be looked at: pods is forbidden");
    // What may be alive is never taken for dead.
    pvc(&["--force-up-to=strip"]).expect(4).says("--even-if-alive");
    let held = cluster.get("v1/PersistentVolumeClaim", "blind", "data").unwrap();
    assert_eq!(held["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    finalize(cluster, &["pvc/data", "-n", "blind", "--force-up-to=evict-user"]).expect(0);
}

/// Who may not list nodes cannot tell how many have stopped reporting, and taints none. Who may not list what else could be left
/// of a run removes the taint that they have put on.
#[test]
fn rights_to_change_what_may_not_be_listed() {
    let scene = Scene::new("unlisted");
    let cluster = scene.cluster;
    cluster.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "unlisted-node"}}));
    scene.create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranded"}, "spec": {"nodeName": "unlisted-node",
        "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "i"}]}}));
    kubectl(
        cluster,
        &["delete", "pod", "stranded", "-n", "unlisted", "--wait=false"],
    );
    let pod = |user: &str, rules: &[Rule]| {
        let user = cluster.user_kubeconfig(user, rules);
        let args = [
            "pod/stranded",
            "-n",
            "unlisted",
            "--force-up-to=repair",
            "--powered-off=unlisted-node",
        ];
        let mut command = command(cluster, &args);
        command.env("KUBECONFIG", &user);
        run(command)
    };
    let mut rules = vec![
        Rule::allow("get,patch", "nodes"),
        Rule::allow("get,list,watch", "pods,leases.coordination.k8s.io"),
    ];
    pod("uncounted-user", &rules)
        .expect(3)
        .says("how many nodes have stopped reporting is unknown");
    rules.push(Rule::allow("list", "nodes"));
    pod("unlisted-user", &rules)
        .expect(0)
        .says("is not out of service any more");
    let node = cluster.get("v1/Node", "", "unlisted-node").unwrap();
    assert!(
        node["spec"]["taints"]
            .as_array()
            .is_none_or(|all| all.iter().all(|t| t["key"] != "node.kubernetes.io/out-of-service"))
    );
    assert!(
        node["metadata"]["annotations"]["kubectl-upkeep/out-of-service"].is_null(),
        "{node}"
    );
    cluster.delete("v1/Node", "", "unlisted-node");
}
