//! Servers that die, connections that break, and the tool itself killed: a run goes on, or a second one ends its work.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::json;
use testsupport::{Cluster, Live, Ns, Options, Shape};

use crate::{
    kit::{command, command_with, evacuate},
    scene::{evictions, is_cordoned, is_locked, living, text},
};

/// A control plane that may be broken, for one test at a time.
fn alone() -> (&'static Cluster, MutexGuard<'static, ()>) {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (CLUSTER.get_or_init(|| Cluster::start(Options::default())), turn)
}

/// Name and UID of the living pods of a node.
fn on(ns: &Ns<'_>, node: &str) -> BTreeMap<String, String> {
    let living = living(ns);
    let here = ns.pods_on(node);
    living.into_iter().filter(|(name, _)| here.contains(name)).collect()
}

#[test]
fn fault_the_api_server_is_killed_and_comes_back() {
    let (cluster, _turn) = alone();
    let ns = cluster.namespace("restart");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 6, &Shape::new().prefers(&a).stops_in("2s"));
    ns.replicaset("other", 2, &Shape::new().only(&b));
    ns.pdb("web", json!({"maxUnavailable": 3}));
    ns.wait_pods_ready(8);
    let others = on(&ns, &b);
    let mark = cluster.audit().mark();
    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for("evicting pod restart/web-0");
    cluster.apiserver().kill();
    live.wait_for("Warning: the API server does not answer well and is asked again: ");
    std::thread::sleep(Duration::from_secs(1));
    assert!(live.is_running(), "{}", live.said());
    cluster.apiserver().restart();
    let ran = live.finish().expect(0);
    assert_eq!(ns.pods_on(&a), [""; 0], "{}", ran.text());
    assert!(
        on(&ns, &b)
            .iter()
            .filter(|(name, _)| name.starts_with("other"))
            .eq(others.iter())
    );
    let sent = evictions(&ns, mark);
    let accepted = |codes: &[u16]| codes.iter().filter(|c| **c == 201).count();
    assert!(sent.values().all(|codes| accepted(codes) <= 1), "{sent:?}");
    assert!(is_cordoned(cluster, &a) && !is_locked(cluster, &a));
}

#[test]
fn fault_the_connection_is_away_for_ten_seconds() {
    let (cluster, _turn) = alone();
    let ns = cluster.namespace("away");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 4, &Shape::new().prefers(&a).stops_in("2s"));
    ns.pdb("web", json!({"maxUnavailable": 2}));
    ns.wait_pods_ready(4);
    let mark = cluster.audit().mark();
    let link = cluster.link();
    let mut live = Live::start(command_with(cluster, link.kubeconfig(), &[&a]));
    live.wait_for("evicting pod away/web-0");
    link.cut();
    std::thread::sleep(Duration::from_secs(10));
    assert!(live.is_running(), "{}", live.said());
    link.heal();
    let ran = live.finish().expect(0);
    assert_eq!(ran.stderr.matches("does not answer well").count(), 1, "{}", ran.text());
    let sent = evictions(&ns, mark);
    let again = |codes: &Vec<u16>| codes.iter().rev().skip(1).any(|code| *code == 201);
    assert!(sent.len() == 4 && !sent.values().any(again), "{sent:?}");
    assert_eq!(ns.pods_on(&a), [""; 0]);

    // Silence instead of an end: answers that are late are answers.
    crate::scene::cordon(cluster, &a, false);
    let mut live = Live::start(command_with(cluster, link.kubeconfig(), &[&b]));
    live.wait_for("evicting pod away/web-0");
    link.stall();
    std::thread::sleep(Duration::from_secs(5));
    assert!(live.is_running(), "{}", live.said());
    link.heal();
    live.finish().expect(0);
    assert_eq!(ns.pods_on(&b), [""; 0]);
}

#[test]
fn fault_budgets_that_nobody_counts_are_waited_for() {
    let (cluster, _turn) = alone();
    let ns = cluster.namespace("uncounted");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 3, &Shape::new().prefers(&a));
    ns.pdb("web", json!({"maxUnavailable": 1}));
    ns.wait_pods_ready(3);
    ns.wait_pdb_allows("web", 1);
    cluster.controller_manager().kill();
    let mark = cluster.audit().mark();
    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for(" evicted");
    std::thread::sleep(Duration::from_secs(5));
    assert!(live.is_running(), "{}", live.said());
    let sent = evictions(&ns, mark);
    assert_eq!(
        sent.values().flatten().filter(|code| **code == 201).count(),
        1,
        "{sent:?}"
    );
    cluster.controller_manager().restart();
    let ran = live.finish().expect(0);
    assert_eq!(ns.pods_on(&a), [""; 0], "{}", ran.text());
}

/// Nobody has looked at the budget since it was changed: the server says when to ask again.
#[test]
fn b05_a_retry_after_is_honoured_and_shown() {
    let (cluster, _turn) = alone();
    let ns = cluster.namespace("b05");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 2, &Shape::new().prefers(&a));
    ns.pdb("web", json!({"maxUnavailable": 1}));
    ns.wait_pods_ready(2);
    cluster.controller_manager().kill();
    ns.patch(
        "policy/v1/PodDisruptionBudget",
        "web",
        json!({"spec": {"maxUnavailable": 2}}),
    );
    let mark = cluster.audit().mark();
    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for(
        "Warning: budget b05/web blocks the eviction of b05/web-0: the disruption controller has not looked at its latest \
         change yet",
    );
    live.wait_for(" (the server asks to wait 10s)");
    cluster.controller_manager().restart();
    let ran = live.finish().expect(0);
    let mut times: Vec<(k8s_openapi::jiff::Timestamp, u16)> = crate::scene::asked(&ns, mark)
        .iter()
        .filter(|r| r.subresource == "eviction")
        .map(|r| (r.received.parse().unwrap(), r.code))
        .collect();
    times.sort();
    let codes: Vec<u16> = times.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, [429, 201, 201], "{}", ran.text());
    let pause = times[1].0.duration_since(times[0].0).as_secs_f64();
    assert!((9.9..12.0).contains(&pause), "{pause} s");
}

#[test]
fn fault_a_killed_run_is_ended_by_a_second_one() {
    let cluster = Cluster::shared();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = std::env::var("UPKEEP_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(now.subsec_nanos());
    // Past the capture of the test harness: a green run names its seed too.
    writeln!(std::io::stderr(), "kill -9 at random moments, UPKEEP_SEED={seed}").unwrap();
    let mut state = u64::from(seed) | 1;
    let mut moments = [0_u64; 10];
    for moment in &mut moments {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *moment = state % 2_500;
    }
    std::thread::scope(|scope| {
        for some in moments.chunks(4) {
            let runs: Vec<_> = some
                .iter()
                .map(|moment| scope.spawn(|| killed_after(cluster, *moment)))
                .collect();
            runs.into_iter().for_each(|run| run.join().unwrap());
        }
    });
}

fn killed_after(cluster: &Cluster, milliseconds: u64) {
    let ns = cluster.namespace(&format!("killed-{milliseconds}"));
    let [a, b] = ns.nodes(["a", "b"]);
    ns.replicaset("web", 6, &Shape::new().prefers(&a).stops_in("1s"));
    ns.replicaset("other", 2, &Shape::new().only(&b));
    // An eviction that is cut off counts for two minutes all the same; this budget can bear that.
    ns.pdb("web", json!({"maxUnavailable": "100%"}));
    ns.wait_pods_ready(8);
    ns.wait_pdb_allows("web", 6);
    let others = on(&ns, &b);
    assert_eq!(others.len(), 2);

    let first = Live::start(command(cluster, &[&a]));
    std::thread::sleep(Duration::from_millis(milliseconds));
    drop(first);
    let moved = on(&ns, &b);
    let second = evacuate(cluster, &[&a]).expect(0);
    assert_eq!(ns.pods_on(&a), [""; 0], "{milliseconds} ms: {}", second.text());
    let after = on(&ns, &b);
    for (name, uid) in others.iter().chain(&moved) {
        assert_eq!(
            after.get(name),
            Some(uid),
            "{milliseconds} ms: {name} was not on the node\n{}",
            second.text()
        );
    }
    let ready = ns.wait_pods_ready(8);
    assert!(ready.iter().all(|p| text(&p["spec"]["nodeName"]) == b));
    assert!(
        is_cordoned(cluster, &a) && !is_locked(cluster, &a),
        "{milliseconds} ms: {}",
        second.text()
    );
}
