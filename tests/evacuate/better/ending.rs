//! How a run ends: the deadline, signals, exit codes.

use std::time::Duration;

use testsupport::{Cluster, Live, Shape};

use crate::{
    kit::{command, command_with, evacuate},
    scene::{cordon, evictions, filters, is_cordoned, is_locked, living},
};

#[test]
fn b12_the_deadline_is_exact_and_one_for_all_nodes() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b12");
    let [a, b, c] = ns.nodes(["a", "b", "c"]);
    ns.pod("first", &Shape::new().on(&a).stops_in("2s"));
    ns.pod("second", &Shape::new().on(&b).never_stops());
    ns.pod("third", &Shape::new().on(&c).never_stops());
    ns.wait_pods_ready(3);
    let ran = evacuate(cluster, &[&a, &b, &c, "--force", "--timeout=4s", "-o", "json"]).expect(5);
    let took = ran.took.as_secs_f64();
    assert!((4.0..5.0).contains(&took), "{took} s: {}", ran.text());
    let document = ran.json();
    let states: Vec<_> = document["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| (&n["name"], &n["state"]))
        .collect();
    let expected = [("b12-a", "Drained"), ("b12-b", "Draining"), ("b12-c", "Queued")];
    assert_eq!(
        states,
        expected
            .map(|(n, s)| (n.into(), s.into()))
            .iter()
            .map(|(n, s)| (n, s))
            .collect::<Vec<_>>()
    );
    // What was not begun is not taken for empty.
    assert_eq!(document["nodes"][2]["left"], 1);
    let left: Vec<_> = document["remaining"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| &pod["name"])
        .collect();
    assert_eq!(left, ["second", "third"]);
    assert!(
        ran.stderr.contains("b12-c: not begun; 0 pods gone; 1 pod left"),
        "{}",
        ran.text()
    );
    let seconds = document["seconds"].as_f64().unwrap();
    assert!((4.0..4.5).contains(&seconds), "{seconds}");
    assert_eq!(
        (document["outcome"].as_str(), document["exitCode"].as_u64()),
        (Some("deadline"), Some(5))
    );
}

#[test]
fn b12_the_deadline_holds_while_the_server_is_silent() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b12s");
    let [a] = ns.nodes(["a"]);
    ns.pod("slow", &Shape::new().on(&a).never_stops());
    ns.wait_pods_ready(1);
    let link = cluster.link();
    let mut live = Live::start(command_with(
        cluster,
        link.kubeconfig(),
        &[&a, "--force", "--timeout=4s"],
    ));
    live.wait_for("evicting pod b12s/slow");
    link.stall();
    let ran = live.finish().expect(5);
    // Answers are waited for a little, and giving the node back is tried for a second.
    assert!(
        (4.0..6.5).contains(&ran.took.as_secs_f64()),
        "{:?}: {}",
        ran.took,
        ran.text()
    );
    let link = cluster.link();
    link.stall();
    let ran = crate::kit::run(command_with(
        cluster,
        link.kubeconfig(),
        &[&a, "--force", "--timeout=2s"],
    ))
    .expect(5);
    assert!((2.0..3.0).contains(&ran.took.as_secs_f64()), "{:?}", ran.took);
    ran.says_line("error: the time of --timeout was up before the cluster had been read; nothing was changed");
}

#[test]
fn b13_ctrl_c_says_what_is_done_and_what_is_not() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b13");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("fast", 1, &Shape::new().prefers(&a));
    ns.statefulset("slow", 1, &Shape::new().prefers(&a).never_stops().grace(600));
    ns.wait_pods_ready(2);
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 143)] {
        let mut live = Live::start(command(cluster, &[&a]));
        live.wait_for("cordoned");
        if signal == "INT" {
            live.wait_for("pod/fast-0 evicted");
        }
        std::thread::sleep(Duration::from_millis(500));
        live.signal(signal);
        if signal == "HUP" && hangup_is_ignored() {
            // Under nohup the plugin does not hear of it, as it should.
            assert!(live.is_running());
            live.signal("TERM");
        }
        let ran = live.finish().expect(code);
        if signal == "INT" {
            insta::with_settings!({filters => filters()}, {
                insta::assert_snapshot!(ran.stderr, @r#"
        b13-a: not drained in TIME; 1 pod gone; 1 pod left
          hint: it stays cordoned; run again to go on, or 'kubectl evacuate b13-a --uncordon' to put it back
        NODE    POD LEFT     STATE         REASON
        b13-a   b13/slow-0   Terminating   TIME of grace left
        error: interrupted
        "#);
            });
        }
        assert!(ran.stderr.ends_with("error: interrupted\n"), "{}", ran.text());
        assert!(is_cordoned(cluster, &a) && !is_locked(cluster, &a), "SIG{signal}");
    }
}

/// Whether these tests were started with SIGHUP ignored, which the plugin inherits.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1
}

/// A client that goes away in the middle of an eviction leaves a budget that counts a pod as gone which is still there.
#[test]
fn b13_ctrl_c_does_not_cut_evictions_off() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b13e");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.replicaset("web", 20, &Shape::new().prefers(&a).stops_in("5s"));
    ns.pdb("web", serde_json::json!({"maxUnavailable": "100%"}));
    ns.wait_pods_ready(20);
    ns.wait_pdb_allows("web", 20);
    let mark = cluster.audit().mark();
    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for("evicting pod");
    live.signal("INT");
    live.finish().expect(130);
    let budget = ns.get("policy/v1/PodDisruptionBudget", "web").unwrap();
    let stays = living(&ns);
    let counted = budget["status"]["disruptedPods"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let cut: Vec<&String> = counted.keys().filter(|name| stays.contains_key(*name)).collect();
    assert!(cut.is_empty(), "{cut:?}");
    let sent = evictions(&ns, mark);
    assert!(
        !sent.is_empty() && sent.values().flatten().all(|code| *code == 201),
        "{sent:?}"
    );
}

#[test]
fn b13_only_the_own_cordon_is_taken_back() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b13u");
    let [a, b, c] = ns.nodes(["a", "b", "c"]);
    cordon(cluster, &b, true);
    for (name, node) in [("one", &a), ("two", &b), ("three", &c)] {
        ns.pod(name, &Shape::new().on(node).never_stops());
    }
    ns.wait_pods_ready(3);
    let mut live = Live::start(command(cluster, &[&a, &b, &c, "--force", "--uncordon-on-abort"]));
    live.wait_for("evicting pod b13u/one");
    // Someone else cordons it anew: then it is theirs.
    cordon(cluster, &c, false);
    cluster.patch(
        "v1/Node",
        "",
        &c,
        serde_json::json!({
            "metadata": {"annotations": {"kubectl-upkeep/cordoned-by": null}}, "spec": {"unschedulable": true},
        }),
    );
    live.signal("INT");
    let ran = live.finish().expect(130);
    assert!(ran.stdout.ends_with("node/b13u-a uncordoned\n"), "{}", ran.text());
    assert_eq!(
        [&a, &b, &c].map(|n| is_cordoned(cluster, n)),
        [false, true, true],
        "{}",
        ran.text()
    );
    assert!(!is_locked(cluster, &a) && !is_locked(cluster, &b), "{}", ran.text());
    // A deadline is an end like that, too.
    evacuate(cluster, &[&a, "--force", "--uncordon-on-abort", "--timeout=2s"]).expect(5);
    assert!(!is_cordoned(cluster, &a) && !is_locked(cluster, &a));
}

#[test]
fn b13_a_second_ctrl_c_leaves_at_once() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b13t");
    let [a] = ns.nodes(["a"]);
    ns.pod("slow", &Shape::new().on(&a).never_stops());
    ns.wait_pods_ready(1);
    let link = cluster.link();
    let args = [a.as_str(), "--force", "--uncordon-on-abort"];
    let mut live = Live::start(command_with(cluster, link.kubeconfig(), &args));
    live.wait_for("evicting pod b13t/slow");
    link.stall();
    live.signal("INT");
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        live.is_running(),
        "the first one waits for the cordon to be taken back: {}",
        live.said()
    );
    live.signal("INT");
    let began = std::time::Instant::now();
    let ran = live.finish().expect(130);
    assert!(
        began.elapsed() < Duration::from_millis(800),
        "{:?}: {}",
        began.elapsed(),
        ran.text()
    );
}

#[test]
fn b14_every_exit_code_means_one_thing() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b14");
    let [a] = ns.nodes(["a"]);
    evacuate(cluster, &[&a]).expect(0);
    evacuate(cluster, &["b14-none"]).expect(1);
    evacuate(cluster, &[&a, "--on-blocked=maybe"]).expect(2);
    cordon(cluster, &a, false);
    ns.pod("slow", &Shape::new().on(&a).never_stops());
    ns.wait_pods_ready(1);
    evacuate(cluster, &[&a]).expect(3);
    let mut live = Live::start(command(cluster, &[&a, "--force"]));
    live.wait_for("evicting pod b14/slow");
    cordon(cluster, &a, false);
    live.finish().expect(4);
    evacuate(cluster, &[&a, "--force", "--timeout=1s"]).expect(5);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut live = Live::start(command(cluster, &[&a, "--force"]));
        live.wait_for("cordoned");
        live.signal(signal);
        live.finish().expect(code);
    }
}

/// A terminal that was stopped (Ctrl-S, a pager) takes nothing any more. The work goes on, and a signal ends the run.
#[test]
fn b13_a_stopped_terminal_does_not_stop_the_run() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b13p");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.replicaset("web", 3, &Shape::new().prefers(&a).stops_in("1s"));
    ns.wait_pods_ready(3);
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let plugin = command(cluster, &[&a]);
    // The pipe is full before the plugin begins to print.
    let script = format!(
        "(head -c 65536 /dev/zero; echo $BASHPID > {}; exec {} {a} 2>&1) | sleep 60",
        pid.display(),
        plugin.get_program().display()
    );
    let mut shell = std::process::Command::new("bash");
    shell.env_clear().envs(cluster.env()).args(["-c", &script]);
    let mut shell = shell.spawn().unwrap();
    testsupport::wait_for(
        "the node to be empty and given back",
        testsupport::DEFAULT_TIMEOUT,
        || (ns.pods_on(&a).is_empty() && is_cordoned(cluster, &a) && !is_locked(cluster, &a)).then_some(()),
    );
    let pid = std::fs::read_to_string(pid).unwrap().trim().to_owned();
    let lives = || std::path::Path::new(&format!("/proc/{pid}/exe")).exists();
    assert!(lives(), "what it has to say is still to be printed");
    let status = std::process::Command::new("sh")
        .args(["-c", &format!("kill -TERM {pid}")])
        .status();
    assert!(status.unwrap().success());
    testsupport::wait_for("the run to end", testsupport::DEFAULT_TIMEOUT, || {
        (!lives()).then_some(())
    });
    shell.kill().unwrap();
    shell.wait().unwrap();
}
