//! What is changed or deleted and would not come back by itself is saved first: raw, and in a form that `kubectl apply`
//! restores. Next to it stands a journal of what was done and why.
//!
//! All of it lies under `$XDG_STATE_HOME/kubectl-upkeep/PLUGIN/CLUSTER/TIME`, for its owner's eyes only, for Secrets are among
//! it. What is raw has a folder of its own there, which `kubectl apply -f` on the folder of the run passes over. A file is on
//! the disk before the change that it is for is asked for.
//!
//! Nobody else may be able to write there, see [`owner`]: what is restored from it is written with the user's rights.

mod apply;
mod files;
mod owner;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use apply::restorable;

use crate::error::{Error, Result};
use crate::output::{Format, document};
pub use files::write_new;
use files::{append, append_soon, make_folder};

/// The folder in that of a run in which objects are as they were, one JSON file each.
pub const RAW: &str = "raw";

/// The folder of one run. It is made when the first thing is saved.
#[derive(Debug)]
pub struct Backup {
    folder: PathBuf,
    saved: AtomicUsize,
    kept: AtomicUsize,
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
            kept: AtomicUsize::new(0),
            used: AtomicBool::new(false),
        })
    }

    /// Makes the folder now, for who must not begin without a place to save things in. It goes again if nothing is saved.
    ///
    /// # Errors
    /// A disk that does not take it; a folder above that others can write to.
    pub fn prepare(&self) -> Result<()> {
        self.check_owner()?;
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
        let raw = serde_json::to_string_pretty(object).map_err(|e| self.failed().caused_by(e))?;
        let form = document(Format::Yaml, form).map_err(|e| self.failed().caused_by(e))?;
        self.write(object, &raw, &form)
    }

    /// The same with an object that nests too deep to be read as a whole: `text` is all of it, `object` says which it is.
    ///
    /// # Errors
    /// As [`Backup::save`]; a text that is no object.
    pub fn save_text(&self, object: &Value, text: &str) -> Result<PathBuf> {
        let form = apply::restorable_text(text).map_err(|e| self.failed().caused_by(e))?;
        self.write(object, text, &form)
    }

    fn write(&self, object: &Value, raw: &str, form: &str) -> Result<PathBuf> {
        self.check_owner()?;
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let kind = object["kind"].as_str().unwrap_or("object").to_ascii_lowercase();
        let parts = [&kind, text("namespace"), text("name")].map(file_name);
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let number = self.saved.fetch_add(1, Ordering::Relaxed) + 1;
        let stem = format!("{number:03}-{}", parts.join("-"));
        let raw_file = self.folder.join(RAW).join(format!("{stem}.json"));
        let file = self.folder.join(format!("{stem}.yaml"));
        let written = make_folder(&self.folder.join(RAW))
            .and_then(|()| write_new(&raw_file, raw))
            .and_then(|()| write_new(&file, form));
        if let Err(error) = written {
            // Half of it would be taken for a whole backup.
            drop(std::fs::remove_file(&raw_file));
            drop(std::fs::remove_file(&file));
            return Err(self.failed().caused_by(error));
        }
        self.kept.fetch_add(1, Ordering::Relaxed);
        self.used.store(true, Ordering::Relaxed);
        Ok(file)
    }

    /// Removes what was saved of an object that stays after all.
    pub fn discard(&self, file: &Path) {
        let raw = file.file_stem().map(|stem| self.folder.join(RAW).join(stem));
        let raw = raw.map(|mut raw| {
            raw.as_mut_os_string().push(".json");
            raw
        });
        let removed = std::fs::remove_file(file).is_ok();
        if let Some(raw) = raw {
            drop(std::fs::remove_file(raw));
        }
        if removed && self.kept.fetch_sub(1, Ordering::Relaxed) <= 1 {
            self.used.store(false, Ordering::Relaxed);
        }
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

    fn check_owner(&self) -> Result<()> {
        let Some(why) = owner::distrust(&self.folder) else {
            return Ok(());
        };
        let folder = self.folder.display();
        // Hints are left out where it ends up in a warning.
        Err(Error::failed(format!(
            "cannot save backups in {folder}: {why}; set XDG_STATE_HOME to a folder that only you can write to"
        )))
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

/// Checks that nobody else can have written what lies in the folder of a run.
///
/// # Errors
/// A refusal that names the folder, or the one above it, that others can write to.
pub fn check_folder(folder: &Path) -> Result<()> {
    owner::distrust(folder).map_or(Ok(()), |why| Err(distrusted(&why)))
}

/// Reads a saved file, if nobody else can have written it.
///
/// # Errors
/// A file that cannot be read; a refusal that names the file that others can write to.
pub fn read_file(path: &Path) -> Result<String> {
    use std::io::Read as _;
    let failed = |error| Error::failed(format!("cannot read {}", path.display())).caused_by(error);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    if let Some(why) = owner::distrust_file(path, &file) {
        return Err(distrusted(&why));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn distrusted(why: &str) -> Error {
    Error::refused(format!("will not restore from here: {why}; nothing was changed")).hint(
        "read what is saved there; if it is right, copy it into a folder that only you can write to and restore that",
    )
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

/// Adds a line to a file that a plugin keeps of its runs, for this user's eyes only. Nothing waits for the disk: such a file
/// helps and is never required.
///
/// # Errors
/// No place for it, or a disk that does not take it.
pub fn remember(plugin: &str, file: &str, line: &impl Serialize) -> Result<()> {
    let folder = root()?.join(plugin);
    let failed = || Error::failed(format!("cannot write {file} in {}", folder.display()));
    let line = serde_json::to_string(line).map_err(|e| failed().caused_by(e))?;
    make_folder(&folder).map_err(|e| failed().caused_by(e))?;
    check_folder(&folder)?;
    append_soon(&folder.join(file), &line).map_err(|e| failed().caused_by(e))
}

/// What such a file holds; nothing where there is none, or where another user may write it.
pub fn remembered(plugin: &str, file: &str) -> Option<String> {
    let folder = root().ok()?.join(plugin);
    check_folder(&folder).ok()?;
    read_file(&folder.join(file)).ok()
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
