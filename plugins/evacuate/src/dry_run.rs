//! `--dry-run`: everything up to the first change, and with `server` what the server says to each pod.

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt as _;
use upkeep::{
    Error, Exit, Result,
    client::Connection,
    error::describe,
    output::{self, Format},
    report::{Finding, Severity},
    ui::{Ui, escape, human_duration, plural},
};

use crate::{
    cli::{Cli, DryRun},
    drive::{lock::Locks, moves::Moves, probe::probe, publish::Wish, saving::Saving},
    engine::{OnBlocked, event::Verb},
    facts::Facts,
    preflight::{
        budgets::When,
        jobs::WaitJobs,
        preview::{PodPlan, Preview},
    },
    render::{self, document},
};

/// How many questions are on their way at the same time.
const AT_ONCE: usize = 16;

/// What the server is asked, in whose name, and with what the run would do its work.
pub struct Asks<'a> {
    /// The cluster.
    pub connection: &'a Connection,
    /// The locks of the nodes.
    pub locks: &'a Locks,
    /// What would be written on the nodes.
    pub wish: &'a Wish,
    /// How pods are asked to go.
    pub moves: Moves,
    /// Where that is saved which nothing would bring back.
    pub saving: &'a Saving,
    /// Through the eviction API, or by deletion.
    pub verb: Verb,
}

/// Shows the preview. With `--dry-run=server` each cordon and each eviction is sent as a dry run, once: the server does
/// not count what was asked before, so its yes to a pod that has to wait for others is not taken for "now".
///
/// # Errors
/// A refused plan, or an answer that forbids it.
pub async fn show(cli: &Cli, ui: &Ui, facts: &Facts, preview: &Preview, asks: &Asks<'_>) -> Result<Exit> {
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
    let refused = match refused {
        None => crate::confirm::place_to_save(cli, preview, asks.saving).await.err(),
        refused => refused,
    };
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
        against = ask(facts, preview, asks).await;
        if !form.is_document() {
            render::preview::findings(ui, &against, Severity::Info);
        }
    }
    let objections = against.iter().any(|f| f.severity == Severity::Refusal);
    let exit = match (&refused, objections) {
        (Some(_), _) => Exit::Refused,
        (None, true) => Exit::Failed,
        (None, false) if ends_by_deadline(cli, preview) => Exit::Deadline,
        (None, false) => Exit::Done,
    };
    match form {
        Format::Json | Format::Yaml => {
            let findings: Vec<Finding> = preview.findings.iter().cloned().chain(against).collect();
            let shown = document::of_preview(preview, word, "preview", exit).with_findings(&findings);
            ui.document(&output::document(form, &shown)?);
        }
        _ if refused.is_none() && !objections => lines(ui, facts, preview, cli, suffix),
        _ => {}
    }
    match refused {
        Some(error) => Err(error),
        None => Ok(exit),
    }
}

/// Whether the run was told to wait for what only the user can change, and for how long.
fn ends_by_deadline(cli: &Cli, preview: &Preview) -> bool {
    let hopeless = |f: &Finding| matches!(f.id, "budget-never" | "budget-overlap");
    cli.on_blocked == Some(OnBlocked::Wait) && !cli.timeout.is_zero() && preview.findings.iter().any(hopeless)
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

/// kubectl's lines of a dry run. A node on which budgets hold pods back now is not called drained: how long they do cannot be
/// known.
fn lines(ui: &Ui, facts: &Facts, preview: &Preview, cli: &Cli, suffix: &str) {
    for node in &facts.targets {
        let already = if node.unschedulable { "already " } else { "" };
        ui.data(&format!("node/{} {already}cordoned{suffix}", escape(&node.name)));
    }
    let deletes = matches!(cli.on_blocked, Some(OnBlocked::DeleteAfter(_)));
    for node in &preview.nodes {
        let name = escape(node);
        let (mut held, mut jobs) = (0, 0);
        for pod in preview.going().filter(|p| &p.node == node) {
            match (pod.when, pod.verb) {
                (When::Blocked, Verb::Evict) if deletes => {
                    ui.data(&format!("deleting pod {}{suffix}", escape(&render::short(&pod.pod))));
                }
                (When::Blocked, Verb::Evict) => held += 1,
                (When::AfterJob, _) => jobs += 1,
                (_, Verb::Evict) => ui.data(&format!("evicting pod {}{suffix}", escape(&render::short(&pod.pod)))),
                (_, Verb::Delete) => ui.data(&format!("pod/{} deleted{suffix}", escape(&pod.pod.name))),
                (_, Verb::Surge) => ui.data(&format!("pod/{} surged{suffix}", escape(&pod.pod.name))),
            }
        }
        if held > 0 {
            let its = if held == 1 {
                "its budget allows"
            } else {
                "their budgets allow"
            };
            let pods = plural(held, "pod");
            ui.note(&format!(
                "node/{name} would wait: {pods} would stay on it until {its} the eviction"
            ));
        }
        if jobs > 0 {
            let limit = match cli.wait_jobs.unwrap_or_default() {
                WaitJobs::For(limit) => format!(", for up to {}", limit_text(limit)),
                _ => String::new(),
            };
            let pods = plural(jobs, "pod");
            ui.note(&format!(
                "node/{name} would wait: Jobs of {pods} on it finish first{limit}"
            ));
        }
        if held + jobs > 0 {
            continue;
        }
        ui.data(&format!("node/{name} drained{suffix}"));
        if cli.switches.delete {
            ui.data(&format!("node {name:?} deleted{suffix}"));
        }
    }
}

fn limit_text(millis: i64) -> String {
    human_duration(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

/// Asks the server once about every node and every pod.
async fn ask(facts: &Facts, preview: &Preview, asks: &Asks<'_>) -> Vec<Finding> {
    let Asks {
        connection,
        moves,
        verb,
        ..
    } = *asks;
    let mut findings = Vec::new();
    let probes = facts
        .targets
        .iter()
        .map(async |node| (node, probe(connection, asks.locks, node, asks.wish, true).await));
    let probes: Vec<_> = futures::stream::iter(probes).buffered(AT_ONCE).collect().await;
    let mut degraded = Vec::new();
    for (node, probe) in probes {
        if let Err(error) = probe.cordon {
            let evidence = format!("node/{}: {}", node.name, describe(&error));
            findings.push(objection("cordon-denied", Severity::Refusal, Vec::new(), evidence));
        }
        degraded.extend(probe.degraded);
    }
    // What is the same for all nodes is said once.
    degraded.sort();
    degraded.dedup();
    let degraded = degraded
        .into_iter()
        .map(|text| objection("degraded", Severity::Warning, Vec::new(), text));
    findings.extend(degraded);
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
