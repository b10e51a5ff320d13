//! Questions on a terminal, and what a no means.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{command, finalize, kubectl},
    scene::Scene,
};

/// The plugin on a terminal of its own (`script`), with these lines typed. Its exit code, and what the terminal shows.
fn typed(scene: &Scene, args: &[&str], lines: &str) -> (Option<i32>, String) {
    let plugin = command(scene.cluster, args);
    let words = plugin.get_args().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = std::iter::once(env!("CARGO_BIN_EXE_kubectl-finalize").to_owned())
        .chain(words)
        .map(|word| format!("'{word}'"))
        .collect();
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"])
        .env_clear()
        .envs(plugin.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let mut typing = child.stdin.take().unwrap();
    typing.write_all(lines.as_bytes()).unwrap();
    let mut shown = String::new();
    child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    // Until now: the end of what is typed would be the end of the terminal.
    drop(typing);
    let code = child.wait().unwrap().code();
    // Lines are broken to the width of the terminal.
    (code, shown.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn held(name: &str, finalizers: &[&str]) -> Scene {
    let scene = Scene::new(name);
    scene.config_map("a", finalizers);
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", name, "--wait=false"]);
    wait_for("the deletion to be old enough", DEFAULT_TIMEOUT * 2, || {
        let place = ["cm/a", "-n", name, "--force-up-to=wait", "--timeout=1s"];
        (finalize(scene.cluster, &place).code == Some(4)).then_some(())
    });
    scene
}

fn finalizers(scene: &Scene) -> serde_json::Value {
    let found = scene.cluster.get("v1/ConfigMap", &scene.name, "a").unwrap();
    found["metadata"]["finalizers"].clone()
}

#[test]
fn a_no_ends_the_run() {
    let scene = held("asked", &["example.com/cleanup"]);
    let (code, shown) = typed(&scene, &["cm/a", "-n", "asked"], "n\n");
    assert_eq!(code, Some(3), "{shown}");
    assert!(
        shown.contains("configmap asked/a is still held: you answered no; nothing was changed"),
        "{shown}"
    );
    assert!(
        shown.contains("re-run with --force-up-to=strip --namespace=asked to try the next step"),
        "{shown}"
    );
    assert_eq!(shown.matches("Do it?").count(), 1, "{shown}");
    assert_eq!(finalizers(&scene), json!(["example.com/cleanup"]));
    // Also where a plan says what is asked.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let file = file.to_str().unwrap();
    finalize(
        scene.cluster,
        &["cm/a", "-n", "asked", "--force-up-to=strip", "--plan-out", file],
    )
    .expect(0);
    let (code, shown) = typed(&scene, &["--apply", file, "--force-up-to=strip"], "n\n");
    assert_eq!(code, Some(3), "{shown}");
    assert!(!shown.contains("more time"), "{shown}");
    assert_eq!(finalizers(&scene), json!(["example.com/cleanup"]));
    let (code, shown) = typed(&scene, &["cm/a", "-n", "asked"], "y\n");
    assert_eq!(code, Some(0), "{shown}");
}

/// What was done before is not called nothing.
#[test]
fn a_no_after_a_yes_is_incomplete() {
    let scene = held("asked-twice", &["example.com/one", "example.com/two"]);
    let (code, shown) = typed(&scene, &["cm/a", "-n", "asked-twice"], "y\nn\n");
    assert_eq!(code, Some(4), "{shown}");
    assert!(shown.contains("configmap asked-twice/a is still held"), "{shown}");
    assert!(
        !shown.contains("nothing was changed") && shown.contains("what was changed is saved in"),
        "{shown}"
    );
    assert_eq!(finalizers(&scene).as_array().unwrap().len(), 1);
    let place = ["cm/a", "-n", "asked-twice", "--force-up-to=strip"];
    finalize(scene.cluster, &place).expect(0);
}
