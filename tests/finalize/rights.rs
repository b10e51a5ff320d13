//! The ClusterRoles of `docs/rbac`, each as a user who has just that.

use std::path::Path;

use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{Ran, command, finalize, run},
    scene::Scene,
};

fn as_user(scene: &Scene, user: &Path, args: &[&str]) -> Ran {
    let all: Vec<&str> = ["ns", scene.name.as_str()].iter().chain(args).copied().collect();
    let mut command = command(scene.cluster, &all);
    command.env("KUBECONFIG", user);
    run(command)
}

/// Who may only look is told what it would take, before anything is tried.
#[test]
fn rights_to_look() {
    let scene = Scene::new("rbac-look");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let look = scene.cluster.user_with_roles("rbac-look", &["finalize-look"]);
    let ran = wait_for("the rights", DEFAULT_TIMEOUT, || {
        let ran = as_user(&scene, &look, &["--dry-run"]);
        (ran.code == Some(0) && !ran.text().contains("cannot be listed")).then_some(ran)
    });
    ran.says("configmap rbac-look/a waits for")
        .says("(you may not patch configmaps in namespace rbac-look)");
    let ran = as_user(&scene, &look, &["--force-up-to=strip"]).expect(4);
    ran.says_nothing_of("strip:");
    assert!(scene.cluster.get("v1/ConfigMap", "rbac-look", "a").is_some());
    finalize(scene.cluster, &["ns", "rbac-look", "--force-up-to=strip"]).expect(0);
}

#[test]
fn rights_to_mend() {
    let scene = Scene::new("rbac-mend");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let roles = ["finalize-look", "finalize-mend"];
    let user = scene.cluster.user_with_roles("rbac-mend", &roles);
    wait_for("the rights", DEFAULT_TIMEOUT, || {
        let ran = as_user(&scene, &user, &["--dry-run"]);
        let whole = !ran.text().contains("cannot be listed") && !ran.text().contains("you may not");
        (ran.code == Some(0) && whole).then_some(())
    });
    as_user(&scene, &user, &["--force-up-to=strip"]).expect(0);
    assert!(scene.is_gone());
}
