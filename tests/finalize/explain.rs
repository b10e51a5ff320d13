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
