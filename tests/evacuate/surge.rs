//! `--surge`: pods whose budget never allows an eviction move by way of more pods for a while. Never a third instance, never
//! an outage, exactly the old pods gone.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Ns, Shape, condition, wait_for};

use crate::{
    kit::{self, Ran},
    live::Live,
    place::Place,
    scene::{self, rights, text},
    witness::{Seen, Witness},
};

const RECORD: &str = "kubectl-upkeep/surge";
const MARK: &str = "kubectl-upkeep/surge-mark";
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A Deployment `web` on the node that is emptied, under a budget that needs all of its pods.
struct Stage {
    place: Place,
    replicas: usize,
    old: BTreeSet<String>,
    witness: Witness,
}

impl Stage {
    fn new(id: &str, replicas: u32, shape: impl FnOnce(Shape) -> Shape) -> Self {
        Self::with(id, replicas, shape, json!({}))
    }

    fn with(id: &str, replicas: u32, shape: impl FnOnce(Shape) -> Shape, spec: Value) -> Self {
        let place = Place::new(id);
        let shape = shape(Shape::new().prefers(&place.node));
        let mut patch = json!({"spec": {"replicas": replicas}});
        testsupport::merge(&mut patch["spec"], spec);
        place.ns.workload("apps/v1/Deployment", "web", &shape, patch);
        // A pod that never gets Ready by itself does once: the one that is there before.
        for pod in wait_for("pods", DEFAULT_TIMEOUT, || {
            let pods = place.ns.pods();
            (pods.len() == replicas as usize && pods.iter().all(|p| p["spec"]["nodeName"].is_string())).then_some(pods)
        }) {
            let delay = json!({"metadata": {"annotations": {"pod-ready.stage.kwok.x-k8s.io/delay": "0s"}}});
            place.ns.patch("v1/Pod", &text(&pod["metadata"]["name"]), delay);
        }
        scene::wait_all_on(&place.ns, &place.node, replicas as usize);
        place.ns.pdb("web", json!({"minAvailable": replicas}));
        wait_settled(&place.ns, i64::from(replicas));
        let old = scene::living(&place.ns).into_values().collect();
        let witness = Witness::of(&place.ns, "app=web");
        Self {
            place,
            replicas: replicas as usize,
            old,
            witness,
        }
    }

    /// The pods have moved, and nothing is left of the surge.
    #[track_caller]
    fn moved(self, ran: &Ran) {
        let told = ran.text();
        let Self {
            place,
            replicas,
            old,
            witness,
        } = self;
        let seen = witness.finish();
        assert_eq!(place.ns.pods_on(&place.node), [""; 0], "{told}");
        assert_eq!(seen.pods.len(), 2 * replicas, "a third instance: {seen:?}\n{told}");
        assert_eq!(seen.most_living, 2 * replicas, "{seen:?}\n{told}");
        assert_eq!(seen.fewest_ready, replicas, "an outage: {seen:?}\n{told}");
        let living: BTreeSet<String> = scene::living(&place.ns).into_values().collect();
        assert!(living.len() == replicas && living.is_disjoint(&old), "{told}");
        assert_eq!(replicas_of(&place.ns), replicas as i64);
        nothing_left(&place.ns);
    }

    /// The old pods are where they were, and nothing is left of the surge.
    #[track_caller]
    fn undone(self, ran: &Ran) -> Seen {
        let told = ran.text();
        let Self {
            place,
            replicas,
            old,
            witness,
        } = self;
        wait_settled(&place.ns, replicas as i64);
        let seen = witness.finish();
        let living: BTreeSet<String> = scene::living(&place.ns).into_values().collect();
        assert_eq!(living, old, "{seen:?}\n{told}");
        assert!(seen.fewest_ready >= replicas, "an outage: {seen:?}\n{told}");
        assert!(seen.most_living <= 2 * replicas, "{seen:?}\n{told}");
        assert_eq!(replicas_of(&place.ns), replicas as i64);
        nothing_left(&place.ns);
        seen
    }
}

/// Evictions and deletions that were no dry runs.
fn asked_to_go(place: &Place) -> Vec<String> {
    let moves = place.moves().into_iter();
    moves.filter(|m| !m.starts_with("patch ")).collect()
}

fn web(ns: &Ns<'_>) -> Value {
    ns.get("apps/v1/Deployment", "web").expect("the Deployment is there")
}

fn replicas_of(ns: &Ns<'_>) -> i64 {
    web(ns)["spec"]["replicas"].as_i64().unwrap()
}

fn wait_settled(ns: &Ns<'_>, replicas: i64) {
    wait_for("the Deployment settles", DEFAULT_TIMEOUT, || {
        let status = &web(ns)["status"];
        let all = ["replicas", "updatedReplicas", "availableReplicas"];
        all.iter().all(|key| status[key] == replicas).then_some(())
    });
}

/// No annotation of a surge on anything.
#[track_caller]
fn nothing_left(ns: &Ns<'_>) {
    let kinds = [
        "apps/v1/Deployment",
        "apps/v1/ReplicaSet",
        "v1/Pod",
        "autoscaling/v2/HorizontalPodAutoscaler",
    ];
    for kind in kinds {
        for object in ns.list(kind) {
            let terminating = !object["metadata"]["deletionTimestamp"].is_null();
            for key in [RECORD, MARK, COST] {
                let left = &object["metadata"]["annotations"][key];
                assert!(left.is_null() || terminating, "{key} is left on {kind}: {left}");
            }
        }
    }
}

fn scaled_to(ns: &Ns<'_>, replicas: i64) {
    wait_for("the Deployment is scaled", DEFAULT_TIMEOUT, || {
        (replicas_of(ns) == replicas).then_some(())
    });
}

#[test]
fn surge_one_pod_that_is_slow_to_stop() {
    let stage = Stage::new("surge-one", 1, |s| s.stops_in("15s").grace(30));
    let refused = stage.place.evacuate(&[]).expect(3);
    assert!(refused.stderr.contains("--surge"), "{}", refused.text());
    let shown = stage.place.evacuate(&["--surge", "--dry-run=client"]).expect(0);
    let note = "Note: deployment.apps surge-one/web runs 2 instead of 1 pod for a while: once the new one is Ready on other \
        nodes this pod goes, without an eviction: surge-one/web-";
    assert!(shown.stderr.contains(note), "{}", shown.text());
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    assert!(ran.took >= Duration::from_secs(15));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{}", ran.text());
    assert_eq!(lines[1], "deployment.apps/web scaled");
    assert_eq!(lines[2], "deployment.apps/web scaled");
    assert!(
        lines[3].starts_with("pod/web-") && lines[3].ends_with(" surged"),
        "{}",
        ran.text()
    );
    assert_eq!(asked_to_go(&stage.place), [""; 0]);
    stage.moved(&ran);
}

#[test]
fn surge_all_three_pods_of_a_deployment() {
    let stage = Stage::new("surge-three", 3, |s| s.stops_in("2s"));
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    stage.moved(&ran);
}

#[test]
fn surge_waits_for_a_pod_that_is_slow_to_get_ready() {
    let stage = Stage::with("surge-slow", 1, |s| s.ready_after("4s"), json!({"minReadySeconds": 2}));
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    assert!(ran.took >= Duration::from_secs(6), "{}", ran.text());
    stage.moved(&ran);
}

#[test]
fn surge_is_undone_when_the_new_pod_does_not_get_ready() {
    let deadline = json!({"progressDeadlineSeconds": 4});
    let stage = Stage::with("surge-sick", 1, Shape::never_ready, deadline);
    let ran = stage.place.evacuate(&["--surge"]).expect(4);
    assert!(
        ran.stderr
            .contains("the surge of deployment.apps surge-sick/web has ended: given up after 4 seconds of waiting for 1 pod elsewhere to be Ready"),
        "{}",
        ran.text()
    );
    stage.undone(&ran);
}

#[test]
fn surge_with_required_anti_affinity() {
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}}});
    let stage = Stage::new("surge-apart", 1, |s| s.spec(apart));
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    stage.moved(&ran);
}

#[test]
fn surge_raises_an_autoscaler_without_metrics_and_puts_it_back() {
    let stage = Stage::new("surge-hpa", 1, |s| s.ready_after("20s"));
    stage.place.ns.create(json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"minReplicas": 1, "maxReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    }));
    let mut live = stage.place.start(&["--surge"]);
    live.wait_for("deployment.apps/web scaled");
    let limits = |ns: &Ns<'_>| {
        let hpa = ns.get("autoscaling/v2/HorizontalPodAutoscaler", "web").unwrap();
        (hpa["spec"]["minReplicas"].as_i64(), hpa["spec"]["maxReplicas"].as_i64())
    };
    assert_eq!(limits(&stage.place.ns), (Some(2), Some(2)));
    let ran = live.finish().expect(0);
    assert_eq!(limits(&stage.place.ns), (Some(1), Some(1)));
    stage.moved(&ran);
}

#[test]
fn surge_stops_when_somebody_else_scales() {
    for (id, to, words) in [
        ("surge-other", 3, "somebody else has set its replicas to 3"),
        (
            "surge-gitops",
            1,
            "somebody has set its replicas back, as GitOps controllers do",
        ),
    ] {
        let stage = Stage::new(id, 1, |s| s.ready_after("30s"));
        let mut live = stage.place.start(&["--surge"]);
        scaled_to(&stage.place.ns, 2);
        live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
        stage.place.ns.scale("apps/v1/Deployment", "web", to);
        let ran = live.finish().expect(4);
        assert!(ran.stderr.contains(words), "{}", ran.text());
        assert_eq!(replicas_of(&stage.place.ns), i64::from(to));
        let living = scene::living(&stage.place.ns);
        assert!(
            stage.old.iter().all(|uid| living.values().any(|l| l == uid)),
            "{}",
            ran.text()
        );
        nothing_left(&stage.place.ns);
    }
}

#[test]
fn surge_is_undone_by_ctrl_c() {
    let stage = Stage::new("surge-int", 1, |s| s.ready_after("30s"));
    let mut live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 2);
    live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
    live.signal("INT");
    let ran = live.finish().expect(130);
    stage.undone(&ran);
}

#[test]
fn surge_is_undone_before_the_time_is_up() {
    let stage = Stage::new("surge-late", 1, |s| s.ready_after("60s"));
    let ran = stage.place.evacuate(&["--surge", "--timeout=16s"]).expect(5);
    assert!(ran.took < Duration::from_secs(18), "{}", ran.text());
    stage.undone(&ran);
}

/// Killed after each of the requests that change something, the second run ends the work.
#[test]
fn surge_goes_on_after_a_kill_at_any_step() {
    for (step, verb, resource, subresource, times) in [
        ("record", "patch", "deployments", "", 1),
        ("mark", "patch", "pods", "", 1),
        ("scale", "update", "deployments", "scale", 1),
        ("back", "patch", "deployments", "", 2),
        ("down", "update", "deployments", "scale", 2),
    ] {
        let stage = Stage::new(&format!("surge-kill-{step}"), 1, |s| s.ready_after("1s").stops_in("3s"));
        let live = stage.place.start(&["--surge"]);
        wait_for("the step", DEFAULT_TIMEOUT, || {
            let asked = stage.place.asked().into_iter();
            let done = asked.filter(|r| {
                (r.verb.as_str(), r.resource.as_str(), r.subresource.as_str()) == (verb, resource, subresource)
                    && r.code < 300
            });
            (done.count() >= times).then_some(())
        });
        live.signal("KILL");
        drop(live.finish());
        let ran = stage.place.evacuate(&["--surge"]).expect(0);
        stage.moved(&ran);
    }
}

#[test]
fn surge_that_was_cut_off_is_not_taken_for_a_budget_that_has_opened() {
    let stage = Stage::new("surge-cut", 1, |s| s);
    let live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 2);
    live.signal("KILL");
    drop(live.finish());
    let refused = stage.place.evacuate(&[]).expect(3);
    assert!(
        refused
            .stderr
            .contains("a surge of deployment.apps surge-cut/web was begun and not ended"),
        "{}",
        refused.text()
    );
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    stage.moved(&ran);
}

#[test]
fn surge_with_force_where_the_budget_stays_shut() {
    let stage = Stage::new("surge-force", 1, |s| s);
    stage.place.ns.patch(
        "policy/v1/PodDisruptionBudget",
        "web",
        json!({"spec": {"minAvailable": null, "maxUnavailable": 0}}),
    );
    let refused = stage.place.evacuate(&["--surge"]).expect(3);
    assert!(refused.stderr.contains("--surge=force"), "{}", refused.text());
    let unasked = stage.place.evacuate(&["--surge=force"]).expect(3);
    assert!(
        unasked.stderr.contains("--surge=force needs a confirmation"),
        "{}",
        unasked.text()
    );
    let ran = stage.place.evacuate(&["--surge=force", "--yes"]).expect(0);
    stage.moved(&ran);
}

#[test]
fn surge_that_a_quota_stops_is_undone() {
    let stage = Stage::new("surge-quota", 1, |s| s.label("tier", "web"));
    // Preflight cannot tell whether a scoped quota counts these pods; the server says so.
    stage.place.ns.create(json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"},
        "spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]},
    }));
    wait_for("the quota counts", DEFAULT_TIMEOUT, || {
        let quota = stage.place.ns.get("v1/ResourceQuota", "tight").unwrap();
        (quota["status"]["used"]["pods"] == "1").then_some(())
    });
    let ran = stage.place.evacuate(&["--surge"]).expect(4);
    assert!(
        ran.stderr.contains("its new pods cannot be created: ") && ran.stderr.contains("exceeded quota: tight"),
        "{}",
        ran.text()
    );
    let seen = stage.undone(&ran);
    assert_eq!(seen.pods.len(), 1);
}

#[test]
fn surge_is_refused_where_the_rights_are_missing() {
    let stage = Stage::new("surge-rights", 1, |s| s);
    let mut rules = rights(&[]);
    for right in [
        "deployments.apps",
        "horizontalpodautoscalers.autoscaling",
        "resourcequotas",
    ] {
        rules.push(testsupport::Rule::allow("list", right));
    }
    let user = stage.place.cluster().user_kubeconfig("surge-rights", &rules);
    let ran = kit::run(stage.place.command(&user, &["--surge"])).expect(1);
    for missing in ["patch pods", "patch deployments.apps", "update deployments.apps/scale"] {
        assert!(ran.stderr.contains(&format!("missing: {missing} ")), "{}", ran.text());
    }
    assert!(!stage.place.is_cordoned());
}

/// The budget that opens for a moment is not used for an eviction, of no pod.
#[test]
fn surge_evicts_nothing() {
    let stage = Stage::new("surge-two", 2, |s| s.ready_after("1s"));
    let mut live: Live = stage.place.start(&["--surge", "-o", "json"]);
    assert!(live.is_running());
    let ran = live.finish().expect(0);
    let moved = &ran.json()["moved"];
    assert_eq!(moved.as_array().unwrap().len(), 2);
    assert!(moved.as_array().unwrap().iter().all(|m| m["by"] == "surge"), "{moved}");
    assert_eq!(asked_to_go(&stage.place), [""; 0]);
    stage.moved(&ran);
}

#[test]
fn surge_that_was_cut_off_is_undone_on_the_way_back() {
    let stage = Stage::new("surge-back", 2, |s| s);
    let live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 4);
    live.signal("KILL");
    drop(live.finish());
    let shown = stage.place.evacuate(&["--uncordon", "--dry-run=client"]).expect(0);
    shown.says("deployment.apps surge-back/web: its surge would be undone (dry run)");
    assert_eq!(replicas_of(&stage.place.ns), 4);
    let ran = stage.place.evacuate(&["--uncordon"]).expect(0);
    ran.says("deployment.apps surge-back/web: its surge is undone");
    assert!(!stage.place.is_cordoned());
    stage.undone(&ran);
}

#[test]
fn surge_keeps_a_deletion_cost_that_was_there() {
    let stage = Stage::with(
        "surge-cost",
        1,
        Shape::never_ready,
        json!({"progressDeadlineSeconds": 3}),
    );
    let pod = stage.place.ns.pods_on(&stage.place.node).remove(0);
    let cost = json!({"metadata": {"annotations": {COST: "42"}}});
    stage.place.ns.patch("v1/Pod", &pod, cost);
    let ran = stage.place.evacuate(&["--surge"]).expect(4);
    let after = stage.place.ns.get("v1/Pod", &pod).expect("the old pod stays");
    let annotations = &after["metadata"]["annotations"];
    assert_eq!(annotations[COST], "42", "{}", ran.text());
    assert!(annotations[MARK].is_null(), "{annotations}");
    assert_eq!(replicas_of(&stage.place.ns), 1);
}

#[test]
fn surge_is_refused_for_what_keda_scales() {
    let stage = Stage::new("surge-keda", 1, |s| s);
    let cluster = stage.place.cluster();
    cluster.apply_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "scaledobjects.keda.sh"},
        "spec": {"group": "keda.sh", "scope": "Namespaced",
            "names": {"plural": "scaledobjects", "singular": "scaledobject", "kind": "ScaledObject"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    }));
    wait_for("the kind", DEFAULT_TIMEOUT, || {
        let object = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": "web", "namespace": stage.place.ns.name()}, "spec": {"scaleTargetRef": {"name": "web"}}});
        cluster.try_create(object).ok()
    });
    let refused = stage.place.evacuate(&["--surge"]).expect(3);
    assert!(
        refused
            .stderr
            .contains("--surge cannot move deployment.apps surge-keda/web: KEDA scales it"),
        "{}",
        refused.text()
    );
    assert!(!stage.place.is_cordoned());
}

/// The metrics API as a kind of the API server itself: an autoscaler cannot tell it from a metrics server.
#[test]
fn surge_raises_an_autoscaler_with_metrics_and_puts_it_back() {
    let stage = Stage::new("surge-metrics", 1, |s| s.ready_after("20s").requests("100m", "10Mi"));
    let (cluster, ns) = (stage.place.cluster(), stage.place.ns.name());
    cluster.apply_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "pods.metrics.k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {"group": "metrics.k8s.io", "scope": "Namespaced",
            "names": {"plural": "pods", "singular": "podmetrics", "kind": "PodMetrics"},
            "versions": [{"name": "v1beta1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    }));
    let pod = stage.place.ns.pods_on(&stage.place.node).remove(0);
    let container = stage.place.ns.get("v1/Pod", &pod).unwrap()["spec"]["containers"][0]["name"].clone();
    // Metrics of a pod that has just got Ready are not believed: these come later.
    let later = k8s_openapi::jiff::Timestamp::now() + Duration::from_secs(60);
    let later = later.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    wait_for("the metrics", DEFAULT_TIMEOUT, || {
        let metrics = json!({"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
            "metadata": {"name": pod, "namespace": ns, "labels": {"app": "web"}},
            "timestamp": later, "window": "1s", "containers": [{"name": container, "usage": {"cpu": "50m"}}]});
        cluster.try_create(metrics).ok()
    });
    stage.place.ns.create(json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"minReplicas": 1, "maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]},
    }));
    let hpa = |ns: &Ns<'_>| ns.get("autoscaling/v2/HorizontalPodAutoscaler", "web").unwrap();
    wait_for("the autoscaler has metrics", DEFAULT_TIMEOUT, || {
        (condition(&hpa(&stage.place.ns), "ScalingActive") == Some("True")).then_some(())
    });
    let mut live = stage.place.start(&["--surge"]);
    live.wait_for("deployment.apps/web scaled");
    assert_eq!(hpa(&stage.place.ns)["spec"]["minReplicas"], 2);
    let ran = live.finish().expect(0);
    let after = hpa(&stage.place.ns);
    assert_eq!(
        (&after["spec"]["minReplicas"], &after["spec"]["maxReplicas"]),
        (&json!(1), &json!(5))
    );
    stage.moved(&ran);
}

/// Killed while it is undone, the marks are on the new pods; a run without `--surge` keeps its hands off all the same.
#[test]
fn surge_that_was_cut_off_while_it_was_undone() {
    let stage = Stage::new("surge-twice", 1, |s| s.ready_after("30s"));
    let mut live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 2);
    live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
    live.signal("INT");
    wait_for("the surge is being undone", DEFAULT_TIMEOUT, || {
        let record = text(&web(&stage.place.ns)["metadata"]["annotations"][RECORD]);
        record.contains("\"stage\":\"undo\"").then_some(())
    });
    live.signal("KILL");
    drop(live.finish());
    let refused = stage.place.evacuate(&[]).expect(3);
    assert!(refused.stderr.contains("was begun and not ended"), "{}", refused.text());
    let ran = stage.place.evacuate(&["--uncordon"]).expect(0);
    assert!(!stage.place.is_cordoned());
    stage.undone(&ran);
}

/// The room that the surge of one makes in a budget is not used to evict the pods of another that waits for its own.
#[test]
fn surge_of_many_deployments_under_one_budget() {
    const MANY: usize = 10;
    let place = Place::new("surge-many");
    for i in 0..MANY {
        let shape = Shape::new().prefers(&place.node).label("tier", "all");
        place.ns.deployment(&format!("web{i}"), 1, &shape);
    }
    scene::wait_all_on(&place.ns, &place.node, MANY);
    let selector = json!({"matchLabels": {"tier": "all"}});
    place.ns.pdb("all", json!({"minAvailable": MANY, "selector": selector}));
    for i in 0..MANY {
        wait_for("the Deployment settles", DEFAULT_TIMEOUT, || {
            let web = place.ns.get("apps/v1/Deployment", &format!("web{i}")).unwrap();
            (web["status"]["availableReplicas"] == 1).then_some(())
        });
    }
    let witness = Witness::of(&place.ns, "tier=all");
    let ran = place.evacuate(&["--surge"]).expect(0);
    let seen = witness.finish();
    assert_eq!(asked_to_go(&place), [""; 0], "{}", ran.text());
    assert_eq!((seen.pods.len(), seen.fewest_ready), (2 * MANY, MANY), "{}", ran.text());
    assert_eq!(place.ns.pods_on(&place.node), [""; 0]);
    nothing_left(&place.ns);
}

/// Somebody deletes the Deployment, or the whole namespace: its pods go by themselves.
#[test]
fn surge_of_what_is_deleted_meanwhile() {
    for (id, namespace) in [("surge-gone", false), ("surge-ends", true)] {
        let stage = Stage::new(id, 1, |s| s.ready_after("30s"));
        let mut live = stage.place.start(&["--surge"]);
        live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
        if namespace {
            stage.place.cluster().delete("v1/Namespace", "", id);
        } else {
            stage.place.ns.delete("apps/v1/Deployment", "web");
        }
        let ran = live.finish().expect(0);
        assert_eq!(stage.place.ns.pods_on(&stage.place.node), [""; 0], "{}", ran.text());
        drop(stage.witness.finish());
    }
}
