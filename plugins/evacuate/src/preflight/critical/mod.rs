//! What would be missed: last replicas, data that stay behind, pods that come back or do not go.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use upkeep::report::{Finding, Seen, Severity};

use super::owners;
use crate::facts::{
    Facts, Owner, Pod, Uid,
    finalizers::{JOB_TRACKING, with_removers},
};

/// How many workloads are named before the rest is only counted.
const NAMED: usize = 5;

/// Labels by which cluster DNS is known (`k8s-app` of kube-dns and CoreDNS as kubeadm and the clouds install it, and
/// the name that the chart gives).
const DNS: [(&str, &str); 2] = [("k8s-app", "kube-dns"), ("app.kubernetes.io/name", "coredns")];

/// All of it, the most urgent first. Pods that surge go only when their successors are Ready: nothing is without them.
pub fn critical(facts: &Facts, planned: &[&Pod], surging: &BTreeSet<Uid>) -> Vec<Finding> {
    let alive: Vec<&Pod> = planned.iter().filter(|p| !p.finished()).copied().collect();
    let missed: Vec<&Pod> = alive.iter().filter(|p| !surging.contains(&p.uid)).copied().collect();
    let mut found: Vec<Finding> = Vec::new();
    // Which pod is the last one is known only to who has seen the others.
    if facts.elsewhere.known().is_some() {
        found.extend(dns(facts, &missed));
        found.extend(replicas(facts, &missed));
    }
    found.extend(
        [
            finalizers(planned),
            returning(facts, &alive),
            host_paths(&alive),
            local_volumes(facts, &alive),
        ]
        .into_iter()
        .flatten(),
    );
    found
}

fn finding(id: &'static str, severity: Severity, pods: &[&Pod], evidence: String, hint: &str) -> Option<Finding> {
    (!pods.is_empty()).then(|| Finding {
        id,
        severity,
        subjects: pods.iter().map(|p| p.reference()).collect(),
        evidence,
        hint: Some(hint.into()),
    })
}

/// `1 pod keeps`, `2 pods keep`.
fn pods(count: usize, one: &str, many: &str) -> String {
    if count == 1 {
        format!("1 pod {one}")
    } else {
        format!("{count} pods {many}")
    }
}

fn is_dns(pod: &Pod) -> bool {
    DNS.iter()
        .any(|(key, value)| pod.labels.get(*key).is_some_and(|v| v == value))
}

fn dns(facts: &Facts, planned: &[&Pod]) -> Option<Finding> {
    let serving = |pod: &Pod| pod.ready && pod.deletion.is_none() && is_dns(pod);
    let going: Vec<&Pod> = planned.iter().filter(|p| serving(p)).copied().collect();
    if facts.pods.iter().filter(|p| serving(p)).count() > going.len() {
        return None;
    }
    let evidence = match going.len() {
        1 => "the last Ready replica of cluster DNS goes".to_owned(),
        n => format!("all {n} Ready replicas of cluster DNS go"),
    };
    finding(
        "dns-down",
        Severity::Warning,
        &going,
        evidence,
        "scale it up first, so that one runs elsewhere",
    )
}

/// Controllers of which every Ready pod is to go. One of one is said once for all of them: it is the ordinary case of a
/// single replica, and only in `kube-system` is it likely to be missed by everybody. Several under a budget are not said
/// here: the budget keeps them from going at once.
fn replicas(facts: &Facts, planned: &[&Pod]) -> Vec<Finding> {
    let serves = |pod: &&Pod| pod.ready && pod.deletion.is_none() && !pod.finished() && !is_dns(pod);
    let lasting = |owner: &&Owner| !(owner.is_daemon_set() || owner.api_version == "batch/v1" && owner.kind == "Job");
    let mut ready: BTreeMap<&str, usize> = BTreeMap::new();
    for owner in facts.pods.iter().filter(serves).filter_map(|p| p.owner.as_ref()) {
        *ready.entry(&owner.uid).or_default() += 1;
    }
    let mut going: BTreeMap<&str, (String, Vec<&Pod>)> = BTreeMap::new();
    for pod in planned.iter().copied().filter(|p| serves(p) && !p.mirror) {
        if let Some(owner) = pod.owner.as_ref().filter(lasting) {
            let entry = going
                .entry(&owner.uid)
                .or_insert_with(|| (workload(pod, owner), Vec::new()));
            entry.1.push(pod);
        }
    }
    let all = going
        .into_iter()
        .filter(|(uid, (_, pods))| ready.get(uid) == Some(&pods.len()))
        .map(|(_, group)| group);
    let (mut many, single): (Vec<_>, Vec<_>) = all.partition(|(_, pods)| pods.len() > 1);
    let budgets = facts.budgets.known().map_or(&[][..], Vec::as_slice);
    many.retain(|(_, pods)| !pods.iter().all(|pod| budgets.iter().any(|b| b.matches(pod))));
    let (system, single): (Vec<_>, Vec<_>) = single
        .into_iter()
        .partition(|(_, pods)| pods[0].namespace == "kube-system");
    let many_text = match many.as_slice() {
        [(name, pods)] => format!("all {} Ready replicas of {name} go", pods.len()),
        groups => {
            let names = groups.iter().map(|(name, pods)| format!("{name} ({})", pods.len()));
            format!(
                "all Ready replicas of {} workloads go: {}",
                groups.len(),
                listed(names.collect())
            )
        }
    };
    let single_text = |groups: &[(String, Vec<&Pod>)]| match groups {
        [(name, _)] => format!("the only Ready replica of {name} goes"),
        groups => {
            let names = groups.iter().map(|(name, _)| name.clone()).collect();
            format!(
                "the only Ready replica of {} workloads goes: {}",
                groups.len(),
                listed(names)
            )
        }
    };
    let pause = |groups: &[(String, Vec<&Pod>)]| match groups.len() {
        1 => "it is out of service until its replacement is Ready",
        _ => "each is out of service until its replacement is Ready",
    };
    let found = [
        finding(
            "system-replica",
            Severity::Warning,
            &members(&system),
            single_text(&system),
            pause(&system),
        ),
        finding(
            "all-replicas",
            Severity::Info,
            &members(&many),
            many_text,
            match facts.budgets {
                Seen::Known(_) => {
                    "no budget keeps them from being away at once; give them one, or spread them over nodes"
                }
                Seen::Unknown { .. } => "they may all be away at once; spread them over nodes",
            },
        ),
        finding(
            "only-replica",
            Severity::Info,
            &members(&single),
            single_text(&single),
            pause(&single),
        ),
    ];
    found.into_iter().flatten().collect()
}

fn members<'a>(groups: &[(String, Vec<&'a Pod>)]) -> Vec<&'a Pod> {
    groups.iter().flat_map(|(_, pods)| pods.iter().copied()).collect()
}

/// What people call it: a ReplicaSet of a Deployment carries the Deployment's name and the hash of the template.
fn workload(pod: &Pod, owner: &Owner) -> String {
    let hash = pod.labels.get("pod-template-hash").map(|hash| format!("-{hash}"));
    let name = hash
        .and_then(|hash| owner.name.strip_suffix(&hash))
        .unwrap_or(&owner.name);
    format!("{}/{name}", pod.namespace)
}

fn listed(mut names: Vec<String>) -> String {
    names.sort();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// Finished pods count too: a finalizer keeps any pod object on the node.
fn finalizers(planned: &[&Pod]) -> Option<Finding> {
    let own = |pod: &Pod| {
        pod.finalizers
            .iter()
            .filter(|f| *f != JOB_TRACKING)
            .cloned()
            .collect::<Vec<_>>()
    };
    let held: Vec<&Pod> = planned.iter().filter(|p| !own(p).is_empty()).copied().collect();
    let mut names: Vec<String> = held.iter().flat_map(|p| own(p)).collect();
    names.sort();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more > 0 {
        format!(", {more} more")
    } else {
        String::new()
    };
    let text = format!("{} {}{more}", pods(held.len(), "has", "have"), with_removers(&names));
    let hint = match held.len() {
        1 => {
            "it stays Terminating until the finalizers are removed; 'kubectl finalize pod' finds out who should do that"
        }
        _ => {
            "they stay Terminating until the finalizers are removed; 'kubectl finalize pod' finds out who should do that"
        }
    };
    finding("pod-finalizers", Severity::Warning, &held, text, hint)
}

/// A toleration for the cordon, and a controller that makes the next pod at once.
fn returning(facts: &Facts, planned: &[&Pod]) -> Option<Finding> {
    let comes_back = |pod: &Pod| {
        let owner = pod
            .owner
            .as_ref()
            .filter(|o| !o.is_daemon_set() && !owners::gone(facts, o));
        pod.tolerates_cordon() && !pod.mirror && owner.is_some()
    };
    let back: Vec<&Pod> = planned.iter().filter(|p| comes_back(p)).copied().collect();
    let text = format!(
        "{} the cordon and may come back",
        pods(back.len(), "tolerates", "tolerate")
    );
    finding(
        "cordon-tolerated",
        Severity::Warning,
        &back,
        text,
        "the node may not become empty; take the toleration off, or scale down",
    )
}

fn host_paths(planned: &[&Pod]) -> Option<Finding> {
    let using: Vec<&Pod> = planned.iter().filter(|p| p.host_path && !p.mirror).copied().collect();
    let text = format!(
        "{} hostPath volumes: what is in them stays on the node",
        pods(using.len(), "uses", "use")
    );
    finding(
        "host-path",
        Severity::Warning,
        &using,
        text,
        "the replacement finds the directories of its own node",
    )
}

fn local_volumes(facts: &Facts, planned: &[&Pod]) -> Option<Finding> {
    let Seen::Known(volumes) = &facts.volumes else {
        return None;
    };
    let local = |pod: &Pod| {
        let mut names = pod
            .claims
            .iter()
            .filter_map(|c| volumes.claims.get(&(pod.namespace.clone(), c.name.clone())));
        names.any(|name| volumes.volumes.get(name).is_some_and(|volume| volume.local))
    };
    let using: Vec<&Pod> = planned.iter().filter(|p| local(p)).copied().collect();
    let text = format!("{} data on local volumes of the node", pods(using.len(), "has", "have"));
    finding(
        "local-volume",
        Severity::Warning,
        &using,
        text,
        "the data stay there, and the replacement waits for that node",
    )
}
