//! What is decided here, checked.

use super::*;

fn pod(json: serde_json::Value) -> Pod {
    serde_json::from_value::<api::Pod>(json).unwrap().into()
}

#[test]
fn requests_are_the_larger_of_init_and_steady_state() {
    let cpu = |c: &str| serde_json::json!({"requests": {"cpu": c}});
    let table = [
        // (init containers, containers, pod level, overhead, milli-cores)
        (vec![], vec!["1", "500m"], None, None, 1_500),
        (vec![("2", false)], vec!["1"], None, None, 2_000),
        (vec![("200m", true), ("2", false)], vec!["1"], None, None, 2_200),
        (vec![("2", false), ("200m", true)], vec!["1"], None, None, 2_000),
        (vec![("200m", true)], vec!["1"], None, Some("50m"), 1_250),
        (vec![], vec!["1"], Some("3"), Some("50m"), 3_050),
    ];
    for (init, containers, level, overhead, expected) in table {
        let init: Vec<_> = init
            .iter()
            .map(|(c, side)| serde_json::json!({"name": "i", "resources": cpu(c), "restartPolicy": side.then_some("Always")}))
            .collect();
        let containers: Vec<_> = containers
            .iter()
            .map(|c| serde_json::json!({"name": "c", "resources": cpu(c)}))
            .collect();
        let pod = pod(serde_json::json!({"spec": {
            "containers": containers, "initContainers": init,
            "resources": level.map(cpu), "overhead": overhead.map(|o| serde_json::json!({"cpu": o})),
        }}));
        assert_eq!(pod.scheduling.requests.get("cpu"), expected);
        assert_eq!(pod.scheduling.requests.get("pods"), 1_000);
    }
}

#[test]
fn tolerations_that_let_a_pod_back_onto_a_cordoned_node() {
    let table = [
        (serde_json::json!({"operator": "Exists"}), true),
        (serde_json::json!({"operator": "Exists", "effect": "NoExecute"}), false),
        (
            serde_json::json!({"key": UNSCHEDULABLE_TAINT, "operator": "Exists", "effect": "NoSchedule"}),
            true,
        ),
        (serde_json::json!({"key": UNSCHEDULABLE_TAINT}), true),
        (serde_json::json!({"key": "other", "operator": "Exists"}), false),
    ];
    for (toleration, expected) in table {
        let text = toleration.to_string();
        let pod = pod(serde_json::json!({"spec": {"containers": [], "tolerations": [toleration]}}));
        assert_eq!(pod.tolerates_cordon(), expected, "{text}");
    }
}
