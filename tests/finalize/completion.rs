//! What can be typed next comes from the cluster.

use crate::{
    kit::{kubectl, run},
    scene::Scene,
};

fn offered(scene: &Scene, words: &[&str]) -> Vec<String> {
    let all: Vec<&str> = ["__complete"].iter().chain(words).copied().collect();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-finalize"));
    command
        .env_clear()
        .envs(scene.cluster.env())
        .env("KUBECONFIG", scene.cluster.kubeconfig())
        .args(all);
    run(command).expect(0).stdout.lines().map(str::to_owned).collect()
}

#[test]
fn stuck_namespaces_and_kinds_are_offered() {
    let (stuck, living) = (Scene::new("tab-stuck"), Scene::new("tab-living"));
    for scene in [&stuck, &living] {
        scene.config_map("a", &["example.com/cleanup"]);
    }
    living.config_map("b", &[]);
    stuck.delete();
    assert_eq!(offered(&stuck, &["preflig"]), ["preflight", ":4"]);
    assert_eq!(
        offered(&stuck, &["persistentvolumec"]),
        ["persistentvolumeclaims", ":4"]
    );
    assert_eq!(offered(&stuck, &["ns", "tab-"]), ["tab-stuck", ":4"]);
    assert_eq!(offered(&stuck, &["ns/tab-"]), ["ns/tab-stuck", ":4"]);
    assert_eq!(offered(&stuck, &["preflight", "ns", "tab-l"]), ["tab-living", ":4"]);
    assert_eq!(
        offered(&stuck, &["explain", "kubernetes.io/pvc-"]),
        ["kubernetes.io/pvc-protection", ":4"]
    );
    // Where none is being deleted, all are offered.
    assert_eq!(offered(&living, &["-n", "tab-living", "cm", "b"]), ["b", ":4"]);
    kubectl(
        living.cluster,
        &["delete", "cm", "a", "-n", "tab-living", "--wait=false"],
    );
    assert_eq!(offered(&living, &["-n", "tab-living", "cm", ""]), ["a", ":4"]);
    assert_eq!(
        offered(&living, &["ns", "x", "--force-up-to", "neu"])[0]
            .split('\t')
            .next(),
        Some("neutralise")
    );
    stuck.finalize(&["--force-up-to=strip"]).expect(0);
    // What that run has saved.
    let runs = offered(&stuck, &["restore", ""]);
    let (last, runs) = runs.split_last().unwrap();
    assert!(last == ":4" && !runs.is_empty(), "{runs:?}");
    assert!(runs.iter().all(|run| std::path::Path::new(run).is_dir()), "{runs:?}");
}

#[test]
fn r43_names_that_a_shell_would_expand_are_not_offered() {
    let scene = Scene::new("r43");
    for name in [
        "$(touch r43)",
        "`id`",
        "a;b",
        "a b",
        "x|y",
        "${IFS}",
        "system:reader",
        "plain",
    ] {
        scene.cluster.create(serde_json::json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": "r43"},
        }));
    }
    let mut roles = offered(&scene, &["-n", "r43", "role", ""]);
    roles.sort();
    assert_eq!(roles, [":4", "plain", "system:reader"]);
    let mut roles = offered(&scene, &["-n", "r43", "role/"]);
    roles.sort();
    assert_eq!(roles, [":4", "role/plain", "role/system:reader"]);
    // And in the shell that kubectl's script runs in, with the function that older releases have.
    let words = offered(&scene, &["-n", "r43", "role", ""]).join("\n");
    let folder = tempfile::tempdir().unwrap();
    let script = "compgen -W \"$1\" -- ''";
    let run = std::process::Command::new("bash")
        .args(["-c", script, "bash", &words])
        .current_dir(&folder)
        .status();
    assert!(run.unwrap().success());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
