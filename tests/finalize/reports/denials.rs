//! What refuses the removal of a finalizer: denials, which are final, and webhooks, rules and certificates that are broken.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Https, Mark, Request, wait_for};

use crate::{
    custom::{KIND as DEFINITION, define, version},
    kit::{Ran, command, finalize, kubectl, run},
    scene::Scene,
};

const VALIDATING: &str = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";
const MUTATING: &str = "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration";
/// Every force that there is.
const ALL: [&str; 2] = ["--force-up-to=finalize", "--even-if-alive"];

/// A finalizer may not be removed.
const HOLD: &str = "!has(oldObject.metadata.finalizers) || (has(object.metadata.finalizers) && \
                    oldObject.metadata.finalizers.all(f, f in object.metadata.finalizers))";

/// A policy that is asked about updates of a resource in this namespace.
fn policy(scene: &Scene, group: &str, resource: &str, expression: &str) -> String {
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
fn webhook(scene: &Scene, kind: &str, client: &Value, operations: &[&str], group: &str, resource: &str) -> String {
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

fn client(backend: &Https) -> Value {
    json!({"url": backend.url(), "caBundle": backend.ca_bundle()})
}

/// A Service that does not exist.
fn nobody() -> Value {
    json!({"service": {"namespace": "default", "name": "nope"}})
}

fn entries(scene: &Scene, kind: &str, name: &str) -> Value {
    scene.cluster.get(kind, "", name).unwrap()["webhooks"].clone()
}

/// What the server says to the removal of all finalizers, as a dry run of kubectl.
fn removal(scene: &Scene, object: &[&str]) -> String {
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
fn refused(scene: &Scene, object: &[&str], words: &str) {
    wait_for("the server to refuse the removal", DEFAULT_TIMEOUT, || {
        removal(scene, object).contains(words).then_some(())
    });
}

/// What the plugin has changed since, dry runs and reviews aside.
fn writes(scene: &Scene, mark: Mark) -> Vec<Request> {
    let mut asked = scene.cluster.audit().since(mark, "kubectl-finalize");
    asked.retain(|r| r.is_write() && !r.is_dry_run() && !r.resource.starts_with("selfsubject"));
    // Other tests are at work on other namespaces, and what is for one of them has its name.
    asked.retain(|r| r.namespace == scene.name || r.name.starts_with(&scene.name));
    asked
}

/// An Ingress, which has a subresource `status`, that is being deleted and has this finalizer.
fn ingress(scene: &Scene) {
    scene.create(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web",
        "finalizers": ["example.com/legal-hold"]}, "spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}}}));
    kubectl(
        scene.cluster,
        &["delete", "ingress", "web", "-n", &scene.name, "--wait=false"],
    );
}

fn is_held(scene: &Scene, kind: &str, name: &str) {
    let held = scene.cluster.get(kind, &scene.name, name).expect("it is still there");
    assert!(held["metadata"]["finalizers"].is_array(), "{held}");
}

const INGRESS: &str = "networking.k8s.io/v1/Ingress";

/// Nothing is written: not to the object, not to its status, and no namespace is touched.
#[track_caller]
fn is_final(scene: &Scene, target: &[&str], who: &str) -> Ran {
    let mark = scene.cluster.audit().mark();
    let ran = finalize(scene.cluster, &[target, &ALL, &["-o", "json"]].concat()).expect(4);
    let causes = ran.json()["causes"].clone();
    let denied = causes.as_array().unwrap().iter().find(|c| c["id"] == "denied");
    let denied = denied.unwrap_or_else(|| panic!("{causes:#}"));
    assert!(denied["says"].as_str().unwrap().contains(who), "{denied:#}");
    let written = writes(scene, mark);
    assert!(written.is_empty(), "{written:#?}");
    ran
}

#[test]
fn r20_a_policy_that_keeps_a_finalizer() {
    let scene = Scene::new("r20-policy");
    ingress(&scene);
    let name = policy(&scene, "networking.k8s.io", "ingresses", HOLD);
    refused(&scene, &["ingress", "web"], &name);
    let who = format!("the ValidatingAdmissionPolicy {name} with the binding {name} does not allow UPDATE");
    is_final(&scene, &["ingress/web", "-n", "r20-policy"], &who);
    // Nor is it promised.
    let ran = finalize(scene.cluster, &["ingress/web", "-n", "r20-policy", "--dry-run=server"]).expect(0);
    ran.says(&who).says_nothing_of("re-run with");
    // Its namespace is held by it as well, and is not even touched to be looked at again.
    scene.delete();
    is_final(&scene, &["ns", "r20-policy"], &who);
    is_held(&scene, INGRESS, "web");
    kubectl(scene.cluster, &["delete", "validatingadmissionpolicybinding", &name]);
    wait_for("the policy to be out of force", DEFAULT_TIMEOUT, || {
        removal(&scene, &["ingress", "web"]).is_empty().then_some(())
    });
    scene.mended(&["--force-up-to=strip"]);
    kubectl(scene.cluster, &["delete", "validatingadmissionpolicy", &name]);
}

/// Who denies chooses the status of the answer, and its words: 404 "not found", 409, 429, or what the server says of a dead one.
#[test]
fn r20_a_webhook_that_denies_with_any_status() {
    let scene = Scene::new("r20-webhook");
    ingress(&scene);
    let denial = std::sync::Arc::new(std::sync::Mutex::new((403, String::from("legal hold"))));
    let says = denial.clone();
    let backend = Https::start(move |asked| {
        let (code, message) = says.lock().unwrap().clone();
        let status = json!({"message": message, "code": code, "reason": "NotFound"});
        Some(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": asked.body["request"]["uid"], "allowed": false, "status": status}}))
    });
    let name = webhook(
        &scene,
        VALIDATING,
        &client(&backend),
        &["UPDATE"],
        "networking.k8s.io",
        "ingresses",
    );
    let before = entries(&scene, VALIDATING, &name);
    refused(&scene, &["ingress", "web"], "legal hold");
    for (code, message) in [
        (403, "legal hold"),
        (404, "ingresses.networking.k8s.io \"web\" not found"),
        (409, "the object has been modified"),
        (
            422,
            "Ingress.networking.k8s.io \"web\" is invalid: spec: Required value",
        ),
        (429, "later"),
        (
            500,
            "Internal error occurred: failed calling webhook \"r20-webhook.example.com\": it is down",
        ),
    ] {
        *denial.lock().unwrap() = (code, message.to_owned());
        let who = "the webhook r20-webhook.example.com does not allow UPDATE";
        is_final(&scene, &["ingress/web", "-n", "r20-webhook"], who);
    }
    is_held(&scene, INGRESS, "web");
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
}

/// The parameter of the policy was deleted with the rest of the namespace.
#[test]
fn r20_a_policy_whose_parameter_went_with_the_namespace() {
    let scene = Scene::new("r20-param");
    let name = "r20-param-hold";
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["services"]});
    scene.cluster.create(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": {"failurePolicy": "Fail", "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "params.data.hold != 'yes'"}], "matchConstraints": {"resourceRules": [rule]}}}));
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.name}}});
    scene.cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": here,
        "paramRef": {"name": "settings", "namespace": "r20-param", "parameterNotFoundAction": "Deny"}}}),
    );
    scene.create(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"hold": "no"}}),
    );
    scene.create(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kept", "finalizers": ["example.com/hold"]},
        "spec": {"ports": [{"port": 80}]}}),
    );
    scene.delete();
    refused(&scene, &["service", "kept"], "no params found");
    let ran = is_final(
        &scene,
        &["ns", "r20-param"],
        "the ValidatingAdmissionPolicy r20-param-hold",
    );
    let text = ran.json().to_string();
    assert!(
        text.contains("its parameter settings in the namespace r20-param is missing"),
        "{text}"
    );
    assert!(
        text.contains("kubectl edit validatingadmissionpolicybinding r20-param-hold"),
        "{text}"
    );
    is_held(&scene, "v1/Service", "kept");
    kubectl(scene.cluster, &["delete", "validatingadmissionpolicybinding", name]);
    kubectl(scene.cluster, &["delete", "validatingadmissionpolicy", name]);
}

/// The policy is only asked once the webhook before it is out of the way: through the status nobody would ever ask it.
#[test]
fn r20_a_policy_behind_a_dead_webhook() {
    let scene = Scene::new("r20-behind");
    ingress(&scene);
    let hold = policy(&scene, "networking.k8s.io", "ingresses", HOLD);
    refused(&scene, &["ingress", "web"], &hold);
    let name = webhook(
        &scene,
        MUTATING,
        &nobody(),
        &["UPDATE"],
        "networking.k8s.io",
        "ingresses",
    );
    let before = entries(&scene, MUTATING, &name);
    refused(&scene, &["ingress", "web"], "failed calling webhook");
    wait_for("the deletion to be old enough", DEFAULT_TIMEOUT, || {
        let ran = finalize(
            scene.cluster,
            &["ingress/web", "-n", "r20-behind", "--dry-run", "--force-up-to=strip"],
        );
        ran.says_nothing_of("strip:");
        ran.text().contains("neutralise:").then_some(())
    });
    let mark = scene.cluster.audit().mark();
    let ran = finalize(
        scene.cluster,
        &[&["ingress/web", "-n", "r20-behind"][..], &ALL].concat(),
    )
    .expect(4);
    ran.says("neutralise:")
        .says(&format!("the ValidatingAdmissionPolicy {hold}"));
    let written = writes(&scene, mark);
    let to_it = written.iter().filter(|r| r.resource == "ingresses").count();
    assert_eq!(to_it, 0, "{written:#?}");
    is_held(&scene, INGRESS, "web");
    assert_eq!(entries(&scene, MUTATING, &name), before);
    scene.cluster.delete(MUTATING, "", &name);
    kubectl(scene.cluster, &["delete", "validatingadmissionpolicybinding", &hold]);
    kubectl(scene.cluster, &["delete", "validatingadmissionpolicy", &hold]);
}

/// Another path: an entry in `spec.finalizers` of a namespace is removed through its subresource `finalize`.
#[test]
fn r20_a_policy_that_keeps_the_finalizer_of_a_namespace() {
    let scene = Scene::new("r20-spec");
    let path = "/api/v1/namespaces/r20-spec/finalize";
    let mut namespace = scene.cluster.get("v1/Namespace", "", "r20-spec").unwrap();
    namespace["spec"]["finalizers"] = json!(["kubernetes", "example.com/hold"]);
    let put = ["replace", "--raw", path, "-f", "-"];
    crate::kit::kubectl_in(scene.cluster, &put, &namespace.to_string());
    scene.delete();
    let expression =
        "request.userInfo.username != 'admin' || object.spec.finalizers.exists(f, f == 'example.com/hold')";
    let hold = policy(&scene, "", "namespaces/finalize", expression);
    wait_for("the policy and the age", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--force-up-to=strip", "--dry-run=server", "--timeout=20s"]);
        ran.text().contains(&hold).then_some(())
    });
    let mark = scene.cluster.audit().mark();
    let ran = scene.finalize(&ALL).expect(4);
    ran.says(&format!(
        "the ValidatingAdmissionPolicy {hold} with the binding {hold} does not allow UPDATE"
    ));
    let written = writes(&scene, mark);
    assert!(written.iter().all(|r| r.subresource.is_empty()), "{written:#?}");
    kubectl(scene.cluster, &["delete", "validatingadmissionpolicybinding", &hold]);
    kubectl(scene.cluster, &["delete", "validatingadmissionpolicy", &hold]);
    wait_for("the namespace to go", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--force-up-to=strip"]);
        (ran.code == Some(0)).then_some(())
    });
}

/// Asked about updates, not about deletions: the removal itself would fail, and there is no status.
#[test]
fn r23_a_dead_webhook_that_is_asked_about_updates() {
    let scene = Scene::new("r23");
    let kind = define(&scene, "orders", &[version("v1", true)]);
    scene.config_map("a", &["example.com/cleanup"]);
    scene.create(
        json!({"apiVersion": "r23.example.com/v1", "kind": "Kindorders", "metadata": {"name": "o",
        "finalizers": ["example.com/cleanup"]}}),
    );
    let name = webhook(&scene, VALIDATING, &nobody(), &["UPDATE"], "*", "*");
    let before = entries(&scene, VALIDATING, &name);
    refused(&scene, &["cm", "a"], "failed calling webhook");
    scene.delete();
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text().contains("and with it").then_some(ran)
    });
    ran.says("the webhook r23.example.com of validatingwebhookconfiguration/r23-webhook does not answer, and UPDATE is refused without it")
        .says("holds configmap r23/a")
        .says("other users are still refused");
    let ran = scene.mended(&["--force-up-to=strip"]);
    ran.says("neutralise:").says("is as it was");
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
    scene.cluster.delete(DEFINITION, "", &kind);
}

/// The controller is alive, and its own updates fail: once the webhook is out of its way nothing more is needed.
#[test]
fn r23_a_dead_webhook_before_a_living_controller() {
    let scene = Scene::new("r23-alive");
    let cluster = scene.cluster;
    let kind = define(&scene, "invoices", &[version("v1", true)]);
    let ops = cluster.namespace("r23-ops");
    // Its ServiceAccount may change the finalizers of the kind, which is how it is known.
    let resources = "invoices.r23-alive.example.com,invoices.r23-alive.example.com/finalizers";
    let rules = [testsupport::Rule::allow("get,list,update,patch", resources)];
    let config = cluster.token_kubeconfig("r23-ops", "keeper", std::time::Duration::from_secs(900), &rules);
    ops.create(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "keeper"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"app": "keeper"}}, "template": {"metadata": {"labels": {"app": "keeper"}},
            "spec": {"serviceAccountName": "keeper", "containers": [{"name": "c", "image": "i"}]}}}}),
    );
    wait_for("the controller to be Ready", DEFAULT_TIMEOUT, || {
        let deployment = cluster.get("apps/v1/Deployment", "r23-ops", "keeper")?;
        (deployment["status"]["readyReplicas"] == 1).then_some(())
    });
    scene.create(
        json!({"apiVersion": "r23-alive.example.com/v1", "kind": "Kindinvoices", "metadata": {"name": "i",
        "finalizers": ["example.com/cleanup"]}}),
    );
    let name = webhook(
        &scene,
        VALIDATING,
        &nobody(),
        &["UPDATE"],
        "r23-alive.example.com",
        "invoices",
    );
    let before = entries(&scene, VALIDATING, &name);
    refused(&scene, &["invoices", "i"], "failed calling webhook");
    scene.delete();
    let ran = wait_for("the cause to be seen", DEFAULT_TIMEOUT, || {
        let ran = scene.finalize(&["--dry-run"]).expect(0);
        ran.text().contains("and with it").then_some(ran)
    });
    ran.says("system:serviceaccount:r23-ops:keeper");
    // As an operator does: it tries all the time.
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                let mut keeper = assert_cmd::Command::new(cluster.kubectl());
                keeper
                    .env("KUBECONFIG", &config)
                    .args(["patch", "invoices", "i", "-n", "r23-alive", "--type=merge"]);
                let _ = keeper.args(["-p", r#"{"metadata": {"finalizers": null}}"#]).output();
                std::thread::sleep(std::time::Duration::from_millis(500));
            }
        });
        let ran = scene.finalize(&["--force-up-to=neutralise"]);
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        ran.expect(0).says("neutralise:").says_nothing_of("strip:");
    });
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
    scene.cluster.delete(DEFINITION, "", &kind);
}

/// A definition with one field that has to be a small number.
fn strict(scene: &Scene, plural: &str, more: Value) -> String {
    let mut only = version("v1", true);
    only["schema"]["openAPIV3Schema"] = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 3}}}}});
    testsupport::merge(&mut only["schema"]["openAPIV3Schema"], more);
    define(scene, plural, &[only])
}

/// It answers, and whatever it is asked about is not valid any more afterwards.
#[test]
fn r29_a_mutating_webhook_that_makes_every_change_invalid() {
    let scene = Scene::new("r29-change");
    let kind = strict(&scene, "boxes", json!({}));
    let object = json!({"apiVersion": "r29-change.example.com/v1", "kind": "Kindboxes", "metadata": {"name": "b",
        "finalizers": ["example.com/cleanup"]}, "spec": {"size": 1}});
    scene.create(object);
    let backend = Https::start(|asked| {
        let patch = json!([{"op": "replace", "path": "/spec/size", "value": 4}]);
        Some(asked.patched(&patch))
    });
    let name = webhook(
        &scene,
        MUTATING,
        &client(&backend),
        &["UPDATE"],
        "r29-change.example.com",
        "boxes",
    );
    let before = entries(&scene, MUTATING, &name);
    refused(&scene, &["boxes", "b"], "spec.size");
    scene.delete();
    let mark = scene.cluster.audit().mark();
    let ran = scene.finalize(&ALL).expect(4);
    ran.says("the server refuses changes of boxe.r29-change.example.com r29-change/b: it would not be valid")
        .says("spec.size")
        .says("the webhook r29-change.example.com of mutatingwebhookconfiguration/r29-change-webhook")
        .says_nothing_of("re-run with")
        .says_nothing_of("kube-controller-manager");
    let to_it = writes(&scene, mark)
        .into_iter()
        .filter(|r| r.resource == "boxes")
        .count();
    assert_eq!(to_it, 0);
    assert_eq!(entries(&scene, MUTATING, &name), before);
    scene.cluster.delete(MUTATING, "", &name);
    wait_for("it to be out of force", DEFAULT_TIMEOUT, || {
        removal(&scene, &["boxes", "b"]).is_empty().then_some(())
    });
    scene.mended(&["--force-up-to=strip"]);
    scene.cluster.delete(DEFINITION, "", &kind);
}

/// The dry run is taken, and shows that the finalizer would still be there.
#[test]
fn r29_a_mutating_webhook_that_writes_the_finalizer_back() {
    let scene = Scene::new("r29-back");
    scene.config_map("a", &["example.com/cleanup"]);
    let backend = Https::start(|asked| {
        let patch = json!([{"op": "add", "path": "/metadata/finalizers", "value": ["example.com/cleanup"]}]);
        Some(asked.patched(&patch))
    });
    let name = webhook(&scene, MUTATING, &client(&backend), &["UPDATE"], "", "configmaps");
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", "r29-back", "--wait=false"]);
    let target = ["cm/a", "-n", "r29-back"];
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let ran = finalize(scene.cluster, &[&target[..], &["--dry-run"]].concat());
        ran.text().contains("is written back while it is removed").then_some(())
    });
    let mark = scene.cluster.audit().mark();
    let ran = finalize(scene.cluster, &[&target[..], &ALL].concat()).expect(4);
    ran.says("the webhook r29-back.example.com of mutatingwebhookconfiguration/r29-back-webhook may do that");
    assert!(writes(&scene, mark).is_empty());
    scene.cluster.delete(MUTATING, "", &name);
}

/// A rule on the root of a definition that no object meets.
#[test]
fn r29_a_rule_that_refuses_every_change() {
    let scene = Scene::new("r29-rule");
    let kind = strict(&scene, "crates", json!({}));
    scene.create(
        json!({"apiVersion": "r29-rule.example.com/v1", "kind": "Kindcrates", "metadata": {"name": "c",
        "finalizers": ["example.com/cleanup"]}, "spec": {"size": 1}}),
    );
    let mut frozen = scene.cluster.get(DEFINITION, "", &kind).unwrap()["spec"]["versions"].clone();
    frozen[0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] =
        json!([{"rule": "!has(self.spec) || self.spec.size > 9", "message": "crates are frozen"}]);
    scene
        .cluster
        .patch(DEFINITION, "", &kind, json!({"spec": {"versions": frozen}}));
    refused(&scene, &["crates", "c"], "crates are frozen");
    scene.delete();
    let ran = scene.finalize(&ALL).expect(4);
    ran.says("crates are frozen")
        .says("in the schema of customresourcedefinition/crates.r29-rule.example.com is not met")
        .says_nothing_of("re-run with");
    let open = json!([{"rule": "true"}]);
    frozen[0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = open;
    scene
        .cluster
        .patch(DEFINITION, "", &kind, json!({"spec": {"versions": frozen}}));
    wait_for("the rule to be out of force", DEFAULT_TIMEOUT, || {
        removal(&scene, &["crates", "c"]).is_empty().then_some(())
    });
    scene.mended(&["--force-up-to=strip"]);
    scene.cluster.delete(DEFINITION, "", &kind);
}

/// What keeps the configuration as it is in Git undoes the exclusion within a second.
#[test]
fn r29_a_configuration_that_is_written_back() {
    let scene = Scene::new("r29-gitops");
    scene.config_map("a", &[]);
    let name = webhook(&scene, VALIDATING, &nobody(), &["DELETE"], "", "configmaps");
    // As if it had been applied from Git.
    let manager = "--field-manager=argocd-controller";
    let mut made = scene.cluster.get(VALIDATING, "", &name).unwrap();
    scene.cluster.delete(VALIDATING, "", &name);
    made["metadata"] = json!({"name": name});
    crate::kit::kubectl_in(scene.cluster, &["create", manager, "-f", "-"], &made.to_string());
    let before = entries(&scene, VALIDATING, &name);
    wait_for("the webhook", DEFAULT_TIMEOUT, || {
        let ran = finalize(scene.cluster, &["cm/a", "-n", "r29-gitops", "--dry-run"]);
        ran.text().contains("r29-gitops.example.com").then_some(())
    });
    scene.delete();
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                if entries(&scene, VALIDATING, &name) != before {
                    let back = json!({"webhooks": before}).to_string();
                    let kind = "validatingwebhookconfiguration";
                    kubectl(
                        scene.cluster,
                        &["patch", kind, &name, "--type=merge", manager, "-p", &back],
                    );
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        });
        let ran = scene.finalize(&["--force-up-to=neutralise"]);
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        ran.expect(4)
            .says("was written back since (its managedFields name argocd-controller, a name that writers choose themselves)")
            .says("suspend what keeps validatingwebhookconfiguration/r29-gitops-webhook as it is");
    });
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
    scene.finalize(&[]).expect(0);
}

/// Up, and no review: a 404, a 500 and a web page are for a person. A certificate that has expired is the same for every request.
#[test]
fn r31_webhooks_that_are_up_and_do_not_review() {
    let scene = Scene::new("r31-up");
    scene.config_map("a", &["example.com/cleanup"]);
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", "r31-up", "--wait=false"]);
    let target = ["cm/a", "-n", "r31-up"];
    let answer = std::sync::Arc::new(std::sync::Mutex::new(Value::Null));
    let says = answer.clone();
    let backend = Https::start(move |_| Some(says.lock().unwrap().clone()));
    let name = webhook(&scene, VALIDATING, &client(&backend), &["UPDATE"], "", "configmaps");
    let before = entries(&scene, VALIDATING, &name);
    for (said, words) in [
        (json!({"code": 404}), "the server could not find the requested resource"),
        (json!({"code": 500}), "has prevented the request from succeeding"),
        (
            json!("<html><title>Welcome</title></html>"),
            "couldn't get version/kind",
        ),
        (json!({"kind": "Other", "apiVersion": "v1"}), "Other"),
    ] {
        *answer.lock().unwrap() = said;
        refused(&scene, &["cm", "a"], "failed calling webhook");
        let mark = scene.cluster.audit().mark();
        let ran = finalize(scene.cluster, &[&target[..], &ALL].concat()).expect(4);
        ran.says("answers, but not with a review")
            .says(words)
            .says_nothing_of("neutralise");
        assert!(writes(&scene, mark).is_empty());
    }
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
    let expired = Https::expired(|asked| Some(asked.patched(&json!([]))));
    let name = webhook(&scene, VALIDATING, &client(&expired), &["UPDATE"], "", "configmaps");
    let before = entries(&scene, VALIDATING, &name);
    refused(&scene, &["cm", "a"], "certificate has expired");
    let ran = finalize(scene.cluster, &[&target[..], &["--force-up-to=strip"]].concat()).expect(0);
    ran.says("is not trusted by the API server")
        .says("certificate has expired")
        .says("renew the certificate");
    assert_eq!(entries(&scene, VALIDATING, &name), before);
    scene.cluster.delete(VALIDATING, "", &name);
}

/// Every kind is listed for what a foreground deletion waits for; the old form of EndpointSlices is not.
#[test]
fn r31_no_warning_of_a_version_that_is_not_needed() {
    let scene = Scene::new("r31-kinds");
    scene.config_map("owner", &[]);
    let owner = scene.cluster.get("v1/ConfigMap", "r31-kinds", "owner").unwrap();
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": true});
    scene.create(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned",
        "ownerReferences": [reference], "finalizers": ["example.com/cleanup"]}}),
    );
    let delete = [
        "delete",
        "cm",
        "owner",
        "-n",
        "r31-kinds",
        "--cascade=foreground",
        "--wait=false",
    ];
    kubectl(scene.cluster, &delete);
    let ran = finalize(scene.cluster, &["cm/owner", "-n", "r31-kinds", "--dry-run"]).expect(0);
    ran.says("waits for configmap r31-kinds/owned")
        .says_nothing_of("Endpoints is deprecated");
    finalize(scene.cluster, &["cm/owner", "-n", "r31-kinds", "--force-up-to=strip"]).expect(0);
}

/// A volume of the cluster is not "outside of the cluster".
#[test]
fn r31_what_stays_in_the_cluster() {
    let scene = Scene::new("r31-stays");
    scene.create(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "volumeName": "r31-volume", "storageClassName": "none", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    scene.create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {"nodeName": "live-0",
        "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}));
    kubectl(
        scene.cluster,
        &["delete", "pvc", "data", "-n", "r31-stays", "--wait=false"],
    );
    let mut plan = command(scene.cluster, &["pvc/data", "-n", "r31-stays", "--dry-run"]);
    plan.env("COLUMNS", "400");
    run(plan).expect(0).says_nothing_of("outside of the cluster");
}

/// The namespace of orphans has to be re-created for them; where that is denied it stays away.
#[test]
fn r20_orphans_whose_namespace_may_not_be_created() {
    let scene = Scene::new("r20-orphans");
    let cluster = scene.cluster;
    scene.config_map("a", &[]);
    kubectl(cluster, &["delete", "namespace", "r20-orphans", "--wait=false"]);
    crate::kit::disarm(cluster, "r20-orphans");
    wait_for("the namespace to be gone", DEFAULT_TIMEOUT, || {
        scene.is_gone().then_some(())
    });
    let name = "r20-orphans-none";
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["namespaces"]});
    cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.metadata.name != 'r20-orphans'", "message": "never again"}]}}),
    );
    cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}),
    );
    let create = ["create", "namespace", "r20-orphans", "--dry-run=server"];
    wait_for("the policy", DEFAULT_TIMEOUT, || {
        let mut kubectl = assert_cmd::Command::new(cluster.kubectl());
        let said = kubectl
            .env("KUBECONFIG", cluster.kubeconfig())
            .args(create)
            .output()
            .unwrap();
        String::from_utf8_lossy(&said.stderr)
            .contains("never again")
            .then_some(())
    });
    let clean = ["orphans", "r20-orphans", "--clean", "--yes"];
    let mark = cluster.audit().mark();
    finalize(cluster, &clean).expect(4).says(name).says("never again");
    let written = writes(&scene, mark);
    assert!(written.iter().all(|r| r.code >= 400), "{written:#?}");
    kubectl(cluster, &["delete", "validatingadmissionpolicybinding", name]);
    kubectl(cluster, &["delete", "validatingadmissionpolicy", name]);
    wait_for("the policy to be out of force", DEFAULT_TIMEOUT, || {
        let mut kubectl = assert_cmd::Command::new(cluster.kubectl());
        let said = kubectl
            .env("KUBECONFIG", cluster.kubeconfig())
            .args(create)
            .output()
            .unwrap();
        said.status.success().then_some(())
    });
    finalize(cluster, &clean).expect(0);
}
