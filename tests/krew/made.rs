//! What `make install` puts where, from the programs of this build.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path, process::Command, time::Duration};

use release::workspace::Workspace;
use testsupport::{Ran, program};

use crate::archives::built;

fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(
                files(&path)
                    .into_iter()
                    .map(|name| format!("{}/{name}", path.file_name().unwrap().display())),
            );
        } else {
            found.insert(path.file_name().unwrap().display().to_string());
        }
    }
    found
}

#[test]
fn installed_and_removed_by_make() {
    let workspace = Workspace::here().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (target, prefix) = (folder.path().join("target"), folder.path().join("a prefix"));
    fs::create_dir_all(target.join("release")).unwrap();
    let mut programs = Vec::new();
    for plugin in &workspace.plugins {
        symlink(built(plugin), target.join("release").join(&plugin.program)).unwrap();
        programs.push(plugin.program.as_str());
    }
    let script = |args: &[&str]| {
        let mut command = Command::new(workspace.root.join("release/install.sh"));
        command
            .env("PREFIX", &prefix)
            .env("CARGO_TARGET_DIR", &target)
            .args(args)
            .args(&programs);
        Ran::to_the_end(command, Duration::from_secs(60))
    };
    // Somebody else's things stay, and then nothing is installed.
    let own = prefix
        .join("bin")
        .join(programs[0].replacen("kubectl-", "kubectl_complete-", 1));
    fs::create_dir_all(prefix.join("bin")).unwrap();
    fs::write(&own, "mine").unwrap();
    for args in [&[][..], &["--remove"]] {
        let ran = script(args);
        assert_eq!(ran.code, Some(1), "{}", ran.text());
        ran.says("is not the link that make install makes");
    }
    assert_eq!(files(&prefix).len(), 1);
    fs::remove_file(own).unwrap();
    script(&[]).expect(0).says("is not on PATH");
    let mut expected = BTreeSet::new();
    for program in &programs {
        let complete = program.replacen("kubectl-", "kubectl_complete-", 1);
        expected.extend([
            format!("bin/{program}"),
            format!("bin/{complete}"),
            format!("share/man/man1/{program}.1"),
            format!("share/bash-completion/completions/{program}"),
            format!("share/zsh/site-functions/_{program}"),
            format!("share/fish/vendor_completions.d/{program}.fish"),
        ]);
        let page = fs::read_to_string(prefix.join(format!("share/man/man1/{program}.1"))).unwrap();
        assert!(
            page.contains("\n.SH EXAMPLES\n") && page.contains("\\-\\-request\\-timeout"),
            "{page}"
        );
        let bash = prefix.join(format!("share/bash-completion/completions/{program}"));
        let checked = Command::new("bash").arg("-n").arg(bash).status().unwrap();
        assert!(checked.success());
        let zsh = fs::read_to_string(prefix.join(format!("share/zsh/site-functions/_{program}"))).unwrap();
        assert!(zsh.starts_with(&format!("#compdef {program}\n")), "{zsh}");
    }
    assert_eq!(files(&prefix), expected);

    // The real kubectl finds them, and asks them for completions.
    let bin = prefix.join("bin");
    let kubectl = |args: &[&str]| {
        let mut command = Command::new(program("kubectl").unwrap());
        command
            .env_clear()
            .env("PATH", &bin)
            .env("HOME", folder.path())
            .args(args);
        Ran::to_the_end(command, Duration::from_secs(60))
    };
    for plugin in &workspace.plugins {
        let name = plugin.krew.name.as_str();
        kubectl(&[name, "--version"]).expect(0).says(&plugin.package);
        kubectl(&["__complete", name, "--kubec"]).expect(0).says("--kubeconfig");
    }
    script(&["--remove"]).expect(0);
    assert_eq!(files(&prefix), BTreeSet::new());
}

#[test]
fn a_prefix_that_is_none_is_refused() {
    let workspace = Workspace::here().unwrap();
    for prefix in ["", "relative", "./x"] {
        let mut command = Command::new(workspace.root.join("release/install.sh"));
        command.env("PREFIX", prefix).args(["--remove", "kubectl-evacuate"]);
        let ran = Ran::to_the_end(command, Duration::from_secs(60));
        assert_eq!(ran.code, Some(1), "{}", ran.text());
        ran.says("PREFIX must be a whole path");
    }
}
