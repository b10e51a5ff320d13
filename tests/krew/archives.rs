//! Archives to install: those that `make dist` has made (`UPKEEP_DIST`), else the programs of this build, packed in the same way.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use release::{
    archive::Entry,
    dist::pack,
    manifest::{Place, manifest},
    platform::{PLATFORMS, Platform},
    sums::{self, Sums},
    workspace::{Plugin, Workspace},
};
use tempfile::TempDir;

/// A folder of archives.
pub struct Archives {
    pub workspace: Workspace,
    pub folder: PathBuf,
    pub sums: Sums,
    _kept: Option<TempDir>,
}

/// The platform of this machine.
pub fn host() -> Platform {
    let of_host = |platform: &Platform| platform.runner() == Some("");
    PLATFORMS
        .into_iter()
        .find(of_host)
        .expect("there are archives for this machine")
}

/// Of this version, for this machine.
pub fn current() -> &'static Archives {
    static CURRENT: OnceLock<Archives> = OnceLock::new();
    CURRENT.get_or_init(|| match std::env::var_os("UPKEEP_DIST") {
        Some(folder) => {
            let folder = Workspace::here().unwrap().root.join(folder);
            Archives {
                workspace: Workspace::here().unwrap(),
                sums: sums::read(&folder).unwrap(),
                folder,
                _kept: None,
            }
        }
        None => packed(Workspace::here().unwrap(), &[host()], &|plugin| {
            fs::read(stripped(plugin)).unwrap()
        }),
    })
}

/// Archives with what `content` says in place of the programs, for these platforms.
pub fn packed(workspace: Workspace, platforms: &[Platform], content: &dyn Fn(&Plugin) -> Vec<u8>) -> Archives {
    let kept = tempfile::tempdir().unwrap();
    let licence = Entry {
        name: "LICENSE".to_owned(),
        content: fs::read(workspace.root.join("LICENSE")).unwrap(),
        is_program: false,
    };
    let program = kept.path().join("program");
    for plugin in &workspace.plugins {
        fs::write(&program, content(plugin)).unwrap();
        for platform in platforms {
            let papers = vec![licence.clone()];
            pack(
                &workspace,
                plugin,
                platform,
                &program,
                papers,
                kept.path(),
                1_700_000_000,
            )
            .unwrap();
        }
    }
    fs::remove_file(program).unwrap();
    Archives {
        sums: sums::write(kept.path()).unwrap(),
        folder: kept.path().to_path_buf(),
        workspace,
        _kept: Some(kept),
    }
}

/// The program of this build.
pub fn built(plugin: &Plugin) -> PathBuf {
    // This test is target/debug/deps/krew-...
    let here = std::env::current_exe().unwrap();
    let built = here.ancestors().nth(2).unwrap().join(&plugin.program);
    assert!(
        built.is_file(),
        "{} is not built: cargo build --workspace --bins",
        built.display()
    );
    built
}

/// The same without what only a debugger reads.
fn stripped(plugin: &Plugin) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap());
    let stripped = folder.path().join(&plugin.program);
    let status = Command::new("strip")
        .arg("-o")
        .args([&stripped, &built(plugin)])
        .status();
    assert!(status.unwrap().success());
    stripped
}

impl Archives {
    /// The archive of a plugin.
    pub fn archive(&self, plugin: &Plugin, platform: &Platform) -> PathBuf {
        self.folder
            .join(platform.archive(&plugin.package, &self.workspace.version))
    }

    /// Writes the manifest of a plugin into a folder, with addresses below `base`.
    pub fn write_manifest(&self, plugin: &Plugin, base: &str, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.yaml", plugin.krew.name));
        let text = manifest(&self.workspace, plugin, Place::Known(base, &self.sums)).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}
