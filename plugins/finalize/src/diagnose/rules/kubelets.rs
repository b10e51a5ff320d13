//! Whether the kubelet of a node reports, and whether the node may be fenced: tainted as out of service, so that its pods are
//! forced off.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1 as core},
    jiff::Timestamp,
};
use upkeep::{
    node::{self, Doubt, LEASE_NAMESPACE, Ready},
    report::{Finding, ObjRef, Severity},
    ui::{human_duration, plural},
};

use super::super::{Found, desk::Desk};
use crate::{
    facts::{Key, Object, Pod},
    knowledge::Risk,
    ladder::{Mend, Remedy, Rung},
};

/// How many namespaces and pods are named.
const NAMED: usize = 5;

/// What is known about the kubelet of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kubelet {
    /// There is no such node.
    Missing,
    /// The node cannot be read.
    Unread(String),
    /// It is reporting, with what that rests on.
    Reporting(String),
    /// It has stopped reporting.
    Stopped {
        /// UID of the node.
        uid: String,
        /// When it has last renewed its Lease.
        renewed: Option<Timestamp>,
        /// What that rests on.
        evidence: String,
        /// Why the node must not be fenced all the same.
        doubt: Option<String>,
    },
}

/// Judges the kubelet of a node. Nothing while that is not known.
pub fn kubelet(desk: &Desk<'_>, name: &str) -> Option<Kubelet> {
    let found = match desk.typed::<core::Node>(&Key::cluster("", "nodes", name))? {
        Ok(found) => found,
        Err(said) if said.is_missing() => return Some(Kubelet::Missing),
        Err(said) => return Some(Kubelet::Unread(said.message.clone())),
    };
    let (ready, since) = Ready::of_node(&found);
    if ready != Ready::Unknown {
        let since = since.map_or_else(String::new, |at| {
            let seconds = u64::try_from(desk.seconds_since(at)).unwrap_or(0);
            format!(" for {}", human_duration(std::time::Duration::from_secs(seconds)))
        });
        return Some(Kubelet::Reporting(format!("Ready is {ready}{since}")));
    }
    let lease = Key::within("coordination.k8s.io", "leases", LEASE_NAMESPACE, name);
    let (lease, all) = (desk.typed::<Lease>(&lease), desk.ready());
    let renewed = match lease? {
        Ok(lease) => Ok(lease.spec.and_then(|s| s.renew_time).map(|t| t.0)),
        Err(said) if said.is_missing() => Ok(None),
        Err(said) => Err(said),
    };
    let all = all?;
    let at = renewed.ok().flatten();
    let unavailable = |ready: &[Ready]| ready.iter().filter(|r| **r == Ready::Unknown).count();
    let judged = node::Kubelet {
        ready,
        renewed: at.map(Timestamp::as_millisecond),
        unread: renewed.err().map(|said| said.message.as_str()),
        unavailable: all.ok().map(|all| (unavailable(all), all.len())),
    };
    let doubt = match (node::doubt(&judged, desk.now()), all) {
        (Some(doubt @ Doubt::Renewed(_)), _) => return Some(Kubelet::Reporting(doubt.to_string())),
        (Some(doubt), _) => Some(doubt.to_string()),
        (None, Err(said)) => Some(format!(
            "how many nodes have stopped reporting is unknown: {}",
            said.message
        )),
        (None, Ok(_)) => None,
    };
    Some(Kubelet::Stopped {
        uid: found.metadata.uid.unwrap_or_default(),
        renewed: at,
        evidence: node::evidence(desk.now(), since, at),
        doubt,
    })
}

/// What can be done about the pods of a node whose kubelet has stopped reporting. Nothing while that is not known.
pub fn remedies(desk: &Desk<'_>, name: &str, kubelet: &Kubelet) -> Option<Vec<Remedy>> {
    let back = || Remedy::by_hand(Rung::Repair, format!("bring node/{name} back"));
    Some(match kubelet {
        Kubelet::Missing => Vec::new(),
        Kubelet::Unread(_) => vec![Remedy::by_hand(
            Rung::Repair,
            format!("ask for the right to get nodes, and look whether node/{name} is Ready"),
        )],
        Kubelet::Reporting(_) => vec![Remedy::by_hand(
            Rung::Repair,
            format!(
                "look at the kubelet of node/{name}: it is reporting, but has not confirmed that the pod has ended"
            ),
        )],
        Kubelet::Stopped { doubt: Some(doubt), .. } => vec![
            back(),
            Remedy::by_hand(
                Rung::Repair,
                format!("node/{name} cannot be tainted as out of service: {doubt}"),
            ),
        ],
        Kubelet::Stopped { uid, renewed, .. } => vec![back(), fence(desk, name, uid, *renewed)?],
    })
}

/// The taint forces off every pod of the node, whoever it belongs to. Nothing while they are not known.
fn fence(desk: &Desk<'_>, name: &str, uid: &str, renewed: Option<Timestamp>) -> Option<Remedy> {
    let (forced, lost) = match desk.pods_on(name)? {
        Ok(pods) => {
            let forced: Vec<&Pod> = pods.iter().filter(|pod| pod.is_forced_off()).collect();
            let namespaces: BTreeSet<&str> = forced
                .iter()
                .filter_map(|pod| pod.object.namespace.as_deref())
                .collect();
            let target = desk.target().id();
            let lost = forced.iter().filter(|pod| pod.is_lost_beside(&target));
            let lost: Vec<String> = lost.map(|pod| named(&pod.object)).collect();
            let text = format!(
                "forces off its {} of {} ({})",
                plural(forced.len(), "pod"),
                plural(namespaces.len(), "namespace"),
                listed(namespaces.into_iter())
            );
            (text, lost)
        }
        Err(said) => {
            let text = format!(
                "forces off all of its pods of all namespaces (they cannot be counted: {})",
                said.message
            );
            (text, Vec::new())
        }
    };
    let lost = match lost.len() {
        0 => String::new(),
        count => format!(
            "; the run first saves {} that no controller starts again ({})",
            plural(count, "pod"),
            listed(lost.iter().map(String::as_str))
        ),
    };
    let text = format!(
        "taint node/{name} as out of service until this is done, which {forced} and detaches its volumes{lost}; only if its \
         machine is powered off for certain (--powered-off={name})"
    );
    let mend = Mend::OutOfService {
        node: name.to_owned(),
        uid: uid.to_owned(),
        renewed,
    };
    Some(Remedy {
        risk: Some(Risk::Data),
        ..Remedy::mend(Rung::Repair, text, mend)
    })
}

fn named(object: &Object) -> String {
    format!("{}/{}", object.namespace.as_deref().unwrap_or_default(), object.name)
}

/// The first few of them.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first: Vec<&str> = names.take(NAMED).collect();
    match more {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Nodes that a person has confirmed to be powered off, and that must not be tainted.
pub fn confirmed(desk: &Desk<'_>, found: &mut Found) {
    for name in desk.powered_off() {
        let Some(kubelet) = kubelet(desk, name) else { continue };
        let refused = |id: &'static str, evidence: String, hint: String| Finding {
            id,
            severity: Severity::Refusal,
            subjects: vec![ObjRef::cluster("node", name, "")],
            evidence,
            hint: Some(hint),
        };
        found.notes.extend(match kubelet {
            Kubelet::Missing => Some(refused(
                "no-such-node",
                format!("node/{name} does not exist, so it cannot be tainted as out of service"),
                "the pod garbage collector of kube-controller-manager force-deletes the pods of nodes that do not exist, within \
                 about a minute"
                    .into(),
            )),
            Kubelet::Unread(why) => Some(refused(
                "fence-unread",
                format!("node/{name} cannot be read: {why}"),
                "ask for the right to get and list nodes".into(),
            )),
            Kubelet::Reporting(evidence) => Some(refused(
                "not-off",
                format!("node/{name} is not powered off: its kubelet is reporting ({evidence})"),
                "a machine that has just been switched off shows within a minute: run the same command again then, or without \
                 --powered-off"
                    .into(),
            )),
            Kubelet::Stopped { doubt: Some(doubt), .. } => Some(refused(
                "fence-doubt",
                format!("node/{name} cannot be tainted as out of service: {doubt}"),
                "look at the control plane and its network first; without --powered-off no pod is forced off".into(),
            )),
            Kubelet::Stopped { doubt: None, .. } => None,
        });
    }
}
