//! Whether it was a run of this user that has done what a node says about runs.
//!
//! A node can write its own annotations, and with them undo what keeps it out of the cluster: a quarantine. So what is not known
//! to be of this user's runs is asked for where many nodes are brought back at once. One that is named alone is meant.

use k8s_openapi::{api::core::v1 as core, jiff::SignedDuration};
use kube::ResourceExt as _;

use super::back::{Back, Cordon, EXCLUDED};
use crate::{
    drive::runs::{Act, Runs},
    facts::{CORDONED, OUT_OF_SERVICE, UNSCHEDULABLE_TAINT},
};

/// How long after the cordon the control plane may put its taint on the node, and how much clocks may differ.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// What would be undone on the node, and no run of this user is known to have done; nothing where all of it is known.
pub fn unproven(node: &core::Node, back: &Back, runs: &Runs) -> Option<String> {
    let uid = node.metadata.uid.as_deref().unwrap_or_default();
    let by = |key: &str| node.annotations().get(key).map(String::as_str).unwrap_or_default();
    let did = |key: &str, act: Act| runs.did(by(key), uid, act);
    // Whoever takes a cordon off and sets another one leaves the annotation of the first.
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let cordoned = taints
        .filter(|taint| taint.key == UNSCHEDULABLE_TAINT)
        .filter_map(|taint| Some(taint.time_added.as_ref()?.0))
        .max();
    let known = |key: &str, act: Act| match (did(key, act), act, cordoned) {
        (Some(at), Act::Cordon, Some(cordoned)) => cordoned.duration_since(at) <= LATE,
        (at, ..) => at.is_some(),
    };
    let doubts = [
        (
            back.cordon == Cordon::Ours && !known(CORDONED, Act::Cordon),
            format!("its cordon (of run {})", by(CORDONED)),
        ),
        (
            back.untaints && !known(OUT_OF_SERVICE, Act::OutOfService),
            format!("its taint out-of-service (of run {})", by(OUT_OF_SERVICE)),
        ),
        (
            back.removed.contains(&EXCLUDED) && !runs.did_any(uid, Act::ExcludeLb),
            "its label exclude-from-external-load-balancers".to_owned(),
        ),
    ];
    let doubts: Vec<String> = doubts
        .into_iter()
        .filter_map(|(doubt, text)| doubt.then_some(text))
        .collect();
    (!doubts.is_empty()).then(|| {
        format!(
            "annotations say that an evacuation has set {}, and this machine knows of no such run of yours",
            doubts.join(" and ")
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::{super::back::back, *};

    #[test]
    fn r47_what_a_node_says_of_itself_is_no_proof() {
        let node: core::Node = serde_json::from_value(json!({
            "metadata": {"name": "n", "uid": "u1", "annotations": {CORDONED: "3f", OUT_OF_SERVICE: "3f"}},
            "spec": {"unschedulable": true, "taints": [
                {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"},
            ]},
        }))
        .unwrap();
        let doubt = |lines: &str| unproven(&node, &back(&node), &Runs::read(lines));
        let line = |node: &str, run: &str, did: &str| {
            format!("{{\"run\":\"{run}\",\"node\":\"{node}\",\"did\":\"{did}\",\"at\":\"2026-01-01T00:00:00Z\"}}\n")
        };
        let both = doubt("").unwrap();
        assert!(both.contains("cordon (of run 3f) and its taint"), "{both}");
        // Another node's, another run's, or only one of the two.
        for lines in [
            line("u2", "3f", "cordon"),
            line("u1", "4f", "cordon"),
            line("u1", "3f", "cordon"),
        ] {
            assert!(doubt(&lines).unwrap().contains("taint"), "{lines}");
        }
        assert!(!doubt(&line("u1", "3f", "cordon")).unwrap().contains("its cordon"));
        let all = line("u1", "3f", "cordon") + &line("u1", "3f", "out-of-service");
        assert_eq!(doubt(&all), None);
        // A cordon that was set long after that is another one.
        let mut again = node.clone();
        let taint = json!({"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule", "timeAdded": "2026-01-02T00:00:00Z"});
        again
            .spec
            .as_mut()
            .unwrap()
            .taints
            .as_mut()
            .unwrap()
            .push(serde_json::from_value(taint).unwrap());
        let doubt = unproven(&again, &back(&again), &Runs::read(&all)).unwrap();
        assert!(
            doubt.contains("its cordon (of run 3f)") && !doubt.contains("taint"),
            "{doubt}"
        );
        let untouched = core::Node::default();
        assert_eq!(unproven(&untouched, &back(&untouched), &Runs::default()), None);
    }
}
