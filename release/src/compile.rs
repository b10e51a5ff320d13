//! Builds a program so that the same commit gives the same bytes, whatever the folders of the machine are called.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    commit::Commit,
    platform::Platform,
    run,
    workspace::{Plugin, Workspace},
};

/// Between flags in `CARGO_ENCODED_RUSTFLAGS`, where a folder's name may have blanks.
const SEPARATOR: &str = "\u{1f}";

/// Makes sure that the standard library for the platform is there.
///
/// # Errors
/// rustup cannot download it. A machine without rustup has it or the build says so.
pub fn prepare(workspace: &Workspace, platform: &Platform) -> Result<()> {
    if which::which("rustup").is_err() {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command
        .current_dir(&workspace.root)
        .args(["--quiet", "target", "add", platform.triple]);
    run(&mut command)
}

/// Builds the plugins; their programs are then where [`program`] says.
///
/// # Errors
/// It does not build.
pub fn compile(workspace: &Workspace, commit: &Commit, platform: &Platform) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(&workspace.root);
    command.args(["build", "--locked", "--release", "--target", platform.triple]);
    for plugin in &workspace.plugins {
        command.args(["--package", &plugin.package]);
    }
    let folders = folders(workspace)?;
    let mut flags: Vec<OsString> = Vec::new();
    let mut c_flags = OsString::from("-g0");
    for (folder, name) in &folders {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder);
        flag.push("=");
        flag.push(name);
        flags.push(flag);
        // Read as a shell would, because names of folders may have blanks.
        c_flags.push(" '-ffile-prefix-map=");
        c_flags.push(folder);
        c_flags.push("=");
        c_flags.push(name);
        c_flags.push("'");
    }
    if platform.os == "linux" {
        // Relocations of a static program that may be loaded anywhere, in a hundredth of the bytes. musl reads that since 1.2.4 (Rust 1.93).
        flags.push("-Clink-arg=--pack-dyn-relocs=relr".into());
    }
    if platform.os == "windows" {
        // Otherwise the time of the build is in the program.
        flags.push("-Clink-arg=-Wl,--no-insert-timestamp".into());
    }
    let key = platform.triple.replace('-', "_");
    if let Some((compiler, _)) = platform.compiler {
        command.env(format!("CC_{key}"), compiler);
        let linker = match platform.linker {
            // One of ours.
            Some(script) if script.contains('/') => workspace.root.join(script).into_os_string(),
            Some(linker) => linker.into(),
            None => compiler.into(),
        };
        command.env(format!("CARGO_TARGET_{}_LINKER", key.to_uppercase()), linker);
    }
    command
        .env(format!("CFLAGS_{key}"), c_flags)
        .env("CC_SHELL_ESCAPED_FLAGS", "1")
        .env("UPKEEP_TARGET", &workspace.target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR.as_ref()))
        .env("SOURCE_DATE_EPOCH", commit.time.to_string())
        // What a program says is what git says.
        .env_remove("UPKEEP_COMMIT");
    run(&mut command)
}

/// Where a program is after it was built.
pub fn program(workspace: &Workspace, platform: &Platform, plugin: &Plugin) -> PathBuf {
    let folder = workspace.target.join(platform.triple).join("release");
    folder.join(platform.executable(&plugin.program))
}

/// The folders whose names would be in the programs, and what is there in their place.
fn folders(workspace: &Workspace) -> Result<Vec<(PathBuf, String)>> {
    let mut folders = vec![(workspace.root.clone(), "/kubectl-upkeep".to_owned())];
    let sources = cargo_home()?.join("registry").join("src");
    // Named after the registry, or after a mirror of it.
    for entry in std::fs::read_dir(&sources).with_context(|| format!("cannot read {}", sources.display()))? {
        folders.push((entry?.path(), "/crates".to_owned()));
    }
    folders.sort();
    Ok(folders)
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()) {
        return Ok(std::path::absolute(Path::new(&home))?);
    }
    Ok(std::env::home_dir()
        .context("there is no home directory")?
        .join(".cargo"))
}
