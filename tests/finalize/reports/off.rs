//! Nodes that have stopped reporting, and who may confirm that they are powered off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, Live, Mark, Node, wait_for};

use crate::{
    kit::{Ran, command, finalize, kubectl, run},
    scene::{Scene, alone},
};

const LEASE: &str = "coordination.k8s.io/v1/Lease";
const LEASES: &str = "kube-node-lease";
const TAINT: &str = "node.kubernetes.io/out-of-service";

fn text_of(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn ago(seconds: i64) -> String {
    text_of(Timestamp::now() - SignedDuration::from_secs(seconds))
}

/// A node of the test whose Ready is Unknown, and whose Lease was last renewed so many seconds ago.
fn silent(cluster: &Cluster, name: &str, renewed: i64) {
    cluster.node(&Node::new(name).dead());
    lease(cluster, name, renewed);
}

fn lease(cluster: &Cluster, node: &str, renewed: i64) {
    cluster.create(
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": node, "namespace": LEASES},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": ago(renewed)}}),
    );
}

fn renew(cluster: &Cluster, node: &str, renewed: i64) {
    cluster.patch(LEASE, LEASES, node, json!({"spec": {"renewTime": ago(renewed)}}));
}

/// The kubelet renews its Lease every second, by a clock that is so many seconds behind; the status of its node is not posted.
struct Renewing {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Renewing {
    fn start(cluster: &'static Cluster, node: &str, behind: i64) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ends, node) = (Arc::clone(&over), node.to_owned());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                renew(cluster, &node, behind);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Renewing {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn pod(namespace: &str, name: &str, node: &str, grace: u32, more: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": {
        "nodeName": node, "terminationGracePeriodSeconds": grace, "containers": [{"name": "c", "image": "i"}]}});
    testsupport::merge(&mut pod, more);
    pod
}

fn tainted(cluster: &Cluster, node: &str) -> bool {
    let node = cluster.get("v1/Node", "", node).unwrap();
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    taints.iter().any(|t| t["key"] == TAINT)
        || node["metadata"]["annotations"]["kubectl-upkeep/out-of-service"].is_string()
}

/// Whether a run of the plugin has written to the node since, a dry run or not.
fn written(cluster: &Cluster, since: Mark, node: &str) -> bool {
    let requests = cluster.audit().since(since, "kubectl-finalize");
    requests
        .iter()
        .any(|r| r.is_write() && !r.is_dry_run() && r.resource == "nodes" && r.name == node)
}

/// Waits until the grace period is over and the kubelet is what is waited for.
fn past_its_grace(scene: &Scene, node: &str) -> Ran {
    wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        let says = format!("the kubelet of node/{node} has not confirmed");
        ran.text().contains(&says).then_some(ran)
    })
}

fn removed(cluster: &Cluster, nodes: &[&str]) {
    for node in nodes {
        cluster.delete("v1/Node", "", node);
        if cluster.get(LEASE, LEASES, node).is_some() {
            cluster.delete(LEASE, LEASES, node);
        }
    }
}

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
    // As the kubelet does that is back.
    kubectl(
        cluster,
        &["delete", "pod", "held", "-n", "r22-back", "--grace-period=0", "--force"],
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
    ran.says("taint node/r40-a as out of service until this is done, which forces off its 2 pods of 2 namespaces")
        .says("taint node/r40-b as out of service until this is done, which forces off its 1 pod of 1 namespace")
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
    live.finish().expect(0);
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

fn claim(scene: &Scene) {
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    );
}

fn uses_it() -> Value {
    json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}})
}

/// An evicted pod has its grace period, however long that is.
#[test]
fn r25_a_pod_that_needs_most_of_its_grace_period() {
    let scene = Scene::new("r25");
    let cluster = scene.cluster;
    cluster.node(&Node::new("r25-node"));
    claim(&scene);
    let mut user = uses_it();
    user["metadata"]["annotations"] = json!({"pod-delete.stage.kwok.x-k8s.io/delay": "19s"});
    scene.create(pod("r25", "user", "r25-node", 25, user));
    wait_for("the pod to run", DEFAULT_TIMEOUT, || {
        (cluster.get("v1/Pod", "r25", "user")?["status"]["phase"] == "Running").then_some(())
    });
    kubectl(cluster, &["delete", "pvc", "data", "-n", "r25", "--wait=false"]);
    let ran = finalize(cluster, &["pvc/data", "-n", "r25", "--force-up-to=evict-user"]).expect(0);
    ran.says("left to stop").says("is gone");
    assert!(ran.took > Duration::from_secs(17), "{}", ran.text());
    cluster.delete("v1/Node", "", "r25-node");
}

/// Past its grace period its node is what holds it, also where a claim is what was named.
#[test]
fn r25_past_its_grace_on_a_node_that_has_stopped_reporting() {
    let scene = Scene::new("r25-off");
    let cluster = scene.cluster;
    silent(cluster, "r25-off-node", 600);
    claim(&scene);
    scene.create(pod("r25-off", "user", "r25-off-node", 3, uses_it()));
    kubectl(cluster, &["delete", "pvc", "data", "-n", "r25-off", "--wait=false"]);
    let of_claim = |args: &[&str]| finalize(cluster, &[&["pvc/data", "-n", "r25-off"], args].concat());
    let ran = of_claim(&["--force-up-to=evict-user"]).expect(4);
    ran.says("evict-user: evict pod r25-off/user")
        .says("the kubelet of node/r25-off-node has not confirmed that its pods have ended")
        .says("to try the next step")
        .says("--powered-off=r25-off-node");
    of_claim(&["--force-up-to=evict-user", "--powered-off=r25-off-node"]).expect(0);
    assert!(cluster.get("v1/PersistentVolumeClaim", "r25-off", "data").is_none());
    assert!(!tainted(cluster, "r25-off-node"));
    removed(cluster, &["r25-off-node"]);
}
