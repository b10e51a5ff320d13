//! What a scan has found: a table of what is stuck, then the rest.

use serde::Serialize;
use upkeep::{
    Exit,
    output::{self, Format, table},
    report::{Finding, ObjRef},
    ui::{Ui, escape, human_duration, plural},
};

use crate::scan::Scan;

/// How many rows are shown; `-o json` has all of them.
const ROWS: usize = 50;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    kind: &'static str,
    version: u8,
    stuck: Vec<StuckDoc<'a>>,
    findings: &'a [Finding],
    exit_code: u8,
}

#[derive(Serialize)]
struct StuckDoc<'a> {
    #[serde(flatten)]
    object: &'a ObjRef,
    since: String,
    finalizers: &'a [String],
}

/// How many finalizers of one object a cell has.
const NAMED: usize = 5;

/// The first few of them.
fn first(finalizers: &[String]) -> String {
    let named = finalizers.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
    match finalizers.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Prints it. Findings are exit code 1.
///
/// # Errors
/// A document that cannot be written.
pub fn show(ui: &Ui, form: Format, scan: &Scan, now: k8s_openapi::jiff::Timestamp) -> upkeep::Result<Exit> {
    let exit = if scan.stuck.is_empty() && scan.findings.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    };
    if form.is_document() {
        let stuck = scan.stuck.iter().map(|s| StuckDoc {
            object: &s.object,
            since: s.since.to_string(),
            finalizers: &s.finalizers,
        });
        let document = Document {
            kind: "Scan",
            version: 1,
            stuck: stuck.collect(),
            findings: &scan.findings,
            exit_code: exit.code(),
        };
        ui.document(&output::document(form, &document)?);
        return Ok(exit);
    }
    if exit == Exit::Done {
        ui.data("nothing is stuck");
        return Ok(exit);
    }
    if !scan.stuck.is_empty() {
        let rows = scan.stuck.iter().take(ROWS).map(|stuck| {
            let seconds = u64::try_from(now.duration_since(stuck.since).as_secs()).unwrap_or(0);
            vec![
                escape(stuck.object.namespace.as_deref().unwrap_or_default()),
                escape(&format!("{}/{}", stuck.object.kind, stuck.object.name)),
                human_duration(std::time::Duration::from_secs(seconds)),
                escape(&first(&stuck.finalizers)),
            ]
        });
        ui.data(&table(
            &["NAMESPACE", "OBJECT", "STUCK FOR", "FINALIZERS"],
            rows.collect(),
        ));
        if scan.stuck.len() > ROWS {
            ui.data(&format!("... and {}", plural(scan.stuck.len() - ROWS, "more object")));
        }
    }
    for finding in &scan.findings {
        ui.data(&escape(&finding.evidence));
        if let Some(hint) = &finding.hint {
            ui.data(&format!("  {} {}", ui.out_styles().accent("hint:"), escape(hint)));
        }
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_names_a_few_finalizers() {
        let all: Vec<String> = (0..1000).map(|i| format!("f{i}")).collect();
        assert_eq!(first(&all), "f0, f1, f2, f3, f4 and 995 more");
        assert_eq!(first(all.get(..2).unwrap_or_default()), "f0, f1");
    }
}
