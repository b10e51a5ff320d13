//! What a user is told, and the exit code.

use serde_json::json;
use testsupport::Cluster;

use crate::bench::{answer, kubeconfig, probe, probe_as_nobody, probe_with, server_that_says};

fn says(args: &[&str], first_line: &str) {
    let ran = probe(args);
    assert_eq!(ran.stderr.lines().next(), Some(first_line), "{ran:?}");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
}

#[test]
fn names_that_do_not_exist() {
    says(&["--context", "x"], "error: context \"x\" does not exist");
    says(&["--user", "x"], "error: auth info \"x\" does not exist");
    says(&["--cluster", "x"], "error: no server found for cluster \"x\"");
    says(
        &["--kubeconfig", "/nope"],
        "error: stat /nope: no such file or directory",
    );
    says(
        &["no-such-node"],
        "Error from server (NotFound): nodes \"no-such-node\" not found",
    );
}

#[test]
fn a_missing_file_in_the_list_is_skipped() {
    let cluster = Cluster::shared();
    let list = format!("/nope:{}", cluster.kubeconfig().display());
    let ran = probe_with(&[], &[("KUBECONFIG", &list)]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn without_any_configuration_the_default_address_is_tried() {
    let ran = probe_with(&[], &[("KUBECONFIG", "/nope")]);
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
            "  hint: no kubeconfig with a server was found; set KUBECONFIG or --kubeconfig",
        ]
    );
}

#[test]
fn servers_that_cannot_be_reached() {
    says(
        &["-s", "https://127.0.0.1:1"],
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
    );
    says(
        &["-s", "https://no-such-host.invalid:6443"],
        "Unable to connect to the server: dial tcp: lookup no-such-host.invalid: no such host",
    );
}

#[test]
fn certificates_that_are_not_trusted() {
    let other = Cluster::shared().client_cert().display().to_string();
    says(
        &["--certificate-authority", &other],
        "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority",
    );
    let ran = probe(&["--tls-server-name", "elsewhere"]);
    let expected =
        "Unable to connect to the server: tls: failed to verify certificate: x509: certificate is valid for ";
    assert!(
        ran.stderr.starts_with(expected) && ran.stderr.contains(", not elsewhere"),
        "{ran:?}"
    );
    assert_eq!(probe(&["--tls-server-name", "kubernetes"]).code, 0);
    assert_eq!(probe(&["--insecure-skip-tls-verify"]).code, 0);
    let plain = server_that_says(answer("400 Bad Request", "text/plain", "no"));
    says(
        &["-s", &format!("https://{plain}")],
        "Unable to connect to the server: tls: first record does not look like a TLS handshake",
    );
}

#[test]
fn credentials_that_are_not_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let config = kubeconfig(dir.path(), json!({}), json!({"token": "wrong"}));
    says(
        &["--kubeconfig", config.to_str().unwrap()],
        "error: You must be logged in to the server (Unauthorized)",
    );
}

#[test]
fn rights_that_are_missing() {
    let config = Cluster::shared().user_kubeconfig("nobody", &[]);
    says(
        &["--kubeconfig", config.to_str().unwrap()],
        "Error from server (Forbidden): nodes is forbidden: User \"nobody\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
    );
}

#[test]
fn answers_that_are_not_from_an_api_server() {
    let page = "<html><head><title>Sign in</title></head><body>...</body></html>";
    let cases = [
        (answer("200 OK", "text/html", page), "200 OK with a web page"),
        (
            answer("502 Bad Gateway", "text/html", page),
            "502 Bad Gateway with a web page: \"Sign in\"",
        ),
        (
            answer("200 OK", "application/json", "{\"items\": tru"),
            "200 OK with something",
        ),
        (
            Some("HTTP/1.1 302 Found\r\nlocation: https://login.example\r\ncontent-length: 0\r\n\r\n".to_owned()),
            "302 Found with a redirect to https://login.example",
        ),
    ];
    for (answer, what) in cases {
        let server = format!("http://{}", server_that_says(answer));
        let expected = format!("error: {server} did not answer like a Kubernetes API server: {what}");
        let ran = probe_as_nobody(&["-s", &server]);
        assert_eq!(ran.stderr.lines().next(), Some(expected.as_str()), "{ran:?}");
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    }
    let nonsense = format!(
        "http://{}",
        server_that_says(Some("SSH-2.0-OpenSSH_9.6\r\n".to_owned()))
    );
    let ran = probe_as_nobody(&["-s", &nonsense]);
    assert!(
        ran.stderr.starts_with("Unable to connect to the server: ") && !ran.stderr.contains('{'),
        "{ran:?}"
    );
    let closes = format!(
        "http://{}",
        server_that_says(Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()))
    );
    assert!(
        probe_as_nobody(&["-s", &closes])
            .stderr
            .contains("did not answer like a Kubernetes API server")
    );
}

#[test]
fn usage_errors_have_their_own_code() {
    let ran = probe(&["--no-such-flag"]);
    assert_eq!(ran.code, 2);
    let ran = probe(&["--request-timeout", "soon"]);
    assert!(
        ran.code == 2 && ran.stderr.contains("Timeout must be a single integer in seconds"),
        "{ran:?}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    let script =
        "set -o pipefail; (sleep 1; \"$PROBE\"; echo code $? >&2) | true; \"$PROBE\" > /dev/full; echo code $? >&2";
    let mut command = std::process::Command::new("bash");
    command
        .env_clear()
        .envs(Cluster::shared().env())
        .env("PROBE", crate::bench::probe_path())
        .args(["-c", script]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[..2],
        ["code 0", "error: cannot write to standard output"],
        "{said}"
    );
    assert_eq!(lines.last(), Some(&"code 1"), "{said}");
}
