//! `--uncordon`, the way back: undoes in whole what an evacuation did to a node, and nothing that somebody else did.

pub mod back;
mod surges;

use futures::{StreamExt as _, future::join_all};
use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use kube::{
    Api, Error as KubeError, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde::Serialize;
use upkeep::{
    Error, Exit, Result,
    client::Connection,
    lock::{Identity, LOCK, STALE_AFTER, Verdict, WATCHED_FOR, at_work, verdict},
    output::{self, Format},
    ui::{Ui, escape},
};

use self::{
    back::{Back, Cordon, back},
    surges::Undone,
};
use crate::{
    cli::{Cli, DryRun},
    drive::{
        claim::{TRIES, params},
        publish::set_conditions,
    },
    gather::{Lists, Wanted, not_a_selector},
};

/// How many nodes are brought back at the same time.
const AT_ONCE: usize = 16;

/// Brings the nodes back. Nothing is changed unless all of them are free.
///
/// # Errors
/// A node that does not exist or on which a run is at work; a patch that the server refuses.
pub async fn run(cli: &Cli, ui: &Ui, connection: &Connection, wanted: &Wanted) -> Result<Exit> {
    let api: Api<core::Node> = Api::all(connection.client.clone());
    let nodes = read(connection, &api, wanted).await?;
    let me = Identity::current();
    let mut busy: Vec<String> = nodes.iter().filter_map(|node| at_work_on(node, &me)).collect();
    if busy.is_empty() {
        busy = renewed(&api, ui, &nodes, &me).await;
    }
    if !busy.is_empty() {
        let error = Error::refused("refused to bring nodes back; nothing was changed");
        let error = busy.into_iter().fold(error, |error, text| error.caused_by(text));
        return Err(error.hint("end that run, or wait for it"));
    }
    let form = cli.output.unwrap_or_default();
    // While a Deployment runs more pods than it says, its pods on these nodes are the ones that would go.
    let surges = surges::undo(connection, ui, &nodes, &me, cli.dry_run).await?;
    if surges.iter().any(|s| !s.undone) {
        let error = Error::failed("could not undo every surge; the nodes stay as they are");
        let left = surges
            .iter()
            .filter_map(|s| Some(format!("{}: {}", s.deployment, s.reason.as_ref()?)));
        let error = left.fold(error, Error::caused_by);
        document(ui, cli, Exit::Failed, surges, Vec::new())?;
        return Err(error);
    }
    let names: Vec<String> = nodes.iter().map(ResourceExt::name_any).collect();
    let done: Vec<_> = futures::stream::iter(nodes)
        .map(|node| undo(&api, node, cli.dry_run, &me))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut failed: Option<Error> = None;
    let mut rows = Vec::new();
    let mut stays = false;
    for (name, done) in names.iter().zip(done) {
        match done {
            Ok(back) => {
                stays |= back.cordon == Cordon::Theirs || back.tainted;
                say(ui, form, cli.dry_run, name, &back);
                rows.push(Row::of(name, back));
            }
            Err(why) => {
                let text = match why {
                    Why::Busy(text) => text,
                    Why::Answer(error) => format!("node/{name}: {}", connection.explain(&error).headline()),
                };
                let error = failed
                    .take()
                    .unwrap_or_else(|| Error::failed("could not bring every node back"));
                failed = Some(error.caused_by(text));
            }
        }
    }
    let exit = match &failed {
        Some(_) => Exit::Failed,
        None if stays => Exit::Incomplete,
        None => Exit::Done,
    };
    document(ui, cli, exit, surges, rows)?;
    failed.map_or(Ok(exit), Err)
}

fn document(ui: &Ui, cli: &Cli, exit: Exit, surges: Vec<Undone>, nodes: Vec<Row>) -> Result<()> {
    let form = cli.output.unwrap_or_default();
    if !form.is_document() {
        return Ok(());
    }
    let word = match cli.dry_run {
        DryRun::None => "none",
        DryRun::Server => "server",
        _ => "client",
    };
    let document = Document {
        kind: "Uncordon",
        version: 1,
        dry_run: word,
        exit_code: exit.code(),
        nodes,
        surges,
    };
    ui.document(&output::document(form, &document)?);
    Ok(())
}

async fn read(connection: &Connection, api: &Api<core::Node>, wanted: &Wanted) -> Result<Vec<core::Node>> {
    if let Some(selector) = &wanted.selector {
        let lists = Lists::new(connection, wanted.chunk);
        let params = ListParams::default().labels(selector);
        let found = lists.all::<core::Node, core::Node>(params).await;
        return found.map_err(|e| not_a_selector(&lists, &e, "--selector=<selector>"));
    }
    let found = join_all(wanted.names.iter().map(|name| api.get(name))).await;
    found
        .into_iter()
        .map(|node| node.map_err(|e| connection.explain(&e)))
        .collect()
}

/// A claim that only looks stale may be one of a machine whose clock is wrong: it is watched, as a second run would do. What
/// is renewed meanwhile is alive.
async fn renewed(api: &Api<core::Node>, ui: &Ui, nodes: &[core::Node], me: &Identity) -> Vec<String> {
    let lock = |node: &core::Node| node.annotations().get(LOCK).cloned();
    let doubtful = nodes.iter().filter_map(|node| {
        let text = lock(node);
        match verdict(text.as_deref(), Timestamp::now(), me) {
            Verdict::Stale { holder, proven: false } => Some((node.name_any(), text, holder)),
            _ => None,
        }
    });
    let doubtful: Vec<_> = doubtful.collect();
    if doubtful.is_empty() {
        return Vec::new();
    }
    let seconds = WATCHED_FOR.as_secs();
    for (name, _, holder) in &doubtful {
        ui.warning(&format!(
            "node/{name} is claimed by {holder}; waiting {seconds}s to see whether that run is alive"
        ));
    }
    tokio::time::sleep(WATCHED_FOR).await;
    let again = join_all(doubtful.iter().map(|(name, ..)| api.get_opt(name))).await;
    let alive = doubtful.iter().zip(again).filter(|((_, before, _), now)| {
        let now = now.as_ref().ok().and_then(Option::as_ref).and_then(lock);
        now.is_some() && now != *before
    });
    alive
        .map(|((name, _, holder), _)| format!("node/{name}: {}", at_work(holder, STALE_AFTER)))
        .collect()
}

/// The words for a run that is at work on the node.
fn at_work_on(node: &core::Node, me: &Identity) -> Option<String> {
    let text = node.annotations().get(LOCK).map(String::as_str);
    match verdict(text, Timestamp::now(), me) {
        Verdict::Fresh { holder, retry_in } => {
            Some(format!("node/{}: {}", node.name_any(), at_work(&holder, retry_in)))
        }
        _ => None,
    }
}

enum Why {
    Busy(String),
    Answer(KubeError),
}

/// Undoes what there is to undo. The annotations go last: after a crash they still tell a second run what to do.
async fn undo(
    api: &Api<core::Node>,
    mut node: core::Node,
    dry_run: DryRun,
    me: &Identity,
) -> std::result::Result<Back, Why> {
    let name = node.name_any();
    let params = PatchParams {
        dry_run: dry_run == DryRun::Server,
        ..params()
    };
    let planned = back(&node);
    if matches!(dry_run, DryRun::Client | DryRun::Unchanged) {
        return Ok(planned);
    }
    if let Some(patch) = planned.conditions.clone().filter(|_| dry_run == DryRun::None) {
        match set_conditions(api, &name, patch).await {
            Ok(written) => node = written,
            // Somebody else may have set them where this user may not.
            Err(KubeError::Api(status)) if status.code == 403 => {}
            Err(error) => return Err(Why::Answer(error)),
        }
    }
    for _ in 0..TRIES {
        if let Some(text) = at_work_on(&node, me) {
            return Err(Why::Busy(text));
        }
        let now = back(&node);
        let Some(patch) = now.patch else { return Ok(planned) };
        match api.patch(&name, &params, &Patch::Merge(patch)).await {
            Ok(_) => return Ok(planned),
            Err(KubeError::Api(status)) if status.code == 409 => {
                node = api.get(&name).await.map_err(Why::Answer)?;
            }
            Err(error) => return Err(Why::Answer(error)),
        }
    }
    Err(Why::Busy(format!("node/{name} changes faster than it can be patched")))
}

/// kubectl's lines on stdout; what else was undone, and what was not, on stderr.
fn say(ui: &Ui, form: Format, dry_run: DryRun, name: &str, back: &Back) {
    let suffix = match dry_run {
        DryRun::None => "",
        DryRun::Server => " (server dry run)",
        _ => " (dry run)",
    };
    let name = escape(name);
    match (form, back.cordon) {
        (Format::Name, Cordon::Ours | Cordon::None) => ui.data(&format!("node/{name}")),
        (Format::Table | Format::Wide, Cordon::Ours) => ui.data(&format!("node/{name} uncordoned{suffix}")),
        (Format::Table | Format::Wide, Cordon::None) => ui.data(&format!("node/{name} already uncordoned{suffix}")),
        _ => {}
    }
    if back.cordon == Cordon::Theirs {
        ui.warning(&format!(
            "node/{name} stays cordoned, because no evacuation has cordoned it; 'kubectl uncordon {name}' takes that back"
        ));
    }
    if back.tainted {
        ui.warning(&format!(
            "node/{name} stays tainted as out of service, because no evacuation has put that there: every pod is thrown out of \
             it; 'kubectl taint node {name} node.kubernetes.io/out-of-service-' takes that off"
        ));
    }
    if back.labelled {
        ui.status(&format!(
            "node/{name}: the label node.kubernetes.io/exclude-from-external-load-balancers stays, because no evacuation has set \
             it"
        ));
    }
    if !back.removed.is_empty() {
        ui.status(&format!("node/{name}: removed {}{suffix}", back.removed.join("; ")));
    }
}

/// `-o json` and `-o yaml`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    kind: &'static str,
    version: u8,
    dry_run: &'static str,
    exit_code: u8,
    nodes: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    surges: Vec<Undone>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// By this run.
    uncordoned: bool,
    /// It stays cordoned, for somebody else did that.
    cordoned: bool,
    /// It stays tainted as out of service, for somebody else did that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tainted: bool,
    /// It stays out of load balancers, for somebody else did that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    labelled: bool,
    removed: Vec<&'static str>,
}

impl Row {
    fn of(name: &str, back: Back) -> Self {
        Self {
            name: name.to_owned(),
            uncordoned: back.cordon == Cordon::Ours,
            cordoned: back.cordon == Cordon::Theirs,
            tainted: back.tainted,
            labelled: back.labelled,
            removed: back.removed,
        }
    }
}
