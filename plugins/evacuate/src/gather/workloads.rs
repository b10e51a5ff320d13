//! The controllers behind pods whose budgets allow nothing now: how many pods they want, and who controls them.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::ReplicationController,
};
use upkeep::report::Seen;

use super::{Lists, lists::optional};
use crate::facts::{Facts, Workload, Workloads};

/// Reads them, where a budget that has a say about the nodes allows nothing now, or more than one budget has a say.
///
/// # Errors
/// Anything but a missing right.
pub async fn complete(lists: &Lists, facts: &mut Facts) -> upkeep::Result<()> {
    let budgets = facts.budgets.known().map_or(&[][..], Vec::as_slice);
    let targets: BTreeSet<&str> = facts.targets.iter().map(|n| n.name.as_str()).collect();
    let here = facts.pods.iter().filter(|p| targets.contains(p.node.as_str()));
    let held = here.filter(|pod| !pod.ignores_budgets()).filter(|pod| {
        let mut matching = budgets.iter().filter(|b| b.matches(pod));
        let (first, second) = (matching.next(), matching.next());
        second.is_some() || first.is_some_and(|b| b.allowed <= 0)
    });
    let namespaces: BTreeSet<&str> = held.map(|pod| pod.namespace.as_str()).collect();
    if namespaces.is_empty() {
        return Ok(());
    }
    facts.workloads = workloads(lists, &namespaces).await.map_err(|e| lists.explain(&e))?;
    Ok(())
}

/// All controllers of these namespaces. A kind that may not be listed is left out, and named.
///
/// # Errors
/// Anything but a missing right.
pub async fn workloads(lists: &Lists, namespaces: &BTreeSet<&str>) -> kube::Result<Workloads> {
    let (deployments, replica_sets, stateful_sets, controllers, jobs) = futures::join!(
        lists.within::<Deployment, Workload>(namespaces),
        lists.within::<ReplicaSet, Workload>(namespaces),
        lists.within::<StatefulSet, Workload>(namespaces),
        lists.within::<ReplicationController, Workload>(namespaces),
        lists.within::<Job, Workload>(namespaces),
    );
    let kinds = [
        ("Deployment", "deployments.apps", deployments),
        ("ReplicaSet", "replicasets.apps", replica_sets),
        ("StatefulSet", "statefulsets.apps", stateful_sets),
        ("ReplicationController", "replicationcontrollers", controllers),
        ("Job", "jobs.batch", jobs),
    ];
    let mut read = Workloads::default();
    for (kind, resource, listed) in kinds {
        match optional(listed, "list", resource)? {
            Seen::Known(found) => read.add(kind, found),
            Seen::Unknown { reason, .. } => read.unread.push((resource, reason)),
        }
    }
    Ok(read)
}
