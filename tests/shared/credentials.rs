//! Credentials that take time, expire, or change while a command runs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use testsupport::Cluster;
use upkeep::client::Connection;

use crate::bench::{admin, connect_with, flags, kubeconfig, probe};

/// Who the server takes us for.
async fn whoami(connection: &Connection) -> Value {
    let api = Api::<SelfSubjectReview>::all(connection.client.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let review = review.unwrap_or_else(|error| panic!("{}", connection.explain(&error).headline()));
    serde_json::to_value(review.status.unwrap().user_info.unwrap()).unwrap()
}

pub async fn username(connection: &Connection) -> String {
    whoami(connection).await["username"].as_str().unwrap().to_owned()
}

/// A credential plugin: a shell script, which writes one line per run into `runs`.
pub fn plugin(dir: &Path, body: &str) -> Value {
    let path = dir.join("plugin");
    let runs = dir.join("runs");
    let script = format!("#!/bin/sh\necho run >> {}\nN=$(wc -l < {0})\n{body}\n", runs.display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": path,
        "interactiveMode": "Never",
    }})
}

fn runs(dir: &Path) -> usize {
    std::fs::read_to_string(dir.join("runs"))
        .unwrap_or_default()
        .lines()
        .count()
}

/// What a plugin prints for a token.
pub fn token_answer(token: &str, expires: &str) -> String {
    format!(
        "echo '{{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{{\"token\":\"'{token}'\"{expires}}}}}'"
    )
}

pub fn account_token(name: &str) -> String {
    Cluster::shared().token_for("default", name, Duration::from_secs(600))
}

#[tokio::test(flavor = "current_thread")]
async fn a_slow_plugin_does_not_stop_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let user = plugin(
        dir.path(),
        &format!("sleep 3\n{}", token_answer(&account_token("slow"), "")),
    );
    let args = flags(&kubeconfig(dir.path(), json!({}), user));
    let started = Instant::now();
    let ticks = async {
        let mut longest = Duration::ZERO;
        while started.elapsed() < Duration::from_secs(3) {
            let before = Instant::now();
            tokio::time::sleep(Duration::from_millis(20)).await;
            longest = longest.max(before.elapsed());
        }
        longest
    };
    let ((connection, _), longest) = tokio::join!(connect_with(&args), ticks);
    assert!(started.elapsed() >= Duration::from_secs(3));
    assert!(longest < Duration::from_millis(1000), "a timer was {longest:?} late");
    assert_eq!(username(&connection).await, "system:serviceaccount:default:slow");
    assert_eq!(runs(dir.path()), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn credentials_that_expire_are_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (account_token("expires-one"), account_token("expires-two"));
    let expires = ",\"expirationTimestamp\":\"'$(date -u -d +2sec +%Y-%m-%dT%H:%M:%SZ)'\"";
    let body = format!(
        "TOKEN={one}; [ $N -gt 1 ] && TOKEN={two}\n{}",
        token_answer("$TOKEN", expires)
    );
    let args = flags(&kubeconfig(dir.path(), json!({}), plugin(dir.path(), &body)));
    let (connection, _) = connect_with(&args).await;
    assert_eq!(username(&connection).await, "system:serviceaccount:default:expires-one");
    assert_eq!(runs(dir.path()), 1);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    // Many requests at once, one run of the plugin.
    let names = futures::future::join_all((0..5).map(|_| username(&connection))).await;
    assert_eq!(names, ["system:serviceaccount:default:expires-two"; 5]);
    assert_eq!(runs(dir.path()), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn a_refused_token_is_fetched_again_once() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!(
        "TOKEN=revoked; [ $N -gt 1 ] && TOKEN={}\n{}",
        account_token("again"),
        token_answer("$TOKEN", "")
    );
    let args = flags(&kubeconfig(dir.path(), json!({}), plugin(dir.path(), &body)));
    let (connection, _) = connect_with(&args).await;
    let names = futures::future::join_all((0..5).map(|_| username(&connection))).await;
    assert_eq!(names, ["system:serviceaccount:default:again"; 5]);
    assert_eq!(runs(dir.path()), 2);
}

#[test]
fn a_token_that_stays_refused_ends_in_a_plain_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let user = plugin(dir.path(), &token_answer("revoked", ""));
    let ran = probe(&[
        "--kubeconfig",
        kubeconfig(dir.path(), json!({}), user).to_str().unwrap(),
    ]);
    assert_eq!(
        ran.stderr,
        "error: You must be logged in to the server (Unauthorized)\n"
    );
    assert_eq!(runs(dir.path()), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn a_plugin_may_hand_out_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let pem = |path: &Path| std::fs::read_to_string(path).unwrap();
    let status = json!({
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "status": {
            "clientCertificateData": pem(Cluster::shared().client_cert()),
            "clientKeyData": pem(Cluster::shared().client_key()),
        },
    });
    std::fs::write(dir.path().join("answer"), status.to_string()).unwrap();
    let user = plugin(dir.path(), &format!("cat {}", dir.path().join("answer").display()));
    let (connection, _) = connect_with(&flags(&kubeconfig(dir.path(), json!({}), user))).await;
    assert_eq!(username(&connection).await, "admin");
}

#[test]
fn a_plugin_that_fails_is_named_and_its_output_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let user = plugin(dir.path(), "echo s3cret; echo 'login first' >&2; exit 7");
    let ran = probe(&[
        "--kubeconfig",
        kubeconfig(dir.path(), json!({}), user).to_str().unwrap(),
    ]);
    let path = dir.path().join("plugin");
    assert_eq!(
        ran.stderr,
        format!(
            "login first\nerror: getting credentials: exec: executable {} failed with exit code 7\n",
            path.display()
        )
    );
    let missing = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "installHint": "get it from the shop",
        "interactiveMode": "IfAvailable",
    }});
    let ran = probe(&[
        "--kubeconfig",
        kubeconfig(dir.path(), json!({}), missing).to_str().unwrap(),
    ]);
    assert_eq!(
        ran.stderr,
        "error: getting credentials: exec: executable no-such-plugin not found\n  hint: get it from the shop\n"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_token_file_with_a_line_break_works_and_is_read_again_when_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, format!("{}\n", account_token("file-one"))).unwrap();
    let args = flags(&kubeconfig(dir.path(), json!({}), json!({"tokenFile": "token"})));
    let (connection, _) = connect_with(&args).await;
    assert_eq!(username(&connection).await, "system:serviceaccount:default:file-one");
    Cluster::shared().delete("v1/ServiceAccount", "default", "file-one");
    std::fs::write(&path, format!("{}\n", account_token("file-two"))).unwrap();
    // The server keeps a token that it has seen in a cache for some seconds.
    let started = Instant::now();
    while username(&connection).await != "system:serviceaccount:default:file-two" {
        assert!(started.elapsed() < Duration::from_secs(30), "still the old one");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn tokens_by_flag_go_before_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = flags(&kubeconfig(dir.path(), json!({}), plugin(dir.path(), "exit 1")));
    args.token = Some(account_token("flag").into());
    let (connection, _) = connect_with(&args).await;
    assert_eq!(username(&connection).await, "system:serviceaccount:default:flag");
    assert_eq!(runs(dir.path()), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn everything_about_an_impersonated_user_reaches_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = flags(&kubeconfig(dir.path(), json!({}), admin()));
    args.impersonate = Some("jane".to_owned());
    args.impersonate_uid = Some("4711".to_owned());
    args.impersonate_groups = vec!["dev".to_owned(), "ops".to_owned()];
    args.impersonate_extra = vec![
        ("example.com/scope".to_owned(), "a".to_owned()),
        ("example.com/scope".to_owned(), "b".to_owned()),
    ];
    let user = whoami(&connect_with(&args).await.0).await;
    assert_eq!((&user["username"], &user["uid"]), (&json!("jane"), &json!("4711")));
    assert_eq!(user["groups"], json!(["dev", "ops", "system:authenticated"]));
    assert_eq!(user["extra"], json!({"example.com/scope": ["a", "b"]}));
    let ran = probe(&["--as-group", "dev"]);
    assert_eq!(
        ran.stderr,
        "error: requesting uid, groups or user-extra for admin without impersonating a user\n  hint: --as names the user\n"
    );
}
