//! Objects whose namespace was taken out by force.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{disarm, finalize, kubectl},
    scene::Scene,
};

/// Deletes the namespace and empties its list at once, as the advice goes.
fn forced(scene: &Scene) {
    kubectl(scene.cluster, &["delete", "namespace", &scene.name, "--wait=false"]);
    disarm(scene.cluster, &scene.name);
    wait_for("the namespace to be gone", DEFAULT_TIMEOUT, || {
        scene.is_gone().then_some(())
    });
}

#[test]
fn s16_an_orphan_that_is_being_deleted() {
    let scene = Scene::new("s16");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    disarm(scene.cluster, "s16");
    wait_for("the namespace to be gone", DEFAULT_TIMEOUT, || {
        scene.is_gone().then_some(())
    });
    let ran = finalize(scene.cluster, &["orphans", "s16"]).expect(1);
    ran.says("in the namespace s16, which does not exist")
        .says("configmap s16/a");
    let ran = finalize(scene.cluster, &["orphans", "s16", "-o", "json"]).expect(1);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["kind"], "Orphans");
    assert!(
        document["namespaces"]["s16"]
            .as_array()
            .unwrap()
            .iter()
            .any(|o| o["name"] == "a")
    );
    finalize(scene.cluster, &["orphans", "s16", "--clean"])
        .expect(3)
        .says("--yes");
    assert!(scene.is_gone());
    let before = crate::digest::of(scene.cluster, "s16");
    let ran = finalize(
        scene.cluster,
        &["orphans", "s16", "--clean", "--yes", "--force-up-to=strip"],
    )
    .expect(0);
    ran.says("was made anew and is deleted").says("namespace/s16 is gone");
    assert!(scene.is_gone());
    assert_eq!(before, crate::digest::of(scene.cluster, "s16"));
    finalize(scene.cluster, &["orphans", "s16"])
        .expect(0)
        .says("there are no orphans");
}

/// They run on, and nobody manages them.
#[test]
fn s16b_a_deployment_whose_namespace_is_gone() {
    let scene = Scene::new("s16b");
    let labels = json!({"app": "web"});
    scene.create(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
    );
    wait_for("the pod", DEFAULT_TIMEOUT, || {
        let pods = scene.cluster.list("v1/Pod", "s16b", "");
        pods.first().filter(|p| p["status"]["phase"] == "Running").map(drop)
    });
    disarm(scene.cluster, "s16b");
    forced(&scene);
    let ran = finalize(scene.cluster, &["orphans", "s16b"]).expect(1);
    ran.says("deployment.apps s16b/web");
    finalize(scene.cluster, &["orphans", "s16b", "--clean", "--yes"]).expect(0);
    assert!(scene.is_gone());
    assert!(scene.cluster.list("v1/Pod", "s16b", "").is_empty());
    assert!(scene.cluster.list("apps/v1/Deployment", "s16b", "").is_empty());
}

/// One namespace that is still held does not keep the next from being cleaned up.
#[test]
fn one_of_two_that_is_still_held() {
    let (held, free) = (Scene::new("two-held"), Scene::new("two-later"));
    held.config_map("a", &["example.com/cleanup"]);
    free.config_map("a", &[]);
    for scene in [&held, &free] {
        disarm(scene.cluster, &scene.name);
        forced(scene);
    }
    let args = ["orphans", "two-held", "two-later", "--clean", "--yes"];
    finalize(held.cluster, &args)
        .expect(4)
        .says("namespace/two-held is still held")
        .says("namespace/two-later is gone");
    assert!(free.is_gone() && !held.is_gone());
    held.finalize(&["--force-up-to=strip"]).expect(0);
}

/// A run before has made the namespace anew, and did not come to delete it.
#[test]
fn a_clean_up_that_was_cut_off_goes_on() {
    let scene = Scene::new("halfway");
    scene.config_map("a", &["example.com/cleanup"]);
    forced(&scene);
    finalize(scene.cluster, &["ns", "halfway"])
        .expect(4)
        .says("which does not exist")
        .says("orphans halfway --clean");
    let meta = json!({"name": "halfway", "labels": {"kubectl-upkeep/orphans": "1"}});
    scene
        .cluster
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}));
    finalize(scene.cluster, &["orphans", "halfway"])
        .expect(1)
        .says("orphans halfway --clean");
    finalize(scene.cluster, &["orphans", "halfway", "--clean"])
        .expect(3)
        .says("--yes");
    let args = ["orphans", "halfway", "--clean", "--yes", "--force-up-to=strip"];
    finalize(scene.cluster, &args).expect(0);
    assert!(scene.is_gone());
    // One that somebody has is left alone.
    finalize(scene.cluster, &["orphans", "bystander", "--clean", "--yes"])
        .expect(0)
        .says("is no orphan");
}
