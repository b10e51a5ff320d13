//! Servers that end in the middle, others who write at the same time, large objects.

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Live, wait_for};

use crate::{
    custom::{KIND, define, version},
    kit::{Ran, command, finalize, kubectl, kubectl_in, run},
    scene::{Scene, alone},
};

/// The API server ends and is started again while a webhook is out of the way: the work is ended, and the webhook put back.
#[test]
fn the_server_is_restarted_in_the_middle() {
    let cluster = alone();
    let ns = cluster.namespace("restarted");
    ns.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "guarded"}}));
    let held = json!({"name": "held", "finalizers": ["example.com/cleanup"]});
    ns.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held}));
    let kind = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration";
    cluster.create(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "guard"}, "webhooks": [{"name": "guard.example.com", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "clientConfig": {"service": {"namespace": "default", "name": "nope"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["secrets"]}]}]}));
    let entries = || cluster.get(kind, "", "guard").unwrap()["webhooks"].clone();
    let before = entries();
    kubectl(&cluster, &["delete", "namespace", "restarted", "--wait=false"]);
    wait_for("the webhook to be in the way", DEFAULT_TIMEOUT, || {
        let ran = finalize(&cluster, &["ns", "restarted", "--dry-run"]).expect(0);
        ran.text().contains("the webhook guard.example.com").then_some(())
    });
    // The ConfigMap keeps the run at work until somebody frees it.
    let mut running = command(
        &cluster,
        &["ns", "restarted", "--force-up-to=neutralise", "--even-if-alive"],
    );
    let running = running
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the webhook to be out of the way", DEFAULT_TIMEOUT, || {
        (entries() != before).then_some(())
    });
    cluster.apiserver().kill();
    std::thread::sleep(std::time::Duration::from_secs(2));
    cluster.apiserver().restart();
    let free = r#"{"metadata": {"finalizers": null}}"#;
    kubectl(
        &cluster,
        &["patch", "cm", "held", "-n", "restarted", "--type=merge", "-p", free],
    );
    let ended = running.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(entries(), before, "{text}");
    if ended.status.code() != Some(0) {
        // It may have found that nothing more is allowed before the ConfigMap was freed.
        assert_eq!(ended.status.code(), Some(4), "{text}");
        finalize(&cluster, &["ns", "restarted", "--force-up-to=neutralise"]).expect(0);
    }
    assert_eq!(entries(), before, "{text}");
    assert!(cluster.get("v1/Namespace", "", "restarted").is_none());
}

/// Two operators at once: one is as good as two, and nothing is left.
#[test]
fn two_runs_at_once() {
    let scene = Scene::new("twice");
    for i in 0..20 {
        scene.config_map(&format!("c{i}"), &["example.com/one", "example.com/two"]);
    }
    scene.delete();
    let start = || {
        let command = command(scene.cluster, &["ns", "twice", "--force-up-to=strip"]);
        std::thread::spawn(move || run(command))
    };
    let (first, second) = (start(), start());
    let ends: Vec<Ran> = [first, second].into_iter().map(|t| t.join().unwrap()).collect();
    for ran in ends {
        ran.expect(0).says("is gone");
    }
    assert!(scene.is_gone());
}

/// Somebody else writes to the object all the time: a change of something else is no conflict.
#[test]
fn somebody_writes_to_the_object_meanwhile() {
    let scene = Scene::new("busy");
    scene.config_map("a", &["example.com/keep", "example.com/cleanup"]);
    scene.delete();
    let running = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while running.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                let patch = json!({"metadata": {"annotations": {"busy": number.to_string()}}});
                if scene.cluster.get("v1/ConfigMap", "busy", "a").is_some() {
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        scene.cluster.patch("v1/ConfigMap", "busy", "a", patch)
                    }));
                }
            }
        });
        let ran = scene.finalize(&["--force-up-to=strip"]);
        running.store(false, std::sync::atomic::Ordering::Relaxed);
        ran.expect(0);
    });
    assert!(scene.is_gone());
}

/// What may not be listed is said, and not taken for empty.
#[test]
fn a_kind_that_may_not_be_listed() {
    let scene = Scene::new("blind");
    scene.create(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "finalizers": ["example.com/cleanup"]}}),
    );
    scene.delete();
    let rules = [
        testsupport::Rule::allow(
            "get,list,watch",
            "namespaces,configmaps,pods,leases.coordination.k8s.io",
        ),
        testsupport::Rule::allow("get,list", "nodes"),
    ];
    let user = scene.cluster.user_kubeconfig("blind", &rules);
    let mut command = command(scene.cluster, &["ns", "blind", "--dry-run"]);
    command.env("KUBECONFIG", user);
    let ran = run(command).expect(0);
    ran.says("kinds cannot be listed, for you may not (ask for the ClusterRole kubectl-finalize-look): ")
        .says_nothing_of("is gone");
    scene.finalize(&["--force-up-to=strip"]).expect(0);
}

/// An object of the size that the server just takes.
#[test]
fn a_large_object_is_saved_and_freed() {
    let scene = Scene::new("large");
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big", "namespace": "large",
        "finalizers": ["example.com/cleanup"]}, "data": {"k": "v".repeat(1_040_000)}});
    kubectl_in(scene.cluster, &["create", "-f", "-"], &object.to_string());
    scene.delete();
    let ran = scene.finalize(&["--force-up-to=strip"]).expect(0);
    let folder = ran
        .stderr
        .lines()
        .find_map(|l| l.strip_prefix("what was changed is saved in "));
    let folder = std::path::Path::new(folder.unwrap()).join("raw");
    let saved = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    let saved = saved
        .map(|f| f.path())
        .find(|p| p.extension().is_some_and(|e| e == "json"))
        .unwrap();
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(saved).unwrap()).unwrap();
    assert_eq!(saved["data"]["k"].as_str().unwrap().len(), 1_040_000);
}

/// A list of 100 MiB, of which the metadata are all that is read.
#[test]
fn a_list_of_a_hundred_megabytes() {
    let scene = Scene::new("heavy");
    let filled = "x".repeat(1_000_000);
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (scene, filled) = (&scene, &filled);
            scope.spawn(move || {
                for i in 0..25 {
                    let meta = json!({"name": format!("c{part}-{i}"), "finalizers": ["example.com/cleanup"]});
                    scene.create(
                        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"all": filled}}),
                    );
                }
            });
        }
    });
    scene.delete();
    let ran = scene.finalize(&["--dry-run"]).expect(0);
    ran.says("100 objects wait for");
    scene.finalize(&["--force-up-to=strip"]).expect(0);
    assert!(scene.is_gone());
}

/// Roles may have any name, and so may what is written about them.
#[test]
fn names_with_control_characters() {
    let scene = Scene::new("named");
    let name = "a b?c#d\u{1b}[31m,e=f";
    let meta = json!({"name": name, "finalizers": ["example.com/cleanup"]});
    scene.create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": []}));
    // Its name is the beginning of the other.
    let meta = json!({"name": "a b", "finalizers": ["example.com/cleanup"]});
    scene.create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": []}));
    kubectl(scene.cluster, &["delete", "role", name, "-n", "named", "--wait=false"]);
    let ran = finalize(scene.cluster, &["role", name, "-n", "named", "--dry-run"]).expect(0);
    ran.says("a b?c#d").says_nothing_of("\u{1b}");
    let ran = finalize(scene.cluster, &["role", name, "-n", "named", "--force-up-to=strip"]).expect(0);
    ran.says("is gone").says_nothing_of("\u{1b}");
    let other = kubectl(scene.cluster, &["get", "role", "a b", "-n", "named", "-o", "json"]);
    let other: Value = serde_json::from_str(&other).unwrap();
    assert_eq!(other["metadata"]["finalizers"], json!(["example.com/cleanup"]));
    assert!(other["metadata"]["deletionTimestamp"].is_null());
    scene.delete();
    scene.finalize(&["--force-up-to=strip"]).expect(0);
}

/// Somebody else frees the object, and makes one of the same name: that one was not meant.
#[test]
fn another_object_under_the_same_name() {
    let scene = Scene::new("renamed");
    scene.config_map("a", &["example.com/cleanup"]);
    kubectl(scene.cluster, &["delete", "cm", "a", "-n", "renamed", "--wait=false"]);
    let mut going = Live::start(command(
        scene.cluster,
        &["cm/a", "-n", "renamed", "--timeout=60s", "--watch"],
    ));
    going.wait_for("example.com/cleanup");
    let free = r#"{"metadata": {"finalizers": null}}"#;
    kubectl(
        scene.cluster,
        &["patch", "cm", "a", "-n", "renamed", "--type=merge", "-p", free],
    );
    scene.config_map("a", &["example.com/cleanup"]);
    going.finish().expect(0).says("configmap renamed/a is gone");
    let other = scene.cluster.get("v1/ConfigMap", "renamed", "a").unwrap();
    assert_eq!(other["metadata"]["finalizers"], json!(["example.com/cleanup"]));
}

/// A kind that is not served any more is out of sight, not gone.
#[test]
fn a_kind_that_is_not_served_any_more() {
    let scene = Scene::new("unserved");
    let name = define(&scene, "orders", &[version("v1", true)]);
    scene.create(
        json!({"apiVersion": "unserved.example.com/v1", "kind": "Kindorders", "metadata": {"name": "o",
        "finalizers": ["example.com/cleanup"]}}),
    );
    let orders = "orders.unserved.example.com";
    kubectl(
        scene.cluster,
        &["delete", orders, "o", "-n", "unserved", "--wait=false"],
    );
    let mut going = Live::start(command(
        scene.cluster,
        &[orders, "o", "-n", "unserved", "--watch", "--timeout=25s"],
    ));
    going.wait_for("example.com/cleanup");
    let mut unserved = version("v1", true);
    unserved["served"] = json!(false);
    scene
        .cluster
        .patch(KIND, "", &name, json!({"spec": {"versions": [unserved]}}));
    going.finish().says_nothing_of("is gone");
    scene
        .cluster
        .patch(KIND, "", &name, json!({"spec": {"versions": [version("v1", true)]}}));
    wait_for("the kind to be served", DEFAULT_TIMEOUT, || {
        let ran = finalize(scene.cluster, &[orders, "o", "-n", "unserved", "--force-up-to=strip"]);
        (ran.code == Some(0)).then_some(())
    });
    scene.cluster.delete(KIND, "", &name);
}

/// Words that name nothing, and flags that would be passed over.
#[test]
fn words_that_make_no_sense() {
    let cluster = crate::scene::whole();
    for (args, says) in [
        (&["ns", ""][..], "an empty word"),
        (&["preflight", "ns", ""], "an empty word"),
        (&["ns", "x", "--leave-behind="], "has an empty word"),
        (&["ns", "x", "--leave-behind=a.example.com,"], "has an empty word"),
        (&["scan", "--yes"], "--yes does not belong here"),
        (&["ns", "x", "--powered-off"], "--powered-off=NODE[,NODE]"),
        (&["orphans", "--plan-out=p"], "--plan-out belongs to KIND NAME"),
        (
            &["orphans", "x", "--clean", "--plan-out=p"],
            "--plan-out belongs to KIND NAME",
        ),
        (&["restore", "x", "--plan-out=p"], "--plan-out belongs to KIND NAME"),
        (&["ns", "x", "--powered-off=a,"], "--powered-off=NODE[,NODE]"),
        (
            &["ns", "x", "--leave-behind=y", "--force-up-to=strip"],
            "--leave-behind has no effect",
        ),
        (&["ns", "x", "--clean"], "--clean belongs to orphans"),
        (&["explain"], "explain needs"),
        (&["restore"], "restore needs"),
        (&["scan", "-n", "x"], "-n cannot narrow it"),
        (&["restore", "folder", "-o", "json"], "-o is for"),
        (&["cm", "a", "-o", "wide"], "invalid value 'wide'"),
    ] {
        finalize(cluster, args).expect(2).says(says);
    }
}

#[test]
fn names_that_are_none() {
    let scene = Scene::new("nameless");
    for name in [".", ".."] {
        finalize(scene.cluster, &["cm", name, "-n", "nameless"])
            .expect(2)
            .says("is no name");
    }
    finalize(scene.cluster, &["cm", "a", "-n", "no/where"])
        .expect(2)
        .says("is no name of a namespace");
    finalize(scene.cluster, &["cm", "a", "-n", "nowhere"])
        .expect(0)
        .says("there is no configmap nowhere/a");
}
