//! Pods that can run on their own node only: what replaces them stays Pending until the node is back.

use k8s_openapi::api::core::v1::NodeSelectorTerm;
use upkeep::report::Seen;

use crate::facts::{Pod, Volumes};

const HOSTNAME: &str = "kubernetes.io/hostname";

/// What pins the pod to its node: its node selector, its affinity, or a volume with a node affinity by host name.
pub fn pinned(pod: &Pod, volumes: &Seen<Volumes>) -> Option<String> {
    if pod.scheduling.node_selector.contains_key(HOSTNAME) {
        return Some(format!("its node selector {HOSTNAME}"));
    }
    let affinity = pod.scheduling.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    if required.is_some_and(|r| by_host(&r.node_selector_terms)) {
        return Some("its node affinity".into());
    }
    let volumes = volumes.known()?;
    let bound = pod.claims.iter().filter(|claim| !claim.ephemeral).find_map(|claim| {
        let name = volumes.claims.get(&(pod.namespace.clone(), claim.name.clone()))?;
        let volume = volumes.volumes.get(name)?;
        let terms = volume.node_affinity.as_ref()?;
        by_host(&terms.node_selector_terms).then_some(&claim.name)
    });
    bound.map(|claim| format!("the volume of its claim {claim}"))
}

/// Whether each of the alternatives names hosts.
fn by_host(terms: &[NodeSelectorTerm]) -> bool {
    let names = |term: &NodeSelectorTerm| {
        let labels = term.match_expressions.iter().flatten();
        let labels = labels.clone().any(|e| e.key == HOSTNAME && e.operator == "In");
        let fields = term.match_fields.iter().flatten();
        labels || fields.clone().any(|e| e.key == "metadata.name" && e.operator == "In")
    };
    !terms.is_empty() && terms.iter().all(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::core::v1::PersistentVolume;
    use serde_json::{Value, json};

    use super::*;
    use crate::{facts::Volume, preflight::testkit::pod};

    #[test]
    fn r01_what_pins_a_pod() {
        let host = json!([{"key": HOSTNAME, "operator": "In", "values": ["n"]}]);
        let zone = json!([{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]);
        let affinity = |terms: Value| {
            json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": terms}}}}})
        };
        let claim = json!({"spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}});
        let table = [
            (json!({}), None),
            (
                json!({"spec": {"nodeSelector": {HOSTNAME: "n"}}}),
                Some("its node selector kubernetes.io/hostname"),
            ),
            (json!({"spec": {"nodeSelector": {"disk": "ssd"}}}), None),
            (affinity(json!([{"matchExpressions": host}])), Some("its node affinity")),
            (
                affinity(json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}])),
                Some("its node affinity"),
            ),
            (affinity(json!([{"matchExpressions": zone}])), None),
            (
                affinity(json!([{"matchExpressions": host}, {"matchExpressions": zone}])),
                None,
            ),
            (claim, Some("the volume of its claim data")),
        ];
        let volume: PersistentVolume = serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": {
            "local": {"path": "/d"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": host}]}}}}))
        .unwrap();
        let mut volumes = Volumes::default();
        volumes.claims.insert(("default".into(), "data".into()), "pv".into());
        volumes.volumes.insert("pv".into(), Volume::from(volume));
        let volumes = Seen::Known(volumes);
        for (patch, expected) in table {
            let found = pinned(&pod("p", "n", "", patch.clone()), &volumes);
            assert_eq!(found.as_deref(), expected, "{patch}");
        }
    }
}
