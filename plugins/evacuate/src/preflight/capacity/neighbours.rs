//! Required pod affinity and anti-affinity, the anti-affinity of pods that are there already included
//! (`InterPodAffinity`).
//!
//! A term that looks at the labels of namespaces, or that takes label keys from the pod, is not understood here and
//! stops nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::core::v1 as api;
use kube::core::{Selector, SelectorExt};

use super::{
    kinds::Kind,
    scene::Scene,
    words::{Why, Word},
};
use crate::facts::{Node, Pod};

/// A term, read once. Without a selector it matches nothing.
struct Term<'a> {
    key: &'a str,
    /// None: all namespaces.
    namespaces: Option<Vec<&'a str>>,
    selector: Option<Selector>,
}

impl<'a> Term<'a> {
    fn read(term: &'a api::PodAffinityTerm, own: &'a str) -> Option<Self> {
        let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
        if !empty(&term.match_label_keys) || !empty(&term.mismatch_label_keys) {
            return None;
        }
        let listed: Vec<&str> = term.namespaces.iter().flatten().map(String::as_str).collect();
        let namespaces = match &term.namespace_selector {
            None => Some(if listed.is_empty() { vec![own] } else { listed }),
            Some(s)
                if s.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
                    && s.match_expressions.as_ref().is_none_or(Vec::is_empty) =>
            {
                None
            }
            Some(_) => return None,
        };
        let selector = match term.label_selector.clone() {
            Some(selector) => Some(Selector::try_from(selector).ok()?),
            None => None,
        };
        Some(Self {
            key: &term.topology_key,
            namespaces,
            selector,
        })
    }

    fn matches(&self, pod: &Pod) -> bool {
        self.namespaces
            .as_ref()
            .is_none_or(|list| list.contains(&pod.namespace.as_str()))
            && self.selector.as_ref().is_some_and(|s| s.matches(&pod.labels))
    }

    /// Pods that stay and match.
    fn found<'s>(&'s self, scene: &'s Scene<'a>) -> impl Iterator<Item = &'a Pod> + 's {
        let namespaces = scene
            .staying
            .iter()
            .filter(|(ns, _)| self.namespaces.as_ref().is_none_or(|l| l.contains(ns)));
        namespaces
            .flat_map(|(_, pods)| pods.iter().copied())
            .filter(|pod| self.matches(pod))
    }
}

fn anti(pod: &Pod) -> &[api::PodAffinityTerm] {
    let affinity = pod
        .scheduling
        .affinity
        .as_ref()
        .and_then(|a| a.pod_anti_affinity.as_ref());
    affinity
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref())
        .unwrap_or_default()
}

fn pro(pod: &Pod) -> &[api::PodAffinityTerm] {
    let affinity = pod.scheduling.affinity.as_ref().and_then(|a| a.pod_affinity.as_ref());
    affinity
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref())
        .unwrap_or_default()
}

/// Values of a topology label, with the highest priority of the lasting pods there; none where all are Terminating.
type Places<'a> = BTreeMap<&'a str, Option<i32>>;

fn note<'a>(places: &mut Places<'a>, value: &'a str, pod: &Pod) {
    let lasts = pod.deletion.is_none().then_some(pod.priority);
    let place = places.entry(value).or_default();
    *place = (*place).max(lasts);
}

/// The anti-affinity of pods that stay; terms of one controller are kept once.
pub struct Guards<'a>(Vec<(Term<'a>, Places<'a>)>);

impl<'a> Guards<'a> {
    /// Collects them.
    pub fn new(scene: &Scene<'a>) -> Self {
        let mut guards: Vec<(Term, Places)> = Vec::new();
        let mut known: HashMap<(&str, &str), Vec<(&api::PodAffinityTerm, usize)>> = HashMap::new();
        for pod in scene.staying.values().flatten().copied() {
            for raw in anti(pod) {
                let Some(value) = scene.label(pod, &raw.topology_key) else {
                    continue;
                };
                let owner = pod.owner.as_ref().map_or("", |o| o.uid.as_str());
                let same = known.entry((&pod.namespace, owner)).or_default();
                let index = match same.iter().find(|(other, _)| *other == raw) {
                    Some((_, index)) => *index,
                    None => {
                        let Some(term) = Term::read(raw, &pod.namespace) else {
                            continue;
                        };
                        same.push((raw, guards.len()));
                        guards.push((term, Places::new()));
                        guards.len() - 1
                    }
                };
                note(&mut guards[index].1, value, pod);
            }
        }
        Self(guards)
    }
}

/// What pods that stay mean for a new one.
pub struct Walls<'a> {
    against: Vec<(&'a str, Places<'a>)>,
    priority: i32,
    /// Topology keys of its own affinity, and the values where company is; none where any will do.
    beside: Vec<(&'a str, Option<BTreeSet<&'a str>>)>,
}

impl<'a> Walls<'a> {
    /// Works them out for one pod.
    pub fn of(pod: &'a Pod, scene: &Scene<'a>, guards: &Guards<'a>) -> Self {
        let kept_out = guards.0.iter().filter(|(term, _)| term.matches(pod));
        let mut against: Vec<(&str, Places)> = kept_out.map(|(term, places)| (term.key, places.clone())).collect();
        for term in anti(pod).iter().filter_map(|raw| Term::read(raw, &pod.namespace)) {
            let mut places = Places::new();
            for other in term.found(scene) {
                if let Some(value) = scene.label(other, term.key) {
                    note(&mut places, value, other);
                }
            }
            against.push((term.key, places));
        }
        Self {
            against,
            priority: pod.priority,
            beside: beside(pod, scene),
        }
    }

    /// What they mean on one node.
    pub fn word(&self, node: &Node) -> Word {
        let alone = self.beside.iter().any(|(key, values)| {
            let here = node.labels.get(*key).map(String::as_str);
            !here.is_some_and(|here| values.as_ref().is_none_or(|v| v.contains(here)))
        });
        let walls = self
            .against
            .iter()
            .filter_map(|(key, places)| places.get(node.labels.get(*key)?.as_str()));
        let walls = walls.map(|holder| match holder {
            Some(priority) if *priority >= self.priority => Word::No(Why::PodAntiAffinity),
            _ => Word::Later(Why::PodAntiAffinity),
        });
        walls.fold(Word::unless(!alone, Why::PodAffinity), Word::and)
    }
}

/// Where a pod's own affinity lets it go. One pod must match all terms, and be in the same place under each of their
/// keys. Company that is itself about to find a place may turn up anywhere; the first of a group that seeks its like is
/// let in anywhere.
fn beside<'a>(pod: &'a Pod, scene: &Scene<'a>) -> Vec<(&'a str, Option<BTreeSet<&'a str>>)> {
    let raw = pro(pod);
    let terms: Vec<Term> = raw.iter().filter_map(|term| Term::read(term, &pod.namespace)).collect();
    let anywhere = || raw.iter().map(|term| (term.topology_key.as_str(), None)).collect();
    let all = |other: &Pod| terms.iter().all(|term| term.matches(other));
    let Some(first) = terms.first() else { return anywhere() };
    let company: Vec<&Pod> = first.found(scene).filter(|other| all(other)).collect();
    let coming = scene.floating.iter().any(|other| other.uid != pod.uid && all(other));
    if terms.len() < raw.len() || coming || company.is_empty() && all(pod) {
        return anywhere();
    }
    let places = |key: &str| company.iter().filter_map(|other| scene.label(other, key)).collect();
    terms.iter().map(|term| (term.key, Some(places(term.key)))).collect()
}

/// Anti-affinity among the planned pods themselves, kept while they are placed.
pub struct Crowd<'a> {
    /// For each kind, the kinds that it keeps out of where it is, and the topology key.
    shuts: Vec<Vec<(usize, &'a str)>>,
    /// For each kind, where it cannot go any more.
    shut: Vec<BTreeSet<(&'a str, &'a str)>>,
}

impl<'a> Crowd<'a> {
    /// Finds out who avoids whom.
    pub fn new(kinds: &[Kind<'a>]) -> Self {
        let mut shuts: Vec<BTreeSet<(usize, &str)>> = vec![BTreeSet::new(); kinds.len()];
        for (a, kind) in kinds.iter().enumerate() {
            for term in anti(kind.pod)
                .iter()
                .filter_map(|raw| Term::read(raw, &kind.pod.namespace))
            {
                for (b, _) in kinds.iter().enumerate().filter(|(_, other)| term.matches(other.pod)) {
                    shuts[a].insert((b, term.key));
                    shuts[b].insert((a, term.key));
                }
            }
        }
        let shuts = shuts.into_iter().map(|pairs| pairs.into_iter().collect()).collect();
        Self {
            shuts,
            shut: vec![BTreeSet::new(); kinds.len()],
        }
    }

    /// Whether a pod of this kind may go to the node.
    pub fn allows(&self, kind: usize, node: &Node) -> bool {
        let here = |key: &str| node.labels.get(key).map(String::as_str);
        !self.shuts[kind]
            .iter()
            .any(|(_, key)| here(key).is_some_and(|value| self.shut[kind].contains(&(*key, value))))
    }

    /// A pod of this kind is there now.
    pub fn add(&mut self, kind: usize, node: &'a Node) {
        for (other, key) in &self.shuts[kind] {
            if let Some(value) = node.labels.get(*key) {
                self.shut[*other].insert((*key, value));
            }
        }
    }
}
