//! By which account the controller that removes a finalizer speaks to the API server.

use super::super::{Actor, Life, desk::Desk};
use crate::knowledge::{Entry, Part};

/// Where the accounts of Kubernetes' own controllers are.
const OWN: &str = "system:serviceaccount:kube-system:";

/// The accounts of one that is alive; none where nobody is. Nothing where it is alive and its account is not known.
pub fn of(desk: &Desk<'_>, actor: &Actor, entry: Option<&Entry>) -> Option<Vec<String>> {
    if actor.life != Life::Alive {
        return Some(Vec::new());
    }
    if let Some(entry) = entry.filter(|entry| entry.part_of == Some(Part::KubeControllerManager)) {
        // `pvc-protection-controller` has an account of its own; "garbage collector" is among those of everybody.
        let first = entry.remover.split_whitespace().next().unwrap_or_default();
        let named = first.ends_with("-controller").then(|| format!("{OWN}{first}"));
        return Some(named.into_iter().collect());
    }
    let workload = actor.workload.as_ref()?;
    let all = desk.workloads()?.ok()?;
    let of_it = all.iter().find(|w| {
        w.plural == workload.plural && w.object.namespace == workload.namespace && w.object.name == workload.name
    })?;
    let (namespace, account) = of_it.account();
    Some(vec![format!("system:serviceaccount:{namespace}:{account}")])
}
