//! Installed, run, upgraded, uninstalled.

use release::{platform::PLATFORMS, workspace::Workspace};

use crate::{
    archives::{current, host, packed},
    index::serve,
    place::Place,
};

const BASE: &str = "https://example.com/releases";

/// From a manifest and an archive, without any index.
#[test]
fn installed_from_manifest_and_archive() {
    let (place, archives) = (Place::new(), current());
    for plugin in &archives.workspace.plugins {
        let name = plugin.krew.name.as_str();
        let manifest = archives.write_manifest(plugin, BASE, place.home.path());
        let ran = place.install(&manifest, &archives.archive(plugin, &host())).expect(0);
        ran.says(&format!("Installed plugin: {name}"));
        if !plugin.krew.caveats.is_empty() {
            ran.says("Caveats").says("kubectl_complete-");
        }
        place
            .kubectl(&[name, "--help"])
            .expect(0)
            .says(&format!("kubectl {name}"))
            .says("Examples:");
        let version = format!("{} v{} (commit ", plugin.package, archives.workspace.version);
        place.kubectl(&[name, "--version"]).expect(0).says(&version);
    }
    let listed = place.kubectl(&["plugin", "list"]).expect(0);
    listed.says_nothing_of("warning:");
    for plugin in &archives.workspace.plugins {
        listed.says(&plugin.program);
        place.kubectl(&["krew", "uninstall", &plugin.krew.name]).expect(0);
        let gone = place.kubectl(&[&plugin.krew.name, "--help"]);
        assert_ne!(gone.code, Some(0), "{}", gone.text());
        assert!(!place.linked().join(&plugin.program).exists());
    }
}

/// From an index, with archives that are downloaded.
#[test]
fn upgraded_from_an_index() {
    let (place, new) = (Place::new(), current());
    let earlier = Workspace {
        version: "0.0.1".to_owned(),
        ..new.workspace.clone()
    };
    let old = packed(earlier, &[host()], &|plugin| {
        format!("#!/bin/sh\necho old {}\n", plugin.package).into_bytes()
    });
    let publish = |archives: &crate::archives::Archives, base: &str| {
        for plugin in &archives.workspace.plugins {
            archives.write_manifest(plugin, base, &place.index().plugins());
        }
        place.index().publish();
    };
    publish(&old, &serve(&old.folder));
    let names: Vec<&str> = old.workspace.plugins.iter().map(|p| p.krew.name.as_str()).collect();
    place.kubectl(&[&["krew", "install"], &names[..]].concat()).expect(0);
    let found = place.kubectl(&["krew", "search"]).expect(0);
    for plugin in &old.workspace.plugins {
        found.says(&plugin.krew.name).says(&plugin.krew.short_description);
        place
            .kubectl(&[&plugin.krew.name])
            .expect(0)
            .says(&format!("old {}", plugin.package));
    }
    publish(new, &serve(&new.folder));
    place.kubectl(&["krew", "upgrade"]).expect(0);
    let listed = place.kubectl(&["krew", "list"]).expect(0);
    for plugin in &new.workspace.plugins {
        listed.says(&plugin.krew.name);
        let version = format!("{} v{} (commit ", plugin.package, new.workspace.version);
        place
            .kubectl(&[&plugin.krew.name, "--version"])
            .expect(0)
            .says(&version);
    }
    place.kubectl(&[&["krew", "uninstall"], &names[..]].concat()).expect(0);
    let left = std::fs::read_dir(place.linked())
        .unwrap()
        .map(|e| e.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "kubectl-krew").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Each archive has the program where its manifest says, whatever it is for.
#[test]
fn archives_of_all_platforms_are_taken() {
    let workspace = Workspace::here().unwrap();
    let small = packed(workspace, &PLATFORMS, &|plugin| plugin.package.clone().into_bytes());
    for archives in [&small, current()] {
        for platform in PLATFORMS {
            let on = [("KREW_OS", platform.os), ("KREW_ARCH", platform.arch)];
            let place = Place::new();
            for plugin in &archives.workspace.plugins {
                let archive = archives.archive(plugin, &platform);
                if !archive.exists() {
                    continue;
                }
                let manifest = archives.write_manifest(plugin, BASE, place.home.path());
                let manifest = format!("--manifest={}", manifest.display());
                let archive = format!("--archive={}", archive.display());
                place
                    .kubectl_on(&["krew", "install", &manifest, &archive], &on)
                    .expect(0);
                let linked = place.linked().join(platform.executable(&plugin.program));
                assert!(linked.exists(), "{}", linked.display());
                let name = &plugin.krew.name;
                let store = place
                    .home
                    .path()
                    .join("krew/store")
                    .join(name)
                    .join(format!("v{}", archives.workspace.version));
                assert!(store.join("LICENSE").is_file());
            }
        }
    }
}

/// The sum in the manifest is looked at.
#[test]
fn an_archive_that_was_changed_is_refused() {
    let (place, archives) = (Place::new(), current());
    let plugin = &archives.workspace.plugins[0];
    let other = packed(archives.workspace.clone(), &[host()], &|_| b"something else".to_vec());
    let manifest = archives.write_manifest(plugin, BASE, place.home.path());
    let ran = place.install(&manifest, &other.archive(plugin, &host()));
    assert_ne!(ran.code, Some(0));
    ran.says("checksum does not match");
}
