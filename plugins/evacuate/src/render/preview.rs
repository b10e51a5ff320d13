//! The preview: every pod with what will happen to it, then what a person should know.

use upkeep::{
    output::table,
    report::{Finding, Severity},
    ui::{Styles, Ui, escape, human_duration, plural},
};

use super::{sentence, short};
use crate::{
    engine::event::Verb,
    preflight::{
        budgets::When,
        preview::{PodPlan, Preview},
    },
};

/// Prints the whole preview to stderr.
pub fn show(ui: &Ui, preview: &Preview) {
    let styles = ui.styles();
    for node in &preview.nodes {
        let here: Vec<&PodPlan> = preview.pods.iter().filter(|p| &p.node == node).collect();
        let going = here.iter().filter(|p| p.is_removed()).count();
        let staying = here.len() - going;
        let stuck = |p: &&&PodPlan| p.judgement.goes && (p.judgement.refused().is_some() || p.when == When::Blocked);
        let stuck = here.iter().filter(stuck).count();
        let left_out = match preview.left_out.get(node) {
            Some(1) => ", 1 is left out by --pod-selector".to_owned(),
            Some(count) => format!(", {count} are left out by --pod-selector"),
            None => String::new(),
        };
        ui.status(&format!(
            "{}: {}, {staying} {}{left_out}",
            styles.bold(&escape(&format!("node/{node}"))),
            leaving(going, stuck),
            if staying == 1 { "stays" } else { "stay" },
        ));
        if !here.is_empty() {
            let rows = here.into_iter().map(|pod| row(pod, styles)).collect();
            ui.status(&table(&["NAMESPACE", "POD", "ACTION", "BUDGET", "GRACE", "ROOM"], rows));
        }
    }
    for budget in &preview.budgets {
        ui.status(&format!(
            "{}: {}, allows {} now, {}; {} of this plan {} its consent",
            styles.bold(&escape(&format!("budget/{}", short(&budget.budget)))),
            escape(&budget.stated),
            budget.allowed.max(0),
            budget.needs_has,
            plural(budget.outlook.needed, "pod"),
            if budget.outlook.needed == 1 { "needs" } else { "need" },
        ));
    }
    findings(ui, &preview.findings, Severity::Info);
}

/// How many pods leave, and how many of them cannot now.
fn leaving(going: usize, stuck: usize) -> String {
    let leave = if going == 1 { "leaves" } else { "leave" };
    match stuck {
        0 => format!("{} {leave}", plural(going, "pod")),
        _ if stuck == going => format!("{} cannot leave now", plural(going, "pod")),
        _ => format!("{} {leave} ({stuck} cannot now)", plural(going, "pod")),
    }
}

fn row(plan: &PodPlan, styles: &Styles) -> Vec<String> {
    let action = if plan.judgement.refused().is_some() {
        styles.bad("refused")
    } else if plan.when == When::Forced {
        if plan.judgement.goes { "force" } else { "removed" }.to_owned()
    } else if !plan.judgement.goes {
        styles.dim("stays")
    } else {
        match (plan.when, plan.verb) {
            (When::Blocked, _) => styles.warn("blocked"),
            (When::Surge, _) | (_, Verb::Surge) => "surge".to_owned(),
            (When::Later, _) => "evict later".to_owned(),
            (When::AfterJob, _) => "wait for Job".to_owned(),
            (When::Now | When::Forced, Verb::Evict) => "evict".to_owned(),
            (When::Now | When::Forced, Verb::Delete) => "delete".to_owned(),
        }
    };
    let goes = plan.judgement.goes;
    vec![
        escape(plan.pod.namespace.as_deref().unwrap_or_default()),
        escape(&plan.pod.name),
        action,
        plan.budget.as_ref().map_or_else(String::new, |b| escape(&b.name)),
        if goes {
            human_duration(std::time::Duration::from_secs(u64::try_from(plan.grace).unwrap_or(0)))
        } else {
            String::new()
        },
        plan.fit.as_ref().filter(|_| goes).map(|f| f.text()).unwrap_or_default(),
    ]
}

/// Prints findings to stderr, from the given severity up, each with its hint.
pub fn findings(ui: &Ui, findings: &[Finding], from: Severity) {
    for finding in findings.iter().filter(|f| f.severity >= from) {
        let text = escape(&sentence(finding));
        match finding.severity {
            Severity::Refusal => ui.paragraph(&format!("{} {text}", ui.styles().bad("Refused:"))),
            Severity::Warning => ui.warning(&text),
            // kubectl calls this one a warning.
            Severity::Info if finding.id == "daemonset" => ui.warning(&text),
            Severity::Info => ui.note(&text),
        }
        if let Some(hint) = &finding.hint {
            ui.hint(hint);
        }
    }
}
