//! The commit that a release is built from.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{output, workspace::Workspace};

/// All that an archive is made of. The programs name the last commit to their own sources (`shared/commit.rs`); whatever else changes an
/// archive is here.
const SOURCES: [&str; 6] = ["Cargo.toml", "Cargo.lock", "LICENSE", "shared", "plugins", "release"];

/// A commit.
#[derive(Debug, Clone)]
pub struct Commit {
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
        let plain = |args: &[&str]| output(Command::new("git").current_dir(&workspace.root).args(args));
        let shallow = plain(&["rev-parse", "--is-shallow-repository"]);
        let shallow = shallow.context("a release is built from a clone of the repository")?;
        ensure!(
            shallow.trim() == "false",
            "this clone has no history; run git fetch --unshallow"
        );
        let git = |args: &[&str]| plain(&[args, &["--"], &SOURCES[..]].concat());
        let line = git(&["-c", "log.showSignature=false", "log", "-1", "--format=%ct"])
            .context("a release is built from a clone of the repository")?;
        Ok(Self {
            time: line.trim().parse().context("there is no commit yet")?,
            is_dirty: !git(&["status", "--porcelain"])?.is_empty(),
        })
    }
}
