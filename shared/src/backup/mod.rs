//! What is changed or deleted and would not come back by itself is saved first: raw, and in a form that `kubectl apply`
//! restores. Next to it stands a journal of what was done and why.
//!
//! All of it lies under `$XDG_STATE_HOME/kubectl-upkeep/PLUGIN/CLUSTER/TIME`, for its owner's eyes only, for Secrets are among
//! it. What is raw has a folder of its own there, which `kubectl apply -f` on the folder of the run passes over. A file is on
//! the disk before the change that it is for is asked for.

mod apply;
mod files;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use apply::restorable;

use crate::error::{Error, Result};
use crate::output::{Format, document};
use files::{append, make_folder, write_new};

/// The folder in that of a run in which objects are as they were, one JSON file each.
pub const RAW: &str = "raw";

/// The folder of one run. It is made when the first thing is saved.
#[derive(Debug)]
pub struct Backup {
    folder: PathBuf,
    saved: AtomicUsize,
    used: AtomicBool,
}

impl Backup {
    /// `cluster` is the UID of the namespace `kube-system`, which is the same as long as the cluster is.
    ///
    /// # Errors
    /// A machine without `XDG_STATE_HOME` and `HOME`.
    pub fn new(plugin: &str, cluster: &str, began: Timestamp) -> Result<Self> {
        let time = began.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        let run = format!("{time}-{}", std::process::id());
        let folder = root()?.join(plugin).join(file_name(cluster)).join(run);
        Ok(Self {
            folder,
            saved: AtomicUsize::new(0),
            used: AtomicBool::new(false),
        })
    }

    /// Makes the folder now, for who must not begin without a place to save things in. It goes again if nothing is saved.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn prepare(&self) -> Result<()> {
        make_folder(&self.folder).map_err(|e| self.failed().caused_by(e))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether anything was saved.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Saves an object and waits until it is on the disk. Returns the file for `kubectl apply`.
    ///
    /// # Errors
    /// A disk that does not take it. Then the change must not be made.
    pub fn save(&self, object: &Value) -> Result<PathBuf> {
        self.save_as(object, &restorable(object))
    }

    /// The same with another form to restore than that of [`restorable`].
    ///
    /// # Errors
    /// As [`Backup::save`].
    pub fn save_as(&self, object: &Value, form: &Value) -> Result<PathBuf> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let kind = object["kind"].as_str().unwrap_or("object").to_ascii_lowercase();
        let parts = [&kind, text("namespace"), text("name")].map(file_name);
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let number = self.saved.fetch_add(1, Ordering::Relaxed) + 1;
        let stem = format!("{number:03}-{}", parts.join("-"));
        let raw = serde_json::to_string_pretty(object).map_err(|e| self.failed().caused_by(e))?;
        let form = document(Format::Yaml, form).map_err(|e| self.failed().caused_by(e))?;
        let raw_file = self.folder.join(RAW).join(format!("{stem}.json"));
        let file = self.folder.join(format!("{stem}.yaml"));
        let written = make_folder(&self.folder.join(RAW))
            .and_then(|()| write_new(&raw_file, &raw))
            .and_then(|()| write_new(&file, &form));
        if let Err(error) = written {
            // Half of it would be taken for a whole backup.
            drop(std::fs::remove_file(&raw_file));
            drop(std::fs::remove_file(&file));
            return Err(self.failed().caused_by(error));
        }
        self.used.store(true, Ordering::Relaxed);
        Ok(file)
    }

    /// Adds a line to the journal and waits until it is on the disk.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn note(&self, line: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(line).map_err(|e| self.failed().caused_by(e))?;
        self.prepare()?;
        append(&self.folder.join("journal.jsonl"), &line).map_err(|e| self.failed().caused_by(e))
    }

    fn failed(&self) -> Error {
        Error::failed(format!("cannot save anything in {}", self.folder.display()))
            .hint("set XDG_STATE_HOME to a folder that can be written to")
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        if !self.is_used() {
            // One with a journal in it stays, as it is not empty.
            drop(std::fs::remove_dir(self.folder.join(RAW)));
            drop(std::fs::remove_dir(&self.folder));
        }
    }
}

/// The folders of runs that have saved something, of whichever cluster, the newest first.
pub fn runs(plugin: &str) -> Vec<PathBuf> {
    let within = |folder: PathBuf| {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
    };
    let root = root().ok().into_iter();
    let clusters = root.flat_map(|root| within(root.join(plugin)));
    let mut runs: Vec<PathBuf> = clusters.flat_map(within).filter(|path| path.is_dir()).collect();
    runs.sort_by(|a, b| b.file_name().cmp(&a.file_name()));
    runs
}

fn root() -> Result<PathBuf> {
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    // The specification says that a relative path is to be ignored.
    let state = var("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(var("HOME")?.join(".local").join("state")));
    let state = state.or_else(|| var("LOCALAPPDATA"));
    let state = state.ok_or_else(|| {
        Error::failed("there is no place for backups: neither XDG_STATE_HOME nor HOME is set")
            .hint("set XDG_STATE_HOME to a folder that can be written to")
    })?;
    Ok(state.join("kubectl-upkeep"))
}

/// Names in a cluster may have characters that mean something in a path.
fn file_name(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') {
            c
        } else {
            '_'
        }
    };
    let name: String = text.chars().map(plain).take(100).collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_file_names() {
        assert_eq!(file_name("system:node:a/b"), "system_node_a_b");
        assert_eq!(file_name("../../etc"), "_.._etc");
        assert_eq!(file_name(&"x".repeat(300)).len(), 100);
    }
}
