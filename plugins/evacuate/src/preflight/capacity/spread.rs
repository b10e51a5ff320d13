//! Topology spread constraints that forbid (`PodTopologySpread` with `DoNotSchedule`).
//!
//! How pods are spread when the next one is placed depends on how far the run has come. A proof takes both ends in the pod's
//! favour: as few pods as possible where it would go, as many as possible where there are fewest. A promise counts exactly, in
//! one course of events: all planned pods have left, and are placed one after another. A domain that no new pod can enter still
//! counts, as it does for the scheduler: a cordoned node that is emptied drags the minimum down.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as api;
use kube::core::{Selector, SelectorExt};

use super::{
    affinity,
    kinds::Kind,
    scene::Scene,
    words::{Doubt, Why, Word},
};
use crate::facts::{Node, Pod};

/// The constraints of one pod, judged for every domain.
pub struct Spread<'a> {
    rules: Vec<Rule<'a>>,
    /// A constraint that cannot be read.
    unread: bool,
}

/// One constraint.
struct Rule<'a> {
    key: &'a str,
    /// Domains that are too full whatever happens.
    full: BTreeSet<&'a str>,
    selector: Selector,
    namespace: &'a str,
    /// Names of the nodes that count.
    nodes: BTreeSet<&'a str>,
    /// Matching pods in each domain, as far as the run has come.
    counts: BTreeMap<&'a str, i64>,
    /// 1 where the pod matches its own constraint.
    own: i64,
    max_skew: i64,
    min_domains: usize,
}

/// What is known about one domain.
#[derive(Default)]
struct Domain {
    /// Matching pods that will surely be there: they stay and cannot be preempted.
    least: i64,
    /// Matching pods that are there or may come.
    most: i64,
    /// Matching pods that stay.
    now: i64,
    /// Whether new pods can come.
    open: bool,
}

impl<'a> Spread<'a> {
    /// Works out where a pod cannot go.
    pub fn of(pod: &'a Pod, scene: &Scene<'a>) -> Self {
        let constraints = &pod.scheduling.spread;
        let hard = constraints.iter().filter(|c| c.when_unsatisfiable == "DoNotSchedule");
        let hard: Vec<&api::TopologySpreadConstraint> = hard.collect();
        // Only nodes that have all keys make up domains.
        let keyed = scene
            .all
            .values()
            .copied()
            .filter(|node| hard.iter().all(|c| node.labels.contains_key(&c.topology_key)));
        let keyed: Vec<&Node> = if hard.is_empty() { Vec::new() } else { keyed.collect() };
        let rules: Vec<Option<Rule>> = hard.iter().map(|c| rule(c, pod, scene, &keyed)).collect();
        Self {
            unread: rules.iter().any(Option::is_none),
            rules: rules.into_iter().flatten().collect(),
        }
    }

    /// What they mean on one node, whatever becomes of the other pods.
    pub fn word(&self, node: &Node) -> Word {
        let good = self.rules.iter().all(|rule| {
            node.labels
                .get(rule.key)
                .is_some_and(|v| !rule.full.contains(v.as_str()))
        });
        let word = Word::unless(good, Why::Spread);
        if self.unread {
            word.and(Word::Unsure(Doubt::Constraint))
        } else {
            word
        }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the next pod may go to the node, as far as the run has come.
    pub fn allows(&self, node: &Node) -> bool {
        self.rules.iter().all(|rule| {
            let Some(value) = node.labels.get(rule.key) else {
                return false;
            };
            let fewest = rule.counts.values().copied().min().unwrap_or(0);
            let fewest = if rule.counts.len() < rule.min_domains {
                0
            } else {
                fewest
            };
            let here = rule.counts.get(value.as_str()).copied().unwrap_or(0);
            here + rule.own - fewest <= rule.max_skew
        })
    }

    /// A pod is on this node now.
    pub fn add(&mut self, pod: &Pod, node: &'a Node) {
        for rule in &mut self.rules {
            let counts = rule.namespace == pod.namespace
                && rule.nodes.contains(node.name.as_str())
                && rule.selector.matches(&pod.labels);
            if let Some(value) = node.labels.get(rule.key).filter(|_| counts) {
                *rule.counts.entry(value).or_default() += 1;
            }
        }
    }
}

/// The constraints that a placed pod of each kind is counted in: by kind, the kinds whose constraints match it.
pub fn concerned(kinds: &[Kind<'_>], spreads: &[&Spread<'_>]) -> Vec<Vec<usize>> {
    let matching = |pod: &Pod, spread: &Spread| {
        let mut rules = spread.rules.iter();
        rules.any(|rule| rule.namespace == pod.namespace && rule.selector.matches(&pod.labels))
    };
    let with_rules: Vec<usize> = (0..spreads.len()).filter(|i| !spreads[*i].is_empty()).collect();
    let of = |kind: &Kind| {
        let those = with_rules.iter().copied();
        those.filter(|i| matching(kind.pod, spreads[*i])).collect()
    };
    kinds.iter().map(of).collect()
}

/// The selector with the pod's own values of `matchLabelKeys`, as the scheduler merges them. Without a selector, and with an
/// empty one, it counts no pod at all (`countPodsMatchSelector`).
fn selector(constraint: &api::TopologySpreadConstraint, pod: &Pod) -> Option<(Selector, bool)> {
    let Some(written) = constraint.label_selector.clone() else {
        return Some((Selector::default(), true));
    };
    let mut written = written;
    let keys = constraint.match_label_keys.iter().flatten();
    for (key, value) in keys.filter_map(|key| Some((key, pod.labels.get(key)?))) {
        written
            .match_labels
            .get_or_insert_default()
            .insert(key.clone(), value.clone());
    }
    let is_empty = written.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && written.match_expressions.as_ref().is_none_or(Vec::is_empty);
    Some((Selector::try_from(written).ok()?, is_empty))
}

/// Whether a node is one of those over which a constraint spreads. One to be emptied is cordoned by then.
fn counts(constraint: &api::TopologySpreadConstraint, pod: &Pod, node: &Node, scene: &Scene<'_>) -> bool {
    let honors = |policy: &Option<String>, default| policy.as_deref().map_or(default, |policy| policy == "Honor");
    let cordoned = node.unschedulable || scene.targets.contains(node.name.as_str());
    (!honors(&constraint.node_affinity_policy, true) || affinity::chosen(pod, node) != Some(false))
        && (!honors(&constraint.node_taints_policy, false)
            || (affinity::taints(pod, node) == Word::Pass && (!cordoned || pod.tolerates_cordon())))
}

/// One constraint; nothing where its selector cannot be read.
fn rule<'a>(
    constraint: &'a api::TopologySpreadConstraint,
    pod: &'a Pod,
    scene: &Scene<'a>,
    keyed: &[&'a Node],
) -> Option<Rule<'a>> {
    let key = constraint.topology_key.as_str();
    let (selector, counts_none) = selector(constraint, pod)?;
    let counted = keyed
        .iter()
        .copied()
        .filter(|node| counts(constraint, pod, node, scene));
    let nodes: BTreeMap<&str, &Node> = counted.map(|node| (node.name.as_str(), node)).collect();
    let matching = |other: &Pod| {
        !counts_none
            && other.uid != pod.uid
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
            domain.now += 1;
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
    let min_domains = usize::try_from(constraint.min_domains.unwrap_or(1)).unwrap_or(1);
    let fewest = domains
        .values()
        .map(|d| if d.open { d.most + coming } else { d.most })
        .min()
        .filter(|_| domains.len() >= min_domains)
        .unwrap_or(0);
    let own = i64::from(constraint.label_selector.is_some() && selector.matches(&pod.labels));
    let max_skew = i64::from(constraint.max_skew);
    let over = |d: &Domain| d.least + own - fewest > max_skew;
    Some(Rule {
        key,
        full: domains
            .iter()
            .filter(|(_, d)| over(d))
            .map(|(value, _)| *value)
            .collect(),
        counts: domains.iter().map(|(value, d)| (*value, d.now)).collect(),
        nodes: if counts_none {
            BTreeSet::new()
        } else {
            nodes.into_keys().collect()
        },
        namespace: &pod.namespace,
        selector,
        own,
        max_skew,
        min_domains,
    })
}
