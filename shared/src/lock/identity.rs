//! Who a run is, precisely enough to tell whether it is still alive, and no more than that.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// One run of one plugin.
///
/// It is published in the cluster, so it holds no login, no host name and no boot id: of machine and process only
/// fingerprints, which nobody can follow from one run to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Random name of the run.
    pub run: String,
    /// Its process.
    pub pid: u32,
    /// Fingerprint of the machine and of when the process started: a pid is used again, a pid with its start time is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Fingerprint of the boot of the machine and of the pid namespace. A pid means something only within the same one:
    /// another container on the same machine has its own pids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

impl Identity {
    /// This process, with a new run id. Where the system does not tell (anything but Linux), `process` and `machine` stay
    /// empty and only the heartbeat counts.
    pub fn current() -> Self {
        let pid = std::process::id();
        let (run, machine) = (random_id(), machine());
        let process = machine.as_deref().zip(start_time(pid));
        Self {
            process: process.map(|(machine, started)| fingerprint(&run, &format!("{machine}/{started}"))),
            machine: machine.as_deref().map(|machine| fingerprint(&run, machine)),
            run,
            pid,
        }
    }

    /// Whether the process of `self` is known to have ended, as seen from this one: the same machine, boot and pid
    /// namespace, and no process with that pid and start time.
    pub fn is_gone_here(&self) -> bool {
        let (Some(theirs), Some(started), Some(mine)) = (&self.machine, &self.process, machine()) else {
            return false;
        };
        if !self.is(theirs, &mine) {
            return false;
        }
        let alive = start_time(self.pid).is_some_and(|now| {
            // 0.1.0 has published the start time as it is.
            *started == now || self.is(started, &format!("{mine}/{now}"))
        });
        !alive
    }

    /// Whether what was published is `clear`. 0.1.0 has published it as it is.
    fn is(&self, published: &str, clear: &str) -> bool {
        published == clear || published == fingerprint(&self.run, clear)
    }
}

/// The boot id is 122 random bits, so the hash cannot be turned back; the run id is the salt, so two runs of one machine have
/// nothing in common.
fn fingerprint(run: &str, clear: &str) -> String {
    let hash = Sha256::digest(format!("kubectl-upkeep/{run}/{clear}"));
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text may be the name of a run: letters, digits and dashes, so that it means nothing to a shell.
pub fn is_run_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-')
}

fn machine() -> Option<String> {
    let boot = read("/proc/sys/kernel/random/boot_id")?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{boot}/{}", namespace.display()))
}

/// The 22nd field of `/proc/PID/stat`. The second is the name of the program in brackets and may hold anything, brackets too.
fn start_time(pid: u32) -> Option<String> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    // A zombie is dead, it only has not been buried yet.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

/// 64 random bits. The standard library's hasher keys come from the system's random source; a run id needs no more.
fn random_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_i128(jiff::Timestamp::now().as_nanosecond());
    format!("{:016x}", hasher.finish())
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What a run of this process id would publish.
    fn of(pid: u32, run: &str) -> Identity {
        let machine = machine().unwrap();
        let started = start_time(pid).unwrap();
        Identity {
            run: run.into(),
            pid,
            process: Some(fingerprint(run, &format!("{machine}/{started}"))),
            machine: Some(fingerprint(run, &machine)),
        }
    }

    #[test]
    fn a_process_that_was_killed_is_gone_at_once() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = of(child.id(), "other");
        let old = Identity {
            process: start_time(child.id()),
            machine: machine(),
            ..other.clone()
        };
        assert!(!other.is_gone_here() && !old.is_gone_here());
        child.kill().unwrap();
        // Not yet waited for: a zombie still has its entry.
        while start_time(other.pid).is_some() {
            std::thread::yield_now();
        }
        assert!(other.is_gone_here() && old.is_gone_here());
        child.wait().unwrap();
        assert!(other.is_gone_here());
    }

    #[test]
    fn a_pid_that_is_used_again_or_means_something_elsewhere_is_told_apart() {
        let me = Identity::current();
        assert!(!me.is_gone_here());
        let reused = Identity {
            process: Some("1".into()),
            ..me.clone()
        };
        assert!(reused.is_gone_here());
        let elsewhere = Identity {
            machine: Some("other".into()),
            ..reused.clone()
        };
        assert!(!elsewhere.is_gone_here());
        let unknown = Identity {
            machine: None,
            process: None,
            ..reused
        };
        assert!(!unknown.is_gone_here());
    }

    /// What is published names neither a person nor a machine, and does not tell that two runs are of one machine.
    #[test]
    fn r53_only_fingerprints_are_published() {
        let (one, two) = (Identity::current(), Identity::current());
        assert!(one.machine.is_some() && one.machine != two.machine && one.process != two.process);
        let text = serde_json::to_string(&one).unwrap();
        let boot = read("/proc/sys/kernel/random/boot_id").unwrap();
        let host = read("/proc/sys/kernel/hostname").unwrap();
        for secret in [boot, format!("\"{host}\""), start_time(one.pid).unwrap()] {
            assert!(!text.contains(&secret), "{text} has {secret}");
        }
        let fields: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["machine", "pid", "process", "run"]);
    }

    #[test]
    fn run_ids_differ() {
        let run = Identity::current().run;
        assert_ne!(Identity::current().run, run);
        assert!(is_run_id(&run));
        for not in ["", "-f", "3f 00", "$(id)", "a;b", "\u{e4}", &"a".repeat(65)] {
            assert!(!is_run_id(not), "{not}");
        }
    }
}
