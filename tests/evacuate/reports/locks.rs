//! Locks that others keep, forge or leave behind, and what a lock publishes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use testsupport::{Cluster, Live, Shape};

use super::degraded::{node, slow};
use crate::{
    kit::kubectl,
    place::Place,
    scene::{LEASE, LOCKS, is_locked, lock, text},
};

/// A claim as version 0.1.0 wrote it, and as a kubelet can write it at any time.
pub fn forged(run: &str) -> Value {
    let now = Timestamp::now().to_string();
    let claim = json!({
        "run": run, "user": "root", "host": "elsewhere", "pid": 1, "process": "1", "machine": "elsewhere",
        "started": now, "heartbeat": now,
    });
    json!({"kubectl-upkeep/lock": claim.to_string()})
}

#[test]
fn r48_a_kubelet_that_keeps_the_lock_fresh_does_not_forbid_the_evacuation() {
    let place = Place::new("r48");
    let cluster = place.cluster();
    slow(&place);
    let kubelet = cluster.kubelet_kubeconfig(&place.node);
    let as_kubelet = |args: &[&str]| kubectl(cluster, &kubelet, args);
    let forge = |run: &str| {
        let patch = json!({"metadata": {"annotations": forged(run)}}).to_string();
        as_kubelet(&["patch", "node", &place.node, "-p", &patch])
    };
    // A kubelet may annotate its own node.
    forge("3f3f").expect(0);
    let refused = place.evacuate(&[]).expect(3);
    assert!(
        refused.stderr.contains("root on elsewhere (run 3f3f, pid 1, since "),
        "{}",
        refused.text()
    );
    assert!(refused.stderr.contains("add --take-over=3f3f"), "{}", refused.text());
    place.evacuate(&["--take-over=4f"]).expect(3);

    // From here on it writes another run each time.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let forger = scope.spawn(|| {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                count += 1;
                forge(&format!("{count}f"));
                std::thread::sleep(Duration::from_millis(100));
            }
            count
        });
        let mut run = place.start(&["--take-over=annotation"]);
        run.wait_for("evicting pod");
        // It cannot write, nor remove, the lock of that run.
        let held = lock(cluster, &place.node).expect("the lock is a Lease");
        let name = text(&held["metadata"]["name"]);
        let patch = json!({"spec": {"holderIdentity": "3f3f"}}).to_string();
        for args in [
            vec!["-n", LOCKS, "get", "lease", &name],
            vec!["-n", LOCKS, "delete", "lease", &name],
            vec!["-n", LOCKS, "patch", "lease", &name, "--type=merge", "-p", &patch],
        ] {
            as_kubelet(&args).expect(1).says("Forbidden");
        }
        let ran = run.finish();
        over.store(true, Ordering::Relaxed);
        assert!(forger.join().unwrap() > 5);
        let ran = ran.expect(0);
        assert_eq!(place.ns.pods_on(&place.node), [""; 0], "{}", ran.text());
        ran.says_nothing_of("removed the claim")
            .says_nothing_of("has been taken over");
    });
    assert!(lock(cluster, &place.node).is_none());
}

/// Two runs at once, of which a person says that the first is over: it notices, and keeps its hands off.
#[test]
fn r48_a_lock_is_taken_over_from_the_run_that_is_named_and_from_no_other() {
    let place = Place::new("r48-take");
    let cluster = place.cluster();
    place.ns.pod("slow", &Shape::new().on(&place.node).never_stops());
    place.ns.wait_pods_ready(1);
    let mut first = place.start(&["--force", "--uncordon-on-abort"]);
    first.wait_for("evicting pod r48-take/slow");
    let holder = |cluster: &Cluster| text(&lock(cluster, &place.node).expect("it is locked")["spec"]["holderIdentity"]);
    let run = holder(cluster);
    let refused = place.evacuate(&["--force"]).expect(3);
    let hint = format!("add --take-over={run}");
    assert!(refused.stderr.contains(&hint), "{}", refused.text());
    for other in ["--take-over=0123456789abcdef", "--take-over=annotation"] {
        place.evacuate(&["--force", other]).expect(3);
    }
    place.evacuate(&["--force", "--take-over="]).expect(2);
    let take = format!("--take-over=0123456789abcdef,{run}");
    let mut second = place.start(&["--force", &take]);
    second.wait_for(&format!("taking over from another run (run {run}, "));
    assert_ne!(holder(cluster), run);
    // The first one learns of it with its next heartbeat.
    let ran = first.finish().expect(4);
    assert!(
        ran.stderr.contains("has been taken over by another run (run "),
        "{}",
        ran.text()
    );
    assert!(place.is_cordoned() && is_locked(cluster, &place.node));
    let at_once = kube::api::DeleteParams::default().grace_period(0);
    cluster.delete_with("v1/Pod", place.ns.name(), "slow", &at_once);
    second.finish().expect(0);
    assert!(!is_locked(cluster, &place.node));
}

/// A Lease that somebody has left, or forged, without being a run.
#[test]
fn r48_a_lease_that_is_wedged() {
    let place = Place::new("r48-wedged");
    let cluster = place.cluster();
    let uid = text(&node(cluster, &place.node)["metadata"]["uid"]);
    let renewed = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
    let name = format!("kubectl-upkeep-{}-{uid}", place.node);
    cluster.apply_value(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name, "namespace": LOCKS, "labels": {"app.kubernetes.io/managed-by": "kubectl-upkeep"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": place.node, "uid": uid}],
        },
        "spec": {"holderIdentity": "nobody;id", "acquireTime": renewed, "renewTime": renewed},
    }));
    let refused = place.evacuate(&[]).expect(3);
    assert!(
        refused.stderr.contains("another run (run nobody;id, pid 0, since ")
            && refused.stderr.contains("--take-over=RUN"),
        "{}",
        refused.text()
    );
    place.evacuate(&["--uncordon"]).expect(3);
    let ran = place.evacuate(&["--take-over=nobody;id"]).expect(0);
    assert!(ran.stderr.contains("taking over from "), "{}", ran.text());
    assert!(cluster.get(LEASE, LOCKS, &name).is_none());
    place.evacuate(&["--uncordon"]).expect(0);
}

/// What is published of a run names neither its user nor its machine.
#[test]
fn r53_a_lock_names_neither_login_nor_machine() {
    let place = Place::new("r53");
    let cluster = place.cluster();
    slow(&place);
    let mut command = place.command(cluster.kubeconfig(), &["--reason=disk"]);
    command.env("USER", "alice-login").env("LOGNAME", "alice-login");
    let mut run = Live::start(command);
    run.wait_for("evicting pod");
    let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let boot = read("/proc/sys/kernel/random/boot_id");
    let host = read("/proc/sys/kernel/hostname");
    let held = lock(cluster, &place.node).expect("it is locked");
    let ran = run.finish().expect(0);
    let events = cluster.list("v1/Event", "default", "");
    let events: Vec<Value> = events
        .into_iter()
        .filter(|e| e["involvedObject"]["name"] == *place.node && e["reportingComponent"] == "kubectl-evacuate")
        .collect();
    assert_eq!(events.len(), 1, "{}", ran.text());
    let node = node(cluster, &place.node);
    for published in [
        held,
        events[0].clone(),
        node["metadata"]["annotations"].clone(),
        node["status"]["conditions"].clone(),
    ] {
        let published = published.to_string();
        for secret in ["alice-login", &boot, &format!("{host}\"")] {
            assert!(!published.contains(secret), "{secret} in {published}");
        }
    }
}
