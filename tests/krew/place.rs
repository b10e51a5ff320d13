//! A home for Krew that nobody else has: kubectl, krew, and an empty `KREW_ROOT`.

use std::{os::unix::fs::symlink, path::Path, path::PathBuf, process::Command, time::Duration};

use tempfile::TempDir;
use testsupport::{Ran, program};

use crate::index::Index;

pub struct Place {
    pub home: TempDir,
    index: Index,
}

impl Place {
    /// With an index of its own in place of the public one.
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        symlink(program("kubectl").unwrap(), bin.join("kubectl")).unwrap();
        symlink(program("krew").unwrap(), bin.join("kubectl-krew")).unwrap();
        let index = Index::new(home.path().join("index"));
        let place = Self { home, index };
        place.kubectl(&["krew", "update"]).expect(0);
        place
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Where Krew links the programs.
    pub fn linked(&self) -> PathBuf {
        self.home.path().join("krew").join("bin")
    }

    /// `kubectl ARGS` as a user of Krew has it.
    pub fn kubectl(&self, args: &[&str]) -> Ran {
        self.kubectl_on(args, &[])
    }

    /// The same on what Krew is told to be another platform.
    pub fn kubectl_on(&self, args: &[&str], platform: &[(&str, &str)]) -> Ran {
        let mut path = vec![self.linked(), self.home.path().join("bin")];
        // git is among them.
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut command = Command::new(self.home.path().join("bin/kubectl"));
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("KREW_ROOT", self.home.path().join("krew"))
            .env("KREW_DEFAULT_INDEX_URI", self.index.address())
            .env("KREW_NO_UPGRADE_CHECK", "1")
            .env("KUBECONFIG", "/nonexistent")
            .envs(platform.iter().copied())
            .args(args);
        Ran::to_the_end(command, Duration::from_secs(120))
    }

    /// Installs from a manifest and an archive that are files.
    pub fn install(&self, manifest: &Path, archive: &Path) -> Ran {
        let manifest = format!("--manifest={}", manifest.display());
        let archive = format!("--archive={}", archive.display());
        self.kubectl(&["krew", "install", &manifest, &archive])
    }
}
