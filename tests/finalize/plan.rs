//! A plan in a file binds what is done to what was seen.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{command, finalize, kubectl},
    scene::Scene,
};

#[test]
fn plan_that_is_applied_later() {
    let scene = Scene::new("plan");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let file = file.to_str().unwrap();
    let written = scene.finalize(&["--force-up-to=strip", "--plan-out", file]).expect(0);
    written.says("1 step written to").says(&format!(
        "to make these changes: kubectl finalize --apply={file} --force-up-to=strip\n"
    ));
    assert!(!scene.is_gone());
    let plan: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(
        (plan["kind"].as_str(), plan["steps"].as_array().unwrap().len()),
        (Some("FinalizePlan"), 1)
    );
    assert_eq!(plan["steps"][0]["change"]["strip"]["finalizer"], "example.com/cleanup");
    let shown = finalize(scene.cluster, &["--apply", file, "--dry-run"]).expect(0);
    shown
        .says("strip: configmap plan/a: remove example.com/cleanup (dry run)")
        .says("re-run with --force-up-to=strip to try the next step");
    assert!(!scene.is_gone());
    finalize(scene.cluster, &["--apply", file, "--force-up-to=strip", "--yes"]).expect(0);
    assert!(scene.is_gone());
    // It is not for another namespace of that name.
    let again = Scene::new("plan");
    assert_eq!(again.name, "plan");
    again.config_map("a", &["example.com/cleanup"]);
    again.delete();
    let refused = finalize(scene.cluster, &["--apply", file, "--force-up-to=strip", "--yes"]).expect(3);
    refused.says("is another object by now");
    finalize(scene.cluster, &["ns", "plan", "--force-up-to=strip"]).expect(0);
}

/// What the plan does not name is not done, however much is needed.
#[test]
fn plan_does_not_reach_further_than_it_was_made() {
    let scene = Scene::new("plan-narrow");
    scene.config_map("a", &["example.com/cleanup", "example.com/later"]);
    scene.delete();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    let file = path.to_str().unwrap();
    scene.finalize(&["--force-up-to=strip", "--plan-out", file]).expect(0);
    let mut plan: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    plan["steps"]
        .as_array_mut()
        .unwrap()
        .retain(|s| s["change"]["strip"]["finalizer"] == "example.com/cleanup");
    std::fs::write(&path, plan.to_string()).unwrap();
    let ran = finalize(scene.cluster, &["--apply", file, "--force-up-to=finalize", "--yes"]).expect(4);
    ran.says("the plan names nothing that would help");
    let left = scene.cluster.get("v1/ConfigMap", "plan-narrow", "a").unwrap();
    assert_eq!(left["metadata"]["finalizers"], serde_json::json!(["example.com/later"]));
    scene.finalize(&["--force-up-to=strip"]).expect(0);
}

#[test]
fn plans_that_are_none() {
    let cluster = crate::scene::whole();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    let file = path.to_str().unwrap();
    finalize(cluster, &["--apply", file]).expect(1).says("cannot read");
    std::fs::write(&path, "{}").unwrap();
    finalize(cluster, &["--apply", file])
        .expect(1)
        .says("is no plan of kubectl finalize");
    let target = |group: &str, plural: &str, name: &str| {
        let target = json!({"group": group, "plural": plural, "namespace": null, "name": name});
        json!({"kind": "FinalizePlan", "version": 1, "target": target, "uid": "u", "evenIfAlive": false, "steps": []})
            .to_string()
    };
    std::fs::write(&path, target("", "namespaces", "kube-node-lease")).unwrap();
    finalize(cluster, &["--apply", file])
        .expect(3)
        .says("belongs to the cluster itself");
    std::fs::write(&path, target("nowhere.example.com", "things", "x")).unwrap();
    finalize(cluster, &["--apply", file])
        .expect(1)
        .says("does not serve things");
    finalize(cluster, &["ns", "x", "--apply", file]).expect(2);
    finalize(cluster, &["--apply", file, "--watch"]).expect(2);
}

#[test]
fn watched_until_it_is_gone() {
    let scene = Scene::new("watched");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let mut watching = command(scene.cluster, &["ns", "watched", "--watch"]);
    let watching = watching
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let free = r#"{"metadata": {"finalizers": null}}"#;
    wait_for("the watch to have begun", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text().contains("watched/a waits for").then_some(())
    });
    kubectl(
        scene.cluster,
        &["patch", "cm", "a", "-n", "watched", "--type=merge", "-p", free],
    );
    let ended = watching.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(
        String::from_utf8_lossy(&ended.stdout).contains("namespace/watched is gone"),
        "{ended:?}"
    );
}

/// The server is asked what it would say to the next step.
#[test]
fn tried_by_the_server() {
    let scene = Scene::new("tried");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let ran = scene.finalize(&["--dry-run=server"]).expect(0);
    ran.says("strip: configmap tried/a: remove example.com/cleanup (server dry run: it would be done)");
    for how in ["client", "server"] {
        let dry = format!("--dry-run={how}");
        let ran = scene.finalize(&["--force-up-to=strip", &dry, "-o", "json"]).expect(0);
        ran.says_nothing_of("re-run with");
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let (step, remedies) = (&document["steps"][0], &document["causes"][0]["remedies"]);
        assert_eq!(
            (&remedies[0]["byHand"], &remedies[0]["rung"]),
            (&json!(false), &json!("strip"))
        );
        assert_eq!((&document["dryRun"], &step["rung"]), (&json!(how), &json!("strip")));
        assert_eq!(
            (&step["object"]["name"], &step["finalizer"], step.get("failed")),
            (&json!("a"), &json!("example.com/cleanup"), None)
        );
    }
    // A plan that is written is not in the way of the question.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let planned = [
        "--force-up-to=strip",
        "--dry-run=server",
        "--plan-out",
        file.to_str().unwrap(),
    ];
    let ran = scene.finalize(&planned).expect(0);
    ran.says("1 step written to").says("(server dry run: it would be done)");
    // What would not suffice is said as the run would say it.
    wait_for("the deletion to be old enough", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--force-up-to=repair", "--dry-run"]);
        let held = ran.code == Some(4) && ran.text().contains("re-run with --force-up-to=strip");
        held.then_some(())
    });
    let held = scene.cluster.get("v1/ConfigMap", "tried", "a").unwrap();
    assert_eq!(held["metadata"]["finalizers"], json!(["example.com/cleanup"]));
    // Switches are typed as for kubectl.
    scene.mended(&["--force-up-to=strip", "--even-if-alive=false", "--dry-run=none"]);
}

/// Who takes a finalizer off may not have come by yet.
#[test]
fn nothing_is_stripped_at_once() {
    let scene = Scene::new("at-once");
    scene.config_map("a", &["example.com/cleanup"]);
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", "at-once", "--wait=false"]);
    let early = finalize(
        scene.cluster,
        &["cm/a", "-n", "at-once", "--force-up-to=strip", "--timeout=3s"],
    );
    let early = early.expect(5);
    early.says("re-run with more time (--timeout)");
    // The last state is the result, also where it is not the one that was hoped for.
    assert!(
        early.stdout.starts_with("configmap at-once/a has been Terminating for")
            && early
                .stdout
                .contains("1 cause holds it\n* configmap at-once/a waits for"),
        "{}",
        early.text()
    );
    let held = scene.cluster.get("v1/ConfigMap", "at-once", "a").unwrap();
    assert_eq!(held["metadata"]["finalizers"], json!(["example.com/cleanup"]));
    let ran = finalize(
        scene.cluster,
        &["cm/a", "-n", "at-once", "--force-up-to=strip", "-o", "json"],
    );
    let document: Value = serde_json::from_str(&ran.expect(0).stdout).unwrap();
    let saved = document["saved"].as_str().unwrap();
    assert!(std::path::Path::new(saved).is_dir(), "{document}");
    assert_eq!(
        (&document["state"], &document["dryRun"]),
        (&json!("gone"), &json!("none"))
    );
}
