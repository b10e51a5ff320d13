//! Who may confirm that nodes which have stopped reporting are powered off.

use std::time::Duration;

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Live, Node, wait_for};

use super::silence::{Renewing, ago, past_its_grace, pod, removed, renew, silent, tainted, written};
use crate::{
    kit::{command, finalize, kubectl, run},
    scene::{Scene, alone},
};

/// Ready is Unknown only because the status of the node is not posted: the machine is on, whatever a person says.
#[test]
fn r22_a_lease_that_is_renewed() {
    let scene = Scene::new("r22");
    let cluster = scene.cluster;
    silent(cluster, "r22-node", 0);
    let renewing = Renewing::start(cluster, "r22-node", 0);
    scene.create(pod("r22", "stranded", "r22-node", 1, json!({})));
    scene.delete();
    let ran = past_its_grace(&scene, "r22-node");
    ran.says("its kubelet has renewed its Lease")
        .says_nothing_of("taint node/r22-node");
    let mark = cluster.audit().mark();
    let off = ["--force-up-to=finalize", "--powered-off=r22-node"];
    let ran = scene.finalize(&off).expect(3);
    ran.says("node/r22-node is not powered off: its kubelet is reporting (Ready is Unknown, but its kubelet has renewed its Lease")
        .says("nothing was changed");
    // A dry run ends as the run does, and its document has the reason.
    let ran = scene
        .finalize(&[&off[..], &["--dry-run", "-o", "json"]].concat())
        .expect(3);
    assert_eq!(ran.json()["findings"][0]["id"], "not-off", "{}", ran.text());
    assert!(!tainted(cluster, "r22-node") && !written(cluster, mark, "r22-node"));
    drop(renewing);
    kubectl(
        cluster,
        &["delete", "pod", "stranded", "-n", "r22", "--grace-period=0", "--force"],
    );
    removed(cluster, &["r22-node"]);
}

/// The Lease looks as if it had not been renewed for an hour: the clock of the node is behind.
#[test]
fn r22_a_kubelet_whose_clock_is_behind() {
    let scene = Scene::new("r22-clock");
    let cluster = scene.cluster;
    silent(cluster, "r22-clock-node", 3_600);
    let renewing = Renewing::start(cluster, "r22-clock-node", 3_600);
    scene.create(pod("r22-clock", "stranded", "r22-clock-node", 1, json!({})));
    scene.delete();
    past_its_grace(&scene, "r22-clock-node");
    let mark = cluster.audit().mark();
    let ran = scene.finalize(&["--force-up-to=repair", "--powered-off=r22-clock-node", "--timeout=30s"]);
    ran.says(
        "node/r22-clock-node was not tainted as out of service: its kubelet is reporting again (its Lease has changed)",
    );
    assert_eq!(ran.code, Some(4), "{}", ran.text());
    assert!(!tainted(cluster, "r22-clock-node") && !written(cluster, mark, "r22-clock-node"));
    drop(renewing);
    kubectl(
        cluster,
        &[
            "delete",
            "pod",
            "stranded",
            "-n",
            "r22-clock",
            "--grace-period=0",
            "--force",
        ],
    );
    removed(cluster, &["r22-clock-node"]);
}

/// The taint would force every pod off a machine that is on again, so it does not stay there until the run ends.
#[test]
fn r22_the_taint_is_removed_when_the_kubelet_is_back() {
    let scene = Scene::new("r22-back");
    let cluster = scene.cluster;
    silent(cluster, "r22-back-node", 600);
    // It stays after its end, so that the run goes on.
    let held = json!({"metadata": {"finalizers": ["example.com/cleanup"]}});
    scene.create(pod("r22-back", "held", "r22-back-node", 1, held));
    scene.delete();
    past_its_grace(&scene, "r22-back-node");
    let mut args = vec!["ns", "r22-back", "--force-up-to=repair", "--powered-off=r22-back-node"];
    args.push("--timeout=100s");
    let mut live = Live::start(command(cluster, &args));
    wait_for("the taint", DEFAULT_TIMEOUT, || {
        tainted(cluster, "r22-back-node").then_some(())
    });
    renew(cluster, "r22-back-node", 0);
    wait_for("the taint to be removed", Duration::from_secs(10), || {
        (!tainted(cluster, "r22-back-node")).then_some(())
    });
    live.wait_for("is not out of service any more: its kubelet is reporting again (its Lease has changed)");
    let free = r#"{"metadata": {"finalizers": null}}"#;
    kubectl(
        cluster,
        &["patch", "pod", "held", "-n", "r22-back", "--type=merge", "-p", free],
    );
    // As the kubelet does that is back, unless it was forced off before.
    let gone = ["--grace-period=0", "--force", "--ignore-not-found"];
    kubectl(
        cluster,
        &[&["delete", "pod", "held", "-n", "r22-back"][..], &gone].concat(),
    );
    live.finish().expect(0);
    removed(cluster, &["r22-back-node"]);
}

/// There is nothing to taint; whose pods they are to remove is said.
#[test]
fn r22_a_node_that_does_not_exist() {
    let scene = Scene::new("r22-ghost");
    let cluster = scene.cluster;
    cluster.node(&Node::new("r22-ghost-node").dead());
    scene.create(pod("r22-ghost", "stranded", "r22-ghost-node", 1, json!({})));
    scene.delete();
    past_its_grace(&scene, "r22-ghost-node");
    cluster.delete("v1/Node", "", "r22-ghost-node");
    let ran = scene
        .finalize(&["--force-up-to=repair", "--powered-off=r22-ghost-node"])
        .expect(3);
    ran.says("node/r22-ghost-node does not exist")
        .says("the pod garbage collector of kube-controller-manager force-deletes the pods of nodes that do not exist");
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("its node does not exist, so the pod garbage collector removes it")
        .says_nothing_of("bring node/r22-ghost-node back");
    kubectl(
        cluster,
        &[
            "delete",
            "pod",
            "stranded",
            "-n",
            "r22-ghost",
            "--grace-period=0",
            "--force",
        ],
    );
}

/// Then the control plane may be what is cut off.
#[test]
fn r22_more_than_a_third_of_the_nodes() {
    let cluster = alone();
    let ready = |name: &str, status: &str| {
        let condition = json!({"type": "Ready", "status": status, "lastTransitionTime": ago(300)});
        cluster.patch_status("v1/Node", "", name, json!({"status": {"conditions": [condition]}}));
    };
    // The last has never reported.
    for (name, status) in [("off-a", "Unknown"), ("on-a", "True"), ("off-b", "")] {
        cluster.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
        if !status.is_empty() {
            ready(name, status);
        }
    }
    let ns = cluster.namespace("many");
    ns.create(pod("many", "stranded", "off-a", 1, json!({})));
    kubectl(&cluster, &["delete", "namespace", "many", "--wait=false"]);
    let args = ["ns", "many", "--force-up-to=finalize", "--powered-off=off-a"];
    let mark = cluster.audit().mark();
    let ran = finalize(&cluster, &args).expect(3);
    ran.says("node/off-a cannot be tainted as out of service: 2 of 3 nodes have stopped reporting")
        .says("look at the control plane and its network first");
    assert!(!written(&cluster, mark, "off-a"));
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = finalize(&cluster, &["ns", "many", "--dry-run"]).expect(0);
        ran.text().contains("has not confirmed").then_some(ran)
    });
    ran.says("2 of 3 nodes have stopped reporting")
        .says_nothing_of("--powered-off");
    ready("off-b", "True");
    finalize(&cluster, &args)
        .expect(0)
        .says("is not out of service any more");
    assert!(!tainted(&cluster, "off-a"));
}

/// A tenant puts pods on whatever node they like by `spec.nodeName`. Only nodes that were named are tainted.
#[test]
fn r40_only_the_nodes_that_are_named() {
    let scene = Scene::new("r40");
    let cluster = scene.cluster;
    for node in ["r40-a", "r40-b"] {
        silent(cluster, node, 600);
        scene.create(pod("r40", &format!("on-{node}"), node, 1, json!({})));
    }
    silent(cluster, "r40-fresh", 0);
    let other = cluster.namespace("r40-other");
    other.create(pod("r40-other", "neighbour", "r40-a", 1, json!({})));
    let stays = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
    other.create(pod("r40-other", "agent", "r40-a", 1, stays));
    scene.delete();
    let ran = past_its_grace(&scene, "r40-b");
    // Whom it concerns is said before it is done.
    ran.says(
        "taint node/r40-a as out of service until this is done, which forces off its 2 pods of 2 namespaces (r40, r40-other) \
         and detaches its volumes; the run first saves 1 pod that no controller starts again (r40-other/neighbour)",
    )
    .says(
        "taint node/r40-b as out of service until this is done, which forces off its 1 pod of 1 namespace (r40) and detaches \
         its volumes; only if",
    )
    .says("re-run with --force-up-to=repair --powered-off=r40-a,r40-b to try the next step");
    let mark = cluster.audit().mark();
    // None of them, where one is not what it is said to be.
    renew(cluster, "r40-fresh", 0);
    scene
        .finalize(&["--force-up-to=repair", "--powered-off=r40-a,r40-fresh"])
        .expect(3)
        .says("node/r40-fresh is not powered off");
    assert!(!written(cluster, mark, "r40-a") && !written(cluster, mark, "r40-fresh"));
    let args = [
        "ns",
        "r40",
        "--force-up-to=finalize",
        "--powered-off=r40-a",
        "--timeout=100s",
    ];
    let live = Live::start(command(cluster, &args));
    wait_for("the pod of the named node to go", DEFAULT_TIMEOUT * 2, || {
        cluster.get("v1/Pod", "r40", "on-r40-a").is_none().then_some(())
    });
    assert!(cluster.get("v1/Pod", "r40", "on-r40-b").is_some());
    assert!(other.get("v1/Pod", "agent").is_some());
    kubectl(
        cluster,
        &["delete", "pod", "on-r40-b", "-n", "r40", "--grace-period=0", "--force"],
    );
    let ran = live.finish().expect(0);
    // What the taint took from the neighbour comes back; what was deleted on purpose does not.
    assert!(other.get("v1/Pod", "neighbour").is_none());
    let saved = ran
        .stderr
        .lines()
        .find_map(|l| l.strip_prefix("what was changed is saved in "));
    let saved = saved.unwrap_or_else(|| panic!("{}", ran.text()));
    finalize(cluster, &["restore", saved, "--yes"])
        .expect(0)
        .says("pod r40-other/neighbour created")
        .says_nothing_of("pod r40/on-r40-a");
    assert!(other.get("v1/Pod", "neighbour").is_some());
    assert!(!tainted(cluster, "r40-a") && !written(cluster, mark, "r40-b") && !written(cluster, mark, "r40-fresh"));
    removed(cluster, &["r40-a", "r40-b", "r40-fresh"]);
    cluster.delete("v1/Namespace", "", "r40-other");
}

#[test]
fn r40_nodes_that_have_stopped_reporting_are_offered() {
    let scene = Scene::new("r40-tab");
    let cluster = scene.cluster;
    silent(cluster, "r40-tab-off", 600);
    let offered = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-finalize"));
        command
            .env_clear()
            .envs(cluster.env())
            .args([&["__complete", "ns", "r40-tab"], words].concat());
        run(command).expect(0).stdout
    };
    assert_eq!(offered(&["--powered-off=r40-tab"]), "r40-tab-off\n:4\n");
    assert_eq!(offered(&["--powered-off=live-"]), ":4\n");
    let ran = scene.finalize(&["--powered-off"]).expect(2);
    ran.says("--powered-off needs the names of the nodes: --powered-off=NODE[,NODE]");
    removed(cluster, &["r40-tab-off"]);
}
