//! `--uncordon`, the way back: undoes in whole what an evacuation did to a node, and nothing that somebody else did.
//!
//! Nodes are brought back at the same time, and each for itself: what is in the way of one does not hold up the others.

pub mod back;
mod busy;
mod evidence;
mod report;
mod surges;

use std::collections::BTreeMap;

use futures::{
    StreamExt as _,
    future::{join, join_all},
};
use k8s_openapi::api::core::v1 as core;
use kube::{
    Api, Error as KubeError, ResourceExt,
    api::{ListParams, PatchParams},
};
use serde_json::{Value, json};
use upkeep::{
    Error, Exit, Result,
    client::{Connection, Item},
    ui::Ui,
};

use self::{
    back::{Back, Cordon, back},
    busy::Busy,
    evidence::unproven,
    report::{Row, document, say},
    surges::Undone,
};
use crate::{
    cli::{Cli, DryRun},
    drive::{
        claim::{TRIES, params},
        cordon::first_accepted,
        lock::Locks,
        publish::{Evacuation, set_conditions},
        runs::{self, Act, Runs},
    },
    gather::{Lists, Nodes, Wanted, locks::Claims, not_a_selector},
};

/// How many nodes are brought back at the same time.
const AT_ONCE: usize = 16;

/// Brings the nodes back, all but those that something stands in the way of.
///
/// # Errors
/// A node that does not exist; nodes that stay as they are, with why: a run is at work on them, they may be somebody else's
/// to bring back, a surge cannot be undone, or the server refuses the patch.
pub async fn run(cli: &Cli, ui: &Ui, connection: &Connection, wanted: &Wanted, locks: &Locks) -> Result<Exit> {
    let api: Nodes = Api::all(connection.client.clone());
    let (nodes, claims) = join(read(connection, &api, wanted), Claims::read(locks)).await;
    let mut bench = Bench {
        nodes: nodes?,
        left: Vec::new(),
    };
    let held = Busy {
        api: &api,
        locks,
        claims: &claims,
    };
    bench.leave(&held.busy(ui, &bench.nodes).await);
    if bench.is_over() {
        let error = bench.refused();
        return Err(
            error.hint("end that run, or wait for it; if it is surely not at work any more, add --take-over=RUN")
        );
    }
    bench.leave(&doubtful(cli, ui, &bench.nodes)?);
    if bench.is_over() {
        let error = bench.refused();
        return Err(error.hint("--yes brings them back all the same; so does naming one node alone"));
    }
    // While a Deployment runs more pods than it says, its pods on these nodes are the ones that would go.
    let surges = surges::undo(connection, ui, &bench.nodes, &claims, locks, cli.dry_run).await?;
    bench.leave(&stuck(&surges));
    if bench.is_over() {
        let error = Error::failed("could not undo every surge; the nodes stay as they are");
        let reasons = surges
            .iter()
            .filter_map(|s| Some(format!("{}: {}", s.deployment, s.reason.as_ref()?)));
        let error = reasons.fold(error, Error::caused_by);
        document(ui, cli, Exit::Failed, surges, Vec::new())?;
        return Err(error);
    }
    let Bench { nodes, mut left } = bench;
    let work = nodes.into_iter().map(async |node| {
        let (name, cordoned) = (node.name_any(), is_cordoned(&node));
        (name, cordoned, undo(&api, node, cli.dry_run, &held).await)
    });
    let done: Vec<_> = futures::stream::iter(work).buffered(AT_ONCE).collect().await;
    let mut rows = Vec::new();
    let (mut stays, mut any) = (false, false);
    for (name, cordoned, done) in done {
        match done {
            Ok((back, lost)) => {
                any = true;
                stays |= back.cordon == Cordon::Theirs || back.tainted;
                say(ui, cli, &name, &back);
                lost.iter().for_each(|text| ui.warning(text));
                rows.push(Row::of(&name, back));
            }
            Err(why) => {
                let why = match why {
                    Why::Busy(text) => text,
                    Why::Answer(error) => format!("node/{name}: {}", connection.explain(&error).headline()),
                };
                left.push(Left { name, cordoned, why });
            }
        }
    }
    let exit = match (left.is_empty(), any, stays) {
        (false, false, _) => Exit::Failed,
        (false, true, _) | (true, _, true) => Exit::Incomplete,
        (true, _, false) => Exit::Done,
    };
    let texts: Vec<String> = left.iter().map(|left| left.why.clone()).collect();
    rows.extend(left.into_iter().map(Row::left));
    document(ui, cli, exit, surges, rows)?;
    if texts.is_empty() {
        return Ok(exit);
    }
    let error = Error::new(exit, "could not bring every node back");
    Err(texts.into_iter().fold(error, Error::caused_by))
}

/// The nodes that are still to be brought back, and those that stay as they are.
struct Bench {
    nodes: Vec<core::Node>,
    left: Vec<Left>,
}

/// A node that stays as it is.
pub struct Left {
    name: String,
    cordoned: bool,
    why: String,
}

impl Bench {
    /// Takes out what something stands in the way of, by name.
    fn leave(&mut self, why: &BTreeMap<String, String>) {
        let all = std::mem::take(&mut self.nodes);
        for node in all {
            let name = node.name_any();
            match why.get(&name) {
                None => self.nodes.push(node),
                Some(why) => self.left.push(Left {
                    cordoned: is_cordoned(&node),
                    why: why.clone(),
                    name,
                }),
            }
        }
    }

    /// Nothing can be brought back, although there is something.
    fn is_over(&self) -> bool {
        self.nodes.is_empty() && !self.left.is_empty()
    }

    fn refused(&self) -> Error {
        let error = Error::refused("refused to bring nodes back; nothing was changed");
        self.left.iter().fold(error, |error, left| error.caused_by(&left.why))
    }
}

fn is_cordoned(node: &core::Node) -> bool {
    node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true)
}

/// Where many nodes are brought back at once, those that no run of this user is known to have cordoned are asked for.
fn doubtful(cli: &Cli, ui: &Ui, nodes: &[core::Node]) -> Result<BTreeMap<String, String>> {
    let many = cli.nodes.len() != 1;
    if !many || cli.switches.yes {
        return Ok(BTreeMap::new());
    }
    let runs = Runs::known();
    let doubts = nodes.iter().filter_map(|node| {
        let why = unproven(node, &back(node), &runs)?;
        Some((
            node.name_any(),
            format!("node/{}: {why}{}", node.name_any(), reason(node)),
        ))
    });
    let doubts: BTreeMap<String, String> = doubts.collect();
    if doubts.is_empty() {
        return Ok(doubts);
    }
    if cli.dry_run != DryRun::None {
        doubts
            .values()
            .for_each(|text| ui.note(&format!("{text}; --yes answers")));
        return Ok(BTreeMap::new());
    }
    if ui.is_stdin_tty() {
        doubts.values().for_each(|text| ui.warning(text));
        let names: Vec<String> = doubts.keys().map(|name| format!("node/{name}")).collect();
        if ui.confirm(&format!("Bring {} back all the same?", names.join(", ")))? {
            return Ok(BTreeMap::new());
        }
    }
    Ok(doubts)
}

/// What its annotation says why; the node may have written that itself.
fn reason(node: &core::Node) -> String {
    let reason = Evacuation::of(node).and_then(|evacuation| evacuation.reason);
    reason.map_or_else(String::new, |text| format!("; its reason: {text:?}"))
}

/// The nodes whose surges could not be undone.
fn stuck(surges: &[Undone]) -> BTreeMap<String, String> {
    let failed = surges
        .iter()
        .filter_map(|s| Some((s, s.reason.as_ref()?)))
        .flat_map(|(surge, why)| surge.nodes.iter().map(move |node| (node, &surge.deployment, why)));
    let failed = failed.map(|(node, deployment, why)| {
        let text = format!("node/{node} stays as it is, because the surge of {deployment} could not be undone: {why}");
        (node.clone(), text)
    });
    failed.collect()
}

async fn read(connection: &Connection, api: &Nodes, wanted: &Wanted) -> Result<Vec<core::Node>> {
    if let Some(selector) = &wanted.selector {
        let lists = Lists::new(connection, wanted.chunk);
        let params = ListParams::default().labels(selector);
        let found = lists.all::<core::Node, core::Node>(params).await;
        return found.map_err(|e| not_a_selector(&lists, &e, "--selector=<selector>"));
    }
    let found = join_all(wanted.names.iter().map(|name| api.get(name))).await;
    found
        .into_iter()
        .map(|node| node.map(Item::into_inner).map_err(|e| connection.explain(&e)))
        .collect()
}

enum Why {
    Busy(String),
    Answer(KubeError),
}

/// What was undone, and what the server would not let go.
type Outcome = std::result::Result<(Back, Vec<String>), Why>;

/// Undoes what there is to undo. The annotations go last: after a crash they still tell a second run what to do.
async fn undo(api: &Nodes, mut node: core::Node, dry_run: DryRun, held: &Busy<'_>) -> Outcome {
    let name = node.name_any();
    let params = PatchParams {
        dry_run: dry_run == DryRun::Server,
        ..params()
    };
    let planned = back(&node);
    let mut lost = Vec::new();
    if matches!(dry_run, DryRun::Client | DryRun::Unchanged) {
        return Ok((planned, lost));
    }
    if let Some(patch) = planned.conditions.clone().filter(|_| dry_run == DryRun::None) {
        match set_conditions(api, &name, patch).await {
            Ok(written) => node = written,
            // Somebody else may have set them where this user may not.
            Err(KubeError::Api(status)) if status.code == 403 => {}
            Err(KubeError::Api(status)) if matches!(status.code, 400 | 413 | 422) => {
                lost.push(format!("node/{name}: its conditions stay: {}", status.message));
            }
            Err(error) => return Err(Why::Answer(error)),
        }
    }
    for attempt in 0..TRIES {
        if attempt > 0
            && let Some(text) = held.holder(&node).await
        {
            return Err(Why::Busy(text));
        }
        let now = back(&node);
        let Some(patch) = now.patch else { break };
        let patches = [Some(patch.clone()), without_metadata(&patch)];
        match first_accepted(api, &name, &params, patches.into_iter().flatten().collect()).await {
            Ok((_, None)) => break,
            Ok((_, Some(why))) => {
                lost.push(format!(
                    "node/{name}: annotations and labels of the evacuation stay, because the server refuses to change them: {why}"
                ));
                break;
            }
            Err(KubeError::Api(status)) if status.code == 409 && attempt + 1 < TRIES => {
                node = api.get(&name).await.map_err(Why::Answer)?.into_inner();
            }
            Err(KubeError::Api(status)) if status.code == 409 => {
                return Err(Why::Busy(format!("node/{name} changes faster than it can be patched")));
            }
            Err(error) => return Err(Why::Answer(error)),
        }
    }
    if dry_run == DryRun::None {
        runs::remember(
            &held.locks.me().run,
            node.metadata.uid.as_deref().unwrap_or_default(),
            Act::Back,
        );
        held.discard(&node).await;
    }
    Ok((planned, lost))
}

/// The same patch without annotations and labels, where that leaves anything.
fn without_metadata(patch: &Value) -> Option<Value> {
    let spec = patch.get("spec")?;
    let meta = &patch["metadata"];
    Some(json!({
        "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
        "spec": spec,
    }))
}
