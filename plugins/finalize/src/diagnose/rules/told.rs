//! What an object and its controller say themselves: conditions of its status, errors in it, Events. They are words of others,
//! which are shown as such and decide nothing.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use upkeep::ui::human_duration;

use super::super::desk::Desk;
use crate::facts::{Ask, Object};

/// How many conditions and how many Events are shown.
const SHOWN: usize = 3;
/// How many characters of a message.
const LONG: usize = 300;
/// Parts of the types of conditions that name trouble where they are True.
const TROUBLE: [&str; 10] = [
    "delet", "block", "paus", "stall", "error", "fail", "degraded", "dependen", "terminat", "stuck",
];
/// What the server says to whoever wants to create something in a namespace that is being deleted.
const DYING: &str = "because it is being terminated";

/// Lines for the evidence of a cause.
pub fn by_status(object: &Value) -> Vec<String> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let mut news: Vec<&Value> = conditions.filter(|condition| is_news(condition)).collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    news.sort_by_key(|condition| std::cmp::Reverse(text(&condition["lastTransitionTime"])));
    let mut lines: Vec<String> = news.iter().take(SHOWN).map(|c| in_words(c)).collect();
    let errors = [
        "/status/error/message",
        "/status/errorMessage",
        "/status/failureMessage",
        "/status/message",
    ];
    let errors = errors.iter().filter_map(|at| object.pointer(at)?.as_str());
    let errors = errors.filter(|error| !error.is_empty());
    lines.extend(errors.take(1).map(|error| format!("its status says: {}", short(error))));
    lines
}

/// What is not as it should be, by the conventions of the API: `Ready` is False, `Failed` is True.
fn is_news(condition: &Value) -> bool {
    let kind = condition["type"].as_str().unwrap_or_default().to_lowercase();
    let trouble = TROUBLE.iter().any(|word| kind.contains(word));
    (condition["status"] == "True") == trouble
}

fn in_words(condition: &Value) -> String {
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    let reason = match text("reason") {
        "" => String::new(),
        reason => format!(" ({})", short(reason)),
    };
    let message = match text("message") {
        "" => String::new(),
        message => format!(": {}", short(message)),
    };
    format!(
        "its status says: {} is {}{reason}{message}",
        short(text("type")),
        short(text("status"))
    )
}

/// The latest Events about the object. Nothing while they are not known; none where they may not be read.
pub fn by_events(desk: &Desk<'_>, object: &Object) -> Option<Vec<String>> {
    let ask = Ask::Events {
        namespace: object.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        uid: object.uid.clone(),
    };
    let Ok(mut events) = desk.all::<Value>(&ask)? else {
        return Some(Vec::new());
    };
    let at = |event: &Value| -> Option<Timestamp> {
        let times = [
            "/lastTimestamp",
            "/series/lastObservedTime",
            "/eventTime",
            "/metadata/creationTimestamp",
        ];
        times
            .iter()
            .find_map(|time| event.pointer(time)?.as_str()?.parse().ok())
    };
    events.sort_by_key(|event| std::cmp::Reverse((event["type"] == "Warning", at(event))));
    let mut lines = Vec::new();
    for event in &events {
        let text = |field: &str| event[field].as_str().unwrap_or_default();
        let by = match text("reportingComponent") {
            "" => event["source"]["component"].as_str().unwrap_or("an unknown component"),
            component => component,
        };
        let ago = at(event).map_or_else(String::new, |at| {
            let seconds = u64::try_from(desk.seconds_since(at)).unwrap_or(0);
            format!(" {} ago", human_duration(std::time::Duration::from_secs(seconds)))
        });
        let said = format!(
            "an Event of {} says{ago}: {}: {}",
            short(by),
            short(text("reason")),
            short(text("message"))
        );
        lines.push(said);
    }
    lines.dedup();
    lines.truncate(SHOWN);
    Some(lines)
}

/// Whether somebody wants to create something in a namespace that is being deleted.
pub fn must_create(lines: &[String]) -> bool {
    lines.iter().any(|line| line.contains(DYING))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_that_are_news() {
        let cases = [
            (json!({"type": "Ready", "status": "True"}), false),
            (json!({"type": "Ready", "status": "False"}), true),
            (json!({"type": "Synced", "status": "Unknown"}), true),
            (json!({"type": "DeletionIsBlocked", "status": "True"}), true),
            (json!({"type": "Paused", "status": "True"}), true),
            (json!({"type": "Paused", "status": "False"}), false),
            (json!({"type": "Failed", "status": "False"}), false),
        ];
        for (condition, wanted) in cases {
            assert_eq!(is_news(&condition), wanted, "{condition}");
        }
    }

    #[test]
    fn what_the_status_says() {
        let long = "x".repeat(5_000);
        let status = json!({"conditions": [
            {"type": "Ready", "status": "True", "message": "all is well"},
            {"type": "DeletionIsBlocked", "status": "True", "reason": "ObjectHasDependents",
                "message": "CephCluster will not be deleted until all dependents are removed: CephBlockPool: [pool]"}],
            "error": {"message": long}});
        let lines = by_status(&json!({"status": status}));
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines.first().map(String::as_str),
            Some(
                "its status says: DeletionIsBlocked is True (ObjectHasDependents): CephCluster will not be deleted until all \
                 dependents are removed: CephBlockPool: [pool]"
            )
        );
        assert!(lines.iter().all(|line| line.len() < 400));
        assert!(by_status(&json!({"status": "odd"})).is_empty());
        assert!(by_status(&json!({})).is_empty());
    }

    #[test]
    fn a_namespace_that_takes_nothing_new() {
        let said = "Synced is False: configmaps \"a\" is forbidden: unable to create new content in namespace x because it is \
                    being terminated";
        assert!(must_create(&[said.to_owned()]));
        assert!(!must_create(&["Ready is False".to_owned()]));
    }
}
