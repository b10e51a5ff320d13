//! What the engine starts from, of what a person has been shown.

use std::collections::BTreeSet;

use super::{
    budgets::When,
    pdb::Class,
    preview::{Asked, Preview, left_out_of},
};
use crate::{
    engine::{Plan, Target},
    facts::{CORDONED, Facts, Pod, Uid},
};

/// UIDs of the pods that are no successors of any that go. A surge that was cut off has started some already.
pub fn existing(facts: &Facts, preview: &Preview) -> BTreeSet<Uid> {
    let unfinished = preview.surges.iter().filter(|s| s.unfinished.is_some());
    let unfinished: BTreeSet<&str> = unfinished.map(|s| s.deployment.uid.as_str()).collect();
    let successor = |pod: &&Pod| {
        let set = pod.owner.as_ref().map(|o| &o.uid);
        let deployment = set.and_then(|set| facts.scaling.as_ref()?.sets.get(set));
        !preview.nodes.contains(&pod.node) && deployment.is_some_and(|uid| unfinished.contains(uid.as_str()))
    };
    let others = facts.pods.iter().filter(|p| !successor(p));
    others.map(|p| p.uid.clone()).collect()
}

/// What the engine starts from.
pub fn plan(facts: &Facts, asked: &Asked, preview: &Preview) -> Plan {
    let volumes_of = |pod: &Pod| -> Vec<String> {
        let known = facts.volumes.known();
        let names = pod.claims.iter().filter_map(|claim| {
            known?
                .claims
                .get(&(pod.namespace.clone(), claim.name.clone()))
                .filter(|v| !v.is_empty())
                .cloned()
        });
        names.collect()
    };
    let targets = facts.targets.iter().map(|node| {
        let on_node = || facts.pods.iter().filter(|p| p.node == node.name);
        Target {
            name: node.name.clone(),
            uid: node.uid.clone(),
            cordoned: node.unschedulable,
            evacuated: node.annotations.contains_key(CORDONED),
            judged: on_node().map(|p| p.uid.clone()).collect(),
            planned: preview
                .going()
                .filter(|p| p.node == node.name)
                .map(|p| p.pod.clone())
                .collect(),
            left_out: left_out_of(facts, asked, &node.name).map(Pod::reference).collect(),
            volumes: on_node()
                .map(|p| (p.uid.clone(), volumes_of(p)))
                .filter(|(_, v)| !v.is_empty())
                .collect(),
            fence: preview
                .fences
                .iter()
                .find(|f| f.node == node.name)
                .map(|f| f.planned.clone()),
        }
    });
    let baseline = facts.counted_budgets().into_iter().flatten().map(|budget| {
        let living = facts
            .pods
            .iter()
            .filter(|p| p.deletion.is_none() && !p.finished() && budget.matches(p));
        (budget.uid.clone(), living.count())
    });
    let never = preview
        .budgets
        .iter()
        .filter(|b| matches!(b.outlook.class, Class::Never { .. }));
    let overlapping = preview
        .going()
        .filter(|p| p.when == When::Blocked && p.budget.is_none());
    let never = never.map(|b| b.budget.uid.clone());
    let warned = never.chain(overlapping.map(|p| p.pod.uid.clone())).collect();
    let namespaces: BTreeSet<String> = preview.going().filter_map(|p| p.pod.namespace.clone()).collect();
    Plan {
        targets: targets.collect(),
        budgets: facts.counted_budgets().map(<[_]>::to_vec),
        workloads: facts.workloads.clone(),
        warned,
        baseline: baseline.collect(),
        before: existing(facts, preview),
        surges: preview.surges.clone(),
        namespaces: namespaces.into_iter().collect(),
    }
}
