//! The documents: their examples are real, their links lead somewhere, both languages say the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/languages.rs"]
mod languages;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/scenes.rs"]
mod scenes;
#[path = "docs/transcript.rs"]
mod transcript;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A document, by its path from there.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All documents for readers.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_path_buf(), root().join("docs"), root().join("krew-manifests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            } else if path.is_dir() && folder != root() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}
