//! What the server would say to the patches with which a run begins, asked by dry run.

use futures::{StreamExt as _, future::join};
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Error as KubeError};
use upkeep::{
    Error,
    client::Connection,
    lock::Claim,
    report::{Finding, Severity},
};

use super::{
    claim::{params, unlocked},
    cordon::{Cordon, Cordoned},
    lock::Locks,
    publish::Wish,
    reply,
};
use crate::{
    engine::event::Reply,
    facts::{Facts, Node},
    gather::{Nodes, in_short},
};

/// What the server would say to the cordon of a node, and to its lock.
pub struct Probe {
    /// What of the cordon it would take.
    pub cordon: Result<Cordoned, KubeError>,
    /// What the run would do without.
    pub degraded: Vec<String>,
}

/// Sends the very patch that [`super::claim::take`] would send, as a dry run.
pub async fn probe(connection: &Connection, locks: &Locks, node: &Node, wish: &Wish, with_lock: bool) -> Probe {
    let nodes: Nodes = Api::all(connection.client.clone());
    let now = Timestamp::now();
    let claim = Claim::new(locks.me(), now);
    let lease = async {
        if with_lock {
            locks.probe(&node.name, &node.uid).await
        } else {
            Ok(())
        }
    };
    let cordon = |lock| Cordon {
        node,
        version: None,
        me: locks.me(),
        wish,
        lock,
        now,
    };
    let dry = params().dry_run();
    let whole = cordon(None);
    let (mut answer, lease) = join(whole.send(&nodes, &dry), lease).await;
    let unwritable = lease.err().map(|error| in_short(&reply::read::<()>(Err(error)).text()));
    let mut degraded = Vec::new();
    if unwritable.is_some() {
        // Then the lock is in the patch as well.
        answer = cordon(Some(&claim)).send(&nodes, &dry).await;
    }
    if let Ok(cordoned) = &answer {
        degraded = whole.losses(cordoned);
        degraded.extend(unwritable.map(|why| unlocked(&why, cordoned.form)));
    }
    Probe {
        cordon: answer,
        degraded,
    }
}

/// Why a cordon is refused for good, where a dry run says so. A webhook that takes no dry runs has said nothing.
pub fn denial(error: KubeError) -> Option<String> {
    match reply::read::<()>(Err(error)) {
        Reply::Denied(text) | Reply::Rejected(text) if !text.contains("does not support dry run") => Some(text),
        _ => None,
    }
}

/// How many cordons are tried at the same time.
const AT_ONCE: usize = 32;

/// Asks the server about the very patches that will cordon the nodes. Returns those that it refuses in every form, with why.
pub async fn cordons(connection: &Connection, locks: &Locks, facts: &Facts, wish: &Wish) -> Vec<(String, String)> {
    let asked = facts.targets.iter().map(async |node| {
        let probe = probe(connection, locks, node, wish, false).await;
        let denied = probe.cordon.err().and_then(denial)?;
        Some((node.name.clone(), denied))
    });
    let asked = futures::stream::iter(asked).buffered(AT_ONCE);
    asked.filter_map(std::future::ready).collect().await
}

/// The same for the document.
pub fn findings(denied: &[(String, String)]) -> impl Iterator<Item = Finding> {
    denied.iter().map(|(node, why)| Finding {
        id: "cordon-denied",
        severity: Severity::Refusal,
        subjects: Vec::new(),
        evidence: format!("node/{node}: it could not be cordoned: {why}"),
        hint: None,
    })
}

/// The error of nodes that the server does not let anybody cordon.
pub fn uncordonable(denied: &[(String, String)]) -> Option<Error> {
    let mut texts = denied
        .iter()
        .map(|(node, why)| format!("unable to drain node {node:?}: it could not be cordoned: {why}"));
    let error = Error::failed(texts.next()?);
    let error = texts.fold(error, Error::caused_by);
    Some(error.hint("nothing was changed"))
}
