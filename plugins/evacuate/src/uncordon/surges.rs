//! Surges that were cut off are undone before their nodes come back.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1 as core},
    jiff::Timestamp,
};
use kube::{Api, api::ListParams};
use serde::Serialize;
use upkeep::{Result, client::Connection, lock::Identity, report::ObjRef, ui::Ui};

use crate::{
    cli::DryRun,
    drive::{lock::Locks, moves::Moves, publish::Evacuation, reply, surge::Surgery},
    engine::{
        event::{At, Reply},
        surge::{
            machine::{End, Intent, Machine, Next},
            record::{MARK, Record, SURGE, Written},
            sight::Act,
        },
    },
    facts::{Meta, Node},
    gather::{Lists, Nodes, access::Eviction, locks::Claims, surge::Told},
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
    /// The nodes that it was for.
    #[serde(skip)]
    pub nodes: BTreeSet<String>,
}

/// How many surges are undone at the same time.
const AT_ONCE: usize = 16;
/// How many names a warning has.
const NAMED: usize = 5;

/// Undoes what surges for these nodes have left on Deployments, pods and autoscalers. Only nodes that were emptied with
/// `--surge` are looked at: one list for all of them.
///
/// Whoever may write a Deployment may write a record on it, and may write it again each time. So one is believed only where
/// a node tells of that run and that Deployment, too; the others are named, and nothing waits for them.
///
/// # Errors
/// No right to list Deployments.
pub async fn undo(
    connection: &Connection,
    ui: &Ui,
    nodes: &[core::Node],
    claims: &Claims,
    locks: &Locks,
    dry_run: DryRun,
) -> Result<Vec<Undone>> {
    let surged = nodes
        .iter()
        .filter(|node| Evacuation::of(node).is_some_and(|e| e.surge));
    let surged: Vec<Node> = surged.cloned().map(Node::from).collect();
    let names: BTreeSet<String> = surged.iter().map(|node| node.name.clone()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let told = Told::of(&surged);
    let lists = Lists::new(connection, 500);
    let all = lists.all_metadata::<Deployment, Meta>(Default::default()).await;
    let all = all.map_err(|e| connection.explain(&e))?;
    let mut believed = Vec::new();
    let mut strange = Vec::new();
    for deployment in all {
        let Meta {
            namespace, name, uid, ..
        } = &deployment;
        match Written::<Record>::read(Some(&deployment.annotations), SURGE) {
            Written::This(record) if told.has_surged(uid, &record) => {
                believed.push((ObjRef::namespaced("deployment.apps", namespace, name, uid), record));
            }
            Written::This(record) if !told.is_about(&record) => {}
            Written::Nothing => {}
            Written::This(_) | Written::Unreadable => strange.push(format!("deployment.apps {namespace}/{name}")),
        }
    }
    doubt(ui, &strange);
    let api: Nodes = Api::all(connection.client.clone());
    let work = believed.into_iter().map(async |(name, record)| {
        if is_at_work(&api, &record, &names, claims, locks).await {
            return None;
        }
        let of = |reason| Undone {
            deployment: name.clone(),
            undone: Option::is_none(&reason),
            reason,
            nodes: record.nodes.clone(),
        };
        if dry_run != DryRun::None {
            ui.status(&format!("{name}: its surge would be undone (dry run)"));
            return Some(of(None));
        }
        match end(connection, name.clone(), &record, locks.me()).await {
            (End::Stopped(why), _) if why != WHY => Some(of(Some(why))),
            // It was deleted, or its own run has come to the end of it meanwhile.
            (End::Gone, _) | (_, false) => None,
            _ => {
                ui.status(&format!("{name}: its surge is undone"));
                Some(of(None))
            }
        }
    });
    let found: Vec<Option<Undone>> = futures::stream::iter(work).buffered(AT_ONCE).collect().await;
    let found = found.into_iter().flatten().collect();
    if dry_run != DryRun::None {
        return Ok(found);
    }
    for pod in marked_pods(&lists, &names).await.into_iter().take(NAMED) {
        ui.warning(&format!(
            "pod {pod} is marked by a surge whose record was removed: look at the replicas and the autoscaler of its Deployment, \
             and remove the annotation {MARK}"
        ));
    }
    Ok(found)
}

/// Names the Deployments whose records are not believed.
fn doubt(ui: &Ui, strange: &[String]) {
    let more = match strange.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named: Vec<&str> = strange.iter().take(NAMED).map(String::as_str).collect();
    if !named.is_empty() {
        ui.warning(&format!(
            "the annotation {SURGE} of {}{more} is not the record of an evacuation of these nodes, and is left alone: look at the \
             replicas, and remove the annotation",
            named.join(", ")
        ));
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
async fn is_at_work(api: &Nodes, record: &Record, ours: &BTreeSet<String>, claims: &Claims, locks: &Locks) -> bool {
    for name in record.nodes.difference(ours) {
        if let Ok(Some(node)) = api.get_opt(name).await
            && !claims.held([&Node::from(node.into_inner())], locks).is_empty()
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
