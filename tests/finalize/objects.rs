//! Objects that are no namespaces.

use crate::{kit::finalize, scene::Scene};

#[test]
fn an_object_that_nobody_deletes_is_left_alone() {
    let scene = Scene::new("living");
    scene.config_map("a", &["example.com/cleanup"]);
    let ran = finalize(scene.cluster, &["cm/a", "-n", &scene.name, "--force-up-to=strip"]).expect(3);
    ran.says("is not being deleted");
}
