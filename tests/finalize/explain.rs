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
    let own = format!("--knowledge={}", file.display());
    let yaml = finalize(whole(), &[&args[..], &["yaml"]].concat()).expect(0);
    yaml.says("kind: Explanation\n");
    for text in [document["entries"].to_string(), yaml.stdout] {
        std::fs::write(&file, text).unwrap();
        finalize(whole(), &[&args[..2], &[&own]].concat()).expect(0);
    }
    std::fs::write(&file, "kind: Something\n").unwrap();
    let ran = finalize(whole(), &[&args[..2], &[&own]].concat()).expect(2);
    ran.says("own.yaml is no list of finalizers\n  cause: line 1 column 1: ");
}
