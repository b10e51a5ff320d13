//! Command lines that do not make sense: what is said besides.

use clap::error::{ContextKind, ContextValue, Error};

/// Parses the command line of this process as clap does, and ends it with clap's error where that does not make sense. A flag
/// is offered in place of an unknown one only where it was mistyped.
pub fn parse<C: clap::Parser>() -> C {
    C::try_parse().unwrap_or_else(|error| without_misleading_tips(error).exit())
}

/// clap offers the most similar flag however different it is, and to take the flag for a name. No name begins with a dash.
fn without_misleading_tips(mut error: Error) -> Error {
    let typed = text(&error, ContextKind::InvalidArg);
    let offered = text(&error, ContextKind::SuggestedArg);
    if typed.starts_with('-') {
        error.remove(ContextKind::Suggested);
    }
    if !is_typo(&typed, &offered) {
        error.remove(ContextKind::SuggestedArg);
    }
    error
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

/// Letters that were missed, doubled, swapped or mistaken; fewer of them in short words.
fn is_typo(typed: &str, meant: &str) -> bool {
    let most = if meant.trim_start_matches('-').len() < 6 { 1 } else { 2 };
    strsim::damerau_levenshtein(typed, meant) <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_a_tip_is_for_what_was_mistyped() {
        for (typed, offered, expected) in [
            ("--ignore-daemonset", "--ignore-daemonsets", true),
            ("--dryrun", "--dry-run", true),
            ("--froce", "--force", true),
            ("--ignore-errors", "--ignore-daemonsets", false),
            ("--delete-local-data", "--delete", false),
            ("--wait", "--wait-jobs", false),
        ] {
            assert_eq!(is_typo(typed, offered), expected, "{typed} {offered}");
        }
    }
}
