//! Which kubeconfig files are read, and how they become one. The rules are those of client-go's `ClientConfigLoadingRules`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, KubeconfigError};

use crate::error::{Error, Result};

/// Where kubeconfig files may be.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    /// `--kubeconfig`: this file alone, and it must exist.
    pub explicit: Option<PathBuf>,
    /// `KUBECONFIG`: a list of files; those that do not exist are skipped.
    pub list: Option<OsString>,
    /// The home directory, whose `.kube/config` is read when there is no list.
    pub home: Option<PathBuf>,
}

impl Sources {
    pub(super) fn from_env(explicit: Option<PathBuf>) -> Self {
        Self {
            explicit,
            list: std::env::var_os("KUBECONFIG"),
            home: std::env::home_dir(),
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let given = |path: &PathBuf| !path.as_os_str().is_empty();
        let listed: Vec<PathBuf> = self
            .list
            .iter()
            .flat_map(|list| std::env::split_paths(list).collect::<Vec<_>>())
            .filter(given)
            .collect();
        if listed.is_empty() {
            return self.home.iter().map(|home| home.join(".kube").join("config")).collect();
        }
        listed
    }
}

/// Reads and merges. Without any file this is an empty kubeconfig, which is no error: there may be flags, or a pod around us.
pub(super) fn load(sources: &Sources) -> Result<Kubeconfig> {
    if let Some(path) = sources.explicit.as_deref().filter(|path| !path.as_os_str().is_empty()) {
        if let Err(error) = std::fs::metadata(path) {
            return Err(Error::failed(format!("stat {}: {}", path.display(), reason(&error))));
        }
        return read(path);
    }
    let mut merged = Kubeconfig::default();
    for path in sources.paths() {
        if matches!(std::fs::metadata(&path), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
            continue;
        }
        let next = read(&path)?;
        merged = merged.merge(next).map_err(|error| loading(&path, &error))?;
    }
    Ok(merged)
}

fn read(path: &Path) -> Result<Kubeconfig> {
    // kube-rs reads UTF-16 as well, and panics where half a character is missing.
    if let Ok(bytes) = std::fs::read(path)
        && (bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]))
        && !bytes.len().is_multiple_of(2)
    {
        let path = path.display();
        return Err(Error::failed(format!(
            "error loading config file \"{path}\": it is not text"
        )));
    }
    let mut config = Kubeconfig::read_from(path).map_err(|error| loading(path, &error))?;
    // `kubectl config set-cluster` writes an empty current context, which must not hide the one of a later file.
    config.current_context = config.current_context.filter(|name| !name.is_empty());
    Ok(config)
}

fn loading(path: &Path, error: &KubeconfigError) -> Error {
    let why = match error {
        KubeconfigError::ReadConfig(error, _) => reason(error),
        KubeconfigError::Parse(error) => parse_fault(error),
        other => other.to_string(),
    };
    Error::failed(format!("error loading config file \"{}\": {why}", path.display()))
}

/// What is wrong with the YAML and where, without an excerpt: a kubeconfig holds secrets.
fn parse_fault(error: &serde_yaml::Error) -> String {
    let text = error.without_snippet().to_string();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// The words of the operating system, without Rust's error number: `no such file or directory`.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

/// The names in the kubeconfig files, for completion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Contexts, in the order of the files.
    pub contexts: Vec<String>,
    /// Clusters.
    pub clusters: Vec<String>,
    /// Users.
    pub users: Vec<String>,
}

/// Reads only the names; `explicit` is the value of `--kubeconfig`.
///
/// # Errors
/// A file that exists and cannot be read.
pub fn names(explicit: Option<PathBuf>) -> Result<Names> {
    let config = load(&Sources::from_env(explicit))?;
    Ok(Names {
        contexts: config.contexts.into_iter().map(|entry| entry.name).collect(),
        clusters: config.clusters.into_iter().map(|entry| entry.name).collect(),
        users: config.auth_infos.into_iter().map(|entry| entry.name).collect(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ONE: &str = "current-context: ''\nclusters:\n- name: a\n  cluster: {server: https://one}\n";
    const TWO: &str = "current-context: two\nclusters:\n- name: a\n  cluster: {server: https://two}\n- name: b\n  cluster: {server: https://b}\n";

    fn files(texts: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in texts {
            std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn list(dir: &tempfile::TempDir, names: &[&str]) -> Option<OsString> {
        Some(std::env::join_paths(names.iter().map(|name| dir.path().join(name))).unwrap())
    }

    #[test]
    fn missing_files_of_a_list_are_skipped_and_the_first_value_wins() {
        let dir = files(&[("one", ONE), ("two", TWO)]);
        let sources = Sources {
            list: list(&dir, &["nope", "one", "two"]),
            ..Sources::default()
        };
        let config = load(&sources).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("two"));
        assert_eq!(config.clusters.len(), 2);
        assert_eq!(
            config.clusters[0].cluster.as_ref().unwrap().server.as_deref(),
            Some("https://one")
        );
        let none = Sources {
            list: list(&dir, &["nope"]),
            home: Some(dir.path().into()),
            ..Sources::default()
        };
        assert!(load(&none).unwrap().clusters.is_empty());
    }

    #[test]
    fn an_explicit_file_must_exist_and_stands_alone() {
        let dir = files(&[("one", ONE), ("two", TWO)]);
        let path = dir.path().join("nope");
        let error = load(&Sources {
            explicit: Some(path.clone()),
            ..Sources::default()
        })
        .unwrap_err();
        assert_eq!(
            error.headline(),
            format!("error: stat {}: no such file or directory", path.display())
        );
        let sources = Sources {
            explicit: Some(dir.path().join("one")),
            list: list(&dir, &["two"]),
            home: None,
        };
        assert_eq!(load(&sources).unwrap().clusters.len(), 1);
    }

    #[test]
    fn the_home_directory_is_asked_when_there_is_no_list() {
        let dir = files(&[(".kube/config", TWO)]);
        for list in [None, Some(OsString::new())] {
            let config = load(&Sources {
                explicit: None,
                list,
                home: Some(dir.path().into()),
            })
            .unwrap();
            assert_eq!(config.current_context.as_deref(), Some("two"));
        }
    }

    #[test]
    fn a_broken_file_is_named_and_its_secrets_are_not() {
        let dir = files(&[
            ("bad", "users:\n- name: u\n  user: {token: s3cret, username: [}\n"),
            ("empty", ""),
        ]);
        let error = load(&Sources {
            list: list(&dir, &["bad"]),
            ..Sources::default()
        })
        .unwrap_err();
        assert!(
            error.headline().starts_with("error: error loading config file \""),
            "{}",
            error.headline()
        );
        assert!(!error.headline().contains("s3cret"), "{}", error.headline());
        assert!(
            load(&Sources {
                list: list(&dir, &["empty"]),
                ..Sources::default()
            })
            .is_ok()
        );
    }
}
