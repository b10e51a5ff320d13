//! The worked examples of the documents. `UPKEEP_RECORD=1` writes what they print now.

use std::{ffi::OsString, fs};

use testsupport::Cluster;

use crate::{read, root, scenes, transcript::Page};

#[test]
fn the_example_of_evacuate_is_real() {
    check("docs/evacuate.md", scenes::three_nodes());
}

#[test]
fn the_example_of_finalize_is_real() {
    check("docs/finalize.md", scenes::stuck_namespace());
}

#[track_caller]
fn check(document: &str, cluster: Cluster) {
    let text = read(document);
    let page = Page::of(&text).unwrap_or_else(|| panic!("{document} has no recorded example"));
    let home = tempfile::tempdir().unwrap();
    let path = path(&cluster);
    let recorded = page.steps();
    assert!(recorded.len() >= 4, "{document}: an example has a beginning and an end");
    let again: Vec<_> = recorded
        .iter()
        .map(|step| step.again(&cluster, &path, home.path()))
        .collect();
    if std::env::var_os("UPKEEP_RECORD").is_some() {
        fs::write(root().join(document), page.with(&again)).unwrap();
        return;
    }
    for (recorded, again) in recorded.iter().zip(&again) {
        assert_eq!(
            recorded.lasting(),
            again.lasting(),
            "{document}: {} prints now:\n{}\nIf that is right: make examples",
            again.command,
            again.printed
        );
    }
}

/// The real kubectl, the plugins of this build, and what a shell has.
fn path(cluster: &Cluster) -> OsString {
    let here = std::env::current_exe().unwrap();
    let built = here.ancestors().nth(2).unwrap().to_path_buf();
    for plugin in release::workspace::Workspace::here().unwrap().plugins {
        let program = built.join(plugin.program);
        assert!(
            program.is_file(),
            "{} is not built: cargo build --workspace --bins",
            program.display()
        );
    }
    let mut folders = vec![built, cluster.kubectl().parent().unwrap().to_path_buf()];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    std::env::join_paths(folders).unwrap()
}
