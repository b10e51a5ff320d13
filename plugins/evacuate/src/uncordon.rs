//! `--uncordon`, the way back: undoes in whole what an evacuation did to a node, and nothing that somebody else did.

use futures::{StreamExt as _, future::join_all};
use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use kube::{
    Api, Error as KubeError, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Map, Value, json};
use upkeep::{
    Error, Exit, Result,
    client::Connection,
    lock::{Identity, LOCK, Verdict, at_work, verdict},
    output::{self, Format},
    ui::{Ui, escape},
};

use crate::{
    cli::{Cli, DryRun},
    drive::{
        claim::{CORDONED, MANAGER, TRIES},
        publish::{EVACUATION, EXCLUDE_LB, Evacuation, set_conditions, without_conditions},
    },
    gather::{Lists, Wanted, not_a_selector},
};

/// How many nodes are brought back at the same time.
const AT_ONCE: usize = 16;

/// Whose cordon there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cordon {
    /// An evacuation's: it is taken back.
    Ours,
    /// Somebody else's: it stays.
    Theirs,
    /// The node can be scheduled to.
    None,
}

/// What there is to undo on a node.
#[derive(Debug)]
struct Back {
    cordon: Cordon,
    /// What else goes, in words.
    removed: Vec<&'static str>,
    conditions: Option<Value>,
    patch: Option<Value>,
}

/// Decides from the node alone: all that an evacuation did is written there.
fn back(node: &core::Node) -> Back {
    let evacuation = Evacuation::of(node);
    let unschedulable = node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true);
    let has = |key: &str| node.annotations().contains_key(key);
    let cordon = match (unschedulable, has(CORDONED)) {
        (true, true) => Cordon::Ours,
        (true, false) => Cordon::Theirs,
        (false, _) => Cordon::None,
    };
    let nothing = Value::Null;
    let annotations: Map<String, Value> = [LOCK, CORDONED, EVACUATION]
        .into_iter()
        .filter(|key| has(key))
        .map(|key| (key.to_owned(), nothing.clone()))
        .collect();
    let labelled = evacuation.as_ref().is_some_and(|e| e.excluded_lb) && node.labels().contains_key(EXCLUDE_LB);
    let conditions = evacuation.as_ref().and_then(|_| without_conditions(node));
    let mut removed = Vec::new();
    if labelled {
        removed.push("label node.kubernetes.io/exclude-from-external-load-balancers");
    }
    if conditions.is_some() {
        removed.push("conditions DrainInProgress, Drained");
    }
    let changes = labelled || !annotations.is_empty();
    let patch = changes.then(|| {
        let mut patch = json!({"metadata": {
            "uid": node.metadata.uid,
            "resourceVersion": node.metadata.resource_version,
            "annotations": annotations,
        }});
        if labelled {
            patch["metadata"]["labels"] = json!({ EXCLUDE_LB: nothing });
        }
        if cordon == Cordon::Ours {
            patch["spec"] = json!({"unschedulable": false});
        }
        patch
    });
    Back {
        cordon,
        removed,
        conditions,
        patch,
    }
}

/// Brings the nodes back. Nothing is changed unless all of them are free.
///
/// # Errors
/// A node that does not exist or on which a run is at work; a patch that the server refuses.
pub async fn run(cli: &Cli, ui: &Ui, connection: &Connection, wanted: &Wanted) -> Result<Exit> {
    let api: Api<core::Node> = Api::all(connection.client.clone());
    let nodes = read(connection, &api, wanted).await?;
    let me = Identity::current();
    let busy: Vec<String> = nodes.iter().filter_map(|node| at_work_on(node, &me)).collect();
    if !busy.is_empty() {
        let error = Error::refused("refused to bring nodes back; nothing was changed");
        let error = busy.into_iter().fold(error, |error, text| error.caused_by(text));
        return Err(error.hint("end that run, or wait for it"));
    }
    let form = cli.output.unwrap_or_default();
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
                stays |= back.cordon == Cordon::Theirs;
                say(ui, form, cli.dry_run, name, &back);
                rows.push(row(name, &back));
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
    if form.is_document() {
        let word = match cli.dry_run {
            DryRun::None => "none",
            DryRun::Server => "server",
            _ => "client",
        };
        let document =
            json!({"kind": "Uncordon", "version": 1, "dryRun": word, "exitCode": exit.code(), "nodes": rows});
        ui.document(&output::document(form, &document)?);
    }
    failed.map_or(Ok(exit), Err)
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
        field_manager: Some(MANAGER.into()),
        dry_run: dry_run == DryRun::Server,
        ..PatchParams::default()
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
    if !back.removed.is_empty() {
        ui.status(&format!("node/{name}: removed {}{suffix}", back.removed.join("; ")));
    }
}

fn row(name: &str, back: &Back) -> Value {
    json!({
        "name": name,
        "uncordoned": back.cordon == Cordon::Ours,
        "cordoned": back.cordon == Cordon::Theirs,
        "removed": back.removed,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn node(value: Value) -> core::Node {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_an_evacuation_did_is_undone() {
        let evacuation = |excluded: bool| {
            json!({"run": "r", "user": "u", "host": "h", "since": "2026-01-01T00:00:00Z", "excludedLb": excluded})
                .to_string()
        };
        let whole = node(json!({
            "metadata": {"name": "n", "uid": "u1", "resourceVersion": "7", "labels": {EXCLUDE_LB: "", "a": "b"},
                "annotations": {CORDONED: "r", EVACUATION: evacuation(true), "other": "x"}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Drained", "status": "True"}]},
        }));
        let undone = back(&whole);
        assert_eq!(undone.cordon, Cordon::Ours);
        let patch = undone.patch.unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(
            patch["metadata"]["annotations"],
            json!({CORDONED: null, EVACUATION: null})
        );
        assert_eq!(patch["metadata"]["labels"], json!({EXCLUDE_LB: null}));
        assert_eq!(patch["spec"], json!({"unschedulable": false}));
        let conditions = undone.conditions.unwrap();
        assert_eq!(
            conditions["status"]["conditions"],
            json!([{"type": "Drained", "$patch": "delete"}])
        );

        // A cordon, a label and conditions of somebody else stay.
        let foreign = node(json!({
            "metadata": {"name": "n", "uid": "u1", "labels": {EXCLUDE_LB: ""}, "annotations": {EVACUATION: evacuation(false)}},
            "spec": {"unschedulable": true},
        }));
        let undone = back(&foreign);
        assert_eq!(undone.cordon, Cordon::Theirs);
        let patch = undone.patch.unwrap();
        assert!(
            patch.get("spec").is_none() && patch["metadata"].get("labels").is_none(),
            "{patch}"
        );
        let untouched = node(json!({
            "metadata": {"name": "n", "labels": {EXCLUDE_LB: ""}},
            "status": {"conditions": [{"type": "DrainInProgress", "status": "True"}]},
        }));
        let undone = back(&untouched);
        assert!(undone.patch.is_none() && undone.conditions.is_none() && undone.cordon == Cordon::None);
    }
}
