//! Autoscalers, and others who scale.

use std::time::Duration;

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Ns, condition, wait_for};

use crate::scene;

use super::kit::*;

#[test]
fn surge_raises_an_autoscaler_without_metrics_and_puts_it_back() {
    let stage = Stage::new("surge-hpa", 1, |s| s.ready_after("20s"));
    stage.place.ns.create(json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"minReplicas": 1, "maxReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    }));
    let mut live = stage.place.start(&["--surge"]);
    // The autoscaler of Kubernetes 1.37 is sometimes the first to scale it.
    live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
    let limits = |ns: &Ns<'_>| {
        let hpa = ns.get("autoscaling/v2/HorizontalPodAutoscaler", "web").unwrap();
        (hpa["spec"]["minReplicas"].as_i64(), hpa["spec"]["maxReplicas"].as_i64())
    };
    assert_eq!(limits(&stage.place.ns), (Some(2), Some(2)));
    let ran = live.finish().expect(0);
    assert_eq!(limits(&stage.place.ns), (Some(1), Some(1)));
    stage.moved(&ran);
}

/// With more pods than before the budget lets one go; with as many as before it does not.
#[test]
fn surge_stops_when_somebody_else_scales() {
    for (id, to, words, code) in [
        ("surge-other", 3, "somebody else has set its replicas to 3", 0),
        (
            "surge-gitops",
            1,
            "somebody has set its replicas back, as GitOps controllers do",
            4,
        ),
    ] {
        let stage = Stage::new(id, 1, |s| s.ready_after("15s"));
        let mut live = stage.place.start(&["--surge"]);
        scaled_to(&stage.place.ns, 2);
        live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
        stage.place.ns.scale("apps/v1/Deployment", "web", to);
        let ran = live.finish().expect(code);
        assert!(ran.stderr.contains(words), "{}", ran.text());
        assert_eq!(replicas_of(&stage.place.ns), i64::from(to));
        let living = scene::living(&stage.place.ns);
        let stays = stage.old.iter().all(|uid| living.values().any(|l| l == uid));
        assert_eq!(stays, code == 4, "{}", ran.text());
        nothing_left(&stage.place.ns);
        assert!(stage.witness.finish().fewest_ready >= 1, "an outage");
    }
}

#[test]
fn surge_is_refused_for_what_keda_scales() {
    let stage = Stage::new("surge-keda", 1, |s| s);
    let cluster = stage.place.cluster();
    scene::define(cluster, "keda.sh", "v1alpha1", "ScaledObject");
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
    live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
    assert_eq!(hpa(&stage.place.ns)["spec"]["minReplicas"], 2);
    let ran = live.finish().expect(0);
    let after = hpa(&stage.place.ns);
    assert_eq!(
        (&after["spec"]["minReplicas"], &after["spec"]["maxReplicas"]),
        (&json!(1), &json!(5))
    );
    stage.moved(&ran);
}
