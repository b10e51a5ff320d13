//! The build script of each plugin: names the commit that it is built from, for `--version`.
//!
//! That is the last commit that has changed what the programs are made of. Documents, tests and the manifests of Krew do not count:
//! so the checksums of a build can be committed, and a build of that commit has them still.
#![allow(clippy::print_stdout)]

use std::{path::Path, process::Command};

/// Of the workspace, all that becomes part of a program.
const SOURCES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "shared", "plugins"];

fn main() {
    println!("cargo::rerun-if-env-changed=UPKEEP_COMMIT");
    let given = std::env::var("UPKEEP_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(from_git).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=UPKEEP_COMMIT={commit}");
}

fn from_git() -> Option<String> {
    // The folder of the plugin is two below that of the workspace.
    let plugin = std::env::var_os("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&plugin).ancestors().nth(2)?.canonicalize().ok()?;
    // Sources without a history of their own may lie in somebody else's.
    let top = git(&root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root {
        return None;
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    // Moves with each commit and each checkout.
    let log = git(
        &root,
        &["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"],
    )?;
    println!("cargo::rerun-if-changed={log}");
    let of_sources = |args: &[&str]| git(&root, &[args, &["--"], &SOURCES[..]].concat());
    let commit = of_sources(&["-c", "log.showSignature=false", "log", "-1", "--format=%H"])?;
    let commit = commit.get(..12)?.to_owned();
    let is_changed = !of_sources(&["status", "--porcelain"])?.is_empty();
    Some(if is_changed { format!("{commit}-dirty") } else { commit })
}

fn git(root: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(root).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
