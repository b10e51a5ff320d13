//! The committed manifests.

use std::{path::PathBuf, process::Command, time::Duration};

use release::{
    manifest::{Place, manifest},
    sums::Sums,
    workspace::{Plugin, Workspace},
};
use testsupport::{Ran, program};

fn committed(workspace: &Workspace, plugin: &Plugin) -> (PathBuf, String) {
    let path = workspace
        .root
        .join("krew-manifests")
        .join(format!("{}.yaml", plugin.krew.name));
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|e| panic!("{}: {e}; run make krew", path.display()));
    (path, text)
}

/// By the program that the index itself uses.
#[test]
fn committed_manifests_are_valid() {
    let workspace = Workspace::here().unwrap();
    for plugin in &workspace.plugins {
        let (path, _) = committed(&workspace, plugin);
        let mut command = Command::new(program("validate-krew-manifest").unwrap());
        command.arg("-manifest").arg(path).arg("-skip-install");
        Ran::to_the_end(command, Duration::from_secs(60)).expect(0);
    }
}

/// Nobody has edited them: they are what the template makes of their own sums, for this version.
#[test]
fn committed_manifests_are_generated() {
    let workspace = Workspace::here().unwrap();
    let base = workspace.downloads();
    for plugin in &workspace.plugins {
        let (path, text) = committed(&workspace, plugin);
        let mut lines = text.lines().map(str::trim);
        let mut sums = Sums::new();
        while let Some(line) = lines.next() {
            if let Some(name) = line.strip_prefix("uri: ").and_then(|uri| uri.rsplit('/').next()) {
                let sum = lines
                    .next()
                    .and_then(|line| line.strip_prefix("sha256: "))
                    .unwrap_or_default();
                sums.insert(name.to_owned(), sum.to_owned());
            }
        }
        let made = manifest(&workspace, plugin, Place::Known(&base, &sums)).unwrap();
        assert_eq!(text, made, "{}: run make krew", path.display());
    }
}

/// What reviewers of the index ask for and its validator does not.
#[test]
fn descriptions_are_short() {
    for plugin in Workspace::here().unwrap().plugins {
        let krew = &plugin.krew;
        let short = &krew.short_description;
        assert!(short.chars().count() <= 50, "{short}");
        assert!(
            !short.ends_with('.') && !short.to_lowercase().contains("plugin"),
            "{short}"
        );
        for line in krew.description.lines().chain(krew.caveats.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert_eq!(plugin.program, format!("kubectl-{}", krew.name.replace('-', "_")));
        assert!(!krew.fall_back_names.contains(&krew.name));
    }
}

/// As the bot fills it in: an address for each platform, and nothing of today's version.
#[test]
fn the_bot_finds_its_addresses() {
    let workspace = Workspace::here().unwrap();
    for plugin in &workspace.plugins {
        let text = manifest(&workspace, plugin, Place::Bot).unwrap();
        assert_eq!(text.matches("{{addURIAndSha \"https://").count(), 5, "{text}");
        assert!(text.contains("  version: {{ .TagName }}\n"), "{text}");
        let one = format!(
            "    {{{{addURIAndSha \"{}/releases/download/{{{{ .TagName }}}}/{}_{{{{ .TagName }}}}_linux_amd64.tar.gz\" .TagName }}}}\n",
            workspace.repository, plugin.package
        );
        assert!(text.contains(&one), "{one} is not in\n{text}");
        assert!(!text.contains(&workspace.version), "{text}");
    }
}

/// Each plugin goes to the index.
#[test]
fn the_release_workflow_has_all_plugins() {
    let workspace = Workspace::here().unwrap();
    let workflow = std::fs::read_to_string(workspace.root.join(".github/workflows/release.yml")).unwrap();
    let names: Vec<&str> = workspace
        .plugins
        .iter()
        .map(|plugin| plugin.krew.name.as_str())
        .collect();
    let line = format!("        plugin: [{}]\n", names.join(", "));
    assert!(workflow.contains(&line), "{line}");
}
