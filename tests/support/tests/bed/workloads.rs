//! Pods, workloads, budgets and nodes behave as on real nodes.

use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use serde_json::json;
use testsupport::{Cluster, Node, Shape, wait_for};

use crate::SOON;

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
