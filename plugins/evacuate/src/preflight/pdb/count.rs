//! The pods of a budget beside what their controllers want: whether all of it is there.

use std::collections::BTreeMap;

use crate::facts::{Budget, Pod, Workload, Workloads};

/// A controller that has fewer pods than it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    /// `StatefulSet db`.
    pub who: String,
    /// How many of its pods are neither Terminating nor finished.
    pub has: usize,
    /// How many it wants.
    pub wants: usize,
    /// What is known of those that it lacks: `db-2 is Terminating on node-3`.
    pub lacks: Vec<String>,
    /// Why it creates no more, in its own words.
    pub failure: Option<String>,
}

/// How many lacking pods are named.
const NAMED: usize = 3;

impl Short {
    /// `StatefulSet db has 2 of 3 pods (db-2 is Terminating on node-3)`.
    pub fn text(&self) -> String {
        let Self { who, has, wants, .. } = self;
        let mut text = format!("{who} has {has} of {wants} pods");
        let more = self.lacks.len().saturating_sub(NAMED);
        let named = &self.lacks[..self.lacks.len().min(NAMED)];
        match (named, more) {
            ([], _) => {}
            (named, 0) => text += &format!(" ({})", named.join(", ")),
            (named, more) => text += &format!(" ({} and {more} more)", named.join(", ")),
        }
        match &self.failure {
            Some(failure) => format!("{text}; it cannot create more: {failure}"),
            None => text,
        }
    }
}

/// What is there.
#[derive(Debug)]
pub struct Count<'a> {
    /// Pods that the budget selects, Terminating and finished ones included.
    pub selected: Vec<&'a Pod>,
    /// Those that are neither.
    pub living: Vec<&'a Pod>,
    /// Controllers that have fewer pods than they want.
    pub short: Vec<Short>,
    /// Whether every controller of these pods is known with its number. Pods without a controller do not come back, so
    /// there is nothing to know about them.
    pub is_complete: bool,
    /// The sum of those numbers.
    replicas: usize,
}

pub fn is_living(pod: &Pod) -> bool {
    pod.deletion.is_none() && !pod.finished()
}

impl<'a> Count<'a> {
    /// `pods` are those of the budget's namespace.
    pub fn of(budget: &Budget, pods: &[&'a Pod], workloads: Option<&Workloads>) -> Self {
        let selected: Vec<&Pod> = pods.iter().copied().filter(|p| budget.matches(p)).collect();
        let living: Vec<&Pod> = selected.iter().copied().filter(|p| is_living(p)).collect();
        let owners = |p: &&'a Pod| p.owner.as_ref();
        let counting = |owner| workloads.and_then(|all| all.counting(owner));
        let mut controllers = BTreeMap::<&str, &Workload>::new();
        for controller in selected.iter().filter_map(owners).filter_map(counting) {
            controllers.insert(&controller.uid, controller);
        }
        let replicas = controllers.values().filter_map(|c| c.replicas).sum();
        // Those whose pods are all gone at the moment; a ReplicaSet of a Deployment is counted with that.
        for created in workloads.into_iter().flat_map(Workloads::all) {
            let under = created.owner.as_ref().and_then(counting);
            if created.replicas.is_some() && budget.covers(created) && under.is_none() {
                controllers.insert(&created.uid, created);
            }
        }
        let mut short: Vec<Short> = controllers
            .values()
            .filter_map(|controller| shortfall(controller, pods, workloads?))
            .collect();
        short.extend(unread_sets(&selected, pods, workloads));
        let is_complete = living.iter().filter_map(owners).all(|owner| counting(owner).is_some());
        Self {
            selected,
            living,
            short,
            is_complete,
            replicas,
        }
    }

    /// The number of pods that the disruption controller calculates with (`getExpectedPodCount`).
    pub fn expected(&self, budget: &Budget) -> usize {
        let total = self.living.len();
        if budget.threshold.is_a_number() {
            return total;
        }
        let stated = usize::try_from(budget.expected).unwrap_or(0);
        match (self.is_complete && self.replicas > 0, stated) {
            (true, _) => self.replicas,
            (false, 0) => total,
            (false, stated) => stated,
        }
    }
}

fn shortfall(controller: &Workload, pods: &[&Pod], workloads: &Workloads) -> Option<Short> {
    let own: Vec<&Pod> = pods
        .iter()
        .copied()
        .filter(|p| workloads.counts_for(p, controller))
        .collect();
    let living: Vec<&Pod> = own.iter().copied().filter(|p| is_living(p)).collect();
    let wants = controller.replicas?;
    if living.len() >= wants {
        return None;
    }
    let stopping = own.iter().filter(|p| p.deletion.is_some());
    let mut lacks: Vec<String> = stopping.clone().map(|p| terminating(p)).collect();
    let there = |name: &str| own.iter().any(|p| p.name == name);
    let absent = controller.wanted_names().filter(|name| !there(name));
    lacks.extend(absent.map(|name| format!("{name} is missing")));
    Some(Short {
        who: controller.title(),
        has: living.len(),
        wants,
        lacks,
        failure: controller.failure.clone(),
    })
}

fn terminating(pod: &Pod) -> String {
    format!("{} is Terminating on {}", pod.name, pod.node)
}

/// Where a StatefulSet was not read, each of its pods that is Terminating is taken to come back: it has a name to keep.
fn unread_sets(selected: &[&Pod], pods: &[&Pod], workloads: Option<&Workloads>) -> Vec<Short> {
    let mut sets = BTreeMap::<&str, Short>::new();
    for pod in selected.iter().filter(|p| p.deletion.is_some()) {
        let Some(owner) = pod.owner.as_ref() else { continue };
        let is_set = owner.kind == "StatefulSet" && owner.api_version == "apps/v1";
        let read = workloads.is_some_and(|all| all.get(owner).is_some() || all.is_missing(owner));
        if !is_set || read {
            continue;
        }
        let has = pods.iter().filter(|p| is_living(p) && p.owner.as_ref() == Some(owner));
        let has = has.count();
        let short = sets.entry(&owner.uid).or_insert_with(|| Short {
            who: format!("StatefulSet {}", owner.name),
            has,
            wants: has,
            lacks: Vec::new(),
            failure: None,
        });
        short.wants += 1;
        short.lacks.push(terminating(pod));
    }
    sets.into_values().collect()
}
