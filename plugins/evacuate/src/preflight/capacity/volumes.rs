//! Where the data of a pod can be reached (`VolumeBinding` for bound claims, `VolumeZone`).
//!
//! That a volume is in use (ReadWriteOnce, ReadWriteOncePod) is no obstacle: the old pod goes first. Limits of CSI
//! drivers are not known here.

use std::collections::BTreeMap;

use upkeep::report::Seen;

use super::{
    affinity,
    words::{Why, Word},
};
use crate::facts::{Node, Pod, Volume, Volumes};

/// Labels by which older volumes say where they are, with the name that the label has on nodes today.
const PLACES: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// The volumes that the next pod will need as well.
pub struct Bound<'a>(Vec<&'a Volume>);

impl<'a> Bound<'a> {
    /// Volumes of claims that outlive the pod. Claims that are not bound yet wait for a node and do not decide.
    pub fn of(pod: &Pod, volumes: &'a Seen<Volumes>) -> Self {
        let Seen::Known(volumes) = volumes else {
            return Self(Vec::new());
        };
        Self(
            lasting(pod)
                .filter_map(|claim| volumes.volumes.get(volumes.claims.get(&claim)?))
                .collect(),
        )
    }

    /// Whether all of them can be reached from the node.
    pub fn word(&self, node: &Node) -> Word {
        self.0.iter().fold(Word::Pass, |word, volume| {
            let affinity = volume
                .node_affinity
                .as_ref()
                .is_none_or(|selector| affinity::selects(selector, node));
            word.and(Word::unless(affinity, Why::VolumeAffinity))
                .and(Word::unless(zone_agrees(&volume.labels, &node.labels), Why::VolumeZone))
        })
    }
}

/// Whether the pod has volumes of which nothing could be read.
pub fn unseen(pod: &Pod, volumes: &Seen<Volumes>) -> bool {
    match volumes {
        Seen::Unknown { .. } => lasting(pod).next().is_some(),
        Seen::Known(volumes) => lasting(pod).any(|claim| {
            volumes
                .claims
                .get(&claim)
                .is_some_and(|name| !name.is_empty() && !volumes.volumes.contains_key(name))
        }),
    }
}

/// Claims that outlive the pod. The claim of an ephemeral volume begins with the pod's name; it goes with the pod, and
/// the next one is free to be bound elsewhere.
fn lasting(pod: &Pod) -> impl Iterator<Item = (String, String)> {
    let ephemeral = |name: &str| {
        name.strip_prefix(pod.name.as_str())
            .is_some_and(|rest| rest.starts_with('-'))
    };
    let claims = pod.claims.iter().filter(move |claim| !ephemeral(&claim.name));
    claims.map(|claim| (pod.namespace.clone(), claim.name.clone()))
}

/// Nodes without any such label belong to clusters without zones. Several zones of one volume are joined by `__`.
fn zone_agrees(volume: &BTreeMap<String, String>, node: &BTreeMap<String, String>) -> bool {
    let zoned = PLACES.iter().any(|(key, _)| node.contains_key(*key));
    let required = PLACES
        .iter()
        .filter_map(|(key, today)| Some((key, today, volume.get(*key)?)));
    !zoned
        || required
            .filter(|(.., zones)| zones.split("__").all(|z| !z.trim().is_empty()))
            .all(|(key, today, zones)| {
                let here = node.get(*key).or_else(|| node.get(*today));
                here.is_some_and(|here| zones.split("__").any(|zone| zone.trim() == here))
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_of_volumes_and_nodes() {
        const OLD: &str = "failure-domain.beta.kubernetes.io/zone";
        const NEW: &str = "topology.kubernetes.io/zone";
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let table: [(&[_], &[_], bool); 8] = [
            (&[(NEW, "a")], &[(NEW, "a")], true),
            (&[(NEW, "a")], &[(NEW, "b")], false),
            (&[(OLD, "a")], &[(NEW, "a")], true),
            (&[(OLD, "a")], &[(NEW, "b")], false),
            (&[(NEW, "a__b")], &[(NEW, "b")], true),
            (&[(NEW, "a__b")], &[(NEW, "c")], false),
            (&[(NEW, "a")], &[], true),
            (&[], &[(NEW, "b")], true),
        ];
        for (volume, node, expected) in table {
            assert_eq!(
                zone_agrees(&labels(volume), &labels(node)),
                expected,
                "{volume:?} {node:?}"
            );
        }
    }
}
