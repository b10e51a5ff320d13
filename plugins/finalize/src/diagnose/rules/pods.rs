//! A pod that is being stopped: its kubelet has to say that it is.

use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use upkeep::{discovery::Kind, ui::human_duration};

use super::super::{Actor, Cause, CauseKey, Found, Life, desk::Desk};
use crate::{
    facts::{Key, Object},
    knowledge::Risk,
    ladder::{Mend, Remedy, Rung},
};

/// How often the pod garbage collector looks, with something to spare.
const COLLECTED: i64 = 40;

/// The grace period, and the kubelet that ends it.
pub fn stopping(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object) {
    // A pod's deletionTimestamp lies ahead by its grace period.
    let Some(deadline) = object.deletion.filter(|_| object.grace.unwrap_or(0) > 0) else {
        return;
    };
    let over = desk.seconds_since(deadline);
    let subject = desk.reference(kind, object);
    if over < 0 {
        let left = human_duration(std::time::Duration::from_secs(over.unsigned_abs()));
        found.in_time.push((subject, format!("it has {left} left to stop")));
        return;
    }
    let Some(node) = node_of(desk, object) else { return };
    if node.is_empty() {
        let text = "it has no node, so the pod garbage collector removes it".to_owned();
        found.in_time.push((subject, text));
        return;
    }
    match kubelet(desk, node) {
        None => {}
        Some(None) if over < COLLECTED => {
            let text = "its node is gone, so the pod garbage collector removes it".to_owned();
            found.in_time.push((subject, text));
        }
        Some(None) => {
            let gone = "there is no such node".to_owned();
            unfinished(found, desk, kind, object, node, Life::Dead, gone);
        }
        Some(Some((life, evidence))) => unfinished(found, desk, kind, object, node, life, evidence),
    }
}

/// A pod that nobody has asked to go: whether its kubelet could end it.
pub fn silent(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object) {
    let Some(node) = node_of(desk, object).filter(|node| !node.is_empty()) else {
        return;
    };
    if let Some(Some((Life::Dead, evidence))) = kubelet(desk, node) {
        unfinished(found, desk, kind, object, node, Life::Dead, evidence);
    }
}

/// The node of a pod; empty where it has none. Nothing while that is not known.
fn node_of<'a>(desk: &Desk<'a>, object: &Object) -> Option<&'a str> {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let pods = desk.pods(namespace)?.ok()?;
    let pod = pods.iter().find(|pod| pod.object.uid == object.uid)?;
    Some(&pod.node)
}

/// Whether the kubelet of a node reports. Nothing inside where there is no such node, and nothing at all while it is not
/// known.
fn kubelet(desk: &Desk<'_>, node: &str) -> Option<Option<(Life, String)>> {
    let node = match desk.typed::<core::Node>(&Key::cluster("", "nodes", node))? {
        Ok(node) => node,
        Err(said) if said.is_missing() => return Some(None),
        Err(_) => return None,
    };
    let ready = node
        .status
        .and_then(|s| s.conditions)
        .into_iter()
        .flatten()
        .find(|c| c.type_ == "Ready");
    let since = |at: Option<Timestamp>| {
        at.map_or_else(String::new, |at| {
            let age = u64::try_from(desk.seconds_since(at)).unwrap_or(0);
            format!(" for {}", human_duration(std::time::Duration::from_secs(age)))
        })
    };
    Some(Some(match &ready {
        None => (Life::Dead, "its kubelet has never reported".to_owned()),
        Some(c) if c.status == "True" => (Life::Alive, "its kubelet reports Ready".to_owned()),
        Some(c) => (
            if c.status == "Unknown" { Life::Dead } else { Life::Alive },
            format!(
                "Ready is {}{}",
                c.status,
                since(c.last_transition_time.as_ref().map(|t| t.0))
            ),
        ),
    }))
}

fn unfinished(
    found: &mut Found,
    desk: &Desk<'_>,
    kind: &Kind,
    object: &Object,
    node: &str,
    life: Life,
    evidence: String,
) {
    let subject = desk.reference(kind, object);
    let mut remedies = Vec::new();
    if life == Life::Dead {
        remedies.push(Remedy::by_hand(Rung::Repair, format!("bring node/{node} back")));
        remedies.push(Remedy {
            risk: Some(Risk::Data),
            ..Remedy::mend(
                Rung::Repair,
                format!(
                    "taint node/{node} as out of service until this is done, which removes its pods and detaches its volumes; \
                     only if its machine is surely off (--powered-off)"
                ),
                Mend::OutOfService { node: node.to_owned() },
            )
        });
    } else {
        let text = format!("look at the kubelet of node/{node}: it reports, but does not end the pod");
        remedies.push(Remedy::by_hand(Rung::Repair, text));
    }
    found.cause(Cause {
        key: CauseKey {
            id: "silent-kubelet",
            subject: upkeep::report::ObjRef::cluster("node", node, ""),
            detail: String::new(),
        },
        says: format!("the kubelet of node/{node} has not confirmed that its pods have ended"),
        evidence: Vec::new(),
        actor: Some(Actor {
            who: format!("the kubelet of node/{node}"),
            life,
            evidence,
            workload: None,
        }),
        holds: vec![subject],
        behind: Vec::new(),
        remedies,
    });
}
