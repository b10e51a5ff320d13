//! The folder that a release is built into.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    sums,
    workspace::{Plugin, Workspace},
};

/// Where it is built, and brought from when all is there: what was there before stays until then.
///
/// # Errors
/// It cannot be made.
pub fn building(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("dist");
    let text = || format!("cannot make {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(text)?;
    }
    fs::create_dir_all(&folder).with_context(text)?;
    Ok(folder)
}

/// The files that an earlier run has left in a folder.
///
/// # Errors
/// Something else is there: it is not ours.
pub fn earlier(workspace: &Workspace, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let of = |plugin: &Plugin| name.starts_with(&format!("{}_v", plugin.package));
        let is_archive = name.ends_with(".tar.gz") || name.ends_with(".cdx.json");
        let is_manifest = workspace
            .plugins
            .iter()
            .any(|p| name == format!("{}.yaml", p.krew.name));
        let is_ours = name == sums::FILE || is_manifest || (is_archive && workspace.plugins.iter().any(of));
        ensure!(
            is_ours && entry.file_type()?.is_file(),
            "{} has something in it that is not from here, {name:?}; name another folder with --out",
            folder.display()
        );
        found.push(entry.path());
    }
    Ok(found)
}

/// Copies what was built in place of what an earlier run has left.
///
/// # Errors
/// As [`earlier`]; a file cannot be written.
pub fn bring(workspace: &Workspace, from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for path in earlier(workspace, to)? {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let path = to.join(entry.file_name());
        fs::copy(entry.path(), &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_from_here_stays() {
        let workspace = Workspace::here().unwrap();
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let new = from.path().join("kubectl-evacuate_v0.2.0_linux_amd64.tar.gz");
        fs::write(new, "new").unwrap();
        let old = to.path().join("kubectl-evacuate_v0.1.0_linux_amd64.tar.gz");
        fs::write(&old, "old").unwrap();
        fs::write(to.path().join(sums::FILE), "abc  debian.iso").unwrap();
        for other in ["thesis.odt", "kubectl-evacuate.yaml", "evacuate_v1.tar.gz"] {
            let other = to.path().join(other);
            fs::write(&other, "mine").unwrap();
            let refused = bring(&workspace, from.path(), to.path());
            assert!(refused.is_err_and(|e| e.to_string().contains("not from here")));
            assert!(old.exists() && other.exists());
            fs::remove_file(other).unwrap();
        }
        fs::create_dir(to.path().join("evacuate.yaml")).unwrap();
        assert!(earlier(&workspace, to.path()).is_err());
        fs::remove_dir(to.path().join("evacuate.yaml")).unwrap();
        bring(&workspace, from.path(), to.path()).unwrap();
        let names: Vec<_> = fs::read_dir(to.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["kubectl-evacuate_v0.2.0_linux_amd64.tar.gz"]);
    }
}
