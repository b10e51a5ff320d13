//! What is known about finalizers.

use crate::{kit::finalize, scene::whole};

#[test]
fn explain_a_finalizer_of_kubernetes() {
    let ran = finalize(whole(), &["explain", "kubernetes.io/pvc-protection"]).expect(0);
    let ran = ran.says("kube-controller-manager").says("right way");
    ran.says("https://");
}

#[test]
fn explain_one_that_nobody_knows() {
    let ran = finalize(whole(), &["explain", "example.com/unheard-of"]).expect(1);
    ran.says("nothing is known about the finalizer \"example.com/unheard-of\"");
}

#[test]
fn explain_to_a_program() {
    let args = ["explain", "kubernetes.io/pvc-protection", "-o"];
    let ran = finalize(whole(), &[&args[..], &["json"]].concat()).expect(0);
    let document = ran.json();
    assert_eq!(document["kind"], "Explanation");
    assert_eq!(document["entries"][0]["kinds"][0], "PersistentVolumeClaim");
    assert_eq!(document["entries"][0]["part_of"], "kube-controller-manager");
    // Its entries are what --knowledge reads.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("own.yaml");
    let entries = serde_json::json!(document["entries"]);
    std::fs::write(&file, entries.to_string()).unwrap();
    let own = format!("--knowledge={}", file.display());
    finalize(whole(), &[&args[..2], &[&own]].concat()).expect(0);
    finalize(whole(), &[&args[..], &["yaml"]].concat())
        .expect(0)
        .says("kind: Explanation\n");
}
