//! Before the first pod moves: the cordon, refusals, and who holds the node.

use std::time::Duration;

use serde_json::json;
use testsupport::{Cluster, Live, Shape, wait_for};

use crate::{
    kit::{command, command_with, evacuate, run},
    scene::{asked, cordon, is_cordoned, is_locked, lift, living, policy, rights, writes},
};

#[test]
fn b01_without_the_right_to_cordon_nothing_is_evicted() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b01");
    let [a] = ns.nodes(["a"]);
    ns.replicaset("web", 1, &Shape::new());
    ns.wait_pods_ready(1);
    let config = cluster.user_kubeconfig("b01", &rights(&["patch nodes"]));
    let (before, mark) = (living(&ns), cluster.audit().mark());
    let ran = run(command_with(cluster, &config, &[&a])).expect(1);
    insta::assert_snapshot!(ran.text(), @r#"
        --- stderr
        error: you may not do what this needs with the user "b01" of the kubeconfig; nothing was changed
          cause: missing: patch nodes (node b01-a)
          hint: ask for these rights (docs/rbac has ClusterRoles with all that evacuate needs), or see what you have with 'kubectl auth can-i --list'
        --- exit Some(1)
        "#);
    assert_eq!(writes(&ns, mark), [""; 0]);
    assert_eq!((living(&ns), is_cordoned(cluster, &a)), (before, false));
}

#[test]
fn b01_a_denied_cordon_ends_the_run_and_the_others_are_taken_back() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b01p");
    let [a, b, c] = ns.nodes(["a", "b", "c"]);
    ns.replicaset("web", 2, &Shape::new());
    ns.wait_pods_ready(2);
    let concerns = format!("request.name == '{b}'");
    let expression = "!(has(object.spec.unschedulable) && object.spec.unschedulable)";
    policy(cluster, "b01-no-cordons", "UPDATE", "nodes", &concerns, expression);
    wait_for("the policy", testsupport::DEFAULT_TIMEOUT, || {
        let ran = evacuate(cluster, &[&b, "--dry-run=server"]);
        (ran.code == Some(1)).then_some(())
    });
    let (before, mark) = (living(&ns), cluster.audit().mark());
    let ran = evacuate(cluster, &[&a, &b, &c]).expect(1);
    lift(cluster, "b01-no-cordons");
    let said = "error: unable to drain node \"b01p-b\": it could not be cordoned: nodes \"b01p-b\" is forbidden: \
                ValidatingAdmissionPolicy 'b01-no-cordons' with binding 'b01-no-cordons' denied request: \
                b01-no-cordons says no";
    ran.says_line(said).says_nothing_of("evict");
    assert!(
        writes(&ns, mark).iter().all(|w| w.starts_with("patch /api/v1/nodes/")),
        "{:?}",
        writes(&ns, mark)
    );
    assert_eq!(living(&ns), before);
    for node in [&a, &b, &c] {
        assert!(
            !is_cordoned(cluster, node) && !is_locked(cluster, node),
            "{node}\n{}",
            ran.text()
        );
    }
}

#[test]
fn b19_a_refused_preflight_writes_nothing() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b19");
    let [a] = ns.nodes(["a"]);
    ns.pod("bare", &Shape::new());
    ns.statefulset("data", 1, &Shape::new().empty_dir());
    ns.statefulset("web", 1, &Shape::new());
    ns.pdb("web", json!({"maxUnavailable": 0}));
    ns.wait_pods_ready(3);
    let (before, mark) = (living(&ns), cluster.audit().mark());
    let ran = evacuate(cluster, &[&a]).expect(3);
    insta::assert_snapshot!(ran.text(), @r#"
        --- stderr
        error: refused to evacuate b19-a; nothing was changed
          cause: cannot delete Pods with local storage (use --delete-emptydir-data to override): b19/data-0
          cause: cannot delete Pods that declare no controller (use --force to override): b19/bare
          cause: budget b19/web (maxUnavailable 0) can never allow the eviction of this pod: maxUnavailable 0 allows no eviction at all (b19/web-0)
          hint: change the budget, or say what to do with --on-blocked=wait or --on-blocked=delete-after=DURATION
        --- exit Some(3)
        "#);
    assert_eq!(writes(&ns, mark), [""; 0]);
    assert_eq!(
        (living(&ns), is_cordoned(cluster, &a), is_locked(cluster, &a)),
        (before, false, false)
    );
}

#[test]
fn b26_a_second_run_refuses_while_the_first_is_alive_and_takes_over_when_it_is_dead() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b26");
    let [a, b, c] = ns.nodes(["a", "b", "c"]);
    ns.pod("slow", &Shape::new().on(&a).never_stops());
    ns.wait_pods_ready(1);
    let mut first = Live::start(command(cluster, &[&a, "--force"]));
    first.wait_for("evicting pod b26/slow");

    let second = evacuate(cluster, &[&b, &a, &c, "--force"]).expect(3);
    let said = "cause: node/b26-a: ";
    let line = second
        .stderr
        .lines()
        .find(|l| l.contains(said))
        .unwrap_or_else(|| panic!("{}", second.text()));
    assert!(line.contains(&format!(", pid {}, since ", first.pid())), "{line}");
    assert!(
        line.contains(" is at work on it; if that run has died, it can be taken over in "),
        "{line}"
    );
    second.says_nothing_of("evict");
    assert!(is_cordoned(cluster, &a) && is_locked(cluster, &a));
    for node in [&b, &c] {
        assert!(
            !is_cordoned(cluster, node) && !is_locked(cluster, node),
            "{node}\n{}",
            second.text()
        );
    }

    first.signal("KILL");
    let pid = first.pid();
    first.finish();
    assert!(is_locked(cluster, &a), "a killed run cannot give its node back");
    let mut third = Live::start(command(cluster, &[&a, "--force"]));
    third.wait_for("Warning: node/b26-a: taking over from ");
    third.wait_for("node/b26-a already cordoned");
    assert!(third.said().contains(&format!(", pid {pid}, ")) && third.said().contains(", which has ended"));
    cluster.delete_with(
        "v1/Pod",
        ns.name(),
        "slow",
        &kube::api::DeleteParams::default().grace_period(0),
    );
    third.finish().expect(0);
    assert!(is_cordoned(cluster, &a) && !is_locked(cluster, &a));
}

#[test]
fn b27_a_node_that_someone_uncordons_is_left_alone() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b27");
    let [a] = ns.nodes(["a"]);
    ns.statefulset("slow", 1, &Shape::new().never_stops().grace(60));
    ns.wait_pods_ready(1);
    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for("evicting pod b27/slow-0");
    cordon(cluster, &a, false);
    let ran = live.finish().expect(4);
    ran.says_line("error: unable to drain node \"b27-a\": it was uncordoned by someone else");
    assert!(!is_cordoned(cluster, &a) && !is_locked(cluster, &a), "{}", ran.text());
}

/// Between the check and the cordon the scheduler may bind a pod that would have been refused.
#[test]
fn b32_a_pod_that_arrives_between_check_and_cordon_forbids_the_work() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b32");
    let [a] = ns.nodes(["a"]);
    ns.replicaset("web", 1, &Shape::new());
    ns.wait_pods_ready(1);
    let link = cluster.link();
    link.delay(Duration::from_millis(400));
    let mark = cluster.audit().mark();
    let live = Live::start(command_with(cluster, link.kubeconfig(), &[&a]));
    // The node and all pods are read at the same time, and the answers are on their way for a while.
    wait_for("the check", testsupport::DEFAULT_TIMEOUT, || {
        let asked = asked(&ns, mark);
        asked.iter().any(|r| r.verb == "get" && r.name == a).then_some(())
    });
    std::thread::sleep(Duration::from_millis(100));
    ns.pod("late", &Shape::new().on(&a));
    let ran = live.finish().expect(3);
    ran.says_line(
        "error: unable to drain node \"b32-a\": pod b32/late arrived meanwhile and it is among the Pods that declare no \
         controller (use --force to override)",
    );
    ran.says_nothing_of("evicting").says_nothing_of("stays cordoned");
    assert_eq!(
        ran.stdout,
        "node/b32-a cordoned\nnode/b32-a uncordoned\n",
        "{}",
        ran.text()
    );
    assert!(!is_cordoned(cluster, &a) && !is_locked(cluster, &a));
}
