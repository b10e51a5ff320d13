//! Where the pods went: each one that left, with the pod that has taken its place.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;

use crate::{
    engine::event::Departed,
    facts::{Pod, Uid},
};

/// A pod that may have taken the place of another. No more of it is kept: there may be thousands.
pub struct Candidate {
    uid: Uid,
    owner: Option<Uid>,
    name: String,
    node: String,
    ready: bool,
    going: bool,
}

impl From<core::Pod> for Candidate {
    fn from(object: core::Pod) -> Self {
        let pod = Pod::from(object);
        Self {
            uid: pod.uid,
            owner: pod.owner.map(|owner| owner.uid),
            name: pod.name,
            node: pod.node,
            ready: pod.ready,
            going: pod.deletion.is_some(),
        }
    }
}

/// What became of a pod that has left.
#[derive(Debug, Clone)]
pub struct Move<'a> {
    /// The pod that left.
    pub departed: &'a Departed,
    /// Name, node and readiness of its successor. The node is empty while it is not scheduled.
    pub successor: Option<(String, String, bool)>,
}

/// Pairs pods that left with pods of the same controller that were not there before. Which of several is whose does not
/// matter, except for StatefulSets, where the name tells.
pub fn moves<'a>(departed: &'a [Departed], before: &BTreeSet<String>, after: &[Candidate]) -> Vec<Move<'a>> {
    let mut fresh = BTreeMap::<&str, Vec<&Candidate>>::new();
    for pod in after.iter().filter(|p| !p.going && !before.contains(&p.uid)) {
        if let Some(owner) = &pod.owner {
            fresh.entry(owner.as_str()).or_default().push(pod);
        }
    }
    // The scheduled and ready ones are named first.
    for pods in fresh.values_mut() {
        pods.sort_by_key(|p| (p.node.is_empty(), !p.ready, p.name.clone()));
        pods.reverse();
    }
    let pairs = departed.iter().map(|gone| {
        let candidates = gone
            .owner
            .as_ref()
            .filter(|_| !gone.finished)
            .and_then(|o| fresh.get_mut(o.uid.as_str()));
        let successor = candidates.and_then(|pods| {
            let same = pods.iter().position(|p| p.name == gone.pod.name);
            match same {
                Some(index) => Some(pods.remove(index)),
                None => pods.pop(),
            }
        });
        Move {
            departed: gone,
            successor: successor.map(|p| (p.name.clone(), p.node.clone(), p.ready)),
        }
    });
    pairs.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;
    use upkeep::report::ObjRef;

    use super::*;
    use crate::facts::Owner;

    fn pod(name: &str, uid: &str, owner: &str, node: &str) -> Candidate {
        serde_json::from_value::<core::Pod>(json!({
            "metadata": {"namespace": "ns", "name": name, "uid": uid,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "X", "name": owner, "uid": owner, "controller": true}]},
            "spec": {"containers": [], "nodeName": node},
        }))
        .unwrap()
        .into()
    }

    fn gone(name: &str, owner: &str) -> Departed {
        Departed {
            pod: ObjRef::namespaced("pod", "ns", name, name),
            node: "n1".into(),
            owner: Some(Owner {
                api_version: "apps/v1".into(),
                kind: "X".into(),
                name: owner.into(),
                uid: owner.into(),
            }),
            finished: false,
            verb: None,
            at: 0,
        }
    }

    #[test]
    fn successors_are_paired_by_owner_and_by_name_where_it_stays() {
        let departed = [
            gone("set-0", "set"),
            gone("set-1", "set"),
            gone("rs-a", "rs"),
            gone("lost", "none"),
        ];
        let after = [
            pod("set-1", "new1", "set", "n3"),
            pod("set-0", "new0", "set", "n2"),
            pod("rs-old", "old", "rs", "n9"),
            pod("rs-b", "newb", "rs", ""),
        ];
        let before = BTreeSet::from(["old".to_owned()]);
        let found = moves(&departed, &before, &after);
        let nodes: Vec<Option<&str>> = found
            .iter()
            .map(|m| m.successor.as_ref().map(|s| s.1.as_str()))
            .collect();
        assert_eq!(nodes, [Some("n2"), Some("n3"), Some(""), None]);
    }
}
