//! Pods that do not simply leave: they arrive late, come back, hang, or only seem to be what they are.

use std::collections::BTreeMap;

use serde_json::json;
use testsupport::{Cluster, Live, Shape, wait_for};

use crate::{
    kit::{command, evacuate},
    scene::{evictions, is_cordoned, sorted, text, would_evict},
};

#[test]
fn b09_a_pod_that_is_bound_after_the_list_goes_too() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b09");
    let [a] = ns.nodes(["a"]);
    ns.pod("early", &Shape::new().stops_in("2s"));
    ns.wait_pods_ready(1);
    let mut live = Live::start(command(cluster, &[&a, "--force"]));
    live.wait_for("evicting pod b09/early");
    ns.pod("late", &Shape::new().on(&a));
    let ran = live.finish().expect(0);
    let expected = [
        "evicting pod b09/early",
        "evicting pod b09/late",
        "node/b09-a cordoned",
        "node/b09-a drained",
        "pod/early evicted",
        "pod/late evicted",
    ];
    assert_eq!(sorted(&ran.stdout), expected, "{}", ran.text());
    assert_eq!(ns.pods_on(&a), [""; 0]);
}

#[test]
fn b09_a_late_pod_that_forbids_the_work_stays_and_the_rest_goes_on() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b09r");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 1, &Shape::new().prefers(&a).stops_in("2s"));
    ns.wait_pods_ready(1);
    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for("evicting pod b09r/web-0");
    ns.pod("bare", &Shape::new().on(&a));
    let ran = live.finish().expect(4);
    ran.says_nothing_of("evicting pod b09r/bare");
    ran.says_line(
        "error: cannot move pod b09r/bare: it is among the Pods that declare no controller (use --force to override)",
    );
    ran.says_line("error: unable to drain node \"b09r-a\": 1 pod remains on it");
    ran.says_line(
        "b09r-a  b09r/bare  Failed  it is among the Pods that declare no controller (use --force to override)",
    );
    assert_eq!(
        (ns.pods_on(&a), ns.pods_on(&b)),
        (vec!["bare".to_owned()], vec!["web-0".to_owned()])
    );
    assert!(is_cordoned(cluster, &a));
}

/// Nobody asks the scheduler where it goes: moving it again would never end.
#[test]
fn b10_a_pod_that_is_pinned_to_the_node_comes_back_and_is_reported() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b10p");
    let [a, _b] = ns.nodes(["a", "b"]);
    // It stops slowly: a replacement that a busy controller makes late still finds the run there.
    ns.replicaset("web", 1, &Shape::new().on(&a).stops_in("5s"));
    ns.wait_pods_ready(1);
    let mark = cluster.audit().mark();
    let ran = evacuate(cluster, &[&a, "--timeout=60s"]).expect(0);
    let warning =
        "came back to node/b10p-a although it is cordoned: it is pinned there by spec.nodeName; it is left there";
    assert!(ran.stderr.contains(warning), "{}", ran.text());
    let asked = crate::scene::evictions(&ns, mark).len();
    // The server's times are whole seconds.
    assert!(asked < 60, "{asked}: {}", ran.text());
}

#[test]
fn b10_a_pod_that_tolerates_the_cordon_comes_back_and_is_reported_once() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b10");
    let [a] = ns.nodes(["a"]);
    ns.replicaset("agent", 3, &Shape::new().tolerates_all().stops_in("5s"));
    let before = ns.wait_pods_ready(3);
    let mark = cluster.audit().mark();
    let ran = evacuate(cluster, &[&a]).expect(0);
    let sent = evictions(&ns, mark);
    let expected: BTreeMap<String, Vec<u16>> = before
        .iter()
        .map(|p| (text(&p["metadata"]["name"]), vec![201]))
        .collect();
    assert_eq!(sent, expected, "each is asked once, and none that came back");
    let returned = "because it tolerates node.kubernetes.io/unschedulable; it is left there";
    for pod in ns.pods_on(&a) {
        let line = format!("Warning: pod b10/{pod} came back to node/b10-a {returned}");
        assert_eq!(ran.stderr.lines().filter(|l| *l == line).count(), 1, "{}", ran.text());
    }
    assert!(ran.stdout.ends_with("node/b10-a drained\n"), "{}", ran.text());
}

#[test]
fn b16_a_daemon_set_of_another_group_is_a_controller_like_any_other() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b16");
    let [a] = ns.nodes(["a"]);
    let owner = |version: &str| {
        let uid = "00000000-0000-0000-0000-000000000001";
        json!({"apiVersion": version, "kind": "DaemonSet", "name": "agents", "uid": uid, "controller": true})
    };
    ns.pod("kruise", &Shape::new().on(&a).owner(owner("apps.kruise.io/v1alpha1")));
    let real = ns.daemonset("real", &Shape::new());
    assert_eq!(real["kind"], "DaemonSet");
    ns.wait_pods_ready(2);
    let ran = evacuate(cluster, &[&a]).expect(0);
    assert_eq!(
        ran.stdout,
        "node/b16-a cordoned\nevicting pod b16/kruise\npod/kruise evicted\nnode/b16-a drained\n"
    );
    let left = ns.pods_on(&a);
    assert!(left.len() == 1 && left[0].starts_with("real-"), "{left:?}");
    ran.says_line(&format!("Warning: ignoring DaemonSet-managed Pods: b16/{}", left[0]));
}

/// As pod-graceful-drain does it: the eviction is accepted as a dry run, and the pod is deleted later.
#[test]
fn b20_accepted_but_not_terminating_yet() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b20");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 1, &Shape::new().prefers(&a));
    ns.wait_pods_ready(1);
    let expression = "[JSONPatch{op: 'add', path: '/deleteOptions/dryRun', value: ['All']}]";
    cluster.apply_value(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "b20"},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/eviction"],
            }]},
            "matchConditions": [{"name": "ours", "expression": "request.namespace == 'b20'"}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
    }));
    cluster.apply_value(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "b20"},
        "spec": {"policyName": "b20"},
    }));
    // Without delete options there is nothing to change, and that is an error: then the policy works.
    wait_for("the policy", testsupport::DEFAULT_TIMEOUT, || {
        would_evict(&ns, "web-0").err()
    });
    let mark = cluster.audit().mark();
    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for("Warning: pod b20/web-0: accepted, but not terminating yet: an admission webhook may hold it back");
    for kind in ["MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"] {
        cluster.delete(&format!("admissionregistration.k8s.io/v1/{kind}"), "", "b20");
    }
    ns.delete("v1/Pod", "web-0");
    let ran = live.finish().expect(0);
    assert_eq!(
        ran.stdout,
        "node/b20-a cordoned\nevicting pod b20/web-0\npod/web-0 evicted\nnode/b20-a drained\n"
    );
    assert_eq!(
        evictions(&ns, mark)["web-0"],
        [201],
        "an accepted eviction is not sent again"
    );
}

#[test]
fn b21_a_finalizer_on_a_pod_is_named() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b21");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset(
        "web",
        1,
        &Shape::new().prefers(&a).finalizer("example.com/hold").grace(1),
    );
    ns.wait_pods_ready(1);
    let ran = evacuate(cluster, &[&a, "--timeout=5s"]).expect(5);
    ran.says_line("b21-a  b21/web-0  Terminating  finalizer example.com/hold (owner unknown)");
    let ran = evacuate(cluster, &[&a, "--timeout=1s", "-o", "json"]).expect(5);
    assert_eq!(
        ran.json()["remaining"][0]["reason"],
        "finalizer example.com/hold (owner unknown)",
        "{}",
        ran.text()
    );
    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for("node/b21-a already cordoned");
    ns.patch("v1/Pod", "web-0", json!({"metadata": {"finalizers": null}}));
    live.finish().expect(0);
}
