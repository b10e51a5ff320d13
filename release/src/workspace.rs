//! The workspace: its version, and the plugins in it with what Krew is to be told of each.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::output;

/// The workspace.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Its folder.
    pub root: PathBuf,
    /// Where Cargo builds.
    pub target: PathBuf,
    /// Of all plugins, without `v`.
    pub version: String,
    /// Where the project is at home, and its releases are.
    pub repository: String,
    /// The folders of all packages.
    pub members: Vec<PathBuf>,
    /// Those that are released: all packages with `[package.metadata.krew]`, by name.
    pub plugins: Vec<Plugin>,
}

/// One plugin.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The package, `kubectl-evacuate`: archives are named after it.
    pub package: String,
    /// The program, without `.exe`. kubectl finds `kubectl-cni_purge`, never `kubectl-cni-purge`.
    pub program: String,
    /// Its `Cargo.toml`.
    pub manifest: PathBuf,
    /// What Krew is told.
    pub krew: Krew,
}

/// `[package.metadata.krew]` of a plugin.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Krew {
    /// Its name in the index.
    pub name: String,
    /// Names to take where the reviewers of the index object to a bare verb.
    #[serde(default)]
    pub fall_back_names: Vec<String>,
    /// At most 50 characters.
    pub short_description: String,
    /// Lines of at most 80 characters.
    pub description: String,
    /// Shown once after it was installed.
    #[serde(default)]
    pub caveats: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    repository: Option<String>,
    manifest_path: PathBuf,
    metadata: Option<serde_json::Value>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Workspace {
    /// As Cargo sees it from this folder.
    ///
    /// # Errors
    /// There is none; or what is written for Krew is not complete.
    pub fn find(folder: &Path) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let args = ["metadata", "--format-version=1", "--no-deps", "--locked", "--offline"];
        let text = output(Command::new(cargo).current_dir(folder).args(args))?;
        let read: Metadata = serde_json::from_str(&text).context("cannot read what cargo metadata says")?;
        let mut plugins = Vec::new();
        let folder = |package: &Package| package.manifest_path.parent().map(Path::to_path_buf);
        let members = read.packages.iter().filter_map(folder).collect();
        let (mut version, mut repository) = (String::new(), String::new());
        for package in read.packages {
            let Some(krew) = package.metadata.as_ref().and_then(|metadata| metadata.get("krew")) else {
                continue;
            };
            let krew = Krew::deserialize(krew)
                .with_context(|| format!("[package.metadata.krew] of {} is not right", package.name))?;
            let mut programs = package
                .targets
                .into_iter()
                .filter(|t| t.kind.iter().any(|k| k == "bin"));
            let program = programs.next().map(|t| t.name);
            plugins.push(Plugin {
                program: program.with_context(|| format!("{} has no program", package.name))?,
                package: package.name,
                manifest: package.manifest_path,
                krew,
            });
            version = package.version;
            repository = package.repository.context("the workspace names no repository")?;
        }
        plugins.sort_by(|a, b| a.package.cmp(&b.package));
        Ok(Self {
            root: read.workspace_root,
            target: read.target_directory,
            version,
            repository,
            members,
            plugins,
        })
    }

    /// The one that this code is built from.
    ///
    /// # Errors
    /// As [`Workspace::find`].
    pub fn here() -> Result<Self> {
        Self::find(Path::new(env!("CARGO_MANIFEST_DIR")))
    }

    /// Where the assets of this version are found: `https://.../releases/download/v0.1.0`.
    pub fn downloads(&self) -> String {
        format!("{}/releases/download/v{}", self.repository, self.version)
    }
}
