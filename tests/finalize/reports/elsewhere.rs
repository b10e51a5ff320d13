//! Causes outside of the namespace, and in missing rights.

use std::time::Duration;

use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, Https, Options, Rule, wait_for};

use crate::{
    custom::{KIND, define, version},
    kit::{Ran, command, finalize, kubectl, run},
    scene::Scene,
};

/// How soon a run ends that can do nothing.
pub const AT_ONCE: Duration = Duration::from_secs(75);

pub fn deleted(cluster: &Cluster, namespace: &str) {
    kubectl(cluster, &["delete", "namespace", namespace, "--wait=false"]);
}

/// A control plane of its own, with these arguments.
pub fn started(apiserver: &[String], controllers: &[&str]) -> Cluster {
    let mut manager = vec!["--leader-elect=true".to_owned()];
    manager.extend(controllers.iter().map(ToString::to_string));
    Cluster::start(Options {
        apiserver_args: apiserver.to_vec(),
        controller_manager_args: manager,
        scheduler: false,
        kwok: false,
        ..Options::default()
    })
}

/// Writes into etcd what no API server would.
pub fn etcdctl(cluster: &Cluster, args: &[&str]) {
    let output = std::process::Command::new(testsupport::program("etcdctl").unwrap())
        .arg(format!("--endpoints={}", cluster.etcd().address()))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "etcdctl {args:?}: {output:?}");
}

/// Runs it until it says this, and returns that run.
pub fn until(cluster: &Cluster, args: &[&str], says: &str) -> Ran {
    wait_for(format!("{says:?}"), DEFAULT_TIMEOUT, || {
        let ran = finalize(cluster, args);
        ran.text().contains(says).then_some(ran)
    })
}

pub fn config_map(cluster: &Cluster, namespace: &str, name: &str, finalizers: &[&str]) {
    cluster.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "finalizers": finalizers}}));
}

/// One object that cannot be converted keeps the server from listing its kind, and so every namespace from being deleted.
#[test]
fn r26_an_object_of_another_namespace_in_a_version_that_is_gone() {
    let scene = Scene::apart("r26");
    let cluster = scene.cluster;
    let name = define(&scene, "relics", &[version("v1alpha1", true), version("v1", false)]);
    // Another kind of the same group is not what is meant.
    let whole = define(&scene, "wholes", &[version("v1", true)]);
    let keeper = cluster.namespace("r26-keeper");
    keeper.create(json!({"apiVersion": "r26.example.com/v1alpha1", "kind": "Kindrelics", "metadata": {"name": "r"}}));
    let versions = json!({"spec": {"versions": [version("v1alpha1", false), version("v1", true)]}});
    cluster.patch(KIND, "", &name, versions);
    cluster.patch_status(KIND, "", &name, json!({"status": {"storedVersions": ["v1"]}}));
    cluster.patch(KIND, "", &name, json!({"spec": {"versions": [version("v1", true)]}}));
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let says = "objects of relics.r26.example.com are stored in a version that is not there any more (v1alpha1), which holds every \
                namespace";
    let ran = until(cluster, &["ns", "r26", "--dry-run"], says);
    // It is not the only cause.
    ran.says("serve the version v1alpha1 of relics.r26.example.com again")
        .says("configmap r26/a waits for")
        .says_nothing_of("wholes");
    let ran = finalize(cluster, &["scan", "-o", "json"]).expect(1);
    let findings = ran.json()["findings"].as_array().cloned().unwrap_or_default();
    let found = findings
        .iter()
        .find(|f| f["id"] == "version-gone")
        .unwrap_or(&Value::Null);
    assert!(
        found["hint"]
            .as_str()
            .unwrap_or_default()
            .contains("serve the version v1alpha1"),
        "{findings:?}"
    );
    scene.mended(&["--force-up-to=strip"]);
    assert!(
        cluster
            .get("r26.example.com/v1/Kindrelics", "r26-keeper", "r")
            .is_some()
    );
    for name in [&name, &whole] {
        cluster.delete(KIND, "", name);
    }
}

/// A Role that somebody has made smaller, and an API with rights of its own, as that of Calico.
#[test]
fn r27_the_namespace_controller_is_refused() {
    let cluster = started(&[], &["--use-service-account-credentials=true"]);
    let role = "system:controller:namespace-controller";
    let kind = "rbac.authorization.k8s.io/v1/ClusterRole";
    let before = cluster.get(kind, "", role).unwrap()["rules"].clone();
    let names = ["refused", "tiered"];
    names
        .iter()
        .for_each(|name| drop(cluster.namespace(name).name().to_owned()));
    let mut smaller = before.clone();
    for rule in smaller.as_array_mut().unwrap() {
        if let Some(verbs) = rule["verbs"].as_array_mut() {
            verbs.retain(|verb| verb != "deletecollection" && verb != "delete");
        }
    }
    cluster.patch(kind, "", role, json!({"rules": smaller}));
    config_map(&cluster, "refused", "a", &[]);
    deleted(&cluster, "refused");
    let says = "the namespace controller may not delete";
    let ran = until(&cluster, &["ns", "refused", "--dry-run"], says);
    ran.says("give system:serviceaccount:kube-system:namespace-controller the right to delete")
        .says("the ClusterRole system:controller:namespace-controller");
    let ran = finalize(&cluster, &["ns", "refused", "--force-up-to=strip"]).expect(4);
    assert!(ran.took < AT_ONCE, "{}", ran.text());
    cluster.patch(kind, "", role, json!({"rules": before}));
    // What the controller has written before is not believed for ever.
    finalize(&cluster, &["ns", "refused"]).expect(0);

    let backend = tiered();
    let behind = cluster.namespace("behind");
    behind.create(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": backend.port()}]}}),
    );
    let spec = json!({"group": GROUP, "version": "v3", "groupPriorityMinimum": 100, "versionPriority": 100,
        "insecureSkipTLSVerify": true, "service": {"namespace": "behind", "name": "api", "port": backend.port()}});
    let meta = json!({"name": format!("v3.{GROUP}")});
    cluster.create(
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": meta, "spec": spec}),
    );
    wait_for("the API", DEFAULT_TIMEOUT * 2, || {
        let api = cluster.get("apiregistration.k8s.io/v1/APIService", "", &format!("v3.{GROUP}"))?;
        let conditions = api["status"]["conditions"].as_array()?.clone();
        conditions
            .iter()
            .any(|c| c["type"] == "Available" && c["status"] == "True")
            .then_some(())
    });
    deleted(&cluster, "tiered");
    let says = "the namespace controller may not delete policies.tiered.example.io";
    let ran = until(&cluster, &["ns", "tiered", "--dry-run"], says);
    ran.says("Operation on tiered policy is forbidden")
        .says("the server of the API tiered.example.io may ask for rights of its own");
    let ran = finalize(&cluster, &["ns", "tiered", "--force-up-to=strip"]).expect(4);
    assert!(ran.took < AT_ONCE, "{}", ran.text());
}

const GROUP: &str = "tiered.example.io";

/// An API that answers whoever lists its objects, and refuses to delete them.
fn tiered() -> Https {
    Https::start(|asked| {
        let path = asked.path.split('?').next().unwrap_or_default();
        if path == format!("/apis/{GROUP}/v3") {
            return Some(
                json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/v3"),
                "resources": [{"name": "policies", "singularName": "policy", "namespaced": true, "kind": "Policy",
                    "verbs": ["list", "get", "delete", "deletecollection"]}]}),
            );
        }
        Some(
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": format!("policies.{GROUP} is forbidden: Operation on tiered policy is forbidden")}),
        )
    })
}

/// What a tenant may not read is one line, with what to ask for; the controller's words are all that they have.
#[test]
fn r27_a_tenant_without_rights() {
    let scene = Scene::new("r27-tenant");
    let cluster = scene.cluster;
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let user = cluster.user_kubeconfig("r27-tenant", &[Rule::allow("get", "namespaces")]);
    let tenant = |args: &[&str]| {
        let mut command = command(cluster, &[&["ns", "r27-tenant"], args].concat());
        command.env("KUBECONFIG", &user);
        run(command)
    };
    let ran = tenant(&["--force-up-to=strip"]).expect(4);
    assert!(ran.took < AT_ONCE, "{}", ran.text());
    ran.says(
        "the namespace controller says: Some content in the namespace has finalizers remaining: example.com/cleanup",
    )
    .says("kinds cannot be listed, for you may not (ask for the ClusterRole kubectl-finalize-look): ");
    let lines = |part: &str| ran.text().lines().filter(|line| line.contains(part)).count();
    // One for each time that it was looked: kinds come and go meanwhile.
    assert!(
        lines("cannot be listed") <= lines("has been Terminating for") && lines("orbidden") == 0,
        "{}",
        ran.text()
    );
    scene.mended(&["--force-up-to=strip"]);
}

/// It is a mistake, or would be one once something else is in the way.
#[test]
fn r27_leave_behind_that_has_no_effect() {
    let scene = Scene::new("r27-behind");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let behind = |what: &str| scene.finalize(&["--force-up-to=finalize", &format!("--leave-behind={what}")]);
    behind("configmaps")
        .expect(3)
        .says("--leave-behind=configmaps has no effect: it can be listed; nothing was changed");
    behind("nosuch.example.com")
        .expect(3)
        .says("--leave-behind=nosuch.example.com has no effect: there is no such resource or group");
    let map = [
        "cm/a",
        "-n",
        "r27-behind",
        "--leave-behind=secrets",
        "--force-up-to=finalize",
    ];
    finalize(scene.cluster, &map)
        .expect(3)
        .says("only a namespace leaves something behind");
    let held = scene.cluster.get("v1/ConfigMap", "r27-behind", "a").unwrap();
    assert_eq!(held["metadata"]["finalizers"], json!(["example.com/cleanup"]));
    scene.mended(&["--force-up-to=strip"]);
}
