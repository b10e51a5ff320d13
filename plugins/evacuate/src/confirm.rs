//! What stands between the preview and the first change: refusals, warnings, a question.

use std::{collections::BTreeSet, time::Duration};

use upkeep::{
    Error, Exit, Result,
    output::{self, Format},
    report::Finding,
    ui::{Ui, human_duration, plural},
};

use crate::{
    cli::Cli,
    drive::saving::Saving,
    engine::OnBlocked,
    facts::{Facts, Pod},
    preflight::{
        fence::{CUT_OFF, Fence, PoweredOff},
        preview::Preview,
    },
    render::{self, document},
};

/// The error of a refused preflight, if it is refused. With `-o json` the document says the same.
///
/// # Errors
/// A document that cannot be written.
pub fn refusal(ui: &Ui, preview: &Preview, powered_off: PoweredOff, form: Format) -> Result<Option<Error>> {
    let refusals: Vec<&Finding> = preview.refusals().collect();
    if refusals.is_empty() {
        return Ok(None);
    }
    refused_document(ui, preview, form)?;
    let mut error = Error::refused(refused_sentence(preview));
    for finding in &refusals {
        error = error.caused_by(render::sentence(finding));
    }
    // Where nobody is believed that a machine is off, nobody is told to say so.
    let believed = !refusals.iter().any(|f| f.id == CUT_OFF);
    let unconfirmed: Vec<&Fence> = match powered_off {
        PoweredOff::Ask if believed && !ui.is_stdin_tty() => preview.fences.iter().collect(),
        _ => Vec::new(),
    };
    for fence in unconfirmed {
        error = self::unconfirmed(error, fence);
    }
    let mut hints: Vec<&str> = refusals.iter().filter_map(|f| f.hint.as_deref()).collect();
    hints.dedup();
    for hint in hints {
        error = error.hint(hint);
    }
    Ok(Some(error))
}

/// With `-o json` a refusal is a document, too.
///
/// # Errors
/// One that cannot be written.
pub fn refused_document(ui: &Ui, preview: &Preview, form: Format) -> Result<()> {
    if form.is_document() {
        let text = output::document(form, &document::of_preview(preview, "none", "refused", Exit::Refused))?;
        ui.document(&text);
    }
    Ok(())
}

/// The sentence of a refusal.
pub fn refused_sentence(preview: &Preview) -> String {
    format!("refused to evacuate {}; nothing was changed", preview.nodes.join(", "))
}

/// What nothing would bring back is not removed without a place to save it in.
///
/// # Errors
/// No such place.
pub async fn place_to_save(cli: &Cli, preview: &Preview, saving: &Saving) -> Result<()> {
    if !cli.switches.delete && !preview.saves() {
        return Ok(());
    }
    let Err(error) = saving.prepare().await else {
        return Ok(());
    };
    let refused = Error::refused(refused_sentence(preview)).caused_by(&error);
    let refused = error.causes().iter().fold(refused, Error::caused_by);
    Err(error.hints().iter().fold(refused, Error::hint))
}

/// What the caller's own flags make dangerous.
pub fn warnings(cli: &Cli, facts: &Facts, preview: &Preview) -> Vec<String> {
    let going = preview.going().count();
    let at_once = (cli.grace_period == 0 && going > 0).then(|| {
        format!(
            "--grace-period=0 removes the {} from the API at once: no kubelet is waited for, and a pod may still run when \
             its successor starts",
            if going == 1 { "object of 1 pod".to_owned() } else { format!("objects of {going} pods") }
        )
    });
    at_once.into_iter().chain(unasked(cli, facts, preview)).collect()
}

/// Pods that go although a budget protects them, by the caller's own choice.
fn unasked(cli: &Cli, facts: &Facts, preview: &Preview) -> Option<String> {
    let budgets = facts.budgets.known().filter(|_| cli.switches.disable_eviction)?;
    let going: BTreeSet<&str> = preview.going().map(|p| p.pod.uid.as_str()).collect();
    let protected = |pod: &&Pod| going.contains(pod.uid.as_str()) && budgets.iter().any(|b| b.matches(pod));
    let count = facts.pods.iter().filter(protected).count();
    (count > 0).then(|| format!("{} will be deleted without asking their budgets", plural(count, "pod")))
}

/// What goes further than kubectl's drain is asked for.
///
/// # Errors
/// A no, or nobody who could be asked.
pub fn confirm(cli: &Cli, ui: &Ui, preview: &Preview) -> Result<()> {
    let answered = ask(cli, ui, preview);
    if answered.is_err() {
        refused_document(ui, preview, cli.output.unwrap_or_default())?;
    }
    answered
}

/// What would be asked, for a dry run.
pub fn would_ask(cli: &Cli, preview: &Preview) -> Vec<String> {
    let off = preview.fences.iter().filter(|_| cli.powered_off() == PoweredOff::Ask);
    let off = off.map(|f| {
        format!(
            "asks first whether the machine of node/{} is off; only its typed name or --powered-off answers",
            f.node
        )
    });
    let asks = questions(cli, preview)
        .into_iter()
        .filter(|(_, q)| q.is_some() && !cli.switches.yes);
    off.chain(asks.map(|(flag, _)| format!("{flag} asks first; --yes answers")))
        .collect()
}

fn questions(cli: &Cli, preview: &Preview) -> [(&'static str, Option<String>); 3] {
    [
        ("--delete", removal(cli, preview)),
        ("--on-blocked=delete-after", deletion(cli, preview)),
        ("--surge=force", force(preview)),
    ]
}

fn ask(cli: &Cli, ui: &Ui, preview: &Preview) -> Result<()> {
    if cli.powered_off() == PoweredOff::Ask {
        preview.fences.iter().try_for_each(|fence| is_off(ui, fence))?;
    }
    if cli.switches.yes {
        return Ok(());
    }
    for (flag, question) in questions(cli, preview) {
        let Some(question) = question else { continue };
        if !ui.is_stdin_tty() {
            let error = Error::refused(format!("{flag} needs a confirmation; nothing was changed"));
            return Err(error.hint("add --yes where nobody can be asked"));
        }
        if !ui.confirm(&format!("{question} Do you want to continue?"))? {
            return Err(Error::refused("evacuation is cancelled; nothing was changed"));
        }
    }
    Ok(())
}

/// That a machine is off is not a question that `--yes` answers: the name of the node has to be typed.
fn is_off(ui: &Ui, fence: &Fence) -> Result<()> {
    let Fence { node, pods, .. } = fence;
    if !ui.is_stdin_tty() {
        let why = format!("refused to evacuate {node}, for it may still run its pods; nothing was changed");
        return Err(unconfirmed(Error::refused(why), fence));
    }
    ui.paragraph(&format!(
        "If the machine of node/{node} is off, {} on it can be removed and its volumes detached. If it still runs and is only out of \
         reach, volumes would be written from two places, and data be lost.",
        plural(*pods, "pod")
    ));
    if ui.confirm_by_name("Type the name of the node if its machine is surely off", node)? {
        return Ok(());
    }
    let error = Error::refused(format!(
        "evacuation is cancelled, for the answer was not {node:?}; nothing was changed"
    ));
    Err(error.hint("--powered-off=false goes on without forcing anything"))
}

/// Nobody has said that the machine is off.
fn unconfirmed(error: Error, fence: &Fence) -> Error {
    let error = error
        .caused_by(format!("node/{} is silent: {}", fence.node, fence.evidence))
        .hint("add --powered-off once its machine is surely off, not only out of reach");
    if fence.planned.left_over {
        return error.hint(format!(
            "'kubectl evacuate {} --uncordon' takes back what the other run has left",
            fence.node
        ));
    }
    if fence.delete {
        return error;
    }
    error.hint("or go on without forcing anything: --powered-off=false")
}

fn removal(cli: &Cli, preview: &Preview) -> Option<String> {
    let nodes = &preview.nodes;
    cli.switches.delete.then(|| match nodes.as_slice() {
        [node] => format!("node/{node} will be emptied and removed from the cluster."),
        nodes => format!(
            "{} nodes will be emptied and removed from the cluster: {}.",
            nodes.len(),
            nodes.join(", ")
        ),
    })
}

fn deletion(cli: &Cli, preview: &Preview) -> Option<String> {
    let Some(OnBlocked::DeleteAfter(patience)) = cli.on_blocked else {
        return None;
    };
    preview.going().next()?;
    let under = preview.going().filter(|p| p.budget.is_some()).count();
    let mut question = format!(
        "Up to {} of {} will be deleted without asking their budgets, once these have held them back for {}",
        plural(under, "pod"),
        preview.nodes.join(", "),
        human_duration(Duration::from_millis(u64::try_from(patience).unwrap_or(0))),
    );
    if !cli.timeout.is_zero() {
        question += &format!(
            ", or earlier where the {} of --timeout leave no more time",
            human_duration(cli.timeout)
        );
    }
    Some(question + ".")
}

/// Budgets that no number of pods would open.
fn force(preview: &Preview) -> Option<String> {
    let forced: BTreeSet<String> = preview.forced.iter().map(render::short).collect();
    (!forced.is_empty()).then(|| {
        let (budget, allows, its) = match forced.len() {
            1 => ("budget", "allows", "Its"),
            _ => ("budgets", "allow", "Their"),
        };
        let names = forced.into_iter().collect::<Vec<_>>().join(", ");
        format!(
            "The {budget} {names} never {allows} an eviction. {its} pods will be moved all the same, once as many new ones \
             are Ready."
        )
    })
}
