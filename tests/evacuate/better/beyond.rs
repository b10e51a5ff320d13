//! What drain does not have: waiting for replacements and volumes, several nodes at once, few rights.

use std::time::Duration;

use serde_json::{Value, json};
use testsupport::{Cluster, Live, Shape};

use crate::{
    kit::{command, command_with, evacuate, run},
    scene::{asked, evictions, filters, is_cordoned, living, rights, sorted},
    volumes::{Attachment, attaching, with_volume},
};

#[test]
fn b28_replacements_are_waited_for() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b28");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.replicaset("web", 2, &Shape::new().prefers(&a).ready_after("3s"));
    ns.wait_pods_ready(2);
    let ran = evacuate(cluster, &[&a, "--wait-replacements=30s"]).expect(0);
    assert!(ran.took >= Duration::from_secs(3), "{:?}", ran.took);
    assert_eq!(
        ns.pods().iter().filter(|p| is_ready(p)).count(),
        2,
        "at its end they are Ready: {}",
        ran.text()
    );
    insta::with_settings!({filters => filters()}, { insta::assert_snapshot!(ran.stderr, @r#"
        b28-a: drained in TIME; 2 pods gone: 2 to b28-b
        "#); });
}

#[test]
fn b28_replacements_that_do_not_come_end_the_run() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b28x");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 1, &Shape::new().only(&a));
    ns.statefulset("api", 1, &Shape::new().only(&b));
    ns.wait_pods_ready(2);
    let ran = evacuate(cluster, &[&a, &b, "--wait-replacements=2s"]).expect(4);
    ran.says_line("error: node/b28x-a is empty, but replacements are not Ready: 1 of StatefulSet b28x/web");
    assert!(
        ran.stderr.contains("\nb28x-a: drained, but not replaced in "),
        "{}",
        ran.text()
    );
    ran.says_line("error: unable to drain node \"b28x-b\": not begun: replacements of an earlier node are missing");
    let warned = ran.stderr.lines().any(|l| {
        l.starts_with("Warning: no other node can take the successors of these pods: ")
            && l.ends_with(" (b28x/api-0, b28x/web-0)")
    });
    assert!(warned, "{}", ran.text());
    assert_eq!(ns.pods_on(&b), ["api-0"]);
    assert!(is_cordoned(cluster, &a) && is_cordoned(cluster, &b));
}

#[test]
fn b29_volumes_are_waited_for_until_they_are_detached() {
    let ns = Cluster::shared().namespace("b29");
    let [a, _b] = attaching(&ns, ["a", "b"]);
    let pod = with_volume(&ns, &a);
    let attachment = Attachment::held(&ns, &a);
    let ran = evacuate(ns.cluster(), &[&a, "--timeout=5s"]).expect(5);
    assert!(ran.stdout.ends_with(&format!("pod/{pod} evicted\n")), "{}", ran.text());
    assert!(ran.stderr.contains("; volumes still attached: b29\n"), "{}", ran.text());
    attachment.let_go();
    attachment.wait_gone();
}

#[test]
fn b29_a_run_goes_on_when_the_volume_is_off_and_need_not_wait() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b29g");
    let [a, b] = attaching(&ns, ["a", "b"]);
    with_volume(&ns, &a);
    let attachment = Attachment::held(&ns, &a);
    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for(" evicted");
    std::thread::sleep(Duration::from_secs(2));
    assert!(live.is_running(), "{}", live.said());
    attachment.let_go();
    let ran = live.finish().expect(0);
    assert!(ran.stdout.ends_with("node/b29g-a drained\n"), "{}", ran.text());

    let attachment = Attachment::held(&ns, &b);
    crate::scene::cordon(cluster, &a, false);
    evacuate(cluster, &[&b, "--wait-detach=false", "--timeout=20s"]).expect(0);
    attachment.let_go();
}

#[test]
fn b30_several_nodes_share_a_budget_and_pods_move_once() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b30");
    let [a, b, c] = ns.nodes(["a", "b", "c"]);
    let [d] = ns.nodes(["d"]);
    crate::scene::cordon(cluster, &d, true);
    ns.replicaset(
        "web",
        9,
        &Shape::new().stops_in("1s").spec(json!({"topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "web"}},
        }]})),
    );
    ns.pdb("web", json!({"maxUnavailable": 3}));
    let before = ns.wait_pods_ready(9);
    for node in [&a, &b, &c] {
        assert!(!ns.pods_on(node).is_empty(), "{node} has pods");
    }
    ns.wait_pdb_allows("web", 3);
    crate::scene::cordon(cluster, &d, false);
    let mark = cluster.audit().mark();
    let mut least = 9;
    let mut live = Live::start(command(cluster, &[&a, &b, &c, "--parallel=3"]));
    while live.is_running() {
        let pods = ns.pods();
        let ready = pods
            .iter()
            .filter(|p| is_ready(p) && p["metadata"]["deletionTimestamp"].is_null());
        least = least.min(ready.count());
        std::thread::sleep(Duration::from_millis(50));
    }
    let ran = live.finish().expect(0);
    assert!(least >= 6, "the budget holds: {least}");
    // Each pod was asked for by its name, and no replacement had to move again.
    let sent = evictions(&ns, mark);
    let moved: Vec<String> = before
        .iter()
        .map(|p| crate::scene::text(&p["metadata"]["name"]))
        .collect();
    assert!(
        sent.keys().all(|name| moved.contains(name)) && sent.len() == 9,
        "{sent:?}\n{}",
        ran.text()
    );
    let refused = sent.values().flatten().filter(|code| **code != 201).count();
    assert!(refused <= 3, "{sent:?}");
    crate::scene::wait_all_on(&ns, &d, 9);
}

#[test]
fn b31_rights_that_are_only_nice_to_have_are_named_and_not_needed() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b31");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 2, &Shape::new().prefers(&a).stops_in("1s"));
    ns.wait_pods_ready(2);
    let only = ["get nodes", "patch nodes", "list pods", "create pods/eviction"];
    let all = [
        "list nodes",
        "watch nodes",
        "watch pods",
        "delete pods",
        "list poddisruptionbudgets.policy",
        "watch poddisruptionbudgets.policy",
        "list daemonsets.apps",
        "list deployments.apps",
        "list replicasets.apps",
        "list statefulsets.apps",
        "list jobs.batch",
        "list replicationcontrollers",
        "list validatingwebhookconfigurations.admissionregistration.k8s.io",
        "list mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "list persistentvolumeclaims",
        "list persistentvolumes",
        "list volumeattachments.storage.k8s.io",
        "watch volumeattachments.storage.k8s.io",
        "patch nodes/status",
        "create events",
        "get leases.coordination.k8s.io",
        "list leases.coordination.k8s.io",
        "create leases.coordination.k8s.io",
        "patch leases.coordination.k8s.io",
        "delete leases.coordination.k8s.io",
    ];
    assert_eq!(rights(&all).len(), only.len());
    let config = cluster.user_kubeconfig("b31", &rights(&all));
    let mark = cluster.audit().mark();
    let ran = run(command_with(cluster, &config, &[&a])).expect(0);
    insta::with_settings!({filters => filters()}, { insta::assert_snapshot!(sorted(&ran.stderr).join("\n"), @r#"
        Warning: cannot list daemonsets.apps, so every DaemonSet is taken to exist: not allowed
        Warning: cannot list jobs.batch, replicasets.apps, replicationcontrollers, statefulsets.apps, so their pods are taken to come back: not allowed
        Warning: cannot list nodes, so it is not known whether the pods fit elsewhere: not allowed
        Warning: cannot list poddisruptionbudgets.policy, so budgets are known only from the server's answers: not allowed
        Warning: cannot list validatingwebhookconfigurations.admissionregistration.k8s.io, so webhooks on evictions are not checked: not allowed
        Warning: cannot watch nodes, so it is not noticed when someone uncordons or deletes one
        Warning: cannot watch pods, so the node is listed every 2s instead
        Warning: no Events are made: not allowed
        Warning: the conditions DrainInProgress and Drained of nodes are not set: not allowed
        Warning: two runs at once are kept apart only by an annotation, which the node itself can write: no Lease can be written in namespace kube-public (not allowed); the Role kubectl-evacuate-lock gives the right
        b31-a: drained in TIME; 2 pods gone: 2 to b31-b
        "#); });
    let sent = evictions(&ns, mark);
    assert_eq!(sent.values().flatten().collect::<Vec<_>>(), [&201, &201], "{sent:?}");
    let lists = cluster.audit().since(mark, crate::scene::AGENT).into_iter();
    let lists = lists
        .filter(|r| r.user == "b31" && r.verb == "list" && r.uri.contains("nodeName%3Db31-a"))
        .count();
    assert!((2..=10).contains(&lists), "{lists} lists instead of a watch");
    assert!(asked(&ns, mark).iter().all(|r| r.verb != "delete"));
    assert_eq!(ns.pods_on(&a), [""; 0]);
}

#[test]
fn b31_a_watch_that_is_not_allowed_is_replaced_by_lists() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b31w");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 1, &Shape::new().prefers(&a).stops_in("1s"));
    ns.wait_pods_ready(1);
    let config = cluster.user_kubeconfig("b31w", &rights(&["watch pods", "list replicasets.apps"]));
    let ran = run(command_with(cluster, &config, &[&a])).expect(0);
    insta::with_settings!({filters => filters()}, { insta::assert_snapshot!(ran.stderr, @r#"
        Warning: cannot list replicasets.apps, so their pods are taken to come back: not allowed
        Warning: cannot watch pods, so the node is listed every 2s instead
        b31w-a: drained in TIME; 1 pod gone: 1 to b31w-b
        "#); });
    assert!(living(&ns).contains_key("web-0"));
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|c| c["type"] == "Ready" && c["status"] == "True")
}
