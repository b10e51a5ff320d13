//! Where the data of a pod can be reached (`VolumeBinding` for bound claims, `VolumeZone`).
//!
//! That a volume is in use (ReadWriteOnce, ReadWriteOncePod) is no obstacle: the old pod goes first. How many volumes of a CSI
//! driver a node takes is counted as the scheduler does (`NodeVolumeLimits`).

use std::collections::{BTreeMap, HashMap, HashSet};

use upkeep::report::Seen;

use super::{
    affinity,
    scene::Scene,
    words::{Doubt, Why, Word},
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
    /// Volumes of all claims of a pod.
    fn all(pod: &Pod, volumes: &'a Seen<Volumes>) -> Self {
        let Seen::Known(volumes) = volumes else {
            return Self(Vec::new());
        };
        let claims = pod
            .claims
            .iter()
            .map(|claim| (pod.namespace.clone(), claim.name.clone()));
        Self(
            claims
                .filter_map(|claim| volumes.volumes.get(volumes.claims.get(&claim)?))
                .collect(),
        )
    }

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
    pub fn word(&self, node: &Node, scene: &Scene<'_>) -> Word {
        let blind = scene.limits.known().is_none() && self.0.iter().any(|volume| volume.driver.is_some());
        let first = if blind { Word::Unsure(Doubt::Limits) } else { Word::Pass };
        self.0.iter().fold(first, |word, volume| {
            let affinity = volume
                .node_affinity
                .as_ref()
                .is_none_or(|selector| affinity::selects(selector, node));
            word.and(Word::unless(affinity, Why::VolumeAffinity))
                .and(Word::unless(zone_agrees(&volume.labels, &node.labels), Why::VolumeZone))
        })
    }
}

/// Volumes of CSI drivers on each node, as far as the run has come.
pub struct Attached<'a>(HashMap<(&'a str, &'a str), HashSet<&'a str>>);

impl<'a> Attached<'a> {
    /// Those of pods that stay. Only nodes with a limit are looked at.
    pub fn new(scene: &Scene<'a>) -> Self {
        let mut attached = Self(HashMap::new());
        for node in scene
            .limits
            .known()
            .into_iter()
            .flatten()
            .map(|(node, _)| node.as_str())
        {
            for pod in scene.on(node) {
                for volume in Bound::all(pod, scene.volumes).0 {
                    attached.put(node, volume);
                }
            }
        }
        attached
    }

    /// Whether the node takes the volumes as well.
    pub fn allows(&self, bound: &Bound<'_>, node: &Node, scene: &Scene<'_>) -> bool {
        let Some(limits) = scene.limits.known().and_then(|all| all.get(&node.name)) else {
            return true;
        };
        limits.iter().all(|(driver, limit)| {
            let there = self.0.get(&(node.name.as_str(), driver.as_str()));
            let is_there = |volume: &Volume| there.is_some_and(|there| there.contains(volume.name.as_str()));
            let of_driver = bound.0.iter().filter(|volume| volume.driver.as_ref() == Some(driver));
            let more = of_driver.filter(|volume| !is_there(volume)).count();
            let all = there.map_or(0, HashSet::len) + more;
            more == 0 || i64::try_from(all).is_ok_and(|all| all <= *limit)
        })
    }

    /// The volumes are on this node now.
    pub fn add(&mut self, bound: &Bound<'a>, node: &'a Node) {
        bound.0.iter().copied().for_each(|volume| self.put(&node.name, volume));
    }

    fn put(&mut self, node: &'a str, volume: &'a Volume) {
        if let Some(driver) = &volume.driver {
            self.0.entry((node, driver.as_str())).or_default().insert(&volume.name);
        }
    }
}

/// Why it cannot be told where the pod's volumes will be: one is made, or bound, only when the pod is placed.
pub fn unbound(pod: &Pod, volumes: &Seen<Volumes>) -> Option<String> {
    if let Some(claim) = pod.claims.iter().find(|claim| claim.ephemeral) {
        return Some(format!(
            "a volume for claim {} is made anew when it is placed",
            claim.name
        ));
    }
    let known = volumes.known()?;
    let waiting = |claim: &(String, String)| known.claims.get(claim).is_none_or(String::is_empty);
    let (_, name) = lasting(pod).find(waiting)?;
    Some(format!("claim {name} is not bound to a volume"))
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
    let claims = pod.claims.iter().filter(|claim| !claim.ephemeral);
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
