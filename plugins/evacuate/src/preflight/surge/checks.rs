//! Why a Deployment cannot be surged: an ordered list of small rules.

use std::collections::BTreeMap;

use upkeep::report::Seen;

use crate::{
    engine::surge::record::{SURGE, Written},
    facts::{Budget, Deployment, Facts, Pod, Resources, Scaler, Scaling, Uid},
    preflight::{capacity::Fit, pdb},
};

/// One Deployment with the pods that are to go.
pub struct Case<'a> {
    pub facts: &'a Facts,
    pub scaling: &'a Scaling,
    pub deployment: &'a Deployment,
    pub pods: Vec<&'a Pod>,
    pub budgets: Vec<&'a Budget>,
    pub fits: &'a BTreeMap<Uid, Fit>,
    pub force: bool,
}

impl<'a> Case<'a> {
    /// The run whose surge was left unfinished.
    pub fn unfinished(&self) -> Option<String> {
        self.deployment.record.this().map(|record| record.run.clone())
    }

    /// The autoscalers of the Deployment.
    pub fn scalers(&self) -> impl Iterator<Item = &'a Scaler> {
        let deployment = self.deployment;
        let all = self.scaling.scalers.known().into_iter().flatten();
        all.filter(move |scaler| scaler.scales(deployment))
    }

    /// Budgets that stay shut although there are more pods.
    pub fn shut_budgets(&self) -> impl Iterator<Item = &'a Budget> {
        let (facts, extra) = (self.facts, self.pods.len());
        let budgets = self.budgets.clone().into_iter();
        budgets.filter(move |budget| !pdb::opens_with(budget, facts.pods.iter(), extra))
    }
}

/// One rule; it says why not.
type Check = fn(&Case<'_>) -> Option<String>;

/// All of them, in the order in which they are told.
pub const CHECKS: [Check; 10] = [
    another_run,
    deleting,
    strategy,
    rollout,
    volumes,
    host_ports,
    tolerations,
    autoscaler,
    quota,
    room_and_budget,
];

fn another_run(case: &Case) -> Option<String> {
    match &case.deployment.record {
        Written::Nothing => None,
        Written::Unreadable => Some(format!(
            "its annotation {SURGE} cannot be read; look at it, and remove it"
        )),
        Written::This(record) => {
            let ours = |node: &String| case.facts.targets.iter().any(|t| &t.name == node);
            let busy = record.nodes.iter().find(|n| !ours(n) && case.scaling.busy.contains(*n));
            busy.map(|node| format!("the run that is at work on node/{node} moves pods of it now"))
        }
    }
}

fn deleting(case: &Case) -> Option<String> {
    case.deployment.deleting.then(|| "it is being deleted".into())
}

fn strategy(case: &Case) -> Option<String> {
    case.deployment.never_more.map(Into::into)
}

/// A surge that was left unfinished is a rollout that is not finished.
fn rollout(case: &Case) -> Option<String> {
    case.deployment
        .unsettled
        .clone()
        .filter(|_| case.unfinished().is_none())
}

/// The command after which a surge may be possible, where there is one.
pub fn way(case: &Case) -> Option<String> {
    rollout(case)?;
    let Deployment { namespace, name, .. } = case.deployment;
    let (before, verb) = if case.deployment.paused {
        ("let it go on", "resume")
    } else {
        ("wait for its end", "status")
    };
    Some(format!(
        "{before}: kubectl -n {namespace} rollout {verb} deployment/{name}"
    ))
}

fn volumes(case: &Case) -> Option<String> {
    let mut claims = case.pods.iter().flat_map(|p| p.claims.iter().map(move |c| (p, c)));
    match &case.scaling.shared_claims {
        Seen::Known(shared) => {
            let alone = claims.find(|(p, c)| !c.ephemeral && !shared.contains(&(p.namespace.clone(), c.name.clone())));
            alone.map(|(_, claim)| format!("its volume claim {} can be used on one node only", claim.name))
        }
        Seen::Unknown { .. } => {
            let unknown = claims.any(|(_, c)| !c.ephemeral);
            unknown.then(|| "it is not known whether its volume claims can be used on two nodes".into())
        }
    }
}

fn host_ports(case: &Case) -> Option<String> {
    let mut ports = case.pods.iter().flat_map(|p| &p.scheduling.host_ports);
    ports
        .next()
        .map(|(protocol, _, port)| format!("its pods use host port {port}/{protocol}"))
}

/// Its new pods could come up on the very node.
fn tolerations(case: &Case) -> Option<String> {
    let tolerates = case.pods.iter().any(|p| p.tolerates_cordon());
    tolerates.then(|| "its pods tolerate a cordon, so new ones may come up on the same node".into())
}

fn autoscaler(case: &Case) -> Option<String> {
    let deployment = case.deployment;
    if let Seen::Unknown { reason, .. } = &case.scaling.scalers {
        return Some(format!(
            "its autoscaler would work against it, and cannot be read: {reason}"
        ));
    }
    let scaled = |(namespace, kind, name): &(String, String, String)| {
        namespace == &deployment.namespace && kind == "Deployment" && name == &deployment.name
    };
    let keda = case.scaling.scaled_objects.iter().any(scaled);
    let scalers: Vec<&Scaler> = case.scalers().collect();
    let owned = scalers.iter().find_map(|s| s.owner.as_ref());
    match (keda, owned, scalers.as_slice()) {
        (true, ..) => Some("KEDA scales it and would take the new pods away".into()),
        (_, Some(owner), _) => Some(format!(
            "{} {} writes the limits of its autoscaler and would take the new pods away",
            owner.kind, owner.name
        )),
        (.., [_, _, ..]) => Some("several autoscalers scale it".into()),
        (.., [one]) if one.autoscaler.raised == Written::Unreadable => Some(format!(
            "the annotation {SURGE} of its autoscaler cannot be read; look at it, and remove it"
        )),
        _ => None,
    }
}

/// A quota that counts only some of the pods is left to the server: it says no, and the surge is undone.
fn quota(case: &Case) -> Option<String> {
    let (Seen::Known(quotas), None) = (&case.scaling.quotas, case.unfinished()) else {
        return None;
    };
    let mut needed = Resources::default();
    for pod in &case.pods {
        for (name, amount) in &pod.scheduling.requests.0 {
            let mut add = |key: String| *needed.0.entry(key).or_default() += amount;
            add(format!("requests.{name}"));
            add(name.clone());
        }
    }
    let count = i128::try_from(case.pods.len()).unwrap_or(0) * 1_000;
    for key in ["pods", "count/pods"] {
        needed.0.insert(key.into(), count);
    }
    let here = quotas
        .iter()
        .filter(|q| q.namespace == case.deployment.namespace && !q.scoped);
    let mut short = here.flat_map(|quota| {
        let over = quota.hard.0.iter().filter(|(name, hard)| {
            let wanted = needed.get(name);
            wanted > 0 && quota.used.get(name) + wanted > **hard
        });
        over.map(|(name, _)| format!("quota {} has no room for more {name}", quota.name))
    });
    short.next()
}

fn room_and_budget(case: &Case) -> Option<String> {
    if case.unfinished().is_some() {
        return None;
    }
    let fits = case.pods.iter().filter_map(|p| case.fits.get(&p.uid));
    let misfit = fits
        .filter(|fit| matches!(fit, Fit::Impossible { .. }))
        .map(Fit::text)
        .next();
    if let Some(text) = misfit {
        return Some(format!(
            "no other node can take a new pod while the old one runs: {text}"
        ));
    }
    let shut = case.shut_budgets().next().filter(|_| !case.force)?;
    Some(format!(
        "budget {} ({}) stays shut even with more pods; --surge=force does it without its consent",
        shut.name,
        shut.stated()
    ))
}
