//! The test bed itself: what the plugins' tests rely on is true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use serde_json::json;
use testsupport::{Cluster, Node, Options, Rule, Shape, wait_for};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn starts_soon_enough_even_on_a_busy_machine() {
    let took = Cluster::shared().startup_time();
    eprintln!("control plane ready in {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn pod_gets_ready_and_takes_its_time_to_stop() {
    let ns = Cluster::shared().namespace("slow-stop");
    let [node] = ns.nodes(["a"]);
    ns.pod("slow", &Shape::new().stops_in("2s"));
    ns.pod("quick", &Shape::new());
    ns.wait_pods_ready(2);
    assert_eq!(ns.pods_on(&node), ["quick", "slow"]);

    let started = Instant::now();
    ns.delete("v1/Pod", "slow");
    ns.delete("v1/Pod", "quick");
    ns.wait_gone("quick");
    assert!(ns.get("v1/Pod", "slow").is_some(), "the slow pod is still there");
    ns.wait_gone("slow");
    assert!(
        started.elapsed() >= Duration::from_millis(1900),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn grace_period_ends_a_pod_that_wants_longer() {
    let ns = Cluster::shared().namespace("grace");
    ns.nodes(["a"]);
    ns.pod("slow", &Shape::new().stops_in("600s"));
    ns.wait_pods_ready(1);
    ns.cluster()
        .delete_with("v1/Pod", ns.name(), "slow", &DeleteParams::default().grace_period(1));
    ns.wait_gone("slow");
}

#[test]
fn pods_can_hang_fail_end_and_be_late() {
    let ns = Cluster::shared().namespace("shapes");
    let [node] = ns.nodes(["a"]);
    ns.pod("hangs", &Shape::new().never_stops().on(&node));
    ns.pod("sick", &Shape::new().never_ready());
    ns.pod("stuck", &Shape::new().never_starts());
    ns.pod("late", &Shape::new().ready_after("1s"));
    ns.pod("done", &Shape::new().ends("Succeeded", "0s"));
    ns.pod("broken", &Shape::new().ends("Failed", "500ms"));
    ns.pod("held", &Shape::new().finalizer("example.com/held"));
    ns.wait_phase("done", "Succeeded");
    ns.wait_phase("broken", "Failed");
    let ready: Vec<_> = ns
        .wait_pods_ready(3)
        .iter()
        .map(|p| p["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ready, ["hangs", "held", "late"]);
    assert_eq!(ns.get("v1/Pod", "sick").unwrap()["status"]["phase"], "Running");
    assert_eq!(ns.get("v1/Pod", "stuck").unwrap()["status"]["phase"], "Pending");

    ns.delete("v1/Pod", "held");
    wait_for("the held pod's end", SOON, || {
        (ns.get("v1/Pod", "held")?["metadata"]["deletionGracePeriodSeconds"] == 0).then_some(())
    });
    ns.patch("v1/Pod", "held", json!({"metadata": {"finalizers": null}}));
    ns.wait_gone("held");

    ns.cluster()
        .delete_with("v1/Pod", ns.name(), "hangs", &DeleteParams::default().grace_period(1));
    std::thread::sleep(Duration::from_secs(3));
    assert!(
        ns.get("v1/Pod", "hangs").is_some(),
        "a hanging pod outlives its grace period"
    );
}

#[test]
fn every_workload_runs_and_stays_on_its_tests_nodes() {
    let ns = Cluster::shared().namespace("workloads");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.deployment("web", 2, &Shape::new().prefers(&a));
    ns.statefulset("db", 2, &Shape::new().only(&b));
    ns.daemonset("agent", &Shape::new());
    ns.job("batch", 2, &Shape::new());
    ns.replicaset("rs", 1, &Shape::new());
    ns.replication_controller("rc", 1, &Shape::new());
    ns.pod(
        "bare",
        &Shape::new()
            .requests("100m", "64Mi")
            .empty_dir()
            .priority_class("system-node-critical"),
    );
    ns.wait_pods_ready(11);
    assert_eq!(ns.pods_on(&a).iter().filter(|pod| pod.starts_with("web-")).count(), 2);
    assert_eq!(ns.pods_on(&b).iter().filter(|pod| pod.starts_with("db-")).count(), 2);
    assert_eq!(ns.pods_on(&a).len() + ns.pods_on(&b).len(), 11);
}

#[test]
fn budget_is_counted() {
    let ns = Cluster::shared().namespace("budget");
    ns.nodes(["a"]);
    ns.deployment("web", 3, &Shape::new());
    ns.wait_pods_ready(3);
    ns.pdb(
        "web",
        json!({"minAvailable": 2, "unhealthyPodEvictionPolicy": "AlwaysAllow"}),
    );
    ns.wait_pdb_allows("web", 1);
    ns.pdb(
        "none",
        json!({"maxUnavailable": 0, "selector": {"matchLabels": {"app": "web"}}}),
    );
    ns.wait_pdb_allows("none", 0);
}

#[test]
fn nodes_die_and_come_back() {
    let ns = Cluster::shared().namespace("dead-nodes");
    let dead = ns.node(Node::new("dead-nodes-dead").dead());
    let [dying] = ns.nodes(["dying"]);
    ns.pod("on-dead", &Shape::new().on(&dead).tolerates_all());
    ns.pod("on-dying", &Shape::new().on(&dying).tolerates_all());
    ns.wait_phase("on-dying", "Running");
    ns.cluster().kill_node(&dying);
    ns.delete("v1/Pod", "on-dying");
    std::thread::sleep(Duration::from_secs(2));
    assert!(
        ns.get("v1/Pod", "on-dying").is_some(),
        "nobody stops a pod on a dead node"
    );
    assert_eq!(ns.get("v1/Pod", "on-dead").unwrap()["status"]["phase"], "Pending");
    ns.cluster().revive_node(&dying);
    ns.wait_gone("on-dying");
}

#[test]
fn audit_counts_requests_by_user_agent() {
    let cluster = Cluster::shared();
    let mark = cluster.audit().mark();
    let kubectl = |args: &[&str]| {
        let mut command = Command::new(cluster.kubectl());
        let output = command.env_clear().envs(cluster.env()).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    kubectl(&["get", "--raw", "/api/v1/namespaces/default/pods"]);
    kubectl(&["create", "namespace", "audited", "--dry-run=server"]);
    let requests = cluster.audit().since(mark, "kubectl");
    assert!(
        requests
            .iter()
            .any(|r| r.verb == "list" && r.resource == "pods" && r.code == 200),
        "{requests:#?}"
    );
    let writes: Vec<_> = requests.iter().filter(|r| r.is_write()).collect();
    assert!(
        matches!(writes[..], [w] if w.is_dry_run() && w.resource == "namespaces" && w.user == "admin"),
        "{writes:#?}"
    );
    let mark = cluster.audit().mark();
    assert_eq!(cluster.audit().count_since(mark, "kubectl"), 0);
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

#[test]
fn servers_can_be_killed_stopped_and_restarted() {
    let cluster = Cluster::start(Options::default());
    let ns = cluster.namespace("faults");
    let [node] = ns.nodes(["a"]);
    let address = cluster.server().to_owned();

    cluster.apiserver().kill();
    assert!(!cluster.apiserver().is_running() && !cluster.apiserver().is_ready());
    cluster.apiserver().restart();
    assert_eq!(cluster.server(), address);
    assert!(cluster.get("v1/Node", "", &node).is_some(), "data survives");

    cluster.apiserver().stop();
    assert!(cluster.apiserver().is_running() && !cluster.apiserver().is_ready());
    cluster.apiserver().cont();
    cluster.apiserver().wait_ready();

    cluster.etcd().kill();
    // The answer to a readiness check is a second old at most.
    wait_for("kube-apiserver to miss etcd", SOON, || {
        (!cluster.apiserver().is_ready()).then_some(())
    });
    cluster.etcd().restart();
    cluster.apiserver().wait_ready();

    for server in [cluster.controller_manager(), cluster.scheduler(), cluster.kwok()] {
        server.restart();
    }
    ns.deployment("web", 1, &Shape::new());
    ns.wait_pods_ready(1);
    let dir = cluster.dir().to_owned();
    drop(cluster);
    assert!(!dir.exists(), "{} is removed", dir.display());
}

#[test]
fn link_can_be_cut_stalled_and_slowed() {
    let cluster = Cluster::shared();
    let link = cluster.link();
    let get = || {
        let started = Instant::now();
        let output = Command::new(cluster.kubectl())
            .env_clear()
            .envs(cluster.env())
            .args(["get", "namespace", "default", "--request-timeout=3s", "--kubeconfig"])
            .arg(link.kubeconfig())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), error, started.elapsed())
    };
    assert!(get().0);
    link.cut();
    let (_, error, _) = get();
    assert!(error.contains("was refused"), "{error}");
    link.heal();
    link.stall();
    let (worked, _, took) = get();
    assert!(!worked && took >= Duration::from_secs(3), "{took:?}");
    link.delay(Duration::from_millis(400));
    let (worked, error, took) = get();
    assert!(
        worked && took >= Duration::from_millis(800),
        "TLS and HTTP: two replies at least, {took:?}, {error}"
    );
    link.heal();
    assert!(get().0);
    wait_for("kubectl's connections to end", SOON, || {
        (link.connections() == 0).then_some(())
    });
}

#[test]
fn a_small_cluster_has_no_controllers() {
    let cluster = Cluster::start(Options {
        controller_manager: false,
        scheduler: false,
        kwok: false,
        ..Options::default()
    });
    let ns = cluster.namespace("small");
    ns.node(Node::new("n").dead());
    ns.pod("bare", &Shape::new().on("n"));
    ns.wait_phase("bare", "Pending");
}

#[test]
fn servers_die_with_a_killed_parent() {
    let mut parent = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the testbed program starts");
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let dir = PathBuf::from(first.strip_prefix("export KUBECONFIG=").unwrap())
        .parent()
        .unwrap()
        .to_owned();
    let pid: u32 = lines
        .next()
        .unwrap()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let lives = || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "etcd");
    assert!(lives() && dir.exists());
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("etcd to die", SOON, || (!lives()).then_some(()));
    wait_for("the folder to be removed", SOON, || (!dir.exists()).then_some(()));
}
