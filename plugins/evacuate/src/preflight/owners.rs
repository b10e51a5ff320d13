//! Controllers that do not exist any more: what they left behind does not come back.

use std::collections::BTreeSet;

use upkeep::report::{Finding, Seen, Severity};

use crate::facts::{Facts, Owner, Pod, Uid};

/// Kinds whose pods are started again from the same template.
const BUILT_IN: [(&str, &str); 4] = [
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("v1", "ReplicationController"),
];

/// How many controllers are named before the rest is only counted.
const NAMED: usize = 3;

/// Whether the controller is one of the built-in ones; kinds of the same name in other groups are not.
pub fn built_in(owner: &Owner) -> bool {
    BUILT_IN.contains(&(owner.api_version.as_str(), owner.kind.as_str()))
}

/// Whether the controller is surely gone: its kind was listed, and it was not there.
pub fn gone(facts: &Facts, owner: &Owner) -> bool {
    let listed = facts.controllers.get(owner.kind.as_str()).and_then(Seen::known);
    built_in(owner) && listed.is_some_and(|uids| !uids.contains(&owner.uid))
}

/// UIDs of the controllers of pods that are surely gone.
pub fn all_gone(facts: &Facts) -> BTreeSet<Uid> {
    let owners = facts.pods.iter().filter_map(|pod| pod.owner.as_ref());
    let gone = owners.filter(|owner| gone(facts, owner));
    gone.map(|owner| owner.uid.clone()).collect()
}

/// Planned pods whose controller is gone. kubectl evicts them without a word: the reference is there, so they count as
/// managed (its drain package looks at the controller only for DaemonSets).
pub fn orphans(facts: &Facts, planned: &[&Pod]) -> Vec<Finding> {
    let lost = |pod: &&Pod| pod.owner.as_ref().filter(|owner| gone(facts, owner)).cloned();
    let pods: Vec<_> = planned
        .iter()
        .filter(|p| !p.finished())
        .filter_map(|p| Some((*p, lost(p)?)))
        .collect();
    if pods.is_empty() {
        return Vec::new();
    }
    let owners: BTreeSet<String> = pods
        .iter()
        .map(|(pod, owner)| format!("{} {}/{}", owner.kind, pod.namespace, owner.name))
        .collect();
    let mut named: Vec<String> = owners.iter().take(NAMED).cloned().collect();
    if owners.len() > NAMED {
        named.push(format!("{} more", owners.len() - NAMED));
    }
    let evidence = match (pods.len(), owners.len()) {
        (1, _) => format!(
            "1 pod will not come back, for its controller {} does not exist any more",
            named.join(", ")
        ),
        (n, 1) => format!(
            "{n} pods will not come back, for their controller {} does not exist any more",
            named.join(", ")
        ),
        (n, _) => format!(
            "{n} pods will not come back, for their controllers do not exist any more ({})",
            named.join(", ")
        ),
    };
    vec![Finding {
        id: "orphan",
        severity: Severity::Warning,
        subjects: pods.iter().map(|(pod, _)| pod.reference()).collect(),
        evidence,
        hint: Some("the garbage collector removes such pods, unless they were orphaned on purpose".into()),
    }]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preflight::testkit::{facts, names, node, on_targets, pod, told, unseen};

    fn case(owners: &[&str]) -> Facts {
        let pods = owners
            .iter()
            .enumerate()
            .map(|(i, owner)| pod(&format!("p{i}"), "t", owner, json!({})))
            .collect();
        let mut facts = facts(1, vec![node("t", json!({}))], pods);
        facts
            .controllers
            .insert("ReplicaSet", Seen::Known(["alive".to_owned()].into()));
        facts
    }

    #[test]
    fn says_which_controllers_are_gone() {
        let table: [(&[&str], Option<&str>); 5] = [
            (&["alive", ""], None),
            (
                &["alive", "x"],
                Some("1 pod will not come back, for its controller ReplicaSet default/x does not exist any more"),
            ),
            (
                &["x", "x"],
                Some("2 pods will not come back, for their controller ReplicaSet default/x does not exist any more"),
            ),
            (
                &["x", "y"],
                Some(
                    "2 pods will not come back, for their controllers do not exist any more \
                     (ReplicaSet default/x, ReplicaSet default/y)",
                ),
            ),
            (
                &["v", "w", "x", "y"],
                Some(
                    "4 pods will not come back, for their controllers do not exist any more \
                     (ReplicaSet default/v, ReplicaSet default/w, ReplicaSet default/x, 1 more)",
                ),
            ),
        ];
        for (owners, expected) in table {
            let facts = case(owners);
            let found = orphans(&facts, &on_targets(&facts));
            assert_eq!(
                told(&found),
                expected.map(|e| ("orphan", e)).into_iter().collect::<Vec<_>>(),
                "{owners:?}"
            );
        }
        let facts = case(&["alive", "x"]);
        assert_eq!(names(&orphans(&facts, &on_targets(&facts))[0]), ["p1"]);
    }

    #[test]
    fn says_nothing_where_it_cannot_know() {
        let mut unlisted = case(&["x"]);
        unlisted.controllers.clear();
        let mut forbidden = case(&["x"]);
        forbidden.controllers.insert("ReplicaSet", unseen());
        let mut foreign = case(&["x"]);
        foreign.pods[0].owner.as_mut().unwrap().api_version = "apps.kruise.io/v1".into();
        let mut finished = case(&["x"]);
        finished.pods[0].phase = crate::facts::Phase::Succeeded;
        for facts in [unlisted, forbidden, foreign, finished] {
            assert_eq!(orphans(&facts, &on_targets(&facts)), []);
        }
    }
}
