//! A namespace that does not go away, for the demo and for the worked examples.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::Cluster;

impl Cluster {
    /// The namespace `legacy`, deleted, and held by a webhook that nobody answers for any more and by a finalizer whose
    /// controller is gone.
    ///
    /// # Panics
    /// The cluster does not take any of it.
    pub fn strand_namespace(&self) {
        let ns = self.namespace("legacy");
        // As its controller did, when it was there.
        let held = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "orders", "namespace": "legacy", "finalizers": ["shop.example.com/cleanup"]}});
        let mut kubectl = Command::new(self.kubectl())
            .env("KUBECONFIG", self.kubeconfig())
            .args(["create", "--field-manager=shop-operator", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = kubectl.stdin.take().expect("its stdin");
        stdin.write_all(held.to_string().as_bytes()).expect("kubectl reads");
        drop(stdin);
        let status = kubectl.wait().expect("kubectl ends");
        assert!(status.success(), "kubectl create: {status}");
        ns.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password"}}));
        self.create(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "guard"}, "webhooks": [{"name": "guard.example.com", "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
                "clientConfig": {"service": {"namespace": "legacy", "name": "guard"}},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "legacy"}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["secrets"]}]}]}));
        self.delete("v1/Namespace", "", "legacy");
    }
}
