//! Puts the rules together: what a person sees beforehand, and what the engine starts from.

use std::collections::{BTreeMap, BTreeSet};

use upkeep::{
    lock::is_run_id,
    report::{Finding, ObjRef, Severity},
};

use super::{
    budgets::{self, BudgetPlan, Policy, When},
    capacity::{self, Fit},
    critical,
    duration::{self, Pace},
    fence::{self, Fence, PoweredOff},
    filters,
    filters::{Judgement, Rules},
    jobs, marks, owners, removal,
    surge::{self, Mode, Surges},
    tenants, webhooks,
};
use crate::{
    engine::{OnBlocked, event::Verb, surge::Planned},
    facts::{Claimed, Facts, Pod, Ready, Uid, finalizers::JOB_TRACKING},
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
    /// How fast nodes and pods follow one another.
    pub pace: Pace,
}

/// One pod on a node that is to be emptied.
#[derive(Debug, Clone)]
pub struct PodPlan {
    /// The pod.
    pub pod: ObjRef,
    /// What is saved before it leaves, because nothing would bring it back.
    pub to_save: Option<ObjRef>,
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
    /// Seconds of its grace period.
    pub grace: i64,
    /// Seconds that it may still take to stop: nothing where it has ended or its machine is off.
    pub stops_in: i64,
    /// `spec.priority`.
    pub priority: i32,
    /// Whether something else than the Job controller has to remove a finalizer of it.
    pub has_finalizers: bool,
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

    /// Whether something has to be saved, because nothing would bring it back.
    pub fn saves(&self) -> bool {
        self.going().any(|p| p.to_save.is_some())
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
    let own_words = |reason: &filters::Reason| reason.id == "job-fails";
    let mut findings = grouped(&judged, |reason, pod| {
        !own_words(reason) && (reason.id != "daemonset" || !off(pod))
    });
    findings.extend(fences.findings.iter().cloned());
    // Pods that finish first need no consent and no room, and nothing of them is interrupted.
    let moved: Vec<&Pod> = planned
        .iter()
        .copied()
        .filter(|p| off(p) || !asked.rules.leaves_to_finish(p))
        .collect();
    let asked_to_go: Vec<&Pod> = moved.iter().copied().filter(|p| !off(p)).collect();
    let surges = match asked.verb {
        Verb::Delete => Surges::default(),
        _ => surge::surges(facts, &asked_to_go, asked.surge, asked.on_blocked),
    };
    findings.extend(surges.findings);
    let surging: BTreeSet<Uid> = surges.pods.keys().cloned().collect();
    let evicted: Vec<&Pod> = asked_to_go.into_iter().filter(|p| !surging.contains(&p.uid)).collect();
    // Without the pods of other nodes nobody can count what a budget allows: the server's answers are all there is.
    let consent = match (facts.counted_budgets(), asked.verb) {
        (Some(_), Verb::Evict | Verb::Surge) => {
            let policy = Policy {
                on_blocked: asked.on_blocked,
                advise_surge: asked.surge == Mode::Off,
            };
            budgets::consent(facts, &evicted, policy)
        }
        _ => budgets::Consent::default(),
    };
    findings.extend(consent.findings);
    let mut fits = capacity::place(facts, &moved, &surging);
    findings.extend(no_room(&moved, &fits));
    findings.extend(facts.claimed.iter().map(claimed));
    findings.extend(tenants::other_owners(facts));
    findings.extend(webhooks::eviction_webhooks(facts, &planned));
    findings.extend(critical::critical(facts, &planned, &surging));
    findings.extend(owners::orphans(facts, &planned));
    findings.extend(jobs::findings(&moved, &asked.rules.losses, asked.rules.allowed.force));
    if asked.delete {
        let off: BTreeSet<&str> = fences.planned.iter().map(|f| f.node.as_str()).collect();
        findings.extend(removal::removal(facts, &planned, &off));
    }
    findings.extend(marks::opt_outs(&moved, &facts.targets));

    let waits = asked.rules.allowed.wait_jobs != jobs::WaitJobs::No;
    let may_finish = |pod: &Pod| waits && jobs::may_finish(pod);
    let plans = judged.into_iter().map(|(pod, judgement)| {
        let surge = surges.pods.get(&pod.uid).map(|budget| (When::Surge, budget.clone()));
        let evicted = || consent.pods.get(&pod.uid).cloned().unwrap_or((When::Now, None));
        let verb = if surge.is_some() { Verb::Surge } else { asked.verb };
        let (when, budget) = match surge {
            _ if off(pod) && (judgement.goes || fence::is_removed(pod)) => (When::Forced, None),
            _ if may_finish(pod) => (When::AfterJob, None),
            surge => surge.unwrap_or_else(evicted),
        };
        PodPlan {
            pod: pod.reference(),
            to_save: asked.rules.to_save(pod).filter(|_| !asked.rules.leaves_to_finish(pod)),
            node: pod.node.clone(),
            judgement,
            verb,
            when,
            budget,
            fit: fits.remove(&pod.uid),
            grace: asked.grace.unwrap_or(pod.grace),
            stops_in: if off(pod) { 0 } else { stops_in(pod, asked, facts) },
            priority: pod.priority,
            has_finalizers: pod.finalizers.iter().any(|f| f != JOB_TRACKING),
        }
    });
    let pods: Vec<PodPlan> = plans.collect();
    let fenced = |node: &str| fences.planned.iter().any(|f| f.node == node);
    let silent = facts
        .targets
        .iter()
        .any(|node| node.ready == Ready::Unknown && !fenced(&node.name));
    findings.extend(duration::duration(&pods, asked.pace, silent));
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    Preview {
        left_out: left_out(facts, asked, &nodes),
        nodes,
        pods,
        budgets: consent.budgets,
        surges: surges.planned,
        forced: surges.forced,
        fences: fences.planned,
        findings,
    }
}

/// Seconds that the pod may still take to stop.
fn stops_in(pod: &Pod, asked: &Asked, facts: &Facts) -> i64 {
    match pod.deletion {
        _ if pod.finished() => 0,
        Some(at) => (at.as_second() - facts.now.as_second()).max(0),
        None => asked.grace.unwrap_or(pod.grace),
    }
}

/// Pods on the nodes, less those that `--pod-selector` leaves out.
fn looked_at<'a>(facts: &'a Facts, nodes: &'a [String]) -> impl Iterator<Item = &'a Pod> {
    let on_targets = facts.pods.iter().filter(|p| nodes.contains(&p.node));
    on_targets.filter(|p| facts.selected.as_ref().is_none_or(|selected| selected.contains(&p.uid)))
}

/// Pods of a node that would be evicted if `--pod-selector` did not leave them out.
pub fn left_out_of<'a>(facts: &'a Facts, asked: &'a Asked, node: &'a str) -> impl Iterator<Item = &'a Pod> {
    let others = facts.pods.iter().filter(move |pod| {
        let selected = facts.selected.as_ref().is_none_or(|uids| uids.contains(&pod.uid));
        pod.node == node && !selected
    });
    others.filter(|pod| {
        let goes = filters::judge(pod, &asked.rules, facts.now).goes;
        goes || asked.rules.passes_over(pod, facts.now)
    })
}

fn left_out(facts: &Facts, asked: &Asked, nodes: &[String]) -> BTreeMap<String, usize> {
    let counts = nodes
        .iter()
        .map(|node| (node.clone(), left_out_of(facts, asked, node).count()));
    counts.filter(|(_, count)| *count > 0).collect()
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
fn claimed(claimed: &Claimed) -> Finding {
    let Claimed {
        node,
        run,
        text,
        by_annotation,
    } = claimed;
    let over = if is_run_id(run) { run.as_str() } else { "RUN" };
    let hint = if *by_annotation {
        format!(
            "wait for that run to end; this lock is an annotation, which the node itself can write: if no such run is at work, \
             add --take-over={over} (--take-over=annotation, where its run is another one each time)"
        )
    } else {
        format!("wait for that run to end; if it is surely not at work any more, add --take-over={over}")
    };
    Finding {
        id: "claimed",
        severity: Severity::Refusal,
        subjects: Vec::new(),
        evidence: format!("node/{node}: {text}"),
        hint: Some(hint),
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
