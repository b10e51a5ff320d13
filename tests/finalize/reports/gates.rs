//! Policies and webhooks that are asked about the removal of a finalizer, and what was written in spite of them.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Https, Mark, Request, wait_for};

use crate::{kit::kubectl, scene::Scene};

pub const VALIDATING: &str = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";
pub const MUTATING: &str = "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration";
/// Every force that there is.
pub const ALL: [&str; 2] = ["--force-up-to=finalize", "--even-if-alive"];

/// A finalizer may not be removed.
pub const HOLD: &str = "!has(oldObject.metadata.finalizers) || (has(object.metadata.finalizers) && \
                    oldObject.metadata.finalizers.all(f, f in object.metadata.finalizers))";

/// A policy that is asked about updates of a resource in this namespace.
pub fn policy(scene: &Scene, group: &str, resource: &str, expression: &str) -> String {
    let name = format!("{}-hold", scene.name);
    let rule = json!({"apiGroups": [group], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": [resource]});
    scene.cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": {"failurePolicy": "Fail",
        "validations": [{"expression": expression, "message": "User \"anybody\" cannot end a legal hold"}],
        "matchConstraints": {"resourceRules": [rule]}}}),
    );
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.name}}});
    scene.cluster.create(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": here}}));
    name
}

/// A webhook that is asked about this in this namespace.
pub fn webhook(scene: &Scene, kind: &str, client: &Value, operations: &[&str], group: &str, resource: &str) -> String {
    let name = format!("{}-webhook", scene.name);
    let (api, kind) = kind.rsplit_once('/').unwrap();
    scene.cluster.create(
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "webhooks": [
        {"name": format!("{}.example.com", scene.name), "sideEffects": "None", "admissionReviewVersions": ["v1"],
         "failurePolicy": "Fail", "clientConfig": client, "timeoutSeconds": 2,
         "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.name}},
         "rules": [{"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": [resource],
             "scope": "Namespaced"}]}]}),
    );
    name
}

pub fn client(backend: &Https) -> Value {
    json!({"url": backend.url(), "caBundle": backend.ca_bundle()})
}

/// A Service that does not exist.
pub fn nobody() -> Value {
    json!({"service": {"namespace": "default", "name": "nope"}})
}

pub fn entries(scene: &Scene, kind: &str, name: &str) -> Value {
    scene.cluster.get(kind, "", name).unwrap()["webhooks"].clone()
}

/// What the server says to the removal of all finalizers, as a dry run of kubectl.
pub fn removal(scene: &Scene, object: &[&str]) -> String {
    let mut command = assert_cmd::Command::new(scene.cluster.kubectl());
    command.env("KUBECONFIG", scene.cluster.kubeconfig());
    command.args(["patch", "--dry-run=server", "--type=merge", "-n", &scene.name]);
    command
        .args(["-p", r#"{"metadata": {"finalizers": null}}"#])
        .args(object);
    let said = command.output().unwrap();
    String::from_utf8_lossy(&said.stderr).into_owned()
}

/// Waits until the server refuses it in these words.
pub fn refused(scene: &Scene, object: &[&str], words: &str) {
    wait_for("the server to refuse the removal", DEFAULT_TIMEOUT, || {
        removal(scene, object).contains(words).then_some(())
    });
}

/// What the plugin has changed since, dry runs and reviews aside.
pub fn writes(scene: &Scene, mark: Mark) -> Vec<Request> {
    let mut asked = scene.cluster.audit().since(mark, "kubectl-finalize");
    asked.retain(|r| r.is_write() && !r.is_dry_run() && !r.resource.starts_with("selfsubject"));
    // Other tests are at work on other namespaces, and what is for one of them has its name.
    asked.retain(|r| r.namespace == scene.name || r.name.starts_with(&scene.name));
    asked
}

/// An Ingress, which has a subresource `status`, that is being deleted and has this finalizer.
pub fn ingress(scene: &Scene) {
    scene.create(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web",
        "finalizers": ["example.com/legal-hold"]}, "spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}}}));
    kubectl(
        scene.cluster,
        &["delete", "ingress", "web", "-n", &scene.name, "--wait=false"],
    );
}

pub fn is_held(scene: &Scene, kind: &str, name: &str) {
    let held = scene.cluster.get(kind, &scene.name, name).expect("it is still there");
    assert!(held["metadata"]["finalizers"].is_array(), "{held}");
}
