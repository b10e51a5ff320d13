//! What a run has changed or deleted comes back.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{Ran, command, finalize, kubectl, run},
    scene::Scene,
};

/// The folder that the run has named.
pub fn folder(ran: &Ran) -> String {
    let said = ran
        .stderr
        .lines()
        .find_map(|l| l.strip_prefix("what was changed is saved in "));
    said.unwrap_or_else(|| panic!("{}", ran.text())).to_owned()
}

#[test]
fn restored_is_what_was_stripped() {
    let scene = Scene::new("restored");
    scene.config_map("a", &["example.com/cleanup"]);
    kubectl(
        scene.cluster,
        &["-n", "restored", "patch", "cm", "a", "-p", r#"{"data": {"k": "kept"}}"#],
    );
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", "restored", "--wait=false"]);
    let ran = finalize(scene.cluster, &["cm/a", "-n", "restored", "--force-up-to=strip"]).expect(0);
    let folder = folder(&ran);
    assert!(scene.cluster.get("v1/ConfigMap", "restored", "a").is_none());
    finalize(scene.cluster, &["restore", &folder]).expect(3).says("--yes");
    let ran = finalize(scene.cluster, &["restore", &folder, "--dry-run"]).expect(0);
    ran.says("configmap restored/a created (dry run)");
    assert!(scene.cluster.get("v1/ConfigMap", "restored", "a").is_none());
    finalize(scene.cluster, &["restore", &folder, "--yes"])
        .expect(0)
        .says("configmap restored/a created");
    let back = wait_for("the object", DEFAULT_TIMEOUT, || {
        scene.cluster.get("v1/ConfigMap", "restored", "a")
    });
    assert_eq!(back["data"]["k"], "kept");
    assert!(back["metadata"]["finalizers"].is_null(), "{back}");
    // It is another object now.
    let ran = finalize(scene.cluster, &["restore", &folder, "--yes"]).expect(0);
    ran.says("is another object by now");
}

/// What was in a namespace comes back with it.
#[test]
fn restored_with_its_namespace() {
    let scene = Scene::new("remade");
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
    let ran = scene.mended(&["--force-up-to=strip"]);
    let folder = folder(&ran);
    let ran = finalize(scene.cluster, &["restore", &folder, "--dry-run"]).expect(0);
    ran.says("namespace/remade created (dry run)")
        .says("configmap remade/a created (dry run)");
    assert!(scene.is_gone());
    let ran = finalize(scene.cluster, &["restore", &folder, "--yes"]).expect(0);
    ran.says("namespace/remade created").says("configmap remade/a created");
    assert!(scene.cluster.get("v1/ConfigMap", "remade", "a").is_some());
}

/// What another run had taken out of the way when it was saved is not brought back.
#[test]
fn restored_is_nothing_that_was_neutralised() {
    let scene = Scene::new("whole-again");
    let kind = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";
    let made = scene.cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "whole-again"}, "webhooks": [{"name": "dead.example.com", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "rules": [],
        "clientConfig": {"service": {"namespace": "default", "name": "nope"}}}]}),
    );
    let mut saved = made.clone();
    saved["apiVersion"] = json!("admissionregistration.k8s.io/v1");
    saved["kind"] = json!("ValidatingWebhookConfiguration");
    saved["webhooks"][0]["failurePolicy"] = json!("Ignore");
    let record = json!({"fields": [{"field": "failurePolicy", "webhook": "dead.example.com", "was": "Fail",
        "needed": [{"target": "namespaces/old", "until": "2020-01-01T00:00:00Z"}]}]});
    saved["metadata"]["annotations"] = json!({"kubectl-upkeep/neutralised": record.to_string()});
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("001-x.json"), saved.to_string()).unwrap();
    let path = folder.path().to_str().unwrap();
    finalize(scene.cluster, &["restore", path, "--yes"])
        .expect(0)
        .says("is as it was");
    let now = scene.cluster.get(kind, "", "whole-again").unwrap();
    assert_eq!(now["webhooks"], made["webhooks"]);
    assert!(now["metadata"]["annotations"].is_null(), "{now}");
    scene.cluster.delete(kind, "", "whole-again");
}

#[test]
fn restored_from_nothing() {
    let cluster = crate::scene::whole();
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    finalize(cluster, &["restore", path])
        .expect(1)
        .says("nothing is saved in");
    finalize(cluster, &["restore", &format!("{path}/nowhere")])
        .expect(1)
        .says("cannot read the folder");
    std::fs::write(empty.path().join("001-x.json"), "garbage").unwrap();
    finalize(cluster, &["restore", path])
        .expect(1)
        .says("001-x.json is not JSON");
}

/// What is restored is written with the user's rights, so that nobody else may have had the pen.
#[test]
fn r53_what_others_can_write_is_not_restored() {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    let scene = Scene::new("whose-backup");
    let dir = tempfile::tempdir().unwrap();
    let (run, raw) = (dir.path().join("run"), dir.path().join("run/raw"));
    fs::create_dir_all(&raw).unwrap();
    let file = raw.join("001-configmap-whose-backup-planted.json");
    let planted =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "planted", "namespace": "whose-backup"}});
    fs::write(&file, planted.to_string()).unwrap();
    let folder = run.display().to_string();
    let refused = |why: String| {
        let ran = finalize(scene.cluster, &["restore", &folder, "--yes"]).expect(3);
        ran.says(&format!("will not restore from here: {why}; nothing was changed"));
        assert!(scene.cluster.get("v1/ConfigMap", "whose-backup", "planted").is_none());
    };
    // The folder above that of the run, the folder, the file.
    for (path, usual) in [(dir.path(), 0o700), (&run, 0o700), (&raw, 0o700), (&file, 0o600)] {
        let mode = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let open = usual | 0o022;
        mode(open);
        refused(format!(
            "{} can be written to by everybody (mode {open:04o})",
            path.display()
        ));
        mode(usual);
        // Only root can give something away.
        if std::os::unix::fs::chown(path, Some(1234), None).is_ok() {
            refused(format!("{} belongs to uid 1234", path.display()));
            std::os::unix::fs::chown(path, Some(0), None).unwrap();
        }
    }
    finalize(scene.cluster, &["restore", &folder, "--yes"])
        .expect(0)
        .says("configmap whose-backup/planted created");
}

/// Nothing is changed that would have to be saved where others can write.
#[test]
fn r53_nothing_is_saved_below_a_folder_of_others() {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    let scene = Scene::new("open-state");
    scene.config_map("a", &["example.com/cleanup"]);
    kubectl(
        scene.cluster,
        &["delete", "cm", "a", "-n", "open-state", "--wait=false"],
    );
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let state = dir.path().join("state").display().to_string();
    let mut command = command(scene.cluster, &["cm/a", "-n", "open-state", "--force-up-to=strip"]);
    command.env("XDG_STATE_HOME", &state);
    let ran = run(command);
    let text = ran.text();
    assert_ne!(ran.code, Some(0), "{text}");
    assert!(
        text.contains(&format!(
            "{} can be written to by everybody (mode 0777)",
            dir.path().display()
        )),
        "{text}"
    );
    assert!(
        text.contains("set XDG_STATE_HOME to a folder that only you can write to"),
        "{text}"
    );
    let object = scene.cluster.get("v1/ConfigMap", "open-state", "a").unwrap();
    assert_eq!(object["metadata"]["finalizers"][0], "example.com/cleanup", "{object}");
}
