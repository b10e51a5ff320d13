//! The values of flags: how they are written, and what completion offers.

use clap_complete::engine::CompletionCandidate;
use upkeep::args::{parse_bool, parse_duration};

use crate::{
    drive::publish::{LONGEST_REASON, is_reason},
    engine::OnBlocked,
    preflight::{jobs::WaitJobs, surge::Mode},
};

/// What `--on-blocked` takes, for completion.
pub fn policies() -> Vec<CompletionCandidate> {
    let policies = [
        ("wait", "for ever"),
        ("fail", "at once"),
        ("delete-after=", "without asking the budget, after this time"),
    ];
    let candidates = policies.map(|(policy, help)| CompletionCandidate::new(policy).help(Some(help.into())));
    candidates.into()
}

/// What `--surge=` takes, for completion.
pub fn surge_modes() -> Vec<CompletionCandidate> {
    ["true", "false", "force"].map(CompletionCandidate::new).into()
}

/// What `--flag=` takes, for completion.
pub fn booleans() -> Vec<CompletionCandidate> {
    ["true", "false"].map(CompletionCandidate::new).into()
}

/// Conditions and Events take no longer messages.
pub fn parse_reason(text: &str) -> std::result::Result<String, String> {
    match text.trim() {
        "" => Err("expected a text".into()),
        long if long.chars().count() > LONGEST_REASON => Err(format!("expected at most {LONGEST_REASON} characters")),
        text if !is_reason(text) => Err("expected one line of text without hidden characters".into()),
        text => Ok(text.to_owned()),
    }
}

/// What stands in a lock that somebody else has written may be any text.
pub fn parse_run(text: &str) -> std::result::Result<String, String> {
    match text.trim() {
        "" => Err("expected the id of a run, as the refusal shows it, or \"annotation\"".into()),
        text => Ok(text.to_owned()),
    }
}

pub fn parse_surge(text: &str) -> std::result::Result<Mode, String> {
    match (text, parse_bool(text)) {
        ("force", _) => Ok(Mode::Force),
        (_, Ok(true)) => Ok(Mode::On),
        (_, Ok(false)) => Ok(Mode::Off),
        _ => Err("expected true, false or force".into()),
    }
}

/// What `--wait-jobs` means without a value.
pub const FOREVER: &str = "forever";

pub fn parse_wait_jobs(text: &str) -> std::result::Result<WaitJobs, String> {
    if text == FOREVER {
        return Ok(WaitJobs::Forever);
    }
    let limit = parse_duration(text)?;
    if limit.is_zero() {
        return Err("expected a duration longer than 0; without a value there is no limit".into());
    }
    Ok(WaitJobs::For(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)))
}

pub fn parse_on_blocked(text: &str) -> std::result::Result<OnBlocked, String> {
    match text.split_once('=') {
        None if text == "wait" => Ok(OnBlocked::Wait),
        None if text == "fail" => Ok(OnBlocked::Fail),
        Some(("delete-after", duration)) => {
            let patience = parse_duration(duration)?;
            Ok(OnBlocked::DeleteAfter(
                i64::try_from(patience.as_millis()).unwrap_or(i64::MAX),
            ))
        }
        _ => Err("expected wait, fail or delete-after=DURATION".into()),
    }
}
