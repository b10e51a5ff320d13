//! Pods that keep the disruption controller from counting a budget (condition `SyncFailed`).
//!
//! With `maxUnavailable` or a percentage it sums up `spec.replicas` of the controllers of all pods that the budget selects,
//! finished ones included, and gives up at the first that has none (`getExpectedScale`).

use std::collections::BTreeMap;

use crate::facts::{Owner, Pod, Workloads};

/// Kinds of Kubernetes that have a number of replicas.
const COUNTED: [&str; 4] = ["Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"];

/// How many owners, and pods of each, are named.
const NAMED: usize = 3;

/// Pods of one owner that cannot be counted.
#[derive(Debug)]
struct Uncounted<'a> {
    owner: &'a Owner,
    /// It does not exist any more.
    missing: bool,
    pods: Vec<&'a Pod>,
}

impl Uncounted<'_> {
    fn is_finished_job(&self) -> bool {
        self.owner.kind == "Job" && self.pods.iter().all(|p| p.finished())
    }

    fn title(&self) -> String {
        format!("{} {}", self.owner.kind, self.owner.name)
    }

    fn text(&self) -> String {
        let names = listed(self.pods.iter().map(|p| p.name.clone()).collect());
        let state = match (self.missing, self.is_finished_job()) {
            (true, _) => ", which does not exist",
            (false, true) => ", finished",
            (false, false) => "",
        };
        format!("{names} of {}{state}", self.title())
    }
}

fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let names = names.join(", ");
    match more {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

/// Why the pods cannot be counted, and what cures it. `message` is that of the condition.
pub fn explain(message: &str, selected: &[&Pod], workloads: Option<&Workloads>) -> (String, String) {
    let mut groups = BTreeMap::<&Owner, Uncounted<'_>>::new();
    for pod in selected {
        let Some(owner) = pod.owner.as_ref() else { continue };
        let missing = workloads.is_some_and(|all| all.is_missing(owner)) || names_pod(message, pod);
        if missing || !is_counted(owner, message) {
            let group = groups.entry(owner).or_insert_with(|| Uncounted {
                owner,
                missing,
                pods: Vec::new(),
            });
            group.pods.push(pod);
        }
    }
    let groups: Vec<Uncounted<'_>> = groups.into_values().collect();
    if groups.is_empty() {
        let why = format!("the disruption controller cannot count its pods: {message}");
        let cure = "narrow its selector to pods of Deployments, ReplicaSets or StatefulSets";
        return (why, cure.into());
    }
    let who = listed(groups.iter().map(Uncounted::text).collect());
    let why = format!("it also selects pods whose owner has no number of replicas: {who} ({message})");
    let mut cures = vec!["narrow its selector so that it leaves these pods out".to_owned()];
    let finished: Vec<String> = groups
        .iter()
        .filter(|g| !g.missing && g.is_finished_job())
        .map(|g| g.owner.name.clone())
        .collect();
    match finished.len() {
        0 => {}
        1 => cures.push(format!("delete the finished Job {}", finished[0])),
        _ => cures.push(format!("delete the finished Jobs {}", listed(finished))),
    }
    cures.push("state minAvailable as a number".into());
    (why, one_of(&cures))
}

fn one_of(cures: &[String]) -> String {
    match cures {
        [all @ .., last] if !all.is_empty() => format!("{}, or {last}", all.join(", ")),
        all => all.join(", "),
    }
}

/// `found no controllers for pod "web-1"`.
fn names_pod(message: &str, pod: &Pod) -> bool {
    message.starts_with("found no controllers for pod") && message.contains(&format!("\"{}\"", pod.name))
}

/// Whether the owner has a number of replicas. Of kinds that are not Kubernetes' own only the message can tell:
/// `kafkas.kafka.strimzi.io does not implement the scale subresource`.
fn is_counted(owner: &Owner, message: &str) -> bool {
    if super::super::operators::is_own(owner) {
        return COUNTED.contains(&owner.kind.as_str());
    }
    let resource = message.split_whitespace().next().unwrap_or_default();
    let group = resource.split_once('.').map_or("", |(_, group)| group);
    !message.contains("scale subresource") || group != owner.group()
}
