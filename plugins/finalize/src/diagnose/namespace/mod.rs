//! What holds a namespace. Its conditions are evidence, never the truth: from Kubernetes 1.33 on all five read as success
//! while pods hold it (kubernetes#138208), so the content is listed.

mod content;
mod preflight;
mod shell;
mod unseen;

use k8s_openapi::api::core::v1 as core;

pub use self::unseen::left_behind;

use self::content::Content;
use super::{Found, State, desk::Desk, rules};
use crate::facts::{Ask, Object};

/// How long the namespace controller lets a namespace lie before it begins, with something to spare: it waits 5 s.
const BEGINS: i64 = 10;

/// Goes through everything in the order in which the namespace controller comes across it.
pub fn look(desk: &Desk<'_>, found: &mut Found) -> State {
    let namespace = match desk.typed::<core::Namespace>(desk.target()) {
        None => return State::Unknown,
        Some(Err(said)) if said.is_missing() => return State::Gone,
        Some(Err(said)) => return State::Unseen(said.clone()),
        Some(Ok(namespace)) => namespace,
    };
    let Some(deletion) = &namespace.metadata.deletion_timestamp else {
        shell::living(&namespace, found);
        if let (Some(Err(said)), Some(kind)) = (
            desk.answer(&Ask::DryDelete(desk.target().clone())),
            desk.discovery().find("namespaces"),
        ) && let Some(Ok(object)) = desk.typed::<Object>(desk.target())
            && !said.lacks_right()
        {
            rules::refusal(desk, found, kind, &object, "DELETE", &said.message);
        }
        if desk.is_preflight() {
            preflight::look(desk, found);
        }
        return State::Living;
    };
    let age = desk.seconds_since(deletion.0);
    // One after the other would ask one after the other.
    let content = Content::list(desk, found);
    rules::dark_apis(desk, found);
    rules::controllers(desk, found, &namespace, age);
    if let Some(content) = content {
        let begun = age > BEGINS || shell::has_failed(&namespace);
        content.judge(desk, found, begun);
        shell::going(desk, found, &namespace, &content);
        shell::conditions(desk, found, &namespace, age);
        unseen::abandon(desk, found, &namespace, &content);
    }
    State::Going(age)
}
