//! Who may do what, who did what, and objects of any kind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use testsupport::{Cluster, Rule, wait_for};

use crate::SOON;

#[test]
fn audit_counts_requests_by_user_agent() {
    let cluster = Cluster::shared();
    // Other tests ask the same server at the same time.
    let rules = [Rule::allow("list", "pods"), Rule::allow("create", "namespaces")];
    let user = cluster.user_kubeconfig("audited-user", &rules);
    let mark = cluster.audit().mark();
    let kubectl = |args: &[&str]| {
        let mut command = Command::new(cluster.kubectl());
        command.env_clear().envs(cluster.env()).env("KUBECONFIG", &user);
        let output = command.args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    kubectl(&["get", "--raw", "/api/v1/namespaces/default/pods"]);
    kubectl(&["create", "namespace", "audited", "--dry-run=server"]);
    let mut requests = cluster.audit().since(mark, "kubectl");
    requests.retain(|r| r.user == "audited-user");
    assert!(
        requests
            .iter()
            .any(|r| r.verb == "list" && r.resource == "pods" && r.code == 200),
        "{requests:#?}"
    );
    let writes: Vec<_> = requests.iter().filter(|r| r.is_write()).collect();
    assert!(
        matches!(writes[..], [w] if w.is_dry_run() && w.resource == "namespaces"),
        "{writes:#?}"
    );
    assert!(cluster.audit().count_since(mark, "kubectl") >= requests.len());
    assert_eq!(cluster.audit().count_since(mark, "nobody-is-called-that"), 0);
}

#[test]
fn user_has_just_the_given_rights() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("rights");
    let rules = [
        Rule::allow("get,list", "pods"),
        Rule::allow("patch", "deployments.apps/scale").within(ns.name()),
    ];
    let token = [Rule::allow("list", "nodes")];
    let user = cluster.user_kubeconfig("rights-user", &rules);
    let account = cluster.token_kubeconfig(ns.name(), "robot", Duration::from_secs(600), &token);
    let can = |kubeconfig: &Path, args: &[&str]| {
        let mut command = Command::new(cluster.kubectl());
        command.env_clear().envs(cluster.env()).env("KUBECONFIG", kubeconfig);
        command
            .args(["auth", "can-i", "-q"])
            .args(args)
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    assert!(can(&user, &["list", "pods"]));
    assert!(!can(&user, &["list", "nodes"]));
    assert!(can(
        &user,
        &["patch", "deployments.apps/x", "--subresource=scale", "-n", ns.name()]
    ));
    assert!(!can(
        &user,
        &["patch", "deployments.apps/x", "--subresource=scale", "-n", "default"]
    ));
    assert!(can(&account, &["list", "nodes"]));
    assert!(!can(&account, &["list", "pods"]));
}

#[test]
fn apply_takes_any_kind_also_one_just_defined() {
    let cluster = Cluster::shared();
    cluster.apply(include_str!("widget.yaml"));
    wait_for("the new kind", SOON, || {
        let crd = cluster.get(
            "apiextensions.k8s.io/v1/CustomResourceDefinition",
            "",
            "widgets.testbed.example.com",
        )?;
        crd["status"]["conditions"]
            .as_array()?
            .iter()
            .find(|c| c["type"] == "Established" && c["status"] == "True")
            .map(drop)
    });
    let widget =
        "{apiVersion: testbed.example.com/v1, kind: Widget, metadata: {name: one, namespace: default}, size: 3}";
    cluster.apply(widget);
    assert_eq!(
        cluster.list("testbed.example.com/v1/Widget", "default", "")[0]["size"],
        3
    );
}
