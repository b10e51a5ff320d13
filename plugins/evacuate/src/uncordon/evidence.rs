//! Whether it was a run of this user that has done what a node says about runs.
//!
//! A node can write its own annotations, and with them undo what keeps it out of the cluster: a quarantine. So what is not known
//! to be of this user's runs is asked for where many nodes are brought back at once. One that is named alone is meant.

use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt as _;

use super::back::{Back, Cordon, EXCLUDED};
use crate::{
    drive::runs::{Act, Runs},
    facts::{CORDONED, OUT_OF_SERVICE},
};

/// What would be undone on the node, and no run of this user is known to have done; nothing where all of it is known.
pub fn unproven(node: &core::Node, back: &Back, runs: &Runs) -> Option<String> {
    let uid = node.metadata.uid.as_deref().unwrap_or_default();
    let by = |key: &str| node.annotations().get(key).map(String::as_str).unwrap_or_default();
    let known = |key: &str, act: Act| runs.did(by(key), uid, act);
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
        let line =
            |node: &str, run: &str, did: &str| format!("{{\"run\":\"{run}\",\"node\":\"{node}\",\"did\":\"{did}\"}}\n");
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
        let untouched = core::Node::default();
        assert_eq!(unproven(&untouched, &back(&untouched), &Runs::default()), None);
    }
}
