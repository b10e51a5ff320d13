//! Topology spread constraints that forbid (`PodTopologySpread` with `DoNotSchedule`).
//!
//! How pods are spread when the next one is placed depends on how far the run has come, so both ends are taken in the
//! pod's favour: as few pods as possible where it would go, as many as possible where there are fewest. A domain that
//! no new pod can enter still counts, as it does for the scheduler: a cordoned node that is emptied drags the minimum
//! down.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as api;
use kube::core::{Selector, SelectorExt};

use super::{
    affinity,
    scene::Scene,
    words::{Why, Word},
};
use crate::facts::{Node, Pod};

/// The constraints of one pod, judged for every domain.
pub struct Spread<'a>(Vec<Rule<'a>>);

struct Rule<'a> {
    key: &'a str,
    full: BTreeSet<&'a str>,
}

/// What is known about one domain.
#[derive(Default)]
struct Domain {
    /// Matching pods that will surely be there: they stay and cannot be preempted.
    least: i64,
    /// Matching pods that are there or may come.
    most: i64,
    /// Whether new pods can come.
    open: bool,
}

impl<'a> Spread<'a> {
    /// Works out where a pod cannot go.
    pub fn of(pod: &'a Pod, scene: &Scene<'a>) -> Self {
        let hard: Vec<_> = pod
            .scheduling
            .spread
            .iter()
            .filter(|c| c.when_unsatisfiable == "DoNotSchedule")
            .collect();
        if hard.is_empty() {
            return Self(Vec::new());
        }
        // Only nodes that have all keys, and that the pod's own affinity chooses, make up domains.
        let counts =
            |node: &Node| hard.iter().all(|c| node.labels.contains_key(&c.topology_key)) && affinity::chosen(pod, node);
        let nodes: BTreeMap<&str, &Node> = scene
            .all
            .iter()
            .filter(|(_, n)| counts(n))
            .map(|(name, n)| (*name, *n))
            .collect();
        Self(hard.into_iter().filter_map(|c| rule(c, pod, scene, &nodes)).collect())
    }

    /// What they mean on one node.
    pub fn word(&self, node: &Node) -> Word {
        let good = self.0.iter().all(|rule| {
            node.labels
                .get(rule.key)
                .is_some_and(|v| !rule.full.contains(v.as_str()))
        });
        Word::unless(good, Why::Spread)
    }
}

/// A constraint that says which nodes or pods to count differently from the defaults is not judged. `minDomains` can
/// only forbid more, so leaving it out is safe.
fn rule<'a>(
    constraint: &'a api::TopologySpreadConstraint,
    pod: &'a Pod,
    scene: &Scene<'a>,
    nodes: &BTreeMap<&'a str, &'a Node>,
) -> Option<Rule<'a>> {
    let default = constraint.match_label_keys.as_ref().is_none_or(Vec::is_empty)
        && constraint.node_affinity_policy.as_deref().is_none_or(|p| p == "Honor")
        && constraint.node_taints_policy.as_deref().is_none_or(|p| p == "Ignore");
    let key = constraint.topology_key.as_str();
    // Without a selector it counts no pod at all, and only the key matters.
    let Some(selector) = constraint.label_selector.clone() else {
        return default.then(|| Rule {
            key,
            full: BTreeSet::new(),
        });
    };
    let selector = Selector::try_from(selector).ok().filter(|_| default)?;
    let matching = |other: &Pod| {
        other.uid != pod.uid
            && other.deletion.is_none()
            && other.namespace == pod.namespace
            && selector.matches(&other.labels)
    };
    let mut domains: BTreeMap<&str, Domain> = BTreeMap::new();
    for node in nodes.values() {
        domains.entry(node.labels.get(key)?).or_default();
    }
    for node in scene.open.iter().filter(|n| nodes.contains_key(n.name.as_str())) {
        domains.entry(node.labels.get(key)?).or_default().open = true;
    }
    let domain_of = |other: &Pod| {
        nodes
            .get(other.node.as_str())
            .and_then(|n| n.labels.get(key))
            .map(String::as_str)
    };
    for other in scene
        .staying
        .get(pod.namespace.as_str())
        .into_iter()
        .flatten()
        .filter(|other| matching(other))
    {
        if let Some(domain) = domain_of(other).and_then(|value| domains.get_mut(value)) {
            domain.most += 1;
            domain.least += i64::from(other.priority >= pod.priority);
        }
    }
    let mut coming = 0;
    for other in scene.floating.iter().filter(|other| matching(other)) {
        coming += 1;
        if let Some(domain) = domain_of(other)
            .and_then(|value| domains.get_mut(value))
            .filter(|d| !d.open)
        {
            domain.most += 1;
        }
    }
    let fewest = domains
        .values()
        .map(|d| if d.open { d.most + coming } else { d.most })
        .min()
        .unwrap_or(0);
    let own = i64::from(selector.matches(&pod.labels));
    let over = |d: &Domain| d.least + own - fewest > i64::from(constraint.max_skew);
    Some(Rule {
        key,
        full: domains
            .iter()
            .filter(|(_, d)| over(d))
            .map(|(value, _)| *value)
            .collect(),
    })
}
