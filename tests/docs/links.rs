//! Links from one document to another.

use regex::Regex;

use crate::documents;

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let documents = documents();
    assert!(documents.len() > 10, "{documents:?}");
    let mut dead = Vec::new();
    for path in documents {
        let text = std::fs::read_to_string(&path).unwrap();
        for found in link.captures_iter(&text) {
            let (target, anchor) = found[1].split_once('#').unwrap_or((&found[1], ""));
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let file = if target.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(target)
            };
            let there = file.exists()
                && (anchor.is_empty()
                    || anchors(&std::fs::read_to_string(&file).unwrap()).contains(&anchor.to_owned()));
            if !there {
                dead.push(format!("{}: {}", path.display(), &found[1]));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// As GitHub makes them of headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let anchor = |heading: &str| {
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}
