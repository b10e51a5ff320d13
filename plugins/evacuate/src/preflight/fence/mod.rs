//! Nodes whose kubelets are silent: which of them may be forced, with what evidence, and when not.
//!
//! A silent kubelet is not a machine that is off: pods may run there and write to their volumes. Only a person can know, so
//! nothing is forced before somebody has said so.

#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use upkeep::{
    node::{self, Doubt, Kubelet, LEASE_HELD, is_cut_off, too_many},
    report::{Finding, ObjRef, Seen, Severity},
    ui::{human_duration, plural},
};

use crate::{
    engine::fence::machine::Planned,
    facts::{Facts, Node, OUT_OF_SERVICE_TAINT, OutOfService, Pod, Ready},
};

/// `--powered-off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoweredOff {
    /// Not said: the question is asked.
    Ask,
    /// The machines of silent nodes are off.
    Yes,
    /// They may run, or are dealt with in another way: nothing is forced.
    No,
}

/// One silent node that is to be forced.
#[derive(Debug, Clone)]
pub struct Fence {
    /// Name of the node.
    pub node: String,
    /// It is to be removed from the cluster afterwards.
    pub delete: bool,
    /// How its silence shows: `Ready is Unknown for 12m, its Lease was last renewed 13m ago`.
    pub evidence: String,
    /// How many pods are removed; with the taint also those of DaemonSets.
    pub pods: usize,
    /// What the engine does.
    pub planned: Planned,
}

/// What is to be forced.
#[derive(Debug, Default)]
pub struct Fences {
    /// The nodes.
    pub planned: Vec<Fence>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

/// Decides over all nodes of the run. `going` are the pods that are to go.
pub fn fences(facts: &Facts, going: &[&Pod], said: PoweredOff, delete: bool) -> Fences {
    let mut fences = Fences::default();
    let none_is_silent = facts.targets.iter().all(|n| n.ready != Ready::Unknown);
    for node in &facts.targets {
        match (node.ready, said) {
            (Ready::Unknown, PoweredOff::No) if delete => fences.findings.push(not_to_be_removed(node)),
            (Ready::Unknown, PoweredOff::No) => fences.findings.push(silent(facts, node, said)),
            // Without its node whatever is left there is removed as well.
            (Ready::Unknown, _) if delete || has_work(facts, node, going) => {
                fences.add(facts, node, going, said, delete)
            }
            (Ready::Unknown, _) => fences.findings.push(silent(facts, node, said)),
            (ready, PoweredOff::Yes) => fences.findings.push(heard_of(facts, node, ready, none_is_silent)),
            _ => {}
        }
        let forced = fences.planned.iter().any(|f| f.node == node.name);
        if is_left_over(node) && !forced {
            fences.findings.push(left_over(node));
        }
    }
    if !fences.planned.is_empty() {
        fences.findings.extend(cut_off(facts));
    }
    fences
}

/// Whether anything is there to be forced, pods or volumes, or was begun to be.
fn has_work(facts: &Facts, node: &Node, going: &[&Pod]) -> bool {
    let mut attached = facts.attachments.known().into_iter().flatten();
    going.iter().any(|p| p.node == node.name) || attached.any(|a| a.node == node.name) || is_left_over(node)
}

/// Whether the taint removes a pod that nobody has asked to go.
pub fn is_removed(pod: &Pod) -> bool {
    !pod.tolerates(OUT_OF_SERVICE_TAINT, "NoExecute", "nodeshutdown")
}

/// Whether a run that was cut off has left its taint there.
fn is_left_over(node: &Node) -> bool {
    node.out_of_service() == Some(OutOfService::Ours)
}

impl Fences {
    fn add(&mut self, facts: &Facts, node: &Node, going: &[&Pod], said: PoweredOff, delete: bool) {
        let lease = facts.silence.as_ref().and_then(|s| s.leases.get(&node.name));
        let renewed = match lease {
            Some(Seen::Known(renewed)) => *renewed,
            Some(Seen::Unknown { verb, resource, .. }) => {
                self.findings.push(unheard(node, verb, resource));
                return;
            }
            None => None,
        };
        // How many nodes there are is judged once for all of them.
        let kubelet = Kubelet {
            ready: node.ready,
            renewed: renewed.map(Timestamp::as_millisecond),
            unread: None,
            unavailable: None,
        };
        if let (Some(Doubt::Renewed(_)), Some(at)) = (node::doubt(&kubelet, facts.now), renewed) {
            self.findings.push(just_heard_of(facts, node, at));
            return;
        }
        let mut evidence = evidence(facts.now, node, renewed);
        if is_left_over(node) {
            evidence += "; an evacuation that was cut off has left it tainted as out of service";
        }
        let knows_taint = facts.silence.as_ref().is_some_and(|s| s.knows_taint);
        // The taint is not picky.
        let pods = match knows_taint {
            true => {
                let goes = |p: &Pod| going.iter().any(|g| g.uid == p.uid) || is_removed(p);
                facts.pods.iter().filter(|p| p.node == node.name && goes(p)).count()
            }
            false => going.iter().filter(|p| p.node == node.name).count(),
        };
        let attached = facts.attachments.known().into_iter().flatten();
        let attached = attached
            .filter(|a| a.node == node.name)
            .filter_map(|a| a.volume.clone());
        let attached: Vec<String> = attached.collect();
        let how = match node.out_of_service() {
            _ if !knows_taint => "by deletion with grace 0",
            Some(OutOfService::Foreign) => {
                "with the taint node.kubernetes.io/out-of-service that somebody else has put there, and that stays"
            }
            _ => "with the taint node.kubernetes.io/out-of-service, which is taken off again",
        };
        let volumes = if attached.is_empty() || !knows_taint {
            String::new()
        } else {
            format!(", and {} detached", plural(attached.len(), "volume"))
        };
        self.findings.push(Finding {
            id: "fence",
            severity: Severity::Warning,
            subjects: vec![reference(node)],
            evidence: format!(
                "node/{} is silent ({evidence}){} {} on it {} removed {how}{volumes}; no budget is asked",
                node.name,
                if said == PoweredOff::Yes {
                    " and said to be off:"
                } else {
                    ": once its machine is confirmed to be off,"
                },
                plural(pods, "pod"),
                if pods == 1 { "is" } else { "are" },
            ),
            hint: None,
        });
        self.planned.push(Fence {
            node: node.name.clone(),
            delete,
            evidence,
            pods,
            planned: Planned {
                renewed: renewed.map(Timestamp::as_millisecond),
                by_taint: knows_taint,
                left_over: is_left_over(node),
                attached,
            },
        });
    }
}

fn reference(node: &Node) -> ObjRef {
    ObjRef::cluster("node", &node.name, &node.uid)
}

fn seconds_since(now: Timestamp, at: Timestamp) -> i64 {
    now.as_second().saturating_sub(at.as_second())
}

fn age(now: Timestamp, at: Timestamp) -> String {
    let seconds = u64::try_from(seconds_since(now, at)).unwrap_or(0);
    human_duration(Duration::from_secs(seconds))
}

fn evidence(now: Timestamp, node: &Node, renewed: Option<Timestamp>) -> String {
    node::evidence(now, node.ready_since, renewed)
}

/// Nothing is forced: a person should know what that means.
fn silent(facts: &Facts, node: &Node, said: PoweredOff) -> Finding {
    let lease = facts.silence.as_ref().and_then(|s| s.leases.get(&node.name));
    let renewed = lease.and_then(|l| l.known().copied()).flatten();
    Finding {
        id: "node-silent",
        severity: Severity::Warning,
        subjects: vec![reference(node)],
        evidence: format!(
            "node/{} is silent ({}): pods there cannot confirm that they have ended",
            node.name,
            evidence(facts.now, node, renewed)
        ),
        hint: (said == PoweredOff::No).then(|| "once its machine is surely off, --powered-off gets rid of them".into()),
    }
}

/// It was said to be off, and its kubelet reports. Among others that are silent it is emptied as usual.
fn heard_of(facts: &Facts, node: &Node, ready: Ready, forbids: bool) -> Finding {
    let since = node
        .ready_since
        .map_or_else(String::new, |at| format!(" for {}", age(facts.now, at)));
    let ready = if ready == Ready::True { "True" } else { "False" };
    Finding {
        id: "not-off",
        severity: if forbids { Severity::Refusal } else { Severity::Warning },
        subjects: vec![reference(node)],
        evidence: format!(
            "node/{} is not off: its kubelet reports (Ready is {ready}{since})",
            node.name
        ),
        hint: Some(
            "a machine that has just been switched off is noticed within a minute; until then its pods are asked to go as \
             usual"
                .into(),
        ),
    }
}

/// The condition follows the Lease: a kubelet that has come back renews that first.
fn just_heard_of(facts: &Facts, node: &Node, at: Timestamp) -> Finding {
    Finding {
        id: "not-off",
        severity: Severity::Refusal,
        subjects: vec![reference(node)],
        evidence: format!(
            "node/{} is not off for certain: Ready is Unknown, but its Lease was renewed {} ago",
            node.name,
            age(facts.now, at)
        ),
        hint: Some(format!("look again when that is {LEASE_HELD} seconds ago")),
    }
}

/// To delete the node is to force whatever is left on it.
fn not_to_be_removed(node: &Node) -> Finding {
    Finding {
        id: "node-silent",
        severity: Severity::Refusal,
        subjects: vec![reference(node)],
        evidence: format!(
            "node/{} is silent, and to remove it would force off it whatever may still run there",
            node.name
        ),
        hint: Some("once its machine is surely off, say so with --powered-off".into()),
    }
}

fn unheard(node: &Node, verb: &str, resource: &str) -> Finding {
    Finding {
        id: "fence-unheard",
        severity: Severity::Refusal,
        subjects: vec![reference(node)],
        evidence: format!(
            "node/{} is silent, and whether its machine comes back cannot be followed: you may not {verb} {resource} in \
             kube-node-lease",
            node.name
        ),
        hint: Some("ask for that right, or go on without forcing anything: --powered-off=false".into()),
    }
}

/// A run that was cut off has left the taint there.
fn left_over(node: &Node) -> Finding {
    Finding {
        id: "fence-unfinished",
        severity: Severity::Refusal,
        subjects: vec![reference(node)],
        evidence: format!(
            "node/{} is tainted as out of service by an evacuation that was cut off: every pod is thrown out of it as soon as \
             it is back",
            node.name
        ),
        hint: Some(format!(
            "'kubectl evacuate {} --uncordon' takes that back; where the machine is still off, --powered-off goes on",
            node.name
        )),
    }
}

/// The `id` of what keeps every machine from being taken to be off.
pub const CUT_OFF: &str = "fence-cut-off";

/// Too many silent nodes speak against the control plane, not against them.
fn cut_off(facts: &Facts) -> Option<Finding> {
    let hint = "look at the control plane and its network first; --powered-off=false goes on without forcing anything";
    let evidence = match facts.nodes.known() {
        Some(nodes) => {
            let silent = nodes.iter().filter(|n| n.ready == Ready::Unknown).count();
            is_cut_off(silent, nodes.len()).then(|| too_many(silent, nodes.len()))?
        }
        None => "nodes cannot be listed, so it cannot be told how many of them are silent".to_owned(),
    };
    Some(Finding {
        id: CUT_OFF,
        severity: Severity::Refusal,
        subjects: Vec::new(),
        evidence,
        hint: Some(hint.into()),
    })
}
