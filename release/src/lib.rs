//! What makes a release of the plugins: archives that are the same on each machine, checksums, lists of what is inside, and the manifests
//! for Krew.
//!
//! The way of `dist`: [`workspace`] says which plugins there are, [`commit`] what they are built from, [`compile`] builds one for a
//! [`platform`], [`papers`] collects what lies beside the program, [`archive`] packs it, [`manifest`] fills the template in.

pub mod archive;
pub mod bump;
pub mod commit;
pub mod compile;
pub mod dist;
pub mod folder;
pub mod manifest;
pub mod papers;
pub mod platform;
pub mod sums;
pub mod tools;
pub mod workspace;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs a program whose talk goes to stderr, and wants it to succeed.
///
/// # Errors
/// It does not start, or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    let status = status.with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        let words: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        bail!("{program} {} failed ({status})", words.join(" "));
    }
    Ok(())
}

/// Runs a program for what it prints.
///
/// # Errors
/// It does not start, or fails: then with what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let words: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{program} {} failed ({}): {}",
            words.join(" "),
            output.status,
            said.trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} did not print text"))
}
