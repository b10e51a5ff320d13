//! P6 to P10: which pods go, and when.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Request, Shape, wait_for};

use crate::place::Place;

/// When the server was asked to evict each pod, and when the kubelet deleted it. Times are of one clock and sort as text.
fn times(place: &Place, mark: testsupport::Mark) -> Vec<(String, &'static str)> {
    let of = |requests: Vec<Request>, word: &'static str| {
        let ours = requests
            .into_iter()
            .filter(|r| r.namespace == place.ns.name() && r.resource == "pods");
        let ours = ours
            .filter(move |r| (r.subresource == "eviction") == (word == "asked") && r.verb != "patch" && r.is_write());
        ours.map(|r| (r.received, r.name, word)).collect::<Vec<_>>()
    };
    let audit = place.cluster().audit();
    let mut all = of(audit.since(mark, "kubectl-evacuate"), "asked");
    let kwok = audit
        .since(mark, "kwok")
        .into_iter()
        .filter(|r| r.verb == "delete")
        .collect();
    all.extend(of(kwok, "gone"));
    all.sort();
    all.into_iter().map(|(_, name, word)| (name, word)).collect()
}

/// Asserts that all pods of one tier are gone before the first of the next is asked.
#[track_caller]
fn assert_tiers(times: &[(String, &'static str)], tiers: &[&[&str]]) {
    let mut expected = Vec::new();
    for tier in tiers {
        for word in ["asked", "gone"] {
            expected.extend(tier.iter().map(|pod| ((*pod).to_owned(), word)));
        }
    }
    // Within a tier all are asked at once, so their order is left to chance.
    let mut seen = times.to_vec();
    let mut from = 0;
    for tier in tiers {
        for _ in 0..2 {
            let until = (from + tier.len()).min(seen.len());
            seen[from..until].sort();
            from = until;
        }
    }
    assert_eq!(seen, expected, "{times:#?}");
}

#[test]
fn p06_the_next_tier_goes_when_the_previous_is_gone() {
    let place = Place::new("p06");
    for (name, value) in [("p06-high", 1_000), ("p06-low", -5)] {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value});
        place.cluster().apply_value(class);
    }
    let shape = Shape::new().prefers(&place.node).stops_in("1s");
    place
        .ns
        .statefulset("high", 2, &shape.clone().priority_class("p06-high"));
    place.ns.statefulset("low", 2, &shape.clone().priority_class("p06-low"));
    place.ns.statefulset("usual", 2, &shape);
    place.ns.wait_pods_ready(6);
    let mark = place.cluster().audit().mark();
    let ran = place.evacuate(&["--order=priority"]).expect(0);
    let tiers: [&[&str]; 3] = [&["low-0", "low-1"], &["usual-0", "usual-1"], &["high-0", "high-1"]];
    assert_tiers(&times(&place, mark), &tiers);
    let going = ran.stdout.lines().filter_map(|l| l.strip_prefix("evicting pod p06/"));
    assert_eq!(going.collect::<Vec<_>>(), tiers.concat(), "{}", ran.text());
    for class in ["p06-high", "p06-low"] {
        place.cluster().delete("scheduling.k8s.io/v1/PriorityClass", "", class);
    }
}

#[test]
fn p07_critical_pods_go_last() {
    let place = Place::new("p07");
    let shape = Shape::new().prefers(&place.node).stops_in("1s");
    place
        .ns
        .statefulset("dns", 1, &shape.clone().priority_class("system-cluster-critical"));
    place
        .ns
        .statefulset("net", 1, &shape.clone().priority_class("system-node-critical"));
    place.ns.statefulset("web", 1, &shape);
    place.ns.wait_pods_ready(3);
    let mark = place.cluster().audit().mark();
    place.evacuate(&["--order=priority"]).expect(0);
    assert_tiers(&times(&place, mark), &[&["web-0"], &["dns-0"], &["net-0"]]);

    // Without the flag all are asked at once.
    let place = Place::new("p07-none");
    let shape = Shape::new().prefers(&place.node).stops_in("2s");
    place
        .ns
        .statefulset("dns", 1, &shape.clone().priority_class("system-cluster-critical"));
    place.ns.statefulset("web", 1, &shape);
    place.ns.wait_pods_ready(2);
    let mark = place.cluster().audit().mark();
    place.evacuate(&[]).expect(0);
    assert_tiers(&times(&place, mark), &[&["dns-0", "web-0"]]);
}

/// The API image of a static pod belongs to the kubelet; the API cannot stop it.
#[test]
fn p08_static_pods_are_left_alone() {
    let place = Place::new("p08");
    let shape = Shape::new()
        .on(&place.node)
        .empty_dir()
        .annotation("kubernetes.io/config.mirror", "abc");
    place.ns.pod("etcd-a", &shape);
    place.ns.wait_pods_ready(1);
    let ran = place.evacuate(&[]).expect(0);
    assert_run!(ran, @r#"
    node/p08-a cordoned
    node/p08-a drained
    --- stderr
    p08-a: drained in TIME; 0 pods gone
    --- exit Some(0)
    "#);
    assert_eq!(place.moves(), Vec::<String>::new());
    assert_eq!(place.ns.pods_on(&place.node), ["etcd-a"]);
}

/// A budget holds the pod back; it is deleted meanwhile and comes back elsewhere under its name. That one stays.
#[test]
fn p09_new_pod_with_the_old_name_stays() {
    let place = Place::new("p09");
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    place.ns.pdb("db", json!({"minAvailable": 1}));
    let mut run = place.start(&["--on-blocked=wait"]);
    run.wait_for("evicting pod p09/db-0");
    place.ns.delete("v1/Pod", "db-0");
    let ran = run.finish().expect(0);
    let fresh = wait_for("the pod to be back", DEFAULT_TIMEOUT, || {
        place
            .ns
            .get("v1/Pod", "db-0")
            .filter(|p| p["spec"]["nodeName"] == *place.other)
    });
    assert_eq!(fresh["metadata"]["deletionTimestamp"], Value::Null);
    // What was asked before was refused. News of the budget make the run ask again at once, which the server allows while the
    // old pod is Terminating, and answers with 404 when it has left.
    let moves = place.moves();
    let of_the_old = |m: &String| ["evict db-0 429", "evict db-0 404", "evict db-0 201"].contains(&m.as_str());
    assert!(moves.iter().all(of_the_old), "{moves:?}");
    assert!(ran.stdout.ends_with("node/p09-a drained\n"), "{}", ran.text());
}

/// A pod that hangs in Terminating ends a run only where that was asked for.
#[test]
fn p10_stuck_pod_is_passed_over_on_request() {
    let place = Place::new("p10");
    place.ns.statefulset(
        "db",
        1,
        &Shape::new()
            .prefers(&place.node)
            .finalizer("example.com/stuck")
            .grace(1),
    );
    place.ns.wait_pods_ready(1);
    place.ns.delete("v1/Pod", "db-0");
    let ran = place.evacuate(&["--timeout=4s"]).expect(5);
    assert_run!(ran, @r#"
    node/p10-a cordoned
    --- stderr
    Warning: 1 pod has finalizer example.com/stuck (owner unknown): p10/db-0
      hint: it stays Terminating until the finalizers are removed; 'kubectl finalize pod' finds out who should do that
    Warning: pod p10/db-0 stays Terminating after its grace period, held by finalizer example.com/stuck (owner unknown)
      hint: kubectl finalize pod db-0 -n p10
    p10-a: not drained in TIME; 0 pods gone; 1 pod left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate p10-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    p10-a   p10/db-0   Terminating   finalizer example.com/stuck (owner unknown)
    error: the time of --timeout is up
    --- exit Some(5)
    "#);
    let ran = place.evacuate(&["--skip-wait-for-delete-timeout=1"]).expect(0);
    assert_eq!(
        ran.stdout,
        "node/p10-a already cordoned\nnode/p10-a drained\n",
        "{}",
        ran.text()
    );
    assert_eq!(place.moves(), Vec::<String>::new());
    place
        .ns
        .patch("v1/Pod", "db-0", json!({"metadata": {"finalizers": null}}));
}
