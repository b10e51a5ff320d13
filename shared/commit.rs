//! The build script of each plugin: names the commit that it is built from, for `--version`.
//!
//! That is the last commit that has changed what the programs are made of. Documents, tests and the manifests of Krew do not count:
//! so the checksums of a build can be committed, and a build of that commit has them still.
#![allow(clippy::print_stdout)]

use std::process::Command;

/// Of the workspace, all that becomes part of a program.
const SOURCES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "shared", "plugins"];

fn main() {
    println!("cargo::rerun-if-env-changed=UPKEEP_COMMIT");
    let given = std::env::var("UPKEEP_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(from_git).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=UPKEEP_COMMIT={commit}");
}

fn from_git() -> Option<String> {
    let root = git(&["rev-parse", "--show-toplevel"])?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={root}/{source}");
    }
    // Moves with each commit and each checkout.
    let log = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    let sources = SOURCES.map(|source| format!(":/{source}"));
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let commit = git(&[&["log", "-1", "--format=%H", "--"], &sources[..]].concat())?;
    let commit = commit.get(..12).filter(|commit| commit.len() == 12)?.to_owned();
    let changed = git(&[&["status", "--porcelain", "--"], &sources[..]].concat())?;
    Some(if changed.is_empty() {
        commit
    } else {
        format!("{commit}-dirty")
    })
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
