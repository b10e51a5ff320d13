//! A pod that is being stopped: its kubelet has to say that it is.

use upkeep::{discovery::Kind, report::ObjRef, ui::human_duration};

use super::{
    super::{Actor, Cause, CauseKey, Found, Life, desk::Desk},
    kubelets::{self, Kubelet},
    liveness::{actor, by_lease},
    many,
    subject::key,
};
use crate::{
    facts::Object,
    ladder::{Remedy, Rung},
};

/// How long the pod garbage collector takes for the pods of a node that does not exist, in seconds, with something to spare: it
/// looks every 20 s, and waits 40 s before it believes that there is no such node.
const COLLECTED: i64 = 90;
/// How long a kubelet that cannot be seen may take to report the end of a pod, in seconds.
const REPORTED: i64 = 30;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopping {
    /// It needs nothing but time, and why.
    InTime(String),
    /// This cause keeps it.
    Held(CauseKey),
    /// It does not wait for a kubelet, or that is not known yet.
    Other,
}

/// The grace period, and the kubelet that ends it.
pub fn stopping(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object) -> Stopping {
    let stopping = judge(desk, found, kind, object);
    if let Stopping::InTime(why) = &stopping {
        let subject = desk.reference(kind, object);
        if !found.in_time.iter().any(|(known, _)| *known == subject) {
            found.in_time.push((subject, why.clone()));
        }
    }
    stopping
}

fn judge(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object) -> Stopping {
    // A pod's deletionTimestamp lies ahead by its grace period.
    let Some(deadline) = object.deletion.filter(|_| object.grace.unwrap_or(0) > 0) else {
        return Stopping::Other;
    };
    let over = desk.seconds_since(deadline);
    // A machine that is powered off does not use the time that it has.
    let off = || node_of(desk, object).is_some_and(|node| desk.powered_off().iter().any(|off| off == node));
    if over < 0 && !off() {
        let left = human_duration(std::time::Duration::from_secs(over.unsigned_abs()));
        return Stopping::InTime(format!("it has {left} left to stop"));
    }
    let Some(node) = node_of(desk, object) else {
        return Stopping::Other;
    };
    if node.is_empty() {
        return Stopping::InTime("it has no node, so the pod garbage collector removes it".to_owned());
    }
    match kubelets::kubelet(desk, node) {
        None => Stopping::Other,
        Some(Kubelet::Missing) if over < COLLECTED => {
            Stopping::InTime("its node does not exist, so the pod garbage collector removes it".to_owned())
        }
        Some(Kubelet::Unread(_)) if over < REPORTED => {
            let ago = human_duration(std::time::Duration::from_secs(over.unsigned_abs()));
            Stopping::InTime(format!("its grace period has ended {ago} ago"))
        }
        Some(kubelet) => match unfinished(desk, found, kind, object, node, &kubelet) {
            Some(key) => Stopping::Held(key),
            None => Stopping::Other,
        },
    }
}

/// A pod that nobody has asked to go: whether its kubelet could end it.
pub fn silent(desk: &Desk<'_>, found: &mut Found, kind: &Kind, object: &Object) {
    let Some(node) = node_of(desk, object).filter(|node| !node.is_empty()) else {
        return;
    };
    if let Some(kubelet @ Kubelet::Stopped { .. }) = kubelets::kubelet(desk, node) {
        unfinished(desk, found, kind, object, node, &kubelet);
    }
}

/// The node of a pod; empty where it has none. Nothing while that is not known.
fn node_of<'a>(desk: &Desk<'a>, object: &Object) -> Option<&'a str> {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let pods = desk.pods(namespace)?.ok()?;
    let pod = pods.iter().find(|pod| pod.object.uid == object.uid)?;
    Some(&pod.node)
}

/// The cause, if that is known.
fn unfinished(
    desk: &Desk<'_>,
    found: &mut Found,
    kind: &Kind,
    object: &Object,
    node: &str,
    kubelet: &Kubelet,
) -> Option<CauseKey> {
    let (id, says) = match kubelet {
        Kubelet::Missing => (
            "node-missing",
            format!("node/{node} does not exist, so no kubelet confirms that its pods have ended"),
        ),
        _ => (
            "silent-kubelet",
            format!("the kubelet of node/{node} has not confirmed that its pods have ended"),
        ),
    };
    let (actor, remedies) = match kubelet {
        Kubelet::Missing => collector(desk)?,
        _ => (of_kubelet(node, kubelet), kubelets::remedies(desk, node, kubelet)?),
    };
    let key = CauseKey {
        id,
        subject: ObjRef::cluster("node", node, ""),
        detail: String::new(),
    };
    found.cause(Cause {
        key: key.clone(),
        says,
        evidence: Vec::new(),
        actor: Some(actor),
        holds: vec![desk.reference(kind, object)],
        behind: Vec::new(),
        remedies,
    });
    Some(key)
}

fn of_kubelet(node: &str, kubelet: &Kubelet) -> Actor {
    let (life, evidence) = match kubelet {
        Kubelet::Missing => (Life::Dead, "there is no such node".to_owned()),
        Kubelet::Unread(why) => (Life::Unread, why.clone()),
        Kubelet::Reporting(evidence) => (Life::Alive, evidence.clone()),
        // What may be cut off is the control plane.
        Kubelet::Stopped {
            evidence,
            doubt: Some(_),
            ..
        } => (Life::Unknown, evidence.clone()),
        Kubelet::Stopped { evidence, .. } => (Life::Dead, evidence.clone()),
    };
    actor(format!("the kubelet of node/{node}"), life, evidence)
}

/// Who deletes the pods of a node that does not exist.
fn collector(desk: &Desk<'_>) -> Option<(Actor, Vec<Remedy>)> {
    let (life, evidence) = by_lease(desk, "kube-system", "kube-controller-manager")?;
    let way =
        "look at kube-controller-manager: its pod garbage collector force-deletes the pods of nodes that do not exist";
    let who = "the pod garbage collector in kube-controller-manager".to_owned();
    Some((actor(who, life, evidence), vec![Remedy::by_hand(Rung::Repair, way)]))
}

/// Whether a pod is still within its grace period: until then nothing else holds it.
pub fn has_time(desk: &Desk<'_>, object: &Object) -> bool {
    object.grace.unwrap_or(0) > 0 && object.deletion.is_some_and(|deadline| desk.seconds_since(deadline) < 0)
}

/// What holds a pod that is being deleted: why it only needs time, or the causes.
pub fn holders(desk: &Desk<'_>, found: &mut Found, object: &Object) -> (Option<String>, Vec<CauseKey>) {
    let Some(kind) = desk.discovery().find("pods") else {
        return (None, Vec::new());
    };
    found.later(desk, kind, object);
    let finalizers = many::judged(desk, object)
        .into_iter()
        .filter(|_| !has_time(desk, object));
    let mut behind: Vec<CauseKey> = finalizers.map(|name| key(desk, kind, object, name)).collect();
    match stopping(desk, found, kind, object) {
        Stopping::InTime(why) => return (Some(why), behind),
        Stopping::Held(key) => behind.push(key),
        Stopping::Other => {}
    }
    (None, behind)
}
