//! Tools that are installed by Cargo, once, at one version, below the target folder.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{run, workspace::Workspace};

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// The package and its program.
    pub name: &'static str,
    /// At exactly this version: another one may write other bytes.
    pub version: &'static str,
    /// Features without which it has no program.
    pub features: &'static str,
}

/// Lists the licences of all that becomes part of a program, with their texts.
pub const ABOUT: Tool = Tool {
    name: "cargo-about",
    version: "0.9.3",
    features: "cli",
};

/// Lists the packages that become part of a program.
pub const CYCLONEDX: Tool = Tool {
    name: "cargo-cyclonedx",
    version: "0.5.9",
    features: "",
};

impl Tool {
    /// Its path. Installs it if it is not there yet.
    ///
    /// # Errors
    /// It cannot be downloaded or built.
    pub fn path(&self, workspace: &Workspace) -> Result<PathBuf> {
        let root = workspace
            .target
            .join("tools")
            .join(format!("{}-{}", self.name, self.version));
        let path = root
            .join("bin")
            .join(format!("{}{}", self.name, std::env::consts::EXE_SUFFIX));
        if !path.is_file() {
            let mut command = Command::new("cargo");
            command.args(["install", "--quiet", "--locked", "--version", self.version]);
            command
                .args(["--features", self.features, "--root"])
                .arg(&root)
                .arg(self.name);
            run(&mut command).with_context(|| format!("cannot install {} {}", self.name, self.version))?;
        }
        Ok(path)
    }
}
