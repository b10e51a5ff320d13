//! Turns what was decided and what happens into text. Decides nothing.

pub mod document;
pub mod lines;
pub mod live;
pub mod moves;
pub mod preview;
pub mod report;

use upkeep::report::{Finding, ObjRef};

/// `ns/name`, or the name alone for cluster-scoped objects.
pub fn short(object: &ObjRef) -> String {
    match &object.namespace {
        Some(namespace) => format!("{namespace}/{}", object.name),
        None => object.name.clone(),
    }
}

/// A finding as one line: what was seen, then the objects. Rules of kubectl's drain list all pods; others the first few.
pub fn sentence(finding: &Finding) -> String {
    const SHOWN: usize = 5;
    if finding.subjects.is_empty() {
        return finding.evidence.clone();
    }
    let all = matches!(
        finding.id,
        "daemonset" | "daemonset-missing" | "local-data" | "no-controller"
    );
    let shown = if all { finding.subjects.len() } else { SHOWN };
    let names: Vec<String> = finding.subjects.iter().take(shown).map(short).collect();
    let more = finding.subjects.len().saturating_sub(shown);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}: {}{more}", finding.evidence, names.join(", "))
}
