//! Required pod affinity and anti-affinity, the anti-affinity of pods that are there already included
//! (`InterPodAffinity`).
//!
//! A term that cannot be read, or that looks at labels of namespaces that could not be read, stops nothing and promises nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::{
    api::core::v1 as api,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};
use kube::core::{Selector, SelectorExt};
use upkeep::report::Seen;

use super::{
    kinds::Kind,
    scene::Scene,
    words::{Doubt, Why, Word},
};
use crate::facts::{Node, Pod};

/// A term, read once. Without a selector it matches nothing.
struct Term<'a> {
    key: &'a str,
    /// None: all namespaces.
    namespaces: Option<BTreeSet<&'a str>>,
    selector: Option<Selector>,
    /// Why it may match less than what it matches here.
    doubt: Option<Doubt>,
}

impl<'a> Term<'a> {
    fn read(term: &'a api::PodAffinityTerm, own: &'a Pod, scene: &Scene<'a>) -> Self {
        let mut doubt = None;
        let mut namespaces: BTreeSet<&str> = term.namespaces.iter().flatten().map(String::as_str).collect();
        let namespaces = match &term.namespace_selector {
            None => {
                if namespaces.is_empty() {
                    namespaces.insert(&own.namespace);
                }
                Some(namespaces)
            }
            Some(selector) if is_empty(selector) => None,
            Some(selector) => match (scene.namespaces, Selector::try_from(selector.clone())) {
                (Seen::Known(all), Ok(selector)) => {
                    let chosen = all.iter().filter(|(_, labels)| selector.matches(labels));
                    namespaces.extend(chosen.map(|(name, _)| name.as_str()));
                    Some(namespaces)
                }
                (Seen::Unknown { .. }, Ok(_)) => {
                    doubt = Some(Doubt::Namespaces);
                    None
                }
                (_, Err(_)) => {
                    doubt = Some(Doubt::Term);
                    None
                }
            },
        };
        let selector = term.label_selector.as_ref().map(|written| {
            Selector::try_from(with_keys(term, written, own)).unwrap_or_else(|_| {
                doubt = Some(Doubt::Term);
                Selector::default()
            })
        });
        Self {
            key: &term.topology_key,
            namespaces,
            selector,
            doubt,
        }
    }

    fn matches(&self, pod: &Pod) -> bool {
        self.namespaces
            .as_ref()
            .is_none_or(|list| list.contains(pod.namespace.as_str()))
            && self.selector.as_ref().is_some_and(|s| s.matches(&pod.labels))
    }

    /// Pods that stay and match.
    fn found<'s>(&'s self, scene: &'s Scene<'a>) -> impl Iterator<Item = &'a Pod> + 's {
        let namespaces = scene
            .staying
            .iter()
            .filter(|(ns, _)| self.namespaces.as_ref().is_none_or(|l| l.contains(*ns)));
        namespaces
            .flat_map(|(_, pods)| pods.iter().copied())
            .filter(|pod| self.matches(pod))
    }
}

fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// The selector with the pod's own values of `matchLabelKeys` and `mismatchLabelKeys`. The server has merged them when the pod
/// was made (1.31 and later); what is there twice means the same.
fn with_keys(term: &api::PodAffinityTerm, written: &LabelSelector, own: &Pod) -> LabelSelector {
    let mut written = written.clone();
    let keys = [("In", &term.match_label_keys), ("NotIn", &term.mismatch_label_keys)];
    for (operator, keys) in keys {
        let values = keys
            .iter()
            .flatten()
            .filter_map(|key| Some((key, own.labels.get(key)?)));
        let requirements = values.map(|(key, value)| LabelSelectorRequirement {
            key: key.clone(),
            operator: operator.into(),
            values: Some(vec![value.clone()]),
        });
        written.match_expressions.get_or_insert_default().extend(requirements);
    }
    written
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
                        let term = Term::read(raw, pod, scene);
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
    against: Vec<(&'a str, Places<'a>, Option<Doubt>)>,
    priority: i32,
    beside: Beside<'a>,
}

/// Where a pod's own affinity lets it go.
#[derive(Default)]
struct Beside<'a> {
    /// Topology keys, and the values where company is; none where any may do.
    places: Vec<(&'a str, Option<BTreeSet<&'a str>>)>,
    /// Why a place is not certain, unless it is one of `sure`.
    doubt: Option<Doubt>,
    /// Keys and values where company is that stays.
    sure: Vec<(&'a str, BTreeSet<&'a str>)>,
}

impl<'a> Walls<'a> {
    /// Works them out for one pod.
    pub fn of(pod: &'a Pod, scene: &Scene<'a>, guards: &Guards<'a>) -> Self {
        let kept_out = guards.0.iter().filter(|(term, _)| term.matches(pod));
        let mut against: Vec<(&str, Places, Option<Doubt>)> = kept_out
            .map(|(term, places)| (term.key, places.clone(), term.doubt))
            .collect();
        for term in anti(pod).iter().map(|raw| Term::read(raw, pod, scene)) {
            let mut places = Places::new();
            for other in term.found(scene) {
                if let Some(value) = scene.label(other, term.key) {
                    note(&mut places, value, other);
                }
            }
            against.push((term.key, places, term.doubt));
        }
        Self {
            against,
            priority: pod.priority,
            beside: beside(pod, scene),
        }
    }

    /// What they mean on one node.
    pub fn word(&self, node: &Node) -> Word {
        let here = |key: &str| node.labels.get(key).map(String::as_str);
        let Beside { places, doubt, sure } = &self.beside;
        let alone = places
            .iter()
            .any(|(key, values)| !here(key).is_some_and(|here| values.as_ref().is_none_or(|v| v.contains(here))));
        let certain = !sure.is_empty()
            && sure
                .iter()
                .all(|(key, values)| here(key).is_some_and(|v| values.contains(v)));
        let company = match doubt.filter(|_| !certain) {
            _ if alone => Word::No(Why::PodAffinity),
            Some(doubt) => Word::Unsure(doubt),
            None => Word::Pass,
        };
        let walls = self
            .against
            .iter()
            .filter_map(|(key, places, doubt)| Some((places.get(here(key)?)?, doubt)));
        let walls = walls.map(|(holder, doubt)| match (holder, doubt) {
            (_, Some(doubt)) => Word::Unsure(*doubt),
            (Some(priority), _) if *priority >= self.priority => Word::No(Why::PodAntiAffinity),
            _ => Word::Later(Why::PodAntiAffinity),
        });
        walls.fold(company, Word::and)
    }
}

/// Where a pod's own affinity lets it go. One pod must match all terms, and be in the same place under each of their
/// keys. Company that is itself about to find a place may turn up anywhere; the first of a group that seeks its like is
/// let in anywhere.
fn beside<'a>(pod: &'a Pod, scene: &Scene<'a>) -> Beside<'a> {
    let terms: Vec<Term> = pro(pod).iter().map(|term| Term::read(term, pod, scene)).collect();
    let all = |other: &Pod| terms.iter().all(|term| term.matches(other));
    let Some(first) = terms.first() else {
        return Beside::default();
    };
    let anywhere = |doubt, sure| Beside {
        places: terms.iter().map(|term| (term.key, None)).collect(),
        doubt,
        sure,
    };
    if let Some(doubt) = terms.iter().find_map(|term| term.doubt) {
        return anywhere(Some(doubt), Vec::new());
    }
    let company: Vec<&Pod> = first.found(scene).filter(|other| all(other)).collect();
    let coming = scene.floating.iter().any(|other| other.uid != pod.uid && all(other));
    let places = |key: &str| -> BTreeSet<&str> { company.iter().filter_map(|other| scene.label(other, key)).collect() };
    let there: Vec<(&str, BTreeSet<&str>)> = terms.iter().map(|term| (term.key, places(term.key))).collect();
    if coming {
        let sure = if company.is_empty() { Vec::new() } else { there };
        return anywhere(Some(Doubt::Company), sure);
    }
    if company.is_empty() && all(pod) {
        return anywhere(None, Vec::new());
    }
    Beside {
        places: there.into_iter().map(|(key, values)| (key, Some(values))).collect(),
        ..Beside::default()
    }
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
    pub fn new(kinds: &[Kind<'a>], scene: &Scene<'a>) -> Self {
        let mut shuts: Vec<BTreeSet<(usize, &str)>> = vec![BTreeSet::new(); kinds.len()];
        for (a, kind) in kinds.iter().enumerate() {
            for term in anti(kind.pod).iter().map(|raw| Term::read(raw, kind.pod, scene)) {
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
