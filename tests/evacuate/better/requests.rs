//! A server that is in trouble, and how much it is asked.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::json;
use testsupport::{Cluster, Live, Shape};

use crate::{
    gate::Gate,
    kit::{command_with, run},
    scene::{evictions, is_cordoned, is_locked, rights},
};

fn evictions_only(request: &str) -> bool {
    request.lines().next().is_some_and(|line| line.contains("/eviction"))
}

#[test]
fn b03_a_connection_that_breaks_is_made_again_and_nothing_is_sent_twice() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b03");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 4, &Shape::new().prefers(&a).stops_in("5s"));
    ns.wait_pods_ready(4);
    let link = cluster.link();
    let mark = cluster.audit().mark();
    // Answers are slow, so that the evictions arrive and their answers do not.
    link.delay(Duration::from_millis(300));
    let mut live = Live::start(command_with(cluster, link.kubeconfig(), &[&a]));
    for pod in 0..4 {
        live.wait_for(&format!("evicting pod b03/web-{pod}"));
    }
    std::thread::sleep(Duration::from_millis(100));
    link.cut();
    live.wait_for("Warning: the API server does not answer well and is asked again: ");
    std::thread::sleep(Duration::from_secs(1));
    link.heal();
    let ran = live.finish().expect(0);
    let sent = evictions(&ns, mark);
    assert_eq!(sent.len(), 4, "{sent:?}");
    // The server gives up what its client does not wait for any more; of what it did, nothing is asked for again.
    let again = |codes: &Vec<u16>| codes.iter().rev().skip(1).any(|code| *code == 201);
    assert!(!sent.values().any(again), "{sent:?}");
    assert_eq!(ran.stdout.matches("evicting pod").count(), 4, "{}", ran.text());
    assert_eq!(ns.pods_on(&a), [""; 0]);
}

#[test]
fn b03_a_server_that_is_unavailable_is_asked_again() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b03u");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 2, &Shape::new().prefers(&a));
    ns.wait_pods_ready(2);
    let body = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"etcdserver: request timed out","reason":"ServiceUnavailable","code":503}"#;
    let gate = Gate::before(
        cluster,
        6,
        evictions_only,
        "503 Service Unavailable",
        "application/json",
        body,
    );
    let mark = cluster.audit().mark();
    let ran = gate.run(&[&a]).expect(0);
    ran.says_line("Warning: the API server does not answer well and is asked again: etcdserver: request timed out");
    assert_eq!(gate.turned_away(), 6);
    let sent = evictions(&ns, mark);
    assert_eq!(sent.values().flatten().collect::<Vec<_>>(), [&201, &201], "{sent:?}");
}

/// The answer of API Priority and Fairness: plain text, no cause, a second to wait.
#[test]
fn b06_a_429_without_a_cause_is_throttling_and_no_budget() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b06");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 2, &Shape::new().prefers(&a));
    ns.pdb("web", json!({"maxUnavailable": 2}));
    ns.wait_pods_ready(2);
    let body = "Too many requests, please try again later.\n";
    let gate = Gate::before(
        cluster,
        3,
        evictions_only,
        "429 Too Many Requests\r\nretry-after: 1",
        "text/plain",
        body,
    );
    // Budgets that let nothing through would end this run.
    let ran = gate.run(&[&a, "--on-blocked=fail"]).expect(0);
    ran.says_line("Warning: the API server sheds load (429) and asks to wait 1s")
        .says_nothing_of("budget");
    assert_eq!(gate.turned_away(), 3);
    assert!(ran.took >= Duration::from_secs(1), "{:?}", ran.took);
    assert_eq!(ns.pods_on(&a), [""; 0]);
}

#[test]
fn b15_110_pods_take_at_most_150_requests() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b15");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.replicaset("web", 110, &Shape::new().prefers(&a).stops_in("2s"));
    let before = ns.wait_pods_ready(110);
    assert!(before.iter().all(|p| p["spec"]["nodeName"] == a));
    let config = cluster.user_kubeconfig("b15", &rights(&[]));
    let mark = cluster.audit().mark();
    let ran = run(command_with(cluster, &config, &[&a])).expect(0);
    let mut requests = cluster.audit().since(mark, crate::scene::AGENT);
    requests.retain(|r| r.user == "b15");
    let shown: Vec<_> = requests
        .iter()
        .filter(|r| r.subresource != "eviction")
        .map(|r| (&r.verb, &r.uri))
        .collect();
    assert_eq!(requests.len() - shown.len(), 110, "one eviction for each pod");
    assert!(
        requests.len() <= 150,
        "{} requests, among them {shown:#?}",
        requests.len()
    );
    assert_eq!(ran.stdout.lines().filter(|l| l.ends_with(" evicted")).count(), 110);
    crate::scene::wait_all_on(&ns, &b, 110);
}

/// A proxy that knows no watches. Lists do what is needed, and the proxy is not overrun.
#[test]
fn b03_watches_that_end_at_once_are_replaced_by_lists() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b03w");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.replicaset("web", 3, &Shape::new().prefers(&a).stops_in("1s"));
    ns.wait_pods_ready(3);
    let watches = |request: &str| request.contains("watch=");
    let gate = Gate::before(cluster, usize::MAX, watches, "200 OK", "application/json", "");
    let ran = gate.run(&[&a, "--timeout=100s"]).expect(0);
    assert!(gate.turned_away() < 100, "{} watches", gate.turned_away());
    ran.says_nothing_of("webhook");
    crate::scene::wait_all_on(&ns, &b, 3);
}

/// The same with a server that refuses them.
#[test]
fn b03_watches_that_fail_are_replaced_by_lists() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b03f");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.replicaset("web", 3, &Shape::new().prefers(&a).stops_in("1s"));
    ns.wait_pods_ready(3);
    let watches = |request: &str| request.contains("watch=");
    let gate = Gate::before(cluster, usize::MAX, watches, "502 Bad Gateway", "text/html", "<html>");
    let ran = gate.run(&[&a, "--timeout=100s"]).expect(0);
    let warned = "Warning: the API server does not answer well and is asked again: ";
    assert!(ran.stderr.contains(warned), "{}", ran.text());
    crate::scene::wait_all_on(&ns, &b, 3);
}

#[test]
fn b03_taking_back_the_cordon_is_tried_again() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b03u");
    let [a] = ns.nodes(["a"]);
    ns.statefulset("db", 1, &Shape::new().prefers(&a));
    ns.pdb("db", json!({"minAvailable": 1}));
    ns.wait_pods_ready(1);
    // The first merge patch is the cordon.
    static PATCHES: AtomicUsize = AtomicUsize::new(0);
    let undoing = |head: &str| {
        let line = head.lines().next().unwrap_or_default();
        let node = line.starts_with("PATCH /api/v1/nodes/") && !line.contains("/status");
        let patch = node && head.contains("application/merge-patch+json");
        patch && PATCHES.fetch_add(1, Ordering::Relaxed) > 0
    };
    // Once: at a deadline the way back has 700 ms, and the pauses before a second and a third try may be longer together.
    let gate = Gate::before(cluster, 1, undoing, "503 Service Unavailable", "text/plain", "busy");
    let args = [a.as_str(), "--on-blocked=wait", "--uncordon-on-abort", "--timeout=3s"];
    let ran = gate.run(&args).expect(5);
    assert!(ran.stdout.contains(&format!("node/{a} uncordoned\n")), "{}", ran.text());
    assert_eq!(gate.turned_away(), 1);
    assert!(!is_cordoned(cluster, &a) && !is_locked(cluster, &a));
}

/// Once, and whatever the run is for.
#[test]
fn a_server_that_was_not_tested_is_named_once() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("untested");
    let [a] = ns.nodes(["a"]);
    let version = r#"{"major": "1", "minor": "20+", "gitVersion": "v1.20.7-eks-1"}"#;
    let asks = |head: &str| head.starts_with("GET /version ");
    let gate = Gate::before(cluster, usize::MAX, asks, "200 OK", "application/json", version);
    for args in [&["--dry-run=client"][..], &[], &["--uncordon"]] {
        let ran = gate.run(&[&[a.as_str()], args].concat()).expect(0);
        let named = "Warning: the server is Kubernetes v1.20.7-eks-1; kubectl-evacuate is tested with 1.";
        assert_eq!(ran.stderr.matches(named).count(), 1, "{}", ran.text());
    }
    let ran = crate::kit::run(crate::kit::command(cluster, &[&a, "--dry-run=client"])).expect(0);
    ran.says_nothing_of("is tested with");
}
