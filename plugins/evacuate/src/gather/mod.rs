//! Reads the cluster into [`Facts`], all lists at the same time. Takes no decision.
//!
//! What must be readable for the work to make sense fails here; what is only nice to have becomes `Seen::Unknown` and is
//! named to the caller.

pub mod access;
mod lists;
pub mod locks;
mod second;
pub mod silence;
pub mod surge;
mod webhooks;
pub mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join_all, join3, try_join_all, try_join3};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1 as core,
        policy::v1::PodDisruptionBudget,
    },
    jiff::Timestamp,
};
use kube::api::{Api, ListParams};
use upkeep::{
    Error, Result,
    client::{Connection, Lost},
    report::{Finding, ObjRef, Seen, Severity},
    ui::plural,
};

pub use self::lists::{Lists, Nodes};
use self::locks::Claims;
use crate::{
    drive::{
        lock::Locks,
        publish::{EVACUATION, Evacuation},
    },
    facts::{Budget, Facts, Meta, Node, Partial, Pod, Uid},
};

/// What is to be read.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Names of the nodes, where they were named.
    pub names: Vec<String>,
    /// Selector of the nodes, where they were not.
    pub selector: Option<String>,
    /// `--pod-selector`.
    pub pod_selector: Option<String>,
    /// `--chunk-size`.
    pub chunk: u32,
    /// `--surge` was asked for: what it would change is read as well.
    pub surge: bool,
    /// `--delete` was asked for: what would be stranded is read as well.
    pub delete: bool,
}

/// Reads everything that preflight looks at.
///
/// # Errors
/// A node that does not exist, a selector that is not one, no answer, or no right to read nodes and pods.
pub async fn gather(connection: &Connection, wanted: &Wanted, locks: &Locks) -> Result<Facts> {
    let lists = Lists::new(connection, wanted.chunk);
    let all = ListParams::default;
    let pods = async { lists.seen(lists.all::<core::Pod, Pod>(all()).await, "pods of other nodes") };
    let budgets = async {
        lists.seen(
            lists.all::<PodDisruptionBudget, Budget>(all()).await,
            "poddisruptionbudgets.policy",
        )
    };
    let needed = try_join3(targets(connection, &lists, wanted), pods, budgets);
    let useful = join3(owners(&lists), lists.all_nodes(), webhooks::webhooks(&lists));
    let (needed, (owners, nodes, hooks), claims) = join3(needed, useful, Claims::read(locks)).await;
    let (targets, pods, budgets) = needed?;
    let (pods, elsewhere) = match pods {
        Seen::Known(pods) => (pods, Seen::Known(())),
        Seen::Unknown { verb, resource, reason } => {
            let here = pods_of(&lists, &targets).await?;
            (here, Seen::Unknown { verb, resource, reason })
        }
    };
    let (daemon_sets, controllers) = owners?;
    let mut facts = Facts {
        now: Timestamp::now(),
        selected: None,
        nodes: nodes?,
        budgets,
        daemon_sets,
        controllers,
        workloads: crate::facts::Workloads::default(),
        jobs: Seen::Known(crate::facts::Jobs::new()),
        webhooks: hooks?,
        volumes: Seen::Known(crate::facts::Volumes::default()),
        attachments: Seen::Known(Vec::new()),
        silence: None,
        maintenances: Vec::new(),
        leases: Vec::new(),
        scaling: None,
        partial: Vec::new(),
        namespaces: Seen::Known(BTreeMap::new()),
        volume_limits: Seen::Known(BTreeMap::new()),
        claimed: claims.held(&targets, locks),
        targets,
        pods,
        elsewhere,
    };
    facts.selected = selected(&lists, wanted, &facts.targets).await?;
    second::complete(connection, &lists, &mut facts, wanted.delete).await?;
    silence::complete(&lists, &mut facts).await?;
    workloads::complete(&lists, &mut facts).await?;
    if wanted.delete || facts.silence.is_some() {
        silence::attachments(&lists, &mut facts).await?;
    }
    // After a run with --surge there may be something left of it, whatever this run is asked to do.
    let surged = |node: &Node| {
        node.annotations
            .get(EVACUATION)
            .is_some_and(|text| Evacuation::read(text).is_some_and(|e| e.surge))
    };
    if wanted.surge || facts.targets.iter().any(surged) {
        facts.scaling = Some(surge::scaling(&lists, &facts, &claims, locks).await?);
    }
    facts.partial = lists.partial();
    Ok(facts)
}

/// The pods of these nodes alone. A kubelet may list no others but its own, and only so (the Node authorizer).
async fn pods_of(lists: &Lists, targets: &[Node]) -> Result<Vec<Pod>> {
    let each = targets.iter().map(|node| {
        let params = ListParams::default().fields(&format!("spec.nodeName={}", node.name));
        lists.whole::<core::Pod, Pod>(params)
    });
    let found = try_join_all(each).await.map_err(|error| {
        let hint = "a node can be emptied by who may list its pods in all namespaces: kubectl auth can-i list pods -A";
        lists.explain(&error).hint(hint)
    });
    Ok(found?.into_iter().flatten().collect())
}

/// The nodes to be emptied: by name in the order of the command line, or by selector.
async fn targets(connection: &Connection, lists: &Lists, wanted: &Wanted) -> Result<Vec<Node>> {
    let api: Nodes = Api::all(connection.client.clone());
    if let Some(selector) = &wanted.selector {
        let params = ListParams::default().labels(selector);
        return lists
            .all::<core::Node, Node>(params)
            .await
            .map_err(|e| not_a_selector(lists, &e, "--selector=<selector>"));
    }
    let found = join_all(wanted.names.iter().map(|name| api.get(name))).await;
    let (found, missing): (Vec<_>, Vec<_>) = found.into_iter().partition(std::result::Result::is_ok);
    let mut missing = missing
        .into_iter()
        .filter_map(std::result::Result::err)
        .map(|e| connection.explain(&e));
    if let Some(first) = missing.next() {
        return Err(missing.fold(first, |error, more| error.caused_by(more.headline())));
    }
    let found = found.into_iter().flatten();
    Ok(found.map(|node| Node::from(node.into_inner())).collect())
}

/// The server reads selectors; what it does not understand is a wrong command line.
pub fn not_a_selector(lists: &Lists, error: &kube::Error, flag: &str) -> Error {
    match error {
        kube::Error::Api(status) if status.code == 400 => {
            Error::usage(format!("{flag} must be a valid label selector")).caused_by(&status.message)
        }
        other => lists.explain(other),
    }
}

type Owners = (Seen<Vec<Meta>>, BTreeMap<&'static str, Seen<BTreeSet<Uid>>>);

/// Controllers come from lists of metadata, never from a request per pod.
async fn owners(lists: &Lists) -> Result<Owners> {
    let (daemon_sets, replica_sets, stateful_sets, jobs, controllers) = futures::join!(
        lists.metadata::<DaemonSet, Meta>("daemonsets.apps"),
        lists.metadata::<ReplicaSet, Uid>("replicasets.apps"),
        lists.metadata::<StatefulSet, Uid>("statefulsets.apps"),
        lists.metadata::<Job, Uid>("jobs.batch"),
        lists.metadata::<core::ReplicationController, Uid>("replicationcontrollers"),
    );
    let kinds = [
        ("ReplicaSet", replica_sets?),
        ("StatefulSet", stateful_sets?),
        ("Job", jobs?),
        ("ReplicationController", controllers?),
    ];
    let sets = kinds
        .into_iter()
        .map(|(kind, seen)| (kind, seen.map(|uids: Vec<Uid>| uids.into_iter().collect())));
    Ok((daemon_sets?, sets.collect()))
}

/// With `--pod-selector` the server says which pods match, so that the selector means what it means to kubectl.
async fn selected(lists: &Lists, wanted: &Wanted, targets: &[Node]) -> Result<Option<BTreeSet<Uid>>> {
    let Some(selector) = wanted.pod_selector.as_deref().filter(|s| !s.is_empty()) else {
        return Ok(None);
    };
    let mut uids = BTreeSet::new();
    for node in targets {
        let params = ListParams::default()
            .labels(selector)
            .fields(&format!("spec.nodeName={}", node.name));
        let pods = lists
            .all_metadata::<core::Pod, Uid>(params)
            .await
            .map_err(|e| not_a_selector(lists, &e, "--pod-selector=<pod_selector>"))?;
        uids.extend(pods);
    }
    Ok(Some(uids))
}

const NO_ROOM_KNOWN: &str = "it is not known whether the pods fit elsewhere";

/// What could not be read, as findings: each with what is now not checked.
pub fn gaps(facts: &Facts) -> Vec<Finding> {
    let volumes = "volumes are not looked at and not waited for";
    let one = [
        (facts.nodes.unknown(), NO_ROOM_KNOWN),
        (facts.elsewhere.unknown(), NO_ROOM_KNOWN),
        (
            facts.budgets.unknown(),
            "budgets are known only from the server's answers",
        ),
        (facts.daemon_sets.unknown(), "every DaemonSet is taken to exist"),
        (facts.webhooks.unknown(), "webhooks on evictions are not checked"),
        (
            facts.jobs.unknown(),
            "it is not known which Jobs fail without their pods",
        ),
        (facts.volumes.unknown(), volumes),
        (facts.namespaces.unknown(), NO_ROOM_KNOWN),
        (facts.volume_limits.unknown(), NO_ROOM_KNOWN),
    ];
    let controllers = facts
        .controllers
        .values()
        .map(|seen| (seen.unknown(), "their pods are taken to come back"));
    let mut gaps = BTreeMap::<(&str, &str, String), Vec<&str>>::new();
    for (resource, reason) in &facts.workloads.unread {
        let consequence = "pods of theirs that are still missing, and operators behind them, are not known";
        let gap = gaps.entry((consequence, "list", in_short(reason))).or_default();
        gap.push(resource);
    }
    for (seen, consequence) in one.into_iter().chain(controllers) {
        if let Some((verb, resource, reason)) = seen {
            gaps.entry((consequence, verb, in_short(reason)))
                .or_default()
                .push(resource);
        }
    }
    let findings = gaps
        .into_iter()
        .map(|((consequence, verb, reason), resources)| Finding {
            id: "cannot-read",
            severity: Severity::Warning,
            subjects: Vec::new(),
            evidence: format!("cannot {verb} {}, so {consequence}: {reason}", resources.join(", ")),
            hint: None,
        });
    findings.chain(partly_read(&facts.partial)).collect()
}

/// The server's sentence about a missing right says once more what it was asked for.
pub fn in_short(reason: &str) -> String {
    let missing = reason.contains(" is forbidden: User ") && reason.contains(" cannot ");
    if missing {
        "not allowed".to_owned()
    } else {
        reason.to_owned()
    }
}

/// So many objects that were read in part are named one by one.
const NAMED: usize = 10;

/// Objects that do not decode, each by its name: what is not known of them, and what that means.
fn partly_read(all: &[Partial]) -> Vec<Finding> {
    let finding = |subjects, evidence| Finding {
        id: "cannot-decode",
        severity: Severity::Warning,
        subjects,
        evidence,
        hint: None,
    };
    let each = all.iter().take(NAMED).map(|partial| {
        let object = &partial.object;
        let lost = partial.lost.text();
        let (kind, so, why) = (&object.kind, consequence(partial), &partial.why);
        let evidence = format!("cannot read {lost} of this {kind}, so {so}: {why}");
        finding(vec![object.clone()], evidence)
    });
    let rest: Vec<ObjRef> = all.iter().skip(NAMED).map(|partial| partial.object.clone()).collect();
    let rest = (!rest.is_empty()).then(|| {
        let many = plural(rest.len(), "more object");
        finding(rest, format!("{many} cannot be read as a whole"))
    });
    each.chain(rest).collect()
}

fn consequence(partial: &Partial) -> &'static str {
    match (partial.object.kind.as_str(), partial.lost) {
        ("pod", Lost::Status) => "it counts as running and not Ready",
        ("pod", Lost::SpecAndStatus) => "it counts as running, not Ready, and with data in emptyDir",
        ("pod", Lost::AllButName) => "it is not known on which node it runs",
        ("node", Lost::Status) => "its kubelet counts as not reporting, and no pod is expected to fit there",
        ("poddisruptionbudget.policy", Lost::Status) => "it is not known what it allows now",
        ("poddisruptionbudget.policy", _) => "only the server's answers tell which evictions it forbids",
        _ => "it is not checked",
    }
}
