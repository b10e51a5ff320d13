//! The commit that a release is built from.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{output, workspace::Workspace};

/// All that an archive is made of. The programs name the last commit to their own sources (`shared/commit.rs`); whatever else changes an
/// archive is here.
const SOURCES: [&str; 6] = ["Cargo.toml", "Cargo.lock", "LICENSE", "shared", "plugins", "release"];

/// A commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// In full.
    pub id: String,
    /// Its time, in seconds since 1970: that of all files in the archives, for the same commit gives the same bytes.
    pub time: u64,
    /// Something was changed and not committed.
    pub is_dirty: bool,
}

impl Commit {
    /// The last one that has changed a source.
    ///
    /// # Errors
    /// This is no clone, or git is not there.
    pub fn of(workspace: &Workspace) -> Result<Self> {
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            output(command.current_dir(&workspace.root).args(args).arg("--").args(SOURCES))
        };
        let line =
            git(&["log", "-1", "--format=%H %ct"]).context("a release is built from a clone of the repository")?;
        let (id, time) = line.trim().split_once(' ').context("there is no commit yet")?;
        Ok(Self {
            id: id.to_owned(),
            time: time.parse().context("git names no time")?,
            is_dirty: !git(&["status", "--porcelain"])?.is_empty(),
        })
    }
}
