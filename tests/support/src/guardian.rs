//! Removes a cluster's folder when the process that made it is gone, however it went.
//!
//! A shared cluster is a static and is never dropped, and a killed process drops nothing. So a small shell waits for the end of a
//! pipe that only the parent holds open.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context, Result};

/// A file of this name in a cluster's folder makes it stay.
const KEEP: &str = "keep";

const SCRIPT: &str = r#"
trap '' INT TERM HUP
read -r _
gone() { if [ -e "$0/keep" ]; then [ ! -e "$0/etcd" ]; else [ ! -e "$0" ]; fi; }
# The servers die at the same moment; one that still writes makes rm fail.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ -e "$0/keep" ]; then rm -rf "$0/etcd"; else rm -rf "$0"; fi
    gone && break
    sleep 0.2
done
"#;

static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Watches over one folder.
pub struct Guardian {
    dir: PathBuf,
    shell: Child,
}

impl Guardian {
    /// From now on `dir` is removed when this process ends, unless a test fails.
    pub fn over(dir: &Path) -> Result<Self> {
        keep_logs_on_panic();
        let shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("failed to start sh")?;
        live().push(dir.to_owned());
        Ok(Self {
            dir: dir.to_owned(),
            shell,
        })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        live().retain(|dir| *dir != self.dir);
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A failed test says where the servers' logs are, and they stay.
fn keep_logs_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            for dir in live().iter() {
                if std::fs::write(dir.join(KEEP), "").is_ok() {
                    eprintln!("note: the servers' logs are kept in {}", dir.join("logs").display());
                }
            }
        }));
    });
}

fn live() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
