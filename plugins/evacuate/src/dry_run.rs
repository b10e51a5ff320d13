//! `--dry-run`: everything up to the first change, and with `server` what the server says to each pod.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use upkeep::{
    Error, Exit, Result,
    client::Connection,
    error::describe,
    output::{self, Format},
    report::{Finding, Severity},
    ui::{Ui, escape},
};

use crate::{
    cli::{Cli, DryRun},
    drive::{claim, moves::Moves},
    engine::event::Verb,
    facts::Facts,
    preflight::{
        budgets::When,
        preview::{PodPlan, Preview},
    },
    render::{self, document},
};

/// How many questions are on their way at the same time.
const AT_ONCE: usize = 16;

/// Shows the preview. With `--dry-run=server` each cordon and each eviction is sent as a dry run, once: the server does
/// not count what was asked before, so its yes to a pod that has to wait for others is not taken for "now".
///
/// # Errors
/// A refused plan, or an answer that forbids it.
pub async fn show(
    cli: &Cli,
    ui: &Ui,
    connection: &Connection,
    facts: &Facts,
    preview: &Preview,
    moves: Moves,
    verb: Verb,
) -> Result<Exit> {
    let form = cli.output.unwrap_or_default();
    let server = cli.dry_run == DryRun::Server;
    let (word, suffix) = if server {
        ("server", " (server dry run)")
    } else {
        ("client", " (dry run)")
    };
    if !form.is_document() {
        render::preview::show(ui, preview);
    }
    // The preview has said why already.
    let refused = crate::confirm::refusal(ui, preview, cli.powered_off(), Format::Table)?.map(|full| {
        if form.is_document() {
            full
        } else {
            Error::refused(crate::confirm::refused_sentence(preview))
        }
    });
    if refused.is_none() && !form.is_document() {
        for text in would_tell(cli)
            .into_iter()
            .chain(crate::confirm::would_ask(cli, preview))
        {
            ui.note(&text);
        }
    }
    let mut against = Vec::new();
    if server && refused.is_none() {
        against = ask(connection, preview, moves, verb).await;
        if !form.is_document() {
            render::preview::findings(ui, &against, Severity::Info);
        }
    }
    let objections = against.iter().any(|f| f.severity == Severity::Refusal);
    let exit = match (&refused, objections) {
        (Some(_), _) => Exit::Refused,
        (None, true) => Exit::Failed,
        (None, false) => Exit::Done,
    };
    match form {
        Format::Json | Format::Yaml => {
            let findings: Vec<Finding> = preview.findings.iter().cloned().chain(against).collect();
            let shown = document::of_preview(preview, word, "preview", exit).with_findings(&findings);
            ui.document(&output::document(form, &shown)?);
        }
        _ if exit == Exit::Done => lines(ui, facts, preview, cli.switches.delete, suffix),
        _ => {}
    }
    match refused {
        Some(error) => Err(error),
        None => Ok(exit),
    }
}

/// What others would be told of the nodes.
fn would_tell(cli: &Cli) -> Vec<String> {
    let balancers = cli.switches.exclude_lb.then(|| {
        "the label node.kubernetes.io/exclude-from-external-load-balancers takes the node out of external load balancers".into()
    });
    let reason = cli.reason.as_ref();
    let reason = reason.map(|text| {
        format!(
            "annotation, conditions and an Event of the node say why: {}",
            escape(text)
        )
    });
    balancers.into_iter().chain(reason).collect()
}

/// kubectl's lines of a dry run.
fn lines(ui: &Ui, facts: &Facts, preview: &Preview, delete: bool, suffix: &str) {
    for node in &facts.targets {
        let already = if node.unschedulable { "already " } else { "" };
        ui.data(&format!("node/{} {already}cordoned{suffix}", escape(&node.name)));
    }
    for node in &preview.nodes {
        for pod in preview.going().filter(|p| &p.node == node) {
            ui.data(&match pod.verb {
                Verb::Evict => format!("evicting pod {}{suffix}", escape(&render::short(&pod.pod))),
                Verb::Delete => format!("pod/{} deleted{suffix}", escape(&pod.pod.name)),
                Verb::Surge => format!("pod/{} surged{suffix}", escape(&pod.pod.name)),
            });
        }
        ui.data(&format!("node/{} drained{suffix}", escape(node)));
        if delete {
            ui.data(&format!("node {:?} deleted{suffix}", escape(node)));
        }
    }
}

/// Asks the server once about every node and every pod.
async fn ask(connection: &Connection, preview: &Preview, moves: Moves, verb: Verb) -> Vec<Finding> {
    let nodes: Api<core::Node> = Api::all(connection.client.clone());
    let mut findings = Vec::new();
    for (name, answer) in futures::future::join_all(
        preview
            .nodes
            .iter()
            .map(async |name| (name, claim::dry_run(&nodes, name).await)),
    )
    .await
    {
        if let Err(error) = answer {
            findings.push(objection(
                "cordon-denied",
                Severity::Refusal,
                Vec::new(),
                format!("node/{name}: {}", describe(&error)),
            ));
        }
    }
    let client = &connection.client;
    let asked = preview.going().map(|plan| async move {
        let answer = match verb {
            // With more pods than now the budget may answer otherwise; where the machine is off its answer does not count.
            _ if matches!(plan.when, When::Surge | When::Forced) => Ok(()),
            Verb::Evict | Verb::Surge => moves.evict(client, &plan.pod, true).await,
            Verb::Delete => moves.delete(client, &plan.pod, None, true).await,
        };
        (plan, answer)
    });
    let answers: Vec<(&PodPlan, kube::Result<()>)> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    let mut groups = BTreeMap::<(Severity, String), Vec<&PodPlan>>::new();
    let mut yes = Vec::new();
    for (plan, answer) in answers {
        match answer {
            Ok(()) => yes.push(plan),
            Err(kube::Error::Api(status)) if status.code == 404 => yes.push(plan),
            Err(error) => {
                // A budget that opens again is waited for; everything else would end the run or hold it up.
                let waits = plan.when != When::Now;
                let severity = if waits { Severity::Warning } else { Severity::Refusal };
                let would = match (&error, verb) {
                    (kube::Error::Api(_), Verb::Evict | Verb::Surge) => "the server would not evict now",
                    (kube::Error::Api(_), Verb::Delete) => "the server would not delete now",
                    _ => "the server did not say",
                };
                groups
                    .entry((severity, format!("{would}: {}", words(&error))))
                    .or_default()
                    .push(plan);
            }
        }
    }
    for ((severity, text), plans) in groups {
        let subjects = plans.iter().map(|p| p.pod.clone()).collect();
        findings.push(objection("server-says-no", severity, subjects, text));
    }
    let later = yes.iter().filter(|p| p.when == When::Later).count();
    if later > 0 {
        let now = yes.len() - later;
        findings.push(objection(
            "server-says-yes",
            Severity::Info,
            Vec::new(),
            format!("the server would evict each of these pods alone; their budgets allow {now} now, {later} later"),
        ));
    }
    findings
}

/// The server's words about a budget are in the causes.
fn words(error: &kube::Error) -> String {
    let causes = upkeep::error::status(error)
        .and_then(|s| s.details.as_ref())
        .map(|d| d.causes.as_slice());
    let cause = causes.into_iter().flatten().find(|c| !c.message.is_empty());
    cause.map_or_else(|| describe(error), |c| c.message.clone())
}

fn objection(id: &'static str, severity: Severity, subjects: Vec<upkeep::report::ObjRef>, evidence: String) -> Finding {
    Finding {
        id,
        severity,
        subjects,
        evidence,
        hint: None,
    }
}
