//! Deployments whose pods no budget will ever let go: which of them a surge can move, and why others cannot.

mod checks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use upkeep::{
    report::{Finding, ObjRef, Seen, Severity},
    ui::plural,
};

use self::checks::{CHECKS, Case, way};
use super::{
    capacity,
    pdb::{self, Class},
};
use crate::{
    engine::{
        OnBlocked,
        surge::{
            Planned,
            record::{MARK, Written},
        },
    },
    facts::{Budget, Deployment, Facts, Pod, Scaling, Uid},
};

/// `--surge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not asked for.
    Off,
    /// Where the budget agrees once there are more pods.
    On,
    /// Also where it never does.
    Force,
}

/// What surges will do.
#[derive(Debug, Default)]
pub struct Surges {
    /// The Deployments.
    pub planned: Vec<Planned>,
    /// The pods that go this way, with the budget that holds them.
    pub pods: BTreeMap<Uid, Option<ObjRef>>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// Budgets that stay shut and are not asked.
    pub forced: Vec<ObjRef>,
}

/// Plans over all nodes of the run together.
pub fn surges(facts: &Facts, planned: &[&Pod], mode: Mode, on_blocked: OnBlocked) -> Surges {
    let Some(scaling) = facts.scaling.as_ref().filter(|_| mode != Mode::Off) else {
        return Surges {
            findings: unfinished(facts, planned),
            ..Surges::default()
        };
    };
    let mut surges = Surges::default();
    let candidates = candidates(facts, planned);
    let deployments = match &scaling.deployments {
        Seen::Known(deployments) => deployments,
        Seen::Unknown { verb, resource, reason } => {
            let reason = format!("Deployments cannot be listed: {reason}");
            let hint = format!("it takes the right to {verb} {resource}");
            let pods: Vec<&Pod> = candidates.iter().filter(|c| !c.managed).map(|c| c.pod).collect();
            let found = no_surge(None, &pods, &[reason], Some(hint), on_blocked);
            surges.findings.extend(found);
            return surges;
        }
    };
    let mut groups = BTreeMap::<&str, (&Deployment, Vec<&Pod>, Vec<&Budget>, bool)>::new();
    let mut others = Vec::new();
    for Candidate { pod, budget, managed } in candidates {
        let set = pod.owner.as_ref().map(|o| &o.uid);
        let uid = set.and_then(|set| scaling.sets.get(set));
        match uid.and_then(|uid| deployments.iter().find(|d| &d.uid == uid)) {
            Some(deployment) => {
                let group = groups
                    .entry(&deployment.uid)
                    .or_insert((deployment, Vec::new(), Vec::new(), managed));
                group.1.push(pod);
                group.3 &= managed;
                group
                    .2
                    .extend(budget.filter(|b| group.2.iter().all(|known| known.uid != b.uid)));
            }
            // Its operator moves it.
            None if managed => {}
            None => others.push(pod),
        }
    }
    let reason = "only Deployments can run more pods for a while";
    surges
        .findings
        .extend(no_surge(None, &others, &[reason.into()], None, on_blocked));
    let all: BTreeSet<Uid> = groups
        .values()
        .flat_map(|(_, pods, ..)| pods)
        .map(|p| p.uid.clone())
        .collect();
    let fits = capacity::place(facts, planned, &all);
    for (deployment, pods, budgets, managed) in groups.into_values() {
        let case = Case {
            facts,
            scaling,
            deployment,
            pods,
            budgets,
            fits: &fits,
            force: mode == Mode::Force,
        };
        let reasons: Vec<String> = CHECKS.iter().filter_map(|check| check(&case)).collect();
        if reasons.is_empty() {
            surges.add(&case);
        } else {
            let name = Some(deployment.reference());
            // What its operator can move is waited for.
            let on_blocked = if managed { OnBlocked::Wait } else { on_blocked };
            let found = no_surge(name, &case.pods, &reasons, way(&case), on_blocked);
            surges.findings.extend(found);
        }
    }
    surges.planned.extend(cut_off(facts, scaling, deployments, &all));
    surges
}

/// Surges for these nodes that were not ended although none of their pods is left: what they have written is removed.
fn cut_off(facts: &Facts, scaling: &Scaling, deployments: &[Deployment], known: &BTreeSet<Uid>) -> Vec<Planned> {
    let ours = |node: &String| facts.targets.iter().any(|t| &t.name == node);
    let left = deployments.iter().filter_map(|deployment| {
        let record = deployment.record.this()?;
        let concerned = record.nodes.iter().any(ours) && record.pods.is_disjoint(known);
        let busy = record.nodes.iter().any(|n| !ours(n) && scaling.busy.contains(n));
        (concerned && !busy).then(|| Planned {
            deployment: deployment.reference(),
            pods: BTreeSet::new(),
            force: false,
            autoscaled: false,
            unfinished: Some(record.run.clone()),
        })
    });
    // Nothing but a copy is left where the run was killed at the very end.
    let copied = deployments.iter().filter_map(|deployment| {
        let run = scaling.copies.get(&deployment.uid)?;
        let bare = deployment.record == Written::Nothing && !known_set(scaling, deployment, known, facts);
        bare.then(|| Planned {
            deployment: deployment.reference(),
            pods: BTreeSet::new(),
            force: false,
            autoscaled: false,
            unfinished: Some(run.clone()),
        })
    });
    left.chain(copied).collect()
}

/// Whether pods of the Deployment are surged in this run anyway.
fn known_set(scaling: &Scaling, deployment: &Deployment, known: &BTreeSet<Uid>, facts: &Facts) -> bool {
    let of_it = |pod: &&Pod| {
        let set = pod.owner.as_ref().map(|o| &o.uid);
        set.and_then(|set| scaling.sets.get(set)) == Some(&deployment.uid)
    };
    facts.pods.iter().filter(of_it).any(|p| known.contains(&p.uid))
}

/// A pod that a surge may have to move.
struct Candidate<'a> {
    pod: &'a Pod,
    budget: Option<&'a Budget>,
    /// An operator can change what its budget allows.
    managed: bool,
}

/// Pods that only a surge can move, unless an operator does: their one budget does not allow it with the present pods, or a
/// surge has begun with them already.
fn candidates<'a>(facts: &'a Facts, planned: &[&'a Pod]) -> Vec<Candidate<'a>> {
    let budgets = facts.budgets.known().map_or(&[][..], Vec::as_slice);
    let surging = in_a_surge(facts, planned);
    let mut classes = BTreeMap::<&str, Class>::new();
    let mut found = Vec::new();
    for pod in planned.iter().copied().filter(|p| !p.ignores_budgets()) {
        let mut matching = budgets.iter().filter(|b| b.matches(pod));
        let (first, second) = (matching.next(), matching.next());
        let only = first.filter(|b| second.is_none() && pdb::needs_consent(pod, b));
        let class = only.map(|b| {
            &*classes
                .entry(&b.uid)
                .or_insert_with(|| pdb::outlook(b, facts.pods.iter(), 1, None, Some(&facts.workloads)).class)
        });
        let managed = matches!(class, Some(Class::Managed { .. }));
        let budget = only.filter(|_| managed || matches!(class, Some(Class::Never { .. })));
        if budget.is_some() || surging.contains(&pod.uid) {
            found.push(Candidate { pod, budget, managed });
        }
    }
    found
}

/// Pods of ReplicaSets in which some pod is marked: a surge of their Deployment is under way, or was cut off. The budget may
/// be open for the time being, but to evict one of them would start one too many.
fn in_a_surge(facts: &Facts, planned: &[&Pod]) -> BTreeSet<Uid> {
    let set = |pod: &Pod| pod.owner.as_ref().map(|o| o.uid.clone());
    let marked = facts
        .pods
        .iter()
        .filter(|p| p.annotations.contains_key(MARK) && p.deletion.is_none());
    let sets: BTreeSet<Uid> = marked.filter_map(set).collect();
    let concerned = planned.iter().filter(|p| set(p).is_some_and(|set| sets.contains(&set)));
    concerned.map(|p| p.uid.clone()).collect()
}

impl Surges {
    fn add(&mut self, case: &Case<'_>) {
        let deployment = case.deployment;
        let name = deployment.reference();
        let count = case.pods.len();
        let subjects: Vec<ObjRef> = case.pods.iter().map(|p| p.reference()).collect();
        let these = if count == 1 {
            "this pod goes".to_owned()
        } else {
            format!("these {count} pods go")
        };
        let evidence = match &case.unfinished() {
            Some(run) => format!("the surge of {name} that run {run} has left unfinished is ended first, then {these}"),
            None => {
                let target = i64::from(deployment.replicas).saturating_add(i64::try_from(count).unwrap_or(0));
                let scaler = case.scalers().next().map_or(String::new(), |scaler| {
                    format!(
                        "; its autoscaler {} is kept from going below that meanwhile",
                        scaler.autoscaler.name
                    )
                });
                format!(
                    "{name} runs {target} instead of {} for a while: once {} Ready on other nodes {these}, without an \
                     eviction{scaler}",
                    plural(usize::try_from(deployment.replicas).unwrap_or(0), "pod"),
                    if count == 1 {
                        "the new one is".to_owned()
                    } else {
                        format!("the {count} new ones are")
                    },
                )
            }
        };
        self.findings.push(Finding {
            id: "surge",
            severity: Severity::Info,
            subjects: subjects.clone(),
            evidence,
            hint: None,
        });
        for budget in case.shut_budgets() {
            self.forced.push(budget.reference());
            self.findings.push(Finding {
                id: "surge-forced",
                severity: Severity::Warning,
                subjects: subjects.clone(),
                evidence: format!(
                    "budget {}/{} ({}) never allows an eviction, however many pods there are: {these} without its consent",
                    budget.namespace,
                    budget.name,
                    budget.stated()
                ),
                hint: None,
            });
        }
        for pod in &case.pods {
            // That of a surge that was cut off may be open by now.
            let all = case.facts.budgets.known().into_iter().flatten();
            let budget = case.budgets.iter().copied().chain(all).find(|b| b.matches(pod));
            self.pods.insert(pod.uid.clone(), budget.map(Budget::reference));
        }
        self.planned.push(Planned {
            deployment: name,
            pods: case.pods.iter().map(|p| p.uid.clone()).collect(),
            force: case.force,
            autoscaled: case.scalers().next().is_some(),
            unfinished: case.unfinished(),
        });
    }
}

/// A surge that was asked for and cannot be done.
fn no_surge(
    deployment: Option<ObjRef>,
    pods: &[&Pod],
    reasons: &[String],
    hint: Option<String>,
    on_blocked: OnBlocked,
) -> Option<Finding> {
    let gives_up = matches!(on_blocked, OnBlocked::Patient | OnBlocked::Fail);
    let who = deployment.map_or_else(
        || {
            if pods.len() == 1 {
                "this pod".to_owned()
            } else {
                "these pods".to_owned()
            }
        },
        |name| name.to_string(),
    );
    (!pods.is_empty()).then(|| Finding {
        id: "no-surge",
        severity: if gives_up { Severity::Refusal } else { Severity::Warning },
        subjects: pods.iter().map(|p| p.reference()).collect(),
        evidence: format!("--surge cannot move {who}: {}", reasons.join("; ")),
        hint,
    })
}

/// Surges that were cut off, in a run that is to do none. To evict their pods now would start one too many.
fn unfinished(facts: &Facts, planned: &[&Pod]) -> Vec<Finding> {
    let deployments = facts.scaling.as_ref().and_then(|s| s.deployments.known());
    let ours = |node: &String| facts.targets.iter().any(|t| &t.name == node);
    let cut_off = deployments.into_iter().flatten().filter_map(|deployment| {
        let record = deployment.record.this().filter(|r| r.nodes.iter().any(ours))?;
        Some((deployment.reference().to_string(), &record.pods))
    });
    let mut groups: Vec<(String, Vec<&Pod>)> = cut_off
        .map(|(name, pods)| {
            (
                name,
                planned.iter().copied().filter(|p| pods.contains(&p.uid)).collect(),
            )
        })
        .collect();
    // Where Deployments cannot be read, marks still tell.
    let surging = in_a_surge(facts, planned);
    let marked = planned.iter().copied().filter(|p| surging.contains(&p.uid));
    let marked: Vec<&Pod> = marked
        .filter(|p| !groups.iter().any(|(_, known)| known.iter().any(|k| k.uid == p.uid)))
        .collect();
    if !marked.is_empty() {
        groups.push(("their Deployment".into(), marked));
    }
    let findings = groups.into_iter().map(|(name, pods)| Finding {
        id: "surge-unfinished",
        severity: Severity::Refusal,
        subjects: pods.iter().map(|p| p.reference()).collect(),
        evidence: format!("a surge of {name} was begun and not ended"),
        hint: Some(
            "wait for the run that does it; if there is none, go on with --surge, or undo it with --uncordon".into(),
        ),
    });
    findings.collect()
}
