//! What lies beside the program in an archive: licences, the manual page, completion scripts. And the list of packages beside the archive.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::{
    archive::Entry,
    commit::Commit,
    output,
    platform::{PLATFORMS, Platform},
    run,
    tools::{ABOUT, CYCLONEDX},
    workspace::{Plugin, Workspace},
};

/// What cargo-cyclonedx calls its files while they are in the tree.
const SBOM: &str = "kubectl-upkeep-sbom";

/// Where each shell looks for a script, below `completions/`.
pub const SCRIPTS: [(&str, &str, &str); 4] = [
    ("bash", "", ".bash"),
    ("zsh", "_", ""),
    ("fish", "", ".fish"),
    ("powershell", "", ".ps1"),
];

/// The licence of the project, and those of all packages in the program, on whichever platform.
///
/// # Errors
/// A licence that is not among the accepted ones (`release/about.toml`), or none at all.
pub fn licences(workspace: &Workspace, plugin: &Plugin) -> Result<Vec<Entry>> {
    let release = workspace.root.join("release");
    let licence = fs::read(workspace.root.join("LICENSE")).context("cannot read LICENSE")?;
    let entries = |text: Vec<u8>| vec![file("LICENSE", licence), file("THIRD-PARTY-LICENSES.txt", text)];
    // It takes two minutes, and is the same until one of these changes.
    let mut state = Sha256::new();
    for path in [
        &workspace.root.join("Cargo.toml"),
        &workspace.root.join("Cargo.lock"),
        &workspace.root.join("shared/Cargo.toml"),
        &plugin.manifest,
        &release.join("about.toml"),
        &release.join("about.hbs"),
    ] {
        state.update(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    let state: String = state
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept = workspace.target.join("licences");
    let kept = kept.join(format!("{}-{}-{state}.txt", plugin.package, ABOUT.version));
    if let Ok(text) = fs::read(&kept) {
        return Ok(entries(text));
    }
    let mut command = Command::new(ABOUT.path(workspace)?);
    // From the packages as they are on this disk: what an answer from the network says may be another thing tomorrow.
    command.args(["generate", "--offline", "--locked", "--fail", "--manifest-path"]);
    command
        .arg(&plugin.manifest)
        .arg("--config")
        .arg(release.join("about.toml"));
    for platform in PLATFORMS {
        command.args(["--target", platform.triple]);
    }
    let text = output(command.arg(release.join("about.hbs")))?;
    anyhow::ensure!(
        !text.trim().is_empty(),
        "the list of licences of {} is empty",
        plugin.package
    );
    let part = kept.with_extension("part");
    let written = fs::create_dir_all(kept.with_file_name("")).and_then(|()| fs::write(&part, &text));
    written
        .and_then(|()| fs::rename(&part, &kept))
        .with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(entries(text.into_bytes()))
}

/// The manual page and the completion scripts, as this program prints them.
///
/// # Errors
/// It does not run.
pub fn pages(program: &Path, plugin: &Plugin) -> Result<Vec<Entry>> {
    let page = output(Command::new(program).arg("__manual"))?;
    let mut entries = vec![file(&format!("{}.1", plugin.program), page.into_bytes())];
    for (shell, before, after) in SCRIPTS {
        let script = output(Command::new(program).args(["completion", shell]))?;
        let name = format!("completions/{before}{}{after}", plugin.program);
        entries.push(file(&name, script.into_bytes()));
    }
    Ok(entries)
}

fn file(name: &str, content: Vec<u8>) -> Entry {
    Entry {
        name: name.to_owned(),
        content,
        is_program: false,
    }
}

/// The packages that become part of the programs on a platform, as CycloneDX documents, in the order of the plugins.
///
/// # Errors
/// The tool fails.
pub fn packages(workspace: &Workspace, commit: &Commit, platform: &Platform) -> Result<Vec<String>> {
    let mut command = Command::new(CYCLONEDX.path(workspace)?);
    command
        .current_dir(&workspace.root)
        .args([
            "cyclonedx",
            "--quiet",
            "--format=json",
            "--spec-version=1.5",
            "--no-build-deps",
        ])
        .args(["--target", platform.triple, "--override-filename", SBOM])
        // Neither a random number nor the time of day.
        .env("SOURCE_DATE_EPOCH", commit.time.to_string());
    let made = run(&mut command);
    let read = |plugin: &Plugin| {
        let path = plugin.manifest.with_file_name(format!("{SBOM}.json"));
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Packages of the workspace are named by their folder.
        Ok(text.replace(&workspace.root.display().to_string(), "/kubectl-upkeep"))
    };
    let texts = made.and_then(|()| workspace.plugins.iter().map(read).collect());
    // The tool leaves one in the folder of each package.
    for member in &workspace.members {
        let _ = fs::remove_file(member.join(format!("{SBOM}.json")));
    }
    texts
}
