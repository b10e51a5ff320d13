//! Others take away what a surge under way needs: rights, its record, its autoscaler, the node.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Live, Shape, wait_for};

use crate::{
    kit::command_with,
    place::Place,
    rights::user,
    scene::{self, text},
};

use super::kit::*;

/// Without the right to read it nothing can be undone; then nothing is evicted either, and it is said.
#[test]
fn surge_whose_rights_are_taken_away_is_not_called_done() {
    let stage = Stage::new("surge-taken", 1, |s| s.ready_after("6s"));
    let place = &stage.place;
    let cluster = place.cluster();
    let who = user(cluster, "surge-taken", &["look", "empty", "surge"]);
    let live = wait_for("the rights", DEFAULT_TIMEOUT, || {
        let mut live = Live::start(command_with(cluster, &who, &[&place.node, "--surge"]));
        let begun = wait_for("the surge, or the end", DEFAULT_TIMEOUT, || {
            let scaled = replicas_of(&place.ns) == 2;
            (scaled || !live.is_running()).then_some(scaled)
        });
        begun.then_some(live)
    });
    let binding = "rbac.authorization.k8s.io/v1/ClusterRoleBinding";
    cluster.delete(binding, "", "surge-taken-evacuate-surge");
    let ran = live.finish().expect(4);
    assert!(
        ran.stderr
            .contains("the surge of deployment.apps surge-taken/web is not ended"),
        "{}",
        ran.text()
    );
    assert_eq!(asked_to_go(place), [""; 0], "{}", ran.text());
    // The next one may do it.
    let ran = place.evacuate(&["--surge"]).expect(0);
    stage.moved(&ran);
}

/// What it did is known to the run, and is undone.
#[test]
fn surge_whose_record_is_spoilt_is_undone() {
    let stage = Stage::new("surge-spoilt", 1, |s| s.ready_after("6s"));
    let live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 2);
    let garbage = json!({"metadata": {"annotations": {RECORD: "garbage"}}});
    stage.place.ns.patch("apps/v1/Deployment", "web", garbage);
    let ran = live.finish().expect(4);
    assert!(
        ran.stderr.contains("its record was made unreadable by somebody else"),
        "{}",
        ran.text()
    );
    assert_eq!(asked_to_go(&stage.place), [""; 0], "{}", ran.text());
    stage.undone(&ran);
}

/// Its ReplicaSet stays and still runs more pods than it should: whoever is evicted is replaced, one too many.
#[test]
fn surge_whose_deployment_is_deleted_without_its_pods_evicts_none() {
    let stage = Stage::new("surge-orphaned", 1, |s| s.ready_after("30s"));
    let ns = &stage.place.ns;
    let live = stage.place.start(&["--surge"]);
    wait_for("the new pod", DEFAULT_TIMEOUT, || (ns.pods().len() == 2).then_some(()));
    let orphan = kube::api::DeleteParams::orphan();
    stage
        .place
        .cluster()
        .delete_with("apps/v1/Deployment", ns.name(), "web", &orphan);
    let ran = live.finish().expect(4);
    let said = "deployment.apps surge-orphaned/web was deleted in the middle of its surge, and its pods were not";
    assert!(ran.stderr.contains(said), "{}", ran.text());
    assert_eq!(asked_to_go(&stage.place), [""; 0], "{}", ran.text());
    assert_eq!(scene::living(ns).len(), 2);
}

/// One after another each node has its own surge of the same Deployment.
#[test]
fn surge_on_many_nodes_of_one_deployment() {
    let place = Place::new("surge-nodes");
    let ns = &place.ns;
    let nodes = ns.nodes(["c", "d", "e"]);
    let all: Vec<&str> = [place.node.as_str(), "surge-nodes-b"]
        .into_iter()
        .chain(nodes.iter().map(String::as_str))
        .collect();
    // One on each, so that all of them have something to move.
    let shape = Shape::new().spec(
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "labelSelector": {"matchLabels": {"app": "web"}},
        "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}]}),
    );
    let replicas = json!({"spec": {"replicas": all.len()}});
    ns.workload("apps/v1/Deployment", "web", &shape, replicas);
    ns.wait_pods_ready(all.len());
    assert!(all.iter().all(|node| ns.pods_on(node).len() == 1));
    ns.pdb("web", json!({"minAvailable": all.len()}));
    wait_settled(ns, 5);
    let mut args: Vec<&str> = all[..4].to_vec();
    args.push("--surge");
    let ran = crate::kit::evacuate(place.cluster(), &args).expect(0);
    for node in &all[..4] {
        assert_eq!(ns.pods_on(node), [""; 0], "{}", ran.text());
    }
    assert_eq!(asked_to_go(&place), [""; 0]);
    nothing_left(ns);
}

/// A hundred pods are marked and unmarked in time.
#[test]
fn surge_of_many_pods_is_undone_in_time() {
    let stage = Stage::new("surge-hundred", 60, |s| s.ready_after("90s"));
    let ran = stage.place.evacuate(&["--surge", "--timeout=40s"]).expect(5);
    assert!(ran.took.as_secs_f64() < 41.5, "{:?}", ran.took);
    stage.undone(&ran);
}

/// An autoscaler whose limits were raised gets them back, also when another one has come or it scales something else.
#[test]
fn surge_puts_back_the_autoscaler_that_it_has_raised() {
    let stage = Stage::new("surge-raised", 1, |s| s.ready_after("5s"));
    let ns = &stage.place.ns;
    let autoscaler = |name: &str, target: &str| -> Value {
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec":
            {"minReplicas": 1, "maxReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}}})
    };
    ns.create(autoscaler("web", "web"));
    let live = stage.place.start(&["--surge"]);
    scaled_to(ns, 2);
    let other = json!({"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"}}});
    ns.patch("autoscaling/v2/HorizontalPodAutoscaler", "web", other);
    let ran = live.finish();
    let after = ns.get("autoscaling/v2/HorizontalPodAutoscaler", "web").unwrap();
    assert_eq!(
        (&after["spec"]["minReplicas"], &after["spec"]["maxReplicas"]),
        (&json!(1), &json!(1)),
        "{}",
        ran.text()
    );
    assert!(after["metadata"]["annotations"][RECORD].is_null(), "{after}");
}

/// A run that was frozen for so long that another one has taken the node over leaves it to that one.
#[test]
fn surge_or_not_a_run_that_was_frozen_does_not_bring_the_node_back() {
    let place = Place::new("frozen");
    let shape = Shape::new().prefers(&place.node).stops_in("6s").grace(30);
    place.ns.deployment("web", 1, &shape);
    place.ns.wait_pods_ready(1);
    let first = place.start(&["--uncordon-on-abort"]);
    let pod = scene::living(&place.ns).into_keys().next().unwrap();
    place.wait_terminating(&pod);
    first.signal("STOP");
    // Its claim is removed by hand, as a second operator would after a minute.
    scene::unlock(place.cluster(), &place.node);
    place.evacuate(&[]).expect(0);
    let before = place.cluster().get("v1/Node", "", &place.node).unwrap();
    first.signal("CONT");
    let ran = first.finish();
    let after = place.cluster().get("v1/Node", "", &place.node).unwrap();
    assert_eq!(after["spec"]["unschedulable"], json!(true), "{}", ran.text());
    let drained = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().unwrap().clone();
        let drained = conditions.iter().find(|c| c["type"] == "Drained");
        drained.map(|c| text(&c["status"]))
    };
    assert_eq!(drained(&before).as_deref(), Some("True"));
    assert_eq!(drained(&after).as_deref(), Some("True"), "{}", ran.text());
}
