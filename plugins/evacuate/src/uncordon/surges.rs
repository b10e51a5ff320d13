//! Surges that were cut off are undone before their nodes come back.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1 as core},
    jiff::Timestamp,
};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde::Serialize;
use upkeep::{Result, client::Connection, lock::Identity, report::ObjRef, ui::Ui};

use super::at_work_on;
use crate::{
    cli::DryRun,
    drive::{moves::Moves, publish::Evacuation, reply, surge::Surgery},
    engine::{
        event::{At, Reply},
        surge::{
            machine::{End, Intent, Machine, Next},
            record::{MARK, Record, SURGE, Written},
            sight::Act,
        },
    },
    facts::Meta,
    gather::{Lists, access::Eviction},
};

/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks, in milliseconds.
const LOOKS: (At, At) = (50, 500);
/// Why it is given up; a surge that ends with these words was undone.
const WHY: &str = "its node is brought back";

/// What became of a surge that was cut off.
#[derive(Debug, Serialize)]
pub struct Undone {
    /// Its Deployment.
    pub deployment: ObjRef,
    /// It is as before, or would be after a dry run.
    pub undone: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Undoes what surges for these nodes have left on Deployments, pods and autoscalers. Only nodes that were emptied with
/// `--surge` are looked at: one list for all of them.
///
/// # Errors
/// No right to list Deployments.
pub async fn undo(
    connection: &Connection,
    ui: &Ui,
    nodes: &[core::Node],
    me: &Identity,
    dry_run: DryRun,
) -> Result<Vec<Undone>> {
    let surged = nodes
        .iter()
        .filter(|node| Evacuation::of(node).is_some_and(|e| e.surge));
    let names: BTreeSet<String> = surged.map(|node| node.name_any()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let lists = Lists::new(connection, 500);
    let all = lists.all_metadata::<Deployment, Meta>(Default::default()).await;
    let all = all.map_err(|e| connection.explain(&e))?;
    let api: Api<core::Node> = Api::all(connection.client.clone());
    let mut found = Vec::new();
    for deployment in all {
        let record = match Written::<Record>::read(Some(&deployment.annotations), SURGE) {
            Written::This(record) => record,
            Written::Nothing => continue,
            Written::Unreadable => {
                ui.warning(&format!(
                    "deployment.apps {}/{} has an annotation {SURGE} that cannot be read: look at its replicas, and remove it",
                    deployment.namespace, deployment.name
                ));
                continue;
            }
        };
        if record.nodes.is_disjoint(&names) || is_at_work(&api, &record, &names, me).await {
            continue;
        }
        let name = ObjRef::namespaced(
            "deployment.apps",
            &deployment.namespace,
            &deployment.name,
            &deployment.uid,
        );
        if dry_run != DryRun::None {
            ui.status(&format!("{name}: its surge would be undone (dry run)"));
            found.push(Undone::of(name, None));
            continue;
        }
        match end(connection, name.clone(), &record, me).await {
            (End::Stopped(why), _) if why != WHY => found.push(Undone::of(name, Some(why))),
            // It was deleted, or its own run has come to the end of it meanwhile.
            (End::Gone, _) | (_, false) => {}
            _ => {
                ui.status(&format!("{name}: its surge is undone"));
                found.push(Undone::of(name, None));
            }
        }
    }
    if dry_run != DryRun::None {
        return Ok(found);
    }
    for pod in marked_pods(&lists, &names).await {
        ui.warning(&format!(
            "pod {pod} is marked by a surge whose record was removed: look at the replicas and the autoscaler of its Deployment, \
             and remove the annotation {MARK}"
        ));
    }
    Ok(found)
}

impl Undone {
    fn of(deployment: ObjRef, reason: Option<String>) -> Self {
        Self {
            deployment,
            undone: reason.is_none(),
            reason,
        }
    }
}

/// Pods on the nodes that are still marked: without the record nobody knows how many replicas there were.
async fn marked_pods(lists: &Lists, nodes: &BTreeSet<String>) -> Vec<String> {
    let mut marked = Vec::new();
    for node in nodes {
        let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let pods = lists.all_metadata::<core::Pod, Meta>(params).await.unwrap_or_default();
        let left = pods.into_iter().filter(|p| p.annotations.contains_key(MARK));
        marked.extend(left.map(|p| format!("{}/{}", p.namespace, p.name)));
    }
    marked
}

/// Whether the run that surges is alive: it holds another of its nodes.
async fn is_at_work(api: &Api<core::Node>, record: &Record, ours: &BTreeSet<String>, me: &Identity) -> bool {
    for name in record.nodes.difference(ours) {
        if let Ok(Some(node)) = api.get_opt(name).await
            && at_work_on(&node, me).is_some()
        {
            return true;
        }
    }
    false
}

/// How it ends, and whether anything of it was left to undo.
async fn end(connection: &Connection, deployment: ObjRef, record: &Record, me: &Identity) -> (End, bool) {
    let moves = Moves {
        grace: None,
        support: Eviction::Absent,
    };
    let surgery = Surgery::new(connection.client.clone(), deployment, 500, moves);
    let mut machine = Machine::new(Intent {
        run: me.run.clone(),
        old: record.pods.clone(),
        nodes: record.nodes.clone(),
        force: false,
        takes_over: Some(record.run.clone()),
    });
    machine.stop(WHY);
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let now = Timestamp::now().as_millisecond();
        let next = match surgery.look().await {
            Ok(sight) => machine.next(sight.as_ref(), now),
            Err(error) => match reply::read::<()>(Err(error)) {
                reply @ (Reply::Forbidden(_) | Reply::Rejected(_)) => return (End::Stopped(reply.text()), true),
                reply => {
                    machine.answered(&Act::Look, &reply, now);
                    Next::Wait(now)
                }
            },
        };
        match next {
            Next::Over(end) => return (end, machine.has_worked()),
            Next::Do(act) => {
                let reply = reply::read(surgery.act(&act).await);
                machine.answered(&act, &reply, now);
            }
            Next::Wait(until) => {
                let pause = until.saturating_sub(now).clamp(LOOKS.0, LOOKS.1);
                tokio::time::sleep(Duration::from_millis(u64::try_from(pause).unwrap_or(0))).await;
            }
        }
    }
    let text = format!("not within {} seconds: {}", PATIENCE.as_secs(), machine.waits_for());
    (End::Stopped(text), true)
}
