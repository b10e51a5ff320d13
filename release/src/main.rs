//! Makes releases; the Makefile calls it. `docs/release.md` says when.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use release::{
    bump,
    dist::dist,
    manifest::{Place, manifest, missing},
    platform::Platform,
    sums,
    workspace::Workspace,
};

/// Make the archives of a release and the manifests for Krew.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Build and pack what can be built on this machine
    Dist {
        /// Only this platform, and fail if it cannot be built: linux/amd64 and so on; may be given more than once
        #[arg(long, value_name = "OS/ARCH")]
        platform: Vec<Platform>,
        /// The folder to write to; what an earlier run has left there goes
        #[arg(long, default_value = "dist")]
        out: PathBuf,
    },
    /// Sum up what is in a folder, after archives of other machines were added
    Sums {
        /// The folder
        #[arg(long, default_value = "dist")]
        out: PathBuf,
    },
    /// Write the manifests for Krew
    Manifests {
        /// The folder with the archives' sums
        #[arg(long, default_value = "dist")]
        dist: PathBuf,
        /// The folder to write to
        #[arg(long, default_value = "krew-manifests")]
        out: PathBuf,
        /// Fail unless there is an archive for each platform
        #[arg(long)]
        complete: bool,
        /// Write them as krew-release-bot wants them: it finds address and sum by itself
        #[arg(long)]
        bot: bool,
    },
    /// Write down a new version
    Bump {
        /// As 1.2.3
        version: String,
    },
}

fn main() -> ExitCode {
    match work(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn work(step: Step) -> Result<()> {
    let workspace = Workspace::here()?;
    match step {
        Step::Dist { platform, out } => dist(&workspace, &platform, &out, &say),
        Step::Sums { out } => sums::write(&out).map(drop),
        Step::Manifests {
            dist,
            out,
            complete,
            bot,
        } => {
            let sums = if bot { sums::Sums::new() } else { sums::read(&dist)? };
            let missing: Vec<String> = if bot { Vec::new() } else { missing(&workspace, &sums) };
            if !missing.is_empty() {
                let missing = missing.join(", ");
                anyhow::ensure!(!complete, "there are no archives for {missing} in {}", dist.display());
                say(&format!("{missing} left out: there are no archives for it"));
            }
            let base = workspace.downloads();
            let place = if bot { Place::Bot } else { Place::Known(&base, &sums) };
            fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
            let made = workspace
                .plugins
                .iter()
                .map(|p| Ok((p, manifest(&workspace, p, place)?)));
            for (plugin, text) in made.collect::<Result<Vec<_>>>()? {
                let path = out.join(format!("{}.yaml", plugin.krew.name));
                fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
                say(&path.display().to_string());
            }
            Ok(())
        }
        Step::Bump { version } => bump::bump(&workspace, &version, &bump::today()?),
    }
}

// The one printer of this program.
#[allow(clippy::print_stderr)]
fn say(text: &str) {
    eprintln!("release: {text}");
}
