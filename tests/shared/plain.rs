//! No credentials of any kind are sent without TLS.

use std::path::Path;

use serde_json::{Value, json};
use testsupport::Cluster;

use crate::{
    bench::{admin, connect_with, flags, kubeconfig, probe},
    credentials::{account_token, plugin, token_answer, username},
};

/// A plain HTTP server that writes down the headers of each request, and answers with an empty list of nodes.
struct Recorder {
    address: std::net::SocketAddr,
    seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Recorder {
    fn start() -> Self {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = std::sync::Arc::clone(&seen);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                log.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                let body = r#"{"kind":"NodeList","apiVersion":"v1","metadata":{},"items":[]}"#;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
                let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self { address, seen }
    }

    /// What was sent since the last call, in lower case, without what tells the program.
    fn take(&self) -> Vec<String> {
        let all = std::mem::take(&mut *self.seen.lock().unwrap());
        all.iter().map(|head| head.to_ascii_lowercase()).collect()
    }
}

/// kubectl with this kubeconfig.
fn kubectl(config: &Path, flags: &[&str]) -> i32 {
    let mut command = std::process::Command::new(Cluster::shared().kubectl());
    command
        .env_clear()
        .envs(Cluster::shared().env())
        .args(["get", "--raw", "/api/v1/nodes", "--kubeconfig"])
        .arg(config)
        .args(flags);
    command.output().unwrap().status.code().unwrap()
}

const SECRETS: [&str; 4] = ["authorization:", "s3cret", "czncret", "impersonate-extra"];

#[test]
fn r42_no_credentials_are_sent_without_tls() {
    let recorder = Recorder::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    let plain = format!("http://{}", recorder.address);
    let provider = json!({"auth-provider": {"name": "oidc", "config": {
        "idp-issuer-url": plain, "client-id": "c", "id-token": "s3cret", "refresh-token": "s3cret"}}});
    let ran_plugin = dir.path().join("runs");
    // Kind of credential, user, flags.
    let token = json!({"token": "s3cret"});
    let cases: [(&str, Value, &[&str]); 8] = [
        ("token", token.clone(), &[]),
        ("token file", json!({"tokenFile": dir.path().join("token")}), &[]),
        (
            "user name and password",
            json!({"username": "jane", "password": "s3cret"}),
            &[],
        ),
        ("client certificate", admin(), &[]),
        (
            "credential plugin",
            plugin(dir.path(), &token_answer("s3cret", "")),
            &[],
        ),
        ("auth provider", provider, &[]),
        ("token", json!({}), &["--token", "s3cret"]),
        ("token, client certificate", admin(), &["--token", "s3cret"]),
    ];
    let bare = recorder.address.to_string();
    for (kind, user, flags) in cases {
        // By kubeconfig, by flag, and without a scheme beside a certificate authority.
        let elsewhere = json!({"server": "https://127.0.0.1:1"});
        let plain_config = json!({"server": plain});
        let clusters = [
            (plain_config, None),
            (elsewhere.clone(), Some(&plain)),
            (elsewhere, Some(&bare)),
        ];
        for (cluster, server) in clusters {
            let config = kubeconfig(dir.path(), cluster, user.clone());
            let mut flags = flags.to_vec();
            if let Some(server) = server {
                flags.extend(["--server", server]);
            }
            assert_eq!(kubectl(&config, &flags), 0, "{kind} {flags:?}");
            let by_kubectl = recorder.take();
            let path = config.display().to_string();
            let ran = probe(&[&["--kubeconfig", &path], flags.as_slice()].concat());
            let by_us = recorder.take();
            let completion = probe(&[&["__complete", "--kubeconfig", &path], flags.as_slice(), &["x"]].concat());
            assert_eq!((completion.code, completion.stderr.as_str()), (0, ""), "{completion:?}");
            let by_completion = recorder.take();
            for sent in [&by_kubectl, &by_us, &by_completion] {
                assert_eq!(sent.len(), 1, "{kind}: {sent:?}");
                assert!(
                    !SECRETS.iter().any(|secret| sent[0].contains(secret)),
                    "{kind}: {sent:?}"
                );
            }
            let cure = match server {
                Some(server) if *server == bare => format!("; write the server as https://{bare} if it has TLS"),
                _ => String::new(),
            };
            let warning = format!(
                "Warning: no credentials are sent to {plain}, because the connection has no TLS (left out: {kind}){cure}\n"
            );
            assert_eq!((ran.code, ran.stderr), (0, warning), "{kind} {flags:?}");
        }
    }
    assert!(!ran_plugin.exists(), "the plugin was run");
}

/// What is no credential is sent: whom to impersonate, as kubectl does. A password in the address is one, and kubectl sends it.
#[test]
fn r42_without_credentials_there_is_no_warning() {
    let recorder = Recorder::start();
    let dir = tempfile::tempdir().unwrap();
    let plain = format!("http://jane:s3cret@{}", recorder.address);
    let config = kubeconfig(dir.path(), json!({"server": plain}), json!({}));
    let path = config.display().to_string();
    let flags = ["--kubeconfig", &path, "--as", "joe", "--as-group", "dev"];
    assert_eq!(kubectl(&config, &flags[2..]), 0);
    let by_kubectl = recorder.take();
    let ran = probe(&flags);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let by_us = recorder.take();
    for sent in [&by_kubectl[0], &by_us[0]] {
        assert!(
            sent.contains("impersonate-user: joe") && sent.contains("impersonate-group: dev"),
            "{sent}"
        );
    }
    assert!(!by_us[0].contains("authorization:"), "{by_us:?}");

    // What kubectl checks although nothing of it is used.
    let config = kubeconfig(
        dir.path(),
        json!({"server": plain, "certificate-authority": "/nope"}),
        json!({}),
    );
    assert_eq!(kubectl(&config, &[]), 1);
    let ran = probe(&["--kubeconfig", config.to_str().unwrap()]);
    assert!(
        ran.stderr
            .starts_with("error: unable to read certificate-authority /nope"),
        "{ran:?}"
    );
    assert!(recorder.take().is_empty());
}

/// The rule is about TLS and nothing else.
#[tokio::test(flavor = "current_thread")]
async fn r42_with_tls_the_token_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let user = json!({"token": account_token("with-tls")});
    let args = flags(&kubeconfig(dir.path(), json!({}), user));
    let (connection, said) = connect_with(&args).await;
    assert_eq!(username(&connection).await, "system:serviceaccount:default:with-tls");
    assert_eq!(said.stderr(), "");
}
