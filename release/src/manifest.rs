//! The manifests for Krew, all from one template (`release/krew.yaml.j2`).

use anyhow::{Context as _, Result};
use minijinja::{Environment, context};
use serde::Serialize;

use crate::{
    platform::{PLATFORMS, Platform},
    sums::Sums,
    workspace::{Plugin, Workspace},
};

const TEMPLATE: &str = include_str!("../krew.yaml.j2");

/// Where the archives of a manifest are.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// Below this address, with these sums. What has no sum was not built and is left out.
    Known(&'a str, &'a Sums),
    /// Where krew-release-bot finds them once they are published: it fills in address and sum by itself.
    Bot,
}

#[derive(Serialize)]
struct Entry {
    os: &'static str,
    arch: &'static str,
    /// The lines that say where the archive is.
    place: String,
    bin: String,
}

/// The platforms that not every plugin has an archive for.
pub fn missing(workspace: &Workspace, sums: &Sums) -> Vec<String> {
    let has = |platform: &Platform, plugin: &Plugin| {
        sums.contains_key(&platform.archive(&plugin.package, &workspace.version))
    };
    let lacks = |platform: &&Platform| !workspace.plugins.iter().all(|plugin| has(platform, plugin));
    PLATFORMS.iter().filter(lacks).map(ToString::to_string).collect()
}

/// The manifest of one plugin.
///
/// # Errors
/// The template is not right; nothing was built for the plugin.
pub fn manifest(workspace: &Workspace, plugin: &Plugin, place: Place) -> Result<String> {
    let entry = |platform: &Platform| {
        let place = match place {
            Place::Known(base, sums) => {
                let archive = platform.archive(&plugin.package, &workspace.version);
                let sum = sums.get(&archive)?;
                format!("uri: {base}/{archive}\n    sha256: {sum}")
            }
            Place::Bot => {
                let archive = platform.archive(&plugin.package, "VERSION");
                let archive = archive.replace("vVERSION", "{{ .TagName }}");
                let address = format!(
                    "{}/releases/download/{{{{ .TagName }}}}/{archive}",
                    workspace.repository
                );
                format!("{{{{addURIAndSha \"{address}\" .TagName }}}}")
            }
        };
        Some(Entry {
            os: platform.os,
            arch: platform.arch,
            place,
            bin: platform.executable(&plugin.program),
        })
    };
    let platforms: Vec<Entry> = PLATFORMS.iter().filter_map(entry).collect();
    anyhow::ensure!(
        !platforms.is_empty(),
        "there is no archive of {} v{}",
        plugin.package,
        workspace.version
    );
    let version = match place {
        Place::Known(..) => format!("v{}", workspace.version),
        Place::Bot => "{{ .TagName }}".to_owned(),
    };
    let mut environment = Environment::new();
    environment.set_keep_trailing_newline(true);
    environment.set_trim_blocks(true);
    environment.add_template("krew", TEMPLATE)?;
    let values = context! {
        name => plugin.krew.name,
        version,
        homepage => workspace.repository,
        short_description => plugin.krew.short_description,
        description => plugin.krew.description.trim(),
        caveats => plugin.krew.caveats.trim(),
        platforms,
    };
    environment
        .get_template("krew")?
        .render(values)
        .context("cannot fill in the template for Krew")
}
