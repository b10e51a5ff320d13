//! Who denies the removal of a finalizer on purpose has the last word.

use serde_json::json;
use testsupport::{DEFAULT_TIMEOUT, Https, wait_for};

use super::gates::{
    ALL, HOLD, MUTATING, VALIDATING, client, entries, ingress, is_held, nobody, policy, refused, removal, webhook,
    writes,
};
use crate::{
    kit::{Ran, finalize, kubectl},
    scene::Scene,
};

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
