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
    // A single object that the sentence is about stands in it.
    if let [one] = finding.subjects.as_slice()
        && finding.evidence.contains(&format!("{}/{}", one.kind, short(one)))
    {
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
    let names = names.join(", ");
    // One colon in a sentence is enough.
    if finding.evidence.contains(": ") {
        return format!("{} ({names}{more})", finding.evidence);
    }
    format!("{}: {names}{more}", finding.evidence)
}

#[cfg(test)]
mod tests {
    use upkeep::report::Severity;

    use super::*;

    #[test]
    fn p19_one_many_and_too_many_pods_are_named() {
        let finding = |id, count: usize| Finding {
            id,
            severity: Severity::Warning,
            subjects: (0..count)
                .map(|i| ObjRef::namespaced("pod", "ns", &format!("p{i}"), ""))
                .collect(),
            evidence: "it says".into(),
            hint: None,
        };
        assert_eq!(sentence(&finding("x", 0)), "it says");
        assert_eq!(sentence(&finding("x", 1)), "it says: ns/p0");
        assert_eq!(sentence(&finding("x", 5)), "it says: ns/p0, ns/p1, ns/p2, ns/p3, ns/p4");
        assert_eq!(
            sentence(&finding("x", 7)),
            "it says: ns/p0, ns/p1, ns/p2, ns/p3, ns/p4 and 2 more"
        );
        let mut told = finding("x", 6);
        told.evidence = "it says: much".into();
        assert_eq!(
            sentence(&told),
            "it says: much (ns/p0, ns/p1, ns/p2, ns/p3, ns/p4 and 1 more)"
        );
        // drain names them all.
        assert!(sentence(&finding("no-controller", 7)).ends_with("ns/p5, ns/p6"));
    }
}
