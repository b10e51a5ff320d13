//! Who a run is, precisely enough to tell whether it is still alive.

use serde::{Deserialize, Serialize};

/// One run of one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Random name of the run.
    pub run: String,
    /// Who started it, for people to read.
    pub user: String,
    /// Where it runs, for people to read.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// When the process started, in clock ticks since boot: a pid is used again, a pid with its start time is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The boot of the machine and the pid namespace. A pid means something only within the same one: another container
    /// on the same machine has its own pids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

impl Identity {
    /// This process, with a new run id. Where the system does not tell (anything but Linux), `process` and `machine` stay
    /// empty and only the heartbeat counts.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            run: random_id(),
            user: user(),
            host: host(),
            pid,
            process: start_time(pid),
            machine: machine(),
        }
    }

    /// Whether the process of `self` is known to be gone, as seen from `me`: the same machine, boot and pid namespace, and
    /// nobody with that pid and start time.
    pub fn is_gone_here(&self, me: &Self) -> bool {
        let (Some(theirs), Some(mine), Some(started)) = (&self.machine, &me.machine, &self.process) else {
            return false;
        };
        theirs == mine && start_time(self.pid).as_ref() != Some(started)
    }
}

/// Services and containers have no `USER`; the system knows all the same.
fn user() -> String {
    let named = first_var(&["USER", "LOGNAME", "USERNAME"]);
    if named != UNKNOWN {
        return named;
    }
    let status = read("/proc/self/status").unwrap_or_default();
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    let Some(uid) = uid else { return named };
    let users = read("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid {uid}"))
}

/// What is said where the system does not tell.
const UNKNOWN: &str = "unknown";

fn first_var(names: &[&str]) -> String {
    let found = names
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    found.unwrap_or_else(|| UNKNOWN.to_owned())
}

fn host() -> String {
    match read("/proc/sys/kernel/hostname") {
        Some(name) => name,
        None => first_var(&["HOSTNAME", "COMPUTERNAME"]),
    }
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

    #[test]
    fn a_process_that_was_killed_is_gone_at_once() {
        let me = Identity::current();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Identity {
            run: "other".into(),
            pid: child.id(),
            process: start_time(child.id()),
            ..me.clone()
        };
        assert!(other.process.is_some());
        assert!(!other.is_gone_here(&me));
        child.kill().unwrap();
        // Not yet waited for: a zombie still has its entry.
        while start_time(other.pid).is_some() {
            std::thread::yield_now();
        }
        assert!(other.is_gone_here(&me));
        child.wait().unwrap();
        assert!(other.is_gone_here(&me));
    }

    #[test]
    fn a_pid_that_is_used_again_or_means_something_elsewhere_is_told_apart() {
        let me = Identity::current();
        let reused = Identity {
            process: Some("1".into()),
            ..me.clone()
        };
        assert!(reused.is_gone_here(&me));
        let elsewhere = Identity {
            machine: Some("other".into()),
            ..reused.clone()
        };
        assert!(!elsewhere.is_gone_here(&me));
        let unknown = Identity {
            machine: None,
            process: None,
            ..reused
        };
        assert!(!unknown.is_gone_here(&me));
    }

    #[test]
    fn run_ids_differ() {
        assert_ne!(Identity::current().run, Identity::current().run);
    }
}
