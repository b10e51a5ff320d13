//! Plan files, --yes and --knowledge.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{finalize, kubectl},
    scene::Scene,
};

/// Old enough for whatever may be done.
fn held(scene: &Scene) {
    scene.config_map("a", &["example.com/cleanup"]);
    scene.delete();
}

fn finalizers(scene: &Scene, name: &str) -> Value {
    scene.cluster.get("v1/ConfigMap", &scene.name, name).unwrap()["metadata"]["finalizers"].clone()
}

/// As everywhere else; how much force may be used is said by `--force-up-to`.
#[test]
fn r30_yes_is_accepted() {
    let scene = Scene::new("r30");
    held(&scene);
    let ran = scene.finalize(&["--yes", "--timeout=60s"]).expect(4);
    ran.says("re-run with --force-up-to=strip to try the next step");
    assert_eq!(finalizers(&scene, "a"), json!(["example.com/cleanup"]));
    scene.finalize(&["-y", "--force-up-to=wait"]).expect(4);
    scene.mended(&["--yes", "--force-up-to=strip"]);
}

/// Also where nothing is to be asked.
#[test]
fn r30_yes_of_what_only_looks_is_a_mistake() {
    let scene = Scene::new("r30-looks");
    for args in [
        &["scan", "--yes"][..],
        &["preflight", "ns", "r30-looks", "-y"],
        &["explain", "x", "--yes"],
    ] {
        finalize(scene.cluster, args)
            .expect(2)
            .says("--yes does not belong here");
    }
    scene.finalize(&["--yes=false", "--dry-run"]).expect(0);
}

/// What the file says of a change is not what is shown, and what it says of force is not what is used.
#[test]
fn r51_a_plan_file_brings_no_words_and_no_force() {
    let scene = Scene::new("r51");
    held(&scene);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    let file = path.to_str().unwrap();
    scene.finalize(&["--force-up-to=strip", "--plan-out", file]).expect(0);
    let mut plan: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(plan.get("evenIfAlive").is_none(), "{plan}");
    plan["evenIfAlive"] = json!(true);
    plan["forceUpTo"] = json!("finalize");
    plan["steps"][0]["what"] = json!("wait a little");
    plan["steps"][0]["cause"] = json!("nothing in particular");
    std::fs::write(&path, plan.to_string()).unwrap();
    // Nobody can be asked here.
    let apply = |args: &[&str]| finalize(scene.cluster, &[&["--apply", file], args].concat());
    wait_for("the deletion to be old enough", DEFAULT_TIMEOUT, || {
        let ran = apply(&["--force-up-to=strip", "--dry-run"]).expect(0);
        ran.says("configmap r51/a waits for")
            .says("strip: configmap r51/a: remove example.com/cleanup (dry run)")
            .says_nothing_of("wait a little")
            .says_nothing_of("nothing in particular");
        let age = scene.cluster.get("v1/Namespace", "", "r51")?["metadata"]["deletionTimestamp"].clone();
        let age = age.as_str()?.parse::<k8s_openapi::jiff::Timestamp>().ok()?;
        (k8s_openapi::jiff::Timestamp::now().duration_since(age).as_secs() > 15).then_some(())
    });
    let ran = apply(&["--force-up-to=strip"]).expect(3);
    ran.says("the changes of the plan have to be confirmed; nothing was changed")
        .says("--yes");
    // No force but that of the flags.
    apply(&["--yes"])
        .expect(4)
        .says("re-run with --force-up-to=strip to try the next step");
    apply(&["--yes", "--force-up-to=narrow"]).expect(4);
    assert_eq!(finalizers(&scene, "a"), json!(["example.com/cleanup"]));
    let ran = apply(&["--yes", "--force-up-to=strip"]).expect(0);
    ran.says("strip: configmap r51/a: remove example.com/cleanup")
        .says_nothing_of("wait a little");
    assert!(scene.is_gone());
}

/// A controller that is alive keeps its finalizer, whatever the file says.
#[test]
fn r51_a_plan_file_does_not_say_even_if_alive() {
    let scene = Scene::new("r51-alive");
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data",
        "finalizers": ["kubernetes.io/pvc-protection"]}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    let node = "live-0";
    scene.create(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user", "finalizers": ["example.com/cleanup"]},
        "spec": {"nodeName": node, "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [{"name": "c", "image": "i"}]}}),
    );
    kubectl(
        scene.cluster,
        &["delete", "pvc", "data", "-n", "r51-alive", "--wait=false"],
    );
    let claim = scene
        .cluster
        .get("v1/PersistentVolumeClaim", "r51-alive", "data")
        .unwrap();
    let key = |plural: &str, name: &str| json!({"group": "", "plural": plural, "namespace": "r51-alive", "name": name});
    let change = json!({"strip": {"key": key("persistentvolumeclaims", "data"), "uid": claim["metadata"]["uid"],
        "finalizer": "kubernetes.io/pvc-protection"}});
    let plan = json!({"kind": "FinalizePlan", "version": 1, "target": key("persistentvolumeclaims", "data"),
        "uid": claim["metadata"]["uid"], "evenIfAlive": true,
        "steps": [{"cause": "c", "what": "w", "change": change}]});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    std::fs::write(&path, plan.to_string()).unwrap();
    let mark = scene.cluster.audit().mark();
    let args = [
        "--apply",
        path.to_str().unwrap(),
        "--yes",
        "--force-up-to=finalize",
        "--timeout=25s",
    ];
    let ran = finalize(scene.cluster, &args);
    assert!(matches!(ran.code, Some(4 | 5)), "{}", ran.text());
    let writes = scene.cluster.audit().since(mark, "kubectl-finalize");
    assert!(
        !writes
            .iter()
            .any(|r| r.is_write() && r.resource == "persistentvolumeclaims"),
        "{writes:?}"
    );
    let claim = scene
        .cluster
        .get("v1/PersistentVolumeClaim", "r51-alive", "data")
        .unwrap();
    assert_eq!(claim["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let free = r#"{"metadata": {"finalizers": null}}"#;
    kubectl(
        scene.cluster,
        &["patch", "pod", "user", "-n", "r51-alive", "--type=merge", "-p", free],
    );
}

/// A plan names objects of whole clusters: it is for its owner, and goes nowhere but where it was said to.
#[test]
fn r51_a_plan_is_a_new_file_that_only_its_owner_may_read() {
    let scene = Scene::new("r51-file");
    held(&scene);
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    let link = folder.path().join("link.json");
    symlink(&victim, &link).unwrap();
    let dangling = folder.path().join("dangling.json");
    symlink(folder.path().join("made"), &dangling).unwrap();
    for there in [&victim, &link, &dangling] {
        let out = scene.finalize(&["--force-up-to=strip", "--plan-out", there.to_str().unwrap()]);
        out.expect(1)
            .says("cannot write")
            .says("name a file that does not exist yet");
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    assert!(!folder.path().join("made").exists());
    let plan = folder.path().join("plan.json");
    scene
        .finalize(&["--force-up-to=strip", "--plan-out", plan.to_str().unwrap()])
        .expect(0);
    assert_eq!(std::fs::metadata(&plan).unwrap().mode() & 0o777, 0o600);
    scene.mended(&["--force-up-to=strip"]);
}

/// A file of others says what they know. It starts nothing.
#[test]
fn r51_knowledge_does_not_start_anything() {
    let scene = Scene::new("r51-known");
    let cluster = scene.cluster;
    let victim = cluster.namespace("r51-victim");
    victim.deployment("break-glass", 0, &testsupport::Shape::new());
    scene.config_map("a", &["r51.example.com/cleanup"]);
    scene.delete();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.yaml");
    let entry = r#"
- finalizers: ["r51.example.com/cleanup"]
  remover: shop-operator
  workloads: ["break-glass"]
  namespaces: [r51-victim]
  protects: that the payment is cancelled
  stripped: the payment stays open
  right: bring shop-operator back
  risk: external
  source: https://shop.example.com/docs
  checked: true
"#;
    std::fs::write(&path, entry).unwrap();
    let knowledge = format!("--knowledge={}", path.display());
    let ran = scene.finalize(&["--force-up-to=evict-user", &knowledge]).expect(4);
    ran.says("only the file of --knowledge says so").says("shop-operator");
    let deployment = victim.get("apps/v1/Deployment", "break-glass").unwrap();
    assert_eq!(deployment["spec"]["replicas"], 0);
    // What every user of the machine may write is not believed at all.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    scene
        .finalize(&["--dry-run", &knowledge])
        .expect(2)
        .says("may be written by every user of this machine");
    scene.mended(&["--force-up-to=strip"]);
    victim.delete("apps/v1/Deployment", "break-glass");
    cluster.delete("v1/Namespace", "", "r51-victim");
}
