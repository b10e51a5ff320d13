//! A webhook is taken out of the way and put back, whatever happens in between.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, wait_for};

use crate::{
    kit::{Ran, command, finalize, kubectl, run},
    scene::{Scene, whole},
};

const KIND: &str = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";

/// Namespaces that are held by one dead webhook, which is asked about deletions of ConfigMaps in each of them.
fn held(cluster: &'static Cluster, webhook: &str, names: &[&str]) -> Value {
    for name in names {
        let ns = cluster.namespace(name);
        ns.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    }
    cluster.create(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": webhook}, "webhooks": [{"name": "deny.example.com", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "clientConfig": {"service": {"namespace": "default", "name": "nope"}},
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["configmaps"]}]}]}));
    for name in names {
        wait_for("the webhook", DEFAULT_TIMEOUT, || {
            let refused = finalize(cluster, &["cm/a", "-n", name, "--dry-run"]);
            refused.text().contains("deny.example.com").then_some(())
        });
        kubectl(cluster, &["delete", "namespace", name, "--wait=false"]);
    }
    entries(cluster, webhook)
}

fn entries(cluster: &Cluster, webhook: &str) -> Value {
    cluster.get(KIND, "", webhook).unwrap()["webhooks"].clone()
}

/// Nothing is left of what was done to it.
#[track_caller]
fn is_back(cluster: &Cluster, webhook: &str, before: &Value) {
    let now = cluster.get(KIND, "", webhook).unwrap();
    assert_eq!(now["webhooks"], *before);
    assert!(
        now["metadata"]["annotations"]["kubectl-upkeep/neutralised"].is_null(),
        "{now}"
    );
}

/// Two namespaces with one cause, and two operators for each of them.
#[test]
fn four_runs_over_two_namespaces_that_one_webhook_holds() {
    let cluster = whole();
    let before = held(cluster, "shared-guard", &["shared-one", "shared-two"]);
    let runs: Vec<_> = ["shared-one", "shared-two", "shared-one", "shared-two"]
        .map(|name| {
            let command = command(cluster, &["ns", name, "--force-up-to=neutralise"]);
            std::thread::spawn(move || run(command))
        })
        .into_iter()
        .collect();
    let ends: Vec<Ran> = runs.into_iter().map(|t| t.join().unwrap()).collect();
    for ran in ends {
        ran.expect(0).says("is gone");
    }
    is_back(cluster, "shared-guard", &before);
}

/// Killed after its first, second, ... write: the second run ends the work, and the webhook is as it was.
#[test]
fn neutralise_goes_on_after_a_kill_at_any_step() {
    let cluster = whole();
    let names: Vec<String> = (1..=5).map(|step| format!("cut-{step}")).collect();
    let before: BTreeMap<&String, Value> = names.iter().map(|name| (name, held(cluster, name, &[name]))).collect();
    std::thread::scope(|scope| {
        for (step, name) in names.iter().enumerate() {
            let before = &before[name];
            scope.spawn(move || {
                let mark = cluster.audit().mark();
                let mut command = command(cluster, &["ns", name, "--force-up-to=neutralise"]);
                let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                wait_for("its writes", DEFAULT_TIMEOUT * 2, || {
                    let ended = child.try_wait().unwrap().is_some();
                    let asked = cluster.audit().since(mark, "kubectl-finalize");
                    let of_it = asked
                        .iter()
                        .filter(|r| r.is_write() && r.resource != "selfsubjectaccessreviews");
                    let of_it = of_it.filter(|r| (&r.name == name || &r.namespace == name) && !is_question(r));
                    (ended || of_it.count() > step).then_some(())
                });
                child.kill().unwrap();
                child.wait().unwrap();
                finalize(cluster, &["ns", name, "--force-up-to=neutralise"]).expect(0);
                is_back(cluster, name, before);
                assert!(cluster.get("v1/Namespace", "", name).is_none());
            });
        }
    });
}

/// A second run for the same target ends while the first is at work: what that one needs stays out of the way.
#[test]
fn a_second_run_leaves_what_the_first_needs() {
    let cluster = whole();
    let before = held(cluster, "needed", &["needed"]);
    // It keeps the first run at work after the webhook is out of the way.
    let free = |finalizers: Value| {
        let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
        kubectl(
            cluster,
            &["patch", "cm", "a", "-n", "needed", "--type=merge", "-p", &patch],
        );
    };
    free(json!(["example.com/cleanup"]));
    let mut first = command(cluster, &["ns", "needed", "--force-up-to=neutralise", "--timeout=90s"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the webhook to be out of the way", DEFAULT_TIMEOUT * 2, || {
        (entries(cluster, "needed") != before).then_some(())
    });
    let second = finalize(cluster, &["ns", "needed", "--timeout=1s"]);
    assert!(second.code == Some(5) || second.code == Some(4), "{}", second.text());
    if first.try_wait().unwrap().is_none() {
        second.says_nothing_of("is as it was");
    }
    free(json!(null));
    first.wait().unwrap();
    finalize(cluster, &["ns", "needed", "--force-up-to=neutralise"]).expect(0);
    is_back(cluster, "needed", &before);
}

/// What a run that was killed has opened is restored by the next one for the same target, even if that is interrupted.
#[test]
fn an_interrupted_run_restores_what_its_predecessor_left() {
    let scene = Scene::new("left-open");
    let cluster = scene.cluster;
    let record = json!({"fields": [{"field": "failurePolicy", "webhook": "deny.example.com", "was": "Fail",
        "needed": [{"target": "namespaces/left-open", "until": "2099-01-01T00:00:00Z"}]}]})
    .to_string();
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": "nothing-of-this-name"}});
    cluster.create(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "left-open", "annotations": {"kubectl-upkeep/neutralised": record}},
        "webhooks": [{"name": "deny.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore", "clientConfig": {"service": {"namespace": "default", "name": "nope"}},
            "namespaceSelector": selector, "rules": []}]}),
    );
    scene.config_map("held", &["example.com/cleanup"]);
    scene.delete();
    let mut run = command(cluster, &["ns", "left-open", "--force-up-to=neutralise"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(run.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("waiting for") && stderr.read_line(&mut said).unwrap() > 0 {}
    kill(&run);
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("left-open is as it was"), "{said}");
    assert!(
        said.contains("interrupted: namespace/left-open is still there"),
        "{said}"
    );
    let now = entries(cluster, "left-open");
    assert_eq!(now[0]["failurePolicy"], "Fail", "{now}");
    cluster.delete(KIND, "", "left-open");
    let free = r#"{"metadata":{"finalizers":null}}"#;
    kubectl(
        cluster,
        &["patch", "cm", "held", "-n", "left-open", "--type=merge", "-p", free],
    );
    scene.mended(&[]);
}

/// Ctrl-C.
fn kill(run: &std::process::Child) {
    let id = run.id().to_string();
    let sent = std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
}

/// The diagnosis asks what the server would say to a deletion.
fn is_question(request: &testsupport::Request) -> bool {
    request.is_dry_run() && request.resource == "configmaps"
}
