//! Objects that nobody can read: damaged, encrypted with a key that is lost, or nested too deep.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, wait_for};

use super::elsewhere::{AT_ONCE, config_map, deleted, etcdctl, started, until};
use crate::{
    kit::{finalize, kubectl, kubectl_in},
    scene::{Scene, alone},
};

/// Nobody can read it, so nobody can delete it.
#[test]
fn r27_a_secret_that_is_damaged_in_etcd() {
    let cluster = alone();
    let ns = cluster.namespace("damaged");
    ns.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}));
    config_map(&cluster, "damaged", "c", &[]);
    etcdctl(&cluster, &["put", "/registry/secrets/damaged/s", "no secret"]);
    // In a version that no API server knows.
    let unknown = r#"{"kind":"ConfigMap","apiVersion":"v9","metadata":{"name":"c"}}"#;
    etcdctl(&cluster, &["put", "/registry/configmaps/damaged/c", unknown]);
    deleted(&cluster, "damaged");
    let says = "the API server cannot read the secrets of namespace damaged from its storage";
    let ran = until(&cluster, &["ns", "damaged", "--dry-run"], says);
    ran.says("the API server cannot read the configmaps of namespace damaged from its storage")
        .says("it is stored at /registry/secrets/damaged/NAME")
        .says("etcdctl del /registry/secrets/damaged/NAME")
        .says_nothing_of("nothing holds it")
        .says("ignoreStoreReadErrorWithClusterBreakingPotential")
        .says("AllowUnsafeMalformedObjectDeletion");
    let ran = finalize(&cluster, &["ns", "damaged", "--force-up-to=strip"]).expect(4);
    assert!(ran.took < AT_ONCE, "{}", ran.text());
    until(
        &cluster,
        &["scan"],
        "the API server cannot read secrets from its storage",
    );
    // What is said helps.
    for key in ["/registry/secrets/damaged/s", "/registry/configmaps/damaged/c"] {
        etcdctl(&cluster, &["del", key]);
    }
    finalize(&cluster, &["ns", "damaged"]).expect(0);
}

fn encryption(key: &str) -> String {
    // 32 bytes in base64.
    let secret = key.repeat(43) + "=";
    json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [{"resources": ["secrets"],
        "providers": [{"aescbc": {"keys": [{"name": "k", "secret": secret}]}}, {"identity": {}}]}]})
    .to_string()
}

#[test]
fn r27_an_encryption_key_that_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("encryption.json");
    std::fs::write(&file, encryption("A")).unwrap();
    let args = [format!("--encryption-provider-config={}", file.display())];
    let cluster = started(&args, &[]);
    let ns = cluster.namespace("keyless");
    ns.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}));
    std::fs::write(&file, encryption("B")).unwrap();
    cluster.apiserver().relaunch();
    wait_for("the API server to answer", DEFAULT_TIMEOUT, || {
        let ran = finalize(&cluster, &["ns", "keyless", "--dry-run", "--timeout=5s"]);
        ran.text().contains("is not being deleted").then_some(())
    });
    deleted(&cluster, "keyless");
    let says = "the API server cannot read the secrets of namespace keyless from its storage";
    let ran = until(&cluster, &["ns", "keyless", "--dry-run"], says);
    ran.says("restore the key with which it was encrypted in the file of --encryption-provider-config")
        .says("it is stored at /registry/secrets/keyless/s");
    let ran = finalize(&cluster, &["ns", "keyless", "--force-up-to=strip"]).expect(4);
    assert!(ran.took < AT_ONCE, "{}", ran.text());
    std::fs::write(&file, encryption("A")).unwrap();
    cluster.apiserver().restart();
    finalize(&cluster, &["ns", "keyless"]).expect(0);
}

/// Objects that a tenant has made too deep for a parser: one is undone, the other named, and neither hides the rest.
#[test]
fn r44_objects_that_nest_too_deep() {
    let scene = Scene::new("r44");
    let definition = crate::custom::define(&scene, "wells", &[crate::custom::version("v1", true)]);
    let held = json!(["example.com/cleanup"]);
    scene.create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "held", "finalizers": held}}));
    let fields = format!("{}{{}}{}", "{\"f:a\":".repeat(400), "}".repeat(400));
    let fields = format!(
        r#"{{"metadata":{{"managedFields":[{{"manager":"tenant","operation":"Update","apiVersion":"rbac.authorization.k8s.io/v1",
            "fieldsType":"FieldsV1","time":"9999-12-31T23:59:59Z","fieldsV1":{fields}}}]}}}}"#
    );
    kubectl(
        scene.cluster,
        &[
            "patch",
            "role",
            "held",
            "-n",
            &scene.name,
            "--type=merge",
            "-p",
            &fields,
        ],
    );
    let deep = format!("{}{}", "[".repeat(400), "]".repeat(400));
    let well = format!(
        r#"{{"apiVersion":"r44.example.com/v1","kind":"Kindwells","metadata":{{"name":"deep","namespace":"r44","finalizers":{held}}},
            "spec":{deep}}}"#
    );
    kubectl_in(scene.cluster, &["create", "-f", "-"], &well);
    scene.delete();
    let ran = scene.mended(&["--force-up-to=strip"]);
    ran.says("spec of well.r44.example.com r44/deep cannot be read: it nests too deep");
    // What was saved is all of it, and kubectl takes it.
    let folder = crate::restore::folder(&ran);
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let file = files
        .filter(|file| file.is_file() && file.display().to_string().contains("deep"))
        .min()
        .unwrap();
    assert!(std::fs::read_to_string(&file).unwrap().contains(&deep));
    scene.cluster.namespace("r44");
    finalize(scene.cluster, &["restore", &folder, "--yes"])
        .expect(1)
        .says("nests too deep to be restored from here")
        .says(&format!("'kubectl create -f {}' creates it again", file.display()));
    kubectl(scene.cluster, &["create", "-f", &file.display().to_string()]);
    scene.delete();
    scene.mended(&[]);
    scene.cluster.delete(crate::custom::KIND, "", &definition);
}
