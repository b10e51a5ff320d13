//! `make dist`: everything of a release that this machine can build.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    archive::{self, Entry},
    commit::Commit,
    compile,
    folder::{bring, building, earlier},
    output, papers,
    platform::{PLATFORMS, Platform},
    run, sums,
    workspace::{Plugin, Workspace},
};

/// Builds, packs and sums up. What was made takes the place of an earlier release in `folder` when all of it is there. What is done
/// is told to `say`.
///
/// # Errors
/// A platform that was asked for cannot be built here; nothing can be built here; something fails.
pub fn dist(workspace: &Workspace, asked: &[Platform], folder: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let commit = Commit::of(workspace)?;
    if commit.is_dirty {
        say("the sources have changes that are not committed: nobody else can build the same");
    }
    let platforms = platforms(asked, say)?;
    earlier(workspace, folder)?;
    let building = building(workspace)?;
    run(Command::new("cargo")
        .current_dir(&workspace.root)
        .args(["fetch", "--locked"]))?;
    for platform in &platforms {
        compile::prepare(workspace, platform)?;
    }
    say("licences, manual pages and completion scripts");
    let papers = all_papers(workspace)?;
    for platform in &platforms {
        say(&format!("{platform}: {}", platform.triple));
        compile::compile(workspace, &commit, platform)?;
        let packages = papers::packages(workspace, &commit, platform)?;
        for ((plugin, papers), packages) in workspace.plugins.iter().zip(&papers).zip(packages) {
            let program = compile::program(workspace, platform, plugin);
            say(&format!(
                "{platform}: {}",
                try_out(workspace, &commit, platform, plugin, &program)?
            ));
            pack(
                workspace,
                plugin,
                platform,
                &program,
                papers.clone(),
                &building,
                commit.time,
            )?;
            let sbom = format!("{}.cdx.json", platform.stem(&plugin.package, &workspace.version));
            fs::write(building.join(&sbom), packages).with_context(|| format!("cannot write {sbom}"))?;
        }
    }
    let sums = sums::write(&building)?;
    bring(workspace, &building, folder)?;
    say(&format!(
        "{} files and {} in {}",
        sums.len(),
        sums::FILE,
        folder.display()
    ));
    Ok(())
}

/// Those that were asked for, else all that can be built here.
fn platforms(asked: &[Platform], say: &dyn Fn(&str)) -> Result<Vec<Platform>> {
    if let Some((platform, missing)) = asked.iter().find_map(|p| Some((p, p.missing()?))) {
        bail!("{platform} cannot be built here: {missing}");
    }
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    let can = |platform: &Platform| match platform.missing() {
        Some(missing) => {
            say(&format!("{platform} is skipped: {missing}"));
            false
        }
        None => true,
    };
    let platforms: Vec<Platform> = PLATFORMS.into_iter().filter(can).collect();
    ensure!(!platforms.is_empty(), "nothing can be built here");
    Ok(platforms)
}

/// Of each plugin. The licences take minutes, and only one of the cores.
fn all_papers(workspace: &Workspace) -> Result<Vec<Vec<Entry>>> {
    // Installed once, not by two at the same time.
    crate::tools::ABOUT.path(workspace)?;
    thread::scope(|scope| {
        let licences = |plugin| scope.spawn(move || papers::licences(workspace, plugin));
        let licences: Vec<_> = workspace.plugins.iter().map(licences).collect();
        let mut build = Command::new("cargo");
        build.current_dir(&workspace.root).args(["build", "--locked", "--bins"]);
        for plugin in &workspace.plugins {
            build.args(["--package", &plugin.package]);
        }
        run(&mut build)?;
        let both = workspace.plugins.iter().zip(licences);
        both.map(|(plugin, licences)| {
            let licences = licences
                .join()
                .map_err(|_| anyhow::anyhow!("the list of licences failed"))?;
            let program = format!("{}{}", plugin.program, std::env::consts::EXE_SUFFIX);
            let pages = papers::pages(&workspace.target.join("debug").join(program), plugin)?;
            Ok([licences?, pages].concat())
        })
        .collect()
    })
}

/// Packs a program with its papers; returns where.
///
/// # Errors
/// The program is not there, or the archive cannot be written.
pub fn pack(
    workspace: &Workspace,
    plugin: &Plugin,
    platform: &Platform,
    program: &Path,
    papers: Vec<Entry>,
    folder: &Path,
    time: u64,
) -> Result<PathBuf> {
    let mut entries = papers;
    entries.push(Entry {
        name: platform.executable(&plugin.program),
        content: fs::read(program).with_context(|| format!("cannot read {}", program.display()))?,
        is_program: true,
    });
    let path = folder.join(platform.archive(&plugin.package, &workspace.version));
    archive::write(&path, entries, time)?;
    Ok(path)
}

/// Runs the program once, if this machine can. Returns what is to be said of it.
fn try_out(
    workspace: &Workspace,
    commit: &Commit,
    platform: &Platform,
    plugin: &Plugin,
    program: &Path,
) -> Result<String> {
    let size = fs::metadata(program)
        .with_context(|| format!("{} was not built", program.display()))?
        .len();
    let (mut command, by) = match platform.runner() {
        Some("") => (Command::new(program), String::new()),
        Some(runner) if which::which(runner).is_ok() => {
            let mut command = Command::new(runner);
            command.arg(program);
            (command, format!(" (by {runner})"))
        }
        Some(runner) => {
            return Ok(format!(
                "{}, {size} bytes, not run: there is no {runner}",
                plugin.program
            ));
        }
        None => return Ok(format!("{}, {size} bytes, not run here", plugin.program)),
    };
    let said = output(command.arg("--version"))?;
    let wanted = format!("{} v{} (commit ", plugin.package, workspace.version);
    let id = said.strip_prefix(&wanted).and_then(|rest| rest.split(',').next());
    let id = id.unwrap_or_default();
    let (id, is_dirty) = id.strip_suffix("-dirty").map_or((id, false), |id| (id, true));
    let is_id = id.len() == 12 && id.chars().all(|c| c.is_ascii_hexdigit());
    ensure!(
        is_id && (!is_dirty || commit.is_dirty),
        "{} --version says {said:?}",
        program.display()
    );
    Ok(format!("{}, {size} bytes{by}", said.trim()))
}
