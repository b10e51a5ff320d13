//! Puts the rules together: what a person sees beforehand, and what the engine starts from.

use std::collections::{BTreeMap, BTreeSet};

use upkeep::report::{Finding, ObjRef, Seen, Severity};

use super::{
    budgets::{self, BudgetPlan, When},
    capacity::{self, Fit},
    critical,
    fence::{self, Fence, PoweredOff},
    filters,
    filters::{Judgement, Rules},
    marks, owners, removal,
    surge::{self, Mode, Surges},
    tenants, webhooks,
};
use crate::{
    engine::{OnBlocked, Plan, Target, event::Verb, surge::Planned},
    facts::{CORDONED, Facts, Pod, Uid},
};

/// What was asked for, as far as preflight looks at it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which pods go.
    pub rules: Rules,
    /// Through the eviction API, or by deletion.
    pub verb: Verb,
    /// What to do with pods whose budget lets nothing through.
    pub on_blocked: OnBlocked,
    /// `--grace-period` in seconds, where given.
    pub grace: Option<i64>,
    /// Whether Deployments may run more pods for a while.
    pub surge: Mode,
    /// Whether the machines of silent nodes are off.
    pub powered_off: PoweredOff,
    /// Whether the nodes are removed from the cluster.
    pub delete: bool,
}

/// One pod on a node that is to be emptied.
#[derive(Debug, Clone)]
pub struct PodPlan {
    /// The pod.
    pub pod: ObjRef,
    /// Whether nothing would bring it back, so that it is saved first.
    pub is_irreplaceable: bool,
    /// Its node.
    pub node: String,
    /// Whether it goes, and why.
    pub judgement: Judgement,
    /// How it will be asked to go.
    pub verb: Verb,
    /// When budgets let it go.
    pub when: When,
    /// The budget that has a say.
    pub budget: Option<ObjRef>,
    /// Whether there is room for its successor.
    pub fit: Option<Fit>,
    /// Seconds that it may take to stop.
    pub grace: i64,
}

impl PodPlan {
    /// Whether it is gone afterwards: it is to go, or the machine is off that it is recorded on.
    pub fn is_removed(&self) -> bool {
        self.judgement.goes || self.when == When::Forced
    }
}

/// What will happen.
#[derive(Debug, Default)]
pub struct Preview {
    /// The nodes, in order.
    pub nodes: Vec<String>,
    /// Every pod that was looked at, in the order of namespaces and names.
    pub pods: Vec<PodPlan>,
    /// How many pods of each node `--pod-selector` leaves out.
    pub left_out: BTreeMap<String, usize>,
    /// Budgets that have a say.
    pub budgets: Vec<BudgetPlan>,
    /// Deployments that run more pods for a while.
    pub surges: Vec<Planned>,
    /// Budgets that stay shut and are not asked.
    pub forced: Vec<ObjRef>,
    /// Silent nodes that are forced.
    pub fences: Vec<Fence>,
    /// What a person should know, the gravest first.
    pub findings: Vec<Finding>,
}

impl Preview {
    /// Findings that forbid to start.
    pub fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.severity == Severity::Refusal)
    }

    /// Whether pods go that nothing would bring back.
    pub fn has_irreplaceable(&self) -> bool {
        self.going().any(|p| p.is_irreplaceable)
    }

    /// Pods that go.
    pub fn going(&self) -> impl Iterator<Item = &PodPlan> {
        self.pods.iter().filter(|p| p.judgement.goes)
    }
}

/// Decides everything that can be decided before the first change.
pub fn preview(facts: &Facts, asked: &Asked) -> Preview {
    let nodes: Vec<String> = facts.targets.iter().map(|n| n.name.clone()).collect();
    let mut pods: Vec<&Pod> = looked_at(facts, &nodes).collect();
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let judged: Vec<(&Pod, Judgement)> = pods
        .into_iter()
        .map(|pod| (pod, filters::judge(pod, &asked.rules, facts.now)))
        .collect();
    let planned: Vec<&Pod> = judged.iter().filter(|(_, j)| j.goes).map(|(p, _)| *p).collect();

    let fences = fence::fences(facts, &planned, asked.powered_off, asked.delete);
    // Pods of machines that are off do not run: no budget is asked for them, and none of them stays.
    let off = |pod: &Pod| fences.planned.iter().any(|f| f.node == pod.node);
    let mut findings = grouped(&judged, |reason, pod| reason.id != "daemonset" || !off(pod));
    findings.extend(fences.findings.iter().cloned());
    let asked_to_go: Vec<&Pod> = planned.iter().copied().filter(|p| !off(p)).collect();
    let surges = match asked.verb {
        Verb::Delete => Surges::default(),
        _ => surge::surges(facts, &asked_to_go, asked.surge, asked.on_blocked),
    };
    findings.extend(surges.findings);
    let surging: BTreeSet<Uid> = surges.pods.keys().cloned().collect();
    let evicted: Vec<&Pod> = asked_to_go.into_iter().filter(|p| !surging.contains(&p.uid)).collect();
    let mut consent = match (&facts.budgets, asked.verb) {
        (Seen::Known(all), Verb::Evict | Verb::Surge) => budgets::consent(all, &facts.pods, &evicted, asked.on_blocked),
        _ => budgets::Consent::default(),
    };
    if asked.surge == Mode::Off {
        consent
            .findings
            .iter_mut()
            .for_each(|finding| name_surge(finding, &planned));
    }
    findings.extend(consent.findings);
    let mut fits = capacity::place(facts, &planned, &surging);
    findings.extend(no_room(&planned, &fits));
    findings.extend(facts.claimed.iter().map(claimed));
    findings.extend(tenants::other_owners(facts));
    findings.extend(webhooks::eviction_webhooks(facts, &planned));
    findings.extend(critical::critical(facts, &planned, &surging));
    findings.extend(owners::orphans(facts, &planned));
    if asked.delete {
        let off: BTreeSet<&str> = fences.planned.iter().map(|f| f.node.as_str()).collect();
        findings.extend(removal::removal(facts, &planned, &off));
    }
    findings.extend(marks::opt_outs(&planned, &facts.targets));
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));

    let plans = judged.into_iter().map(|(pod, judgement)| {
        let surge = surges.pods.get(&pod.uid).map(|budget| (When::Surge, budget.clone()));
        let evicted = || consent.pods.get(&pod.uid).cloned().unwrap_or((When::Now, None));
        let verb = if surge.is_some() { Verb::Surge } else { asked.verb };
        let (when, budget) = match surge {
            _ if off(pod) && (judgement.goes || fence::is_removed(pod)) => (When::Forced, None),
            surge => surge.unwrap_or_else(evicted),
        };
        PodPlan {
            pod: pod.reference(),
            is_irreplaceable: asked.rules.is_irreplaceable(pod),
            node: pod.node.clone(),
            judgement,
            verb,
            when,
            budget,
            fit: fits.remove(&pod.uid),
            grace: asked.grace.unwrap_or(pod.grace),
        }
    });
    let pods = plans.collect();
    Preview {
        left_out: left_out(facts, &nodes),
        nodes,
        pods,
        budgets: consent.budgets,
        surges: surges.planned,
        forced: surges.forced,
        fences: fences.planned,
        findings,
    }
}

/// The way around a budget that never allows an eviction and costs nobody anything.
fn name_surge(finding: &mut Finding, planned: &[&Pod]) {
    let of_a_set = |pod: &&&Pod| pod.owner.as_ref().is_some_and(|o| o.kind == "ReplicaSet");
    let mut concerned = planned
        .iter()
        .filter(|p| finding.subjects.iter().any(|s| s.uid == p.uid));
    let may_surge = finding.id == "budget-never" && concerned.any(|p| of_a_set(&p));
    if let Some(hint) = finding.hint.as_mut().filter(|_| may_surge) {
        // "maxUnavailable 0" and "100%" stay shut however many pods there are.
        let surge = if finding.evidence.contains("allows no eviction at all") {
            "--surge=force"
        } else {
            "--surge"
        };
        *hint = format!("let Deployments run more pods for a while with {surge}, {hint}");
    }
}

/// Pods on the nodes, less those that `--pod-selector` leaves out.
fn looked_at<'a>(facts: &'a Facts, nodes: &'a [String]) -> impl Iterator<Item = &'a Pod> {
    let on_targets = facts.pods.iter().filter(|p| nodes.contains(&p.node));
    on_targets.filter(|p| facts.selected.as_ref().is_none_or(|selected| selected.contains(&p.uid)))
}

fn left_out(facts: &Facts, nodes: &[String]) -> BTreeMap<String, usize> {
    let Some(selected) = &facts.selected else {
        return BTreeMap::new();
    };
    let mut left_out = BTreeMap::new();
    for pod in facts
        .pods
        .iter()
        .filter(|p| nodes.contains(&p.node) && !selected.contains(&p.uid))
    {
        *left_out.entry(pod.node.clone()).or_default() += 1;
    }
    left_out
}

/// The reasons of the filters, one finding per reason with all its pods.
fn grouped(judged: &[(&Pod, Judgement)], counts: impl Fn(&filters::Reason, &Pod) -> bool) -> Vec<Finding> {
    let mut groups = BTreeMap::<filters::Reason, Vec<ObjRef>>::new();
    for (pod, judgement) in judged {
        for reason in judgement.reasons.iter().filter(|r| counts(r, pod)) {
            groups.entry(*reason).or_default().push(pod.reference());
        }
    }
    let findings = groups.into_iter().map(|(reason, subjects)| Finding {
        id: reason.id,
        severity: reason.severity,
        subjects,
        evidence: match reason.severity {
            Severity::Refusal => format!("cannot delete {}", reason.text),
            _ => reason.text.to_owned(),
        },
        hint: None,
    });
    findings.collect()
}

/// Another run is at work on a node.
fn claimed((node, holder): &(String, String)) -> Finding {
    Finding {
        id: "claimed",
        severity: Severity::Refusal,
        subjects: Vec::new(),
        evidence: format!("node/{node}: {holder}"),
        hint: Some("wait for that run to end; ask its operator before anything is done by hand".into()),
    }
}

/// Pods that are proven to have no place to go, one finding per reason.
fn no_room(planned: &[&Pod], fits: &BTreeMap<String, Fit>) -> Vec<Finding> {
    let mut groups = BTreeMap::<String, Vec<ObjRef>>::new();
    for pod in planned {
        if let Some(fit @ Fit::Impossible { .. }) = fits.get(&pod.uid) {
            groups.entry(fit.text()).or_default().push(pod.reference());
        }
    }
    let findings = groups.into_iter().map(|(text, subjects)| Finding {
        id: "no-room",
        severity: Severity::Warning,
        evidence: match subjects.len() {
            1 => format!("no other node can take the successor of this pod: {text}"),
            _ => format!("no other node can take the successors of these pods: {text}"),
        },
        hint: Some(match subjects.len() {
            1 => "what replaces it stays Pending until there is room".into(),
            _ => "what replaces them stays Pending until there is room".into(),
        }),
        subjects,
    });
    findings.collect()
}

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
pub fn plan(facts: &Facts, preview: &Preview) -> Plan {
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
    let baseline = facts.budgets.known().into_iter().flatten().map(|budget| {
        let living = facts
            .pods
            .iter()
            .filter(|p| p.deletion.is_none() && !p.finished() && budget.matches(p));
        (budget.uid.clone(), living.count())
    });
    let namespaces: BTreeSet<String> = preview.going().filter_map(|p| p.pod.namespace.clone()).collect();
    Plan {
        targets: targets.collect(),
        budgets: facts.budgets.known().cloned(),
        baseline: baseline.collect(),
        before: existing(facts, preview),
        surges: preview.surges.clone(),
        namespaces: namespaces.into_iter().collect(),
    }
}
