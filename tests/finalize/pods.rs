//! Pods go first, and a pod only goes when its kubelet has said that it has ended.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::scene::Scene;

/// A pod that is recorded on a node of which nothing was ever heard.
fn stranded(scene: &Scene) -> String {
    let node = format!("{}-node", scene.name);
    scene
        .cluster
        .create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}));
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranded"}, "spec": {"nodeName": node,
        "terminationGracePeriodSeconds": 2, "containers": [{"name": "c", "image": "i"}]}}),
    );
    node
}

#[test]
fn s04_a_pod_whose_kubelet_is_silent() {
    let scene = Scene::new("s04");
    scene.config_map("untouched", &[]);
    let node = stranded(&scene);
    scene.delete();
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text()
            .contains("has not confirmed that its pods have ended")
            .then_some(ran)
    });
    ran.says("pod s04/stranded").says("not been asked to go yet");
    // Only a person knows that the machine is off.
    scene
        .finalize(&["--force-up-to=finalize"])
        .expect(4)
        .says("--powered-off");
    let off = format!("--powered-off={node}");
    let ran = scene.mended(&["--force-up-to=repair", &off]);
    ran.says(&format!("node/{node} is not out of service any more"));
    let after = scene.cluster.get("v1/Node", "", &node).unwrap();
    let taints = after["spec"]["taints"].as_array().cloned().unwrap_or_default();
    assert!(
        taints.iter().all(|t| t["key"] != "node.kubernetes.io/out-of-service"),
        "{after}"
    );
    assert!(
        after["metadata"]["annotations"]["kubectl-upkeep/out-of-service"].is_null(),
        "{after}"
    );
}

/// A pod with a finalizer, and behind it a load balancer: the second shows when the first is gone.
#[test]
fn s45_one_hold_after_the_other() {
    let scene = Scene::new("s45");
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "finalizers": ["example.com/cleanup"]},
        "spec": {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "i"}]}}),
    );
    scene.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb",
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}));
    scene.delete();
    scene
        .finalize(&["--dry-run"])
        .expect(0)
        .says("pod s45/p waits for")
        .says_nothing_of("service s45/lb waits for");
    scene.mended(&["--force-up-to=strip"]).says("service s45/lb waits for");
}

#[test]
fn s53_pods_of_a_deployment_that_have_a_finalizer() {
    let scene = Scene::new("s53");
    let labels = json!({"app": "web"});
    scene.create(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3,
        "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels, "finalizers": ["example.com/cleanup"]},
            "spec": {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "i"}]}}}}),
    );
    wait_for("the pods", DEFAULT_TIMEOUT, || {
        (scene.cluster.list("v1/Pod", "s53", "").len() == 3).then_some(())
    });
    scene.delete();
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("3 objects wait for")
        .says("objects have not been asked to go yet")
        .says_nothing_of("deployment.apps s53/web waits");
    scene.mended(&["--force-up-to=strip"]);
}
