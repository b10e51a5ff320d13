//! One run at a time on one object: a claim, kept fresh by a heartbeat.
//!
//! Pure: this says what to write and what a claim that was read means. Reading, writing and waiting are the plugin's.
//!
//! The claim is a [`lease`], which whoever runs on a node cannot write. Where no Lease can be written, and in version 0.1.0,
//! it is an annotation of the object: made with [`claim_patch`] (with the resourceVersion that was read, so that of two runs
//! only one wins), kept with [`heartbeat_patch`] every [`HEARTBEAT`], and given back with [`release_patch`].

mod identity;
pub mod lease;

pub use identity::{Identity, is_run_id};

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ui::{escape, human_duration};

/// The annotation.
pub const LOCK: &str = "kubectl-upkeep/lock";
/// How often a run renews its claim.
pub const HEARTBEAT: Duration = Duration::from_secs(20);
/// Without a heartbeat for so long, a claim counts for nothing. Three heartbeats, so that two may get lost.
pub const STALE_AFTER: Duration = Duration::from_secs(60);
/// A claim that only looks stale is watched for so long before it is replaced: a run that is alive renews it within
/// [`HEARTBEAT`], whatever its clock says.
pub const WATCHED_FOR: Duration = Duration::from_secs(25);

/// The value of the annotation, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The run that holds the object.
    #[serde(flatten)]
    pub holder: Identity,
    /// When the run took it.
    pub started: Timestamp,
    /// When the run last said that it is alive.
    pub heartbeat: Timestamp,
    /// The login of who started it: version 0.1.0 wrote it. It is shown and never written.
    #[serde(default, skip_serializing)]
    pub user: Option<String>,
    /// The machine, likewise.
    #[serde(default, skip_serializing)]
    pub host: Option<String>,
}

impl Claim {
    /// A claim that begins now.
    pub fn new(holder: &Identity, now: Timestamp) -> Self {
        Self {
            holder: holder.clone(),
            started: now,
            heartbeat: now,
            user: None,
            host: None,
        }
    }

    /// The same claim, alive at `now`.
    pub fn renewed(&self, now: Timestamp) -> Self {
        Self {
            heartbeat: now,
            ..self.clone()
        }
    }

    /// The value for the annotation.
    pub fn to_value(&self) -> String {
        // Strings, numbers and times always can be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a claim that was read means for this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No run holds the object.
    Free,
    /// This run holds it.
    Mine,
    /// Another run holds it and is alive: refuse.
    Fresh {
        /// Name of the run, as it stands in the claim.
        run: String,
        /// For a message: `another run (run 3f..., pid 42, since 5m, last seen 3s ago)`.
        holder: String,
        /// When the claim becomes stale if its run has died.
        retry_in: Duration,
    },
    /// Another run held it and seems to have ended: take over.
    Stale {
        /// Name of the run, as above; empty where the claim cannot be read.
        run: String,
        /// Who, as above; or that the value cannot be read, which deserves a warning.
        holder: String,
        /// Whether it is known to have ended. If not, its clock may only differ from ours, or it is of a later version: watch
        /// the claim for [`WATCHED_FOR`], and take over if it stays as it is.
        proven: bool,
    },
}

/// Judges the value of the annotation.
///
/// A claim looks stale after [`STALE_AFTER`] without a heartbeat. It is stale at once where its holder ran on this very machine
/// and its process has ended, so that after `kill -9` a second run need not wait. A heartbeat from the future counts as fresh
/// for no longer than one from now would: clocks differ.
pub fn verdict(existing: Option<&str>, now: Timestamp, me: &Identity) -> Verdict {
    let Some(text) = existing.filter(|text| !text.trim().is_empty()) else {
        return Verdict::Free;
    };
    match serde_json::from_str::<Claim>(text) {
        Ok(claim) => judge(&claim, now, me),
        Err(_) => {
            let short: String = text.chars().take(60).collect();
            Verdict::Stale {
                run: String::new(),
                holder: format!("a claim that cannot be read: {}", escape(&short)),
                proven: false,
            }
        }
    }
}

/// Judges a claim, by the same rules.
pub fn judge(claim: &Claim, now: Timestamp, me: &Identity) -> Verdict {
    judge_with(claim, now, me, Identity::is_gone_here)
}

fn judge_with(claim: &Claim, now: Timestamp, me: &Identity, is_gone: impl Fn(&Identity) -> bool) -> Verdict {
    if claim.holder.run == me.run {
        return Verdict::Mine;
    }
    let run = claim.holder.run.clone();
    let silent = Duration::try_from(now.duration_since(claim.heartbeat)).unwrap_or_default();
    let holder = describe(claim, now, silent);
    // A clock that is ahead by more than the limit would keep a dead claim alive for as long as it is ahead.
    let ahead = Duration::try_from(claim.heartbeat.duration_since(now)).unwrap_or_default();
    let proven = is_gone(&claim.holder);
    if proven || silent >= STALE_AFTER || ahead >= STALE_AFTER {
        return Verdict::Stale { run, holder, proven };
    }
    Verdict::Fresh {
        run,
        holder,
        retry_in: STALE_AFTER - silent,
    }
}

/// The sentence for [`Verdict::Fresh`].
pub fn at_work(holder: &str, retry_in: Duration) -> String {
    let seconds = (retry_in + WATCHED_FOR).as_secs();
    format!("{holder} is at work on it; if that run has died, it can be taken over in {seconds}s at the latest")
}

fn describe(claim: &Claim, now: Timestamp, silent: Duration) -> String {
    let since = Duration::try_from(now.duration_since(claim.started)).unwrap_or_default();
    let who = match (&claim.user, &claim.host) {
        (Some(user), Some(host)) => format!("{} on {}", escape(user), escape(host)),
        _ => "another run".to_owned(),
    };
    format!(
        "{who} (run {}, pid {}, since {}, last seen {} ago)",
        escape(&claim.holder.run),
        claim.holder.pid,
        human_duration(since),
        human_duration(silent)
    )
}

/// The merge patch that takes the object: it fails with a conflict if the object is not at `resource_version` any more.
pub fn claim_patch(resource_version: &str, claim: &Claim) -> Value {
    json!({ "metadata": { "resourceVersion": resource_version, "annotations": { LOCK: claim.to_value() } } })
}

/// The JSON patch that renews a claim, only while the value is still ours. A failed test means that another run took over.
pub fn heartbeat_patch(old: &Claim, new: &Claim) -> Value {
    json!([
        { "op": "test", "path": path(), "value": old.to_value() },
        { "op": "replace", "path": path(), "value": new.to_value() },
    ])
}

/// The JSON patch that gives the object back, only while the value is still ours.
pub fn release_patch(old: &Claim) -> Value {
    json!([
        { "op": "test", "path": path(), "value": old.to_value() },
        { "op": "remove", "path": path() },
    ])
}

/// The annotation as a JSON pointer.
fn path() -> String {
    format!("/metadata/annotations/{}", LOCK.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn identity(run: &str) -> Identity {
        Identity {
            run: run.into(),
            pid: 42,
            process: Some("1000".into()),
            machine: Some("boot/4026531836".into()),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn judged(text: &str, now: i64, gone: bool) -> Verdict {
        let claim = serde_json::from_str(text).unwrap();
        judge_with(&claim, at(now), &identity("me"), |_| gone)
    }

    #[test]
    fn a_claim_is_fresh_until_its_heartbeat_stops() {
        let other = Claim::new(&identity("other"), at(0)).to_value();
        let Verdict::Fresh { run, holder, retry_in } = judged(&other, 20, false) else {
            panic!("not fresh")
        };
        assert_eq!(run, "other");
        assert_eq!(holder, "another run (run other, pid 42, since 20s, last seen 20s ago)");
        assert_eq!(retry_in, Duration::from_secs(40));
        assert!(matches!(judged(&other, 59, false), Verdict::Fresh { .. }));
        assert!(matches!(
            judged(&other, 60, false),
            Verdict::Stale { proven: false, .. }
        ));
        assert!(matches!(judged(&other, 1, true), Verdict::Stale { proven: true, .. }));
    }

    #[test]
    fn a_clock_that_is_ahead_does_not_lock_for_ever() {
        let other = Claim::new(&identity("other"), at(30)).to_value();
        let Verdict::Fresh { retry_in, .. } = judged(&other, 0, false) else {
            panic!("not fresh")
        };
        assert_eq!(retry_in, STALE_AFTER);
        assert!(matches!(judged(&other, -3600, false), Verdict::Stale { .. }));
    }

    #[test]
    fn no_claim_and_an_own_claim_are_no_obstacle() {
        assert_eq!(verdict(None, at(0), &identity("me")), Verdict::Free);
        assert_eq!(verdict(Some(" "), at(0), &identity("me")), Verdict::Free);
        assert_eq!(
            judged(&Claim::new(&identity("me"), at(0)).to_value(), 500, false),
            Verdict::Mine
        );
    }

    #[test]
    fn a_value_that_cannot_be_read_is_stale_and_says_so() {
        for text in ["yes", "{}", "{\"run\":1}", "\x1b[2J"] {
            let Verdict::Stale {
                holder, proven: false, ..
            } = verdict(Some(text), at(0), &identity("me"))
            else {
                panic!("{text}")
            };
            assert!(!holder.contains('\x1b'));
        }
    }

    /// Login and machine that 0.1.0 has written are shown, and are not written again.
    #[test]
    fn a_claim_of_the_first_version() {
        let mut value = serde_json::to_value(Claim::new(&identity("other"), at(0))).unwrap();
        value["user"] = json!("al\nice");
        value["host"] = json!("h1");
        let Verdict::Fresh { holder, .. } = judged(&value.to_string(), 20, false) else {
            panic!("not fresh")
        };
        assert_eq!(
            holder,
            "al\\nice on h1 (run other, pid 42, since 20s, last seen 20s ago)"
        );
        let claim: Claim = serde_json::from_value(value).unwrap();
        assert!(!claim.to_value().contains("h1"));
    }

    #[test]
    fn a_claim_survives_the_annotation_and_unknown_fields() {
        let claim = Claim::new(&identity("x"), at(0));
        let mut value: Value = serde_json::from_str(&claim.to_value()).unwrap();
        value["later"] = json!("version");
        assert_eq!(serde_json::from_value::<Claim>(value).unwrap(), claim);
    }

    #[test]
    fn patches_test_what_they_replace() {
        let old = Claim::new(&identity("x"), at(0));
        let new = old.renewed(at(20));
        assert_eq!(new.started, old.started);
        let patch = heartbeat_patch(&old, &new);
        assert_eq!(patch[0]["path"], "/metadata/annotations/kubectl-upkeep~1lock");
        assert_eq!(
            (&patch[0]["value"], &patch[1]["value"]),
            (&json!(old.to_value()), &json!(new.to_value()))
        );
        assert_eq!(release_patch(&old)[1]["op"], "remove");
        assert_eq!(claim_patch("7", &old)["metadata"]["resourceVersion"], "7");
        assert_eq!(claim_patch("7", &old)["metadata"]["annotations"][LOCK], old.to_value());
    }

    #[test]
    fn the_patches_are_what_kube_takes() {
        let old = Claim::new(&identity("x"), at(0));
        type Operations = <Vec<kube::api::Patch<()>> as IntoIterator>::Item;
        for value in [heartbeat_patch(&old, &old), release_patch(&old)] {
            let patch: Operations = kube::api::Patch::Json(serde_json::from_value(value).unwrap());
            assert!(matches!(patch, kube::api::Patch::Json(_)));
        }
    }
}
