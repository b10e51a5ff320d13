//! Start, end and everything that can go wrong on purpose.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testsupport::{Cluster, DEFAULT_TIMEOUT, Node, Options, Shape, condition, wait_for};

use crate::SOON;

#[test]
fn starts_soon_enough_even_on_a_busy_machine() {
    let took = Cluster::shared().startup_time();
    eprintln!("control plane ready in {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
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

    cluster.controller_manager().restart();
    cluster.scheduler().restart();
    cluster.restart_kwok();
    ns.deployment("web", 1, &Shape::new());
    // All of them list anew, each at its own pace.
    wait_for("a Ready pod", DEFAULT_TIMEOUT * 3, || {
        let pods = ns.pods();
        pods.iter().any(|p| condition(p, "Ready") == Some("True")).then_some(())
    });
    let dir = cluster.dir().to_owned();
    drop(cluster);
    assert!(!dir.exists(), "{} is removed", dir.display());
}

/// A scheduler that finds its cache corrupted ends, and on a real cluster the kubelet starts the next one.
#[test]
fn a_scheduler_that_ends_by_itself_is_started_again() {
    let cluster = Cluster::start(Options::default());
    let first = cluster.scheduler().pid().unwrap();
    let killed = Command::new("sh").args(["-c", &format!("kill -9 {first}")]).status();
    assert!(killed.unwrap().success());
    wait_for("another scheduler", SOON, || {
        let pid = cluster.scheduler().pid();
        pid.filter(|pid| *pid != first && cluster.scheduler().is_ready())
    });
    cluster.scheduler().kill();
    std::thread::sleep(Duration::from_millis(500));
    assert!(!cluster.scheduler().is_running(), "what a test has killed stays dead");
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
