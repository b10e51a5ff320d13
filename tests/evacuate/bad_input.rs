//! Wrong command lines, wrong configuration, missing rights, servers that talk nonsense: a clear sentence, the right exit
//! code, and nothing is changed.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
};

use serde_json::json;
use testsupport::{Cluster, Shape};

use crate::{
    kit::{Ran, command, command_with, evacuate, run},
    scene::{is_cordoned, living, rights, writes},
};

/// The first line of stderr. Nothing is on stdout.
#[track_caller]
fn first_line(ran: &Ran) -> &str {
    assert_eq!(ran.stdout, "", "{}", ran.text());
    ran.stderr.lines().next().unwrap_or_default()
}

#[test]
fn bad_command_lines_are_usage_errors() {
    let cluster = Cluster::shared();
    let cases: [(&[&str], &str); 27] = [
        (&[], "error: name the nodes to empty, or select them with -l SELECTOR"),
        (
            &["n", "-l", "a=b"],
            "error: cannot specify both a node name and a --selector option",
        ),
        (&["pod/x"], "error: expected resource of type node, got \"pod\""),
        (&["node/"], "error: \"node/\" is not the name of a node"),
        (&["node/a/b"], "error: \"node/a/b\" is not the name of a node"),
        (&["n", "--nope"], "error: unexpected argument '--nope' found"),
        (
            &["n", "--force=maybe"],
            "error: invalid value 'maybe' for '--force[=<BOOL>]': expected true or false",
        ),
        (&["n", "--grace-period=soon"], ""),
        (&["n", "--grace-period=1s"], ""),
        (&["n", "--timeout=5"], ""),
        (&["n", "--timeout=-5s"], ""),
        (&["n", "--timeout=soon"], ""),
        (&["n", "--timeout="], ""),
        (&["n", "--wait-replacements=x"], ""),
        (&["n", "--skip-wait-for-delete-timeout=1s"], ""),
        (&["n", "--on-blocked="], ""),
        (&["n", "--on-blocked=never"], ""),
        (&["n", "--on-blocked=delete-after"], ""),
        (&["n", "--on-blocked=delete-after=5"], ""),
        (
            &["n", "--dry-run=yes"],
            "error: invalid value 'yes' for '--dry-run[=<none|client|server>]'",
        ),
        (&["n", "--order=name"], ""),
        (&["n", "--parallel=0"], ""),
        (&["n", "--concurrency=0"], ""),
        (&["n", "--concurrency=257"], ""),
        (&["n", "--chunk-size=-1"], ""),
        (&["n", "-o", "table"], ""),
        (&["n", "--request-timeout=soon"], ""),
    ];
    for (args, expected) in cases {
        let ran = evacuate(cluster, args).expect(2);
        let line = first_line(&ran);
        match expected {
            "" => {
                // Flag and value are named.
                let (flag, value) = args[1].split_once('=').unwrap_or((args[1], args.get(2).unwrap_or(&"")));
                let flag = if flag == "-o" { "--output" } else { flag };
                assert!(
                    line.starts_with("error: ") && line.contains(flag) && line.contains(value),
                    "{args:?}: {line}"
                );
            }
            expected => assert_eq!(line, expected, "{args:?}"),
        }
    }
}

#[test]
fn bad_nodes_and_selectors() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("bad");
    let [a] = ns.nodes(["a"]);
    ns.replicaset("web", 1, &Shape::new());
    ns.wait_pods_ready(1);
    let mark = cluster.audit().mark();
    let ran = evacuate(cluster, &["bad-x"]).expect(1);
    assert_eq!(ran.stderr, "Error from server (NotFound): nodes \"bad-x\" not found\n");
    let ran = evacuate(cluster, &[&a, "bad-x", "bad-y"]).expect(1);
    insta::assert_snapshot!(ran.text(), @r#"
        --- stderr
        Error from server (NotFound): nodes "bad-x" not found
          cause: Error from server (NotFound): nodes "bad-y" not found
        --- exit Some(1)
        "#);
    let ran = evacuate(cluster, &["-l", "bad=none"]).expect(0);
    insta::assert_snapshot!(ran.text(), @r#"
        --- stderr
        No resources found
        --- exit Some(0)
        "#);
    let ran = evacuate(cluster, &["-l", "a in b"]).expect(2);
    insta::assert_snapshot!(ran.text(), @r#"
        --- stderr
        error: --selector=<selector> must be a valid label selector
          cause: unable to parse requirement: found 'b' expected: '('
        --- exit Some(2)
        "#);
    let ran = evacuate(cluster, &[&a, "--pod-selector=a in b"]).expect(2);
    insta::assert_snapshot!(ran.text(), @r#"
        --- stderr
        error: --pod-selector=<pod_selector> must be a valid label selector
          cause: unable to parse requirement: found 'b' expected: '('
        --- exit Some(2)
        "#);
    let ran = evacuate(cluster, &["-l", ""]).expect(2);
    insta::assert_snapshot!(ran.text(), @r#"
        --- stderr
        error: name the nodes to empty, or select them with -l SELECTOR
          hint: see 'kubectl evacuate --help' for usage
        --- exit Some(2)
        "#);
    assert_eq!(writes(&ns, mark), [""; 0]);
    assert!(!is_cordoned(cluster, &a));
}

#[test]
fn bad_names_do_not_reach_the_terminal_or_another_path() {
    let cluster = Cluster::shared();
    for name in [
        "\x1b[2J\x1b]0;x\x07",
        "a\nb",
        "..",
        "a?watch=1",
        "a b",
        "ä",
        "%2e%2e",
        "a#b",
        "\u{202e}x",
        "",
    ] {
        let ran = evacuate(cluster, &[name]).expect(2);
        assert_eq!(first_line(&ran), format!("error: {name:?} is not the name of a node"));
        assert!(
            !ran.stderr.contains(['\x1b', '\x07', '\u{202e}']),
            "{name:?}: {}",
            ran.text()
        );
    }
}

#[test]
fn bad_text_from_the_cluster_is_escaped() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("badtext");
    let [a] = ns.nodes(["a"]);
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let claim = json!({
        "run": "0", "user": "\x1b[2Jeve", "host": "h\n", "pid": 1, "process": "1", "machine": "elsewhere",
        "started": now, "heartbeat": now,
    });
    let annotations = json!({"kubectl-upkeep/lock": claim.to_string()});
    cluster.patch("v1/Node", "", &a, json!({"metadata": {"annotations": annotations}}));
    let ran = evacuate(cluster, &[&a]).expect(3);
    let said = "  cause: node/badtext-a: ^[[2Jeve on h\\n (run 0, pid 1, since ";
    assert!(ran.stderr.lines().any(|l| l.starts_with(said)), "{}", ran.text());
    assert!(!is_cordoned(cluster, &a));
}

#[test]
fn bad_kubeconfigs() {
    let cluster = Cluster::shared();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let path = dir.path().display();
    let missing = dir.path().join("none");
    let flag = format!("--kubeconfig={}", missing.display());
    let ran = evacuate(cluster, &["n", &flag]).expect(1);
    assert_eq!(
        first_line(&ran),
        format!("error: stat {path}/none: no such file or directory")
    );

    let with = |kubeconfig: &Path| run(command_with(cluster, kubeconfig, &["n"])).expect(1);
    let ran = with(dir.path());
    assert_eq!(
        first_line(&ran),
        format!("error: error loading config file \"{path}\": is a directory")
    );
    let ran = with(&file("broken", "clusters: [\n"));
    assert!(
        first_line(&ran).starts_with(&format!("error: error loading config file \"{path}/broken\": ")),
        "{}",
        ran.text()
    );
    let ran = with(&file("html", "<html><body>sign in</body></html>"));
    assert!(
        first_line(&ran).starts_with(&format!("error: error loading config file \"{path}/html\": ")),
        "{}",
        ran.text()
    );
    let ran = evacuate(cluster, &["n", "--context=nowhere"]).expect(1);
    assert_eq!(first_line(&ran), "error: context \"nowhere\" does not exist");
    let ran = with(&missing);
    assert_eq!(
        first_line(&ran),
        "The connection to the server localhost:8080 was refused - did you specify the right host or port?"
    );
}

#[test]
fn bad_rights_are_named_before_anything_is_done() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("badrights");
    let [a] = ns.nodes(["a"]);
    ns.replicaset("web", 1, &Shape::new());
    ns.wait_pods_ready(1);
    let before = living(&ns);
    let cases: [(&str, &[&str], &[&str], &str); 6] = [
        (
            "get",
            &["get nodes"],
            &[],
            "Error from server (Forbidden): nodes \"badrights-a\" is forbidden: User \"badrights-get\" cannot get resource \
             \"nodes\" in API group \"\" at the cluster scope",
        ),
        (
            "list",
            &["list pods"],
            &[],
            "Error from server (Forbidden): pods is forbidden: User \"badrights-list\" cannot list resource \"pods\" in API \
             group \"\" at the cluster scope",
        ),
        (
            "patch",
            &["patch nodes"],
            &[],
            "missing: patch nodes (node badrights-a)",
        ),
        (
            "evict",
            &["create pods/eviction"],
            &[],
            "missing: create pods/eviction (namespace badrights)",
        ),
        (
            "delete",
            &["delete pods"],
            &["--disable-eviction"],
            "missing: delete pods (namespace badrights)",
        ),
        (
            "late",
            &["delete pods"],
            &["--on-blocked=delete-after=1s", "--yes"],
            "missing: delete pods (namespace badrights)",
        ),
    ];
    for (case, without, flags, expected) in cases {
        let user = format!("badrights-{case}");
        let config = cluster.user_kubeconfig(&user, &rights(without));
        let mark = cluster.audit().mark();
        let args: Vec<&str> = std::iter::once(a.as_str()).chain(flags.iter().copied()).collect();
        let ran = run(command_with(cluster, &config, &args)).expect(1);
        if expected.starts_with("missing") {
            let said = format!(
                "error: you may not do what this needs with the user {user:?} of the kubeconfig; nothing was changed"
            );
            assert_eq!(first_line(&ran), said);
            ran.says_line(&format!("  cause: {expected}"));
        } else {
            assert_eq!(first_line(&ran), expected);
        }
        assert_eq!(writes(&ns, mark), [""; 0], "{case}");
        assert_eq!(
            (living(&ns), is_cordoned(cluster, &a)),
            (before.clone(), false),
            "{case}"
        );
    }
    // What is not needed is not asked for.
    let config = cluster.user_kubeconfig("badrights-fine", &rights(&["delete pods"]));
    run(command_with(cluster, &config, &[&a])).expect(0);
}

#[test]
fn bad_servers() {
    let cluster = Cluster::shared();
    let page = "<html><head><title>Sign in</title></head></html>";
    let answer = |status: &str, kind: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let strange = "did not answer like a Kubernetes API server";
    let cases = [
        ("a login page", answer("200 OK", "text/html", page), strange),
        (
            "half JSON",
            answer("200 OK", "application/json", "{\"kind\":\"Node\",\"meta"),
            strange,
        ),
        ("empty", answer("200 OK", "application/json", ""), strange),
        (
            "a list for an object",
            answer("200 OK", "application/json", "[]"),
            strange,
        ),
        ("null", answer("200 OK", "application/json", "null"), strange),
        (
            "text",
            answer("500 Internal Server Error", "text/plain", "boom \x1b[2J"),
            "boom ^[[2J",
        ),
        (
            "a page of a proxy",
            answer("502 Bad Gateway", "text/html", page),
            strange,
        ),
        (
            "a redirect",
            "HTTP/1.1 302 Found\r\nlocation: https://x\r\ncontent-length: 0\r\n\r\n".into(),
            strange,
        ),
        (
            "closed",
            String::new(),
            "Unable to connect to the server: the connection was closed",
        ),
        (
            "cut",
            "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{".into(),
            "Unable to connect to the server: ",
        ),
        (
            "another protocol",
            "SSH-2.0-OpenSSH_9.6\r\n".into(),
            "Unable to connect to the server: ",
        ),
    ];
    for (case, answer, expected) in cases {
        let server = format!("--server={}", server_that_says(answer));
        let mut command = command(cluster, &["n", &server, "--request-timeout=10s"]);
        command.env("KUBECONFIG", "/nonexistent");
        let ran = run(command).expect(1);
        let line = first_line(&ran);
        assert!(line.contains(expected), "{case}: {}", ran.text());
        assert!(
            !ran.stderr.contains('\x1b') && ran.stderr.lines().count() <= 4,
            "{case}: {}",
            ran.text()
        );
        assert!(ran.took.as_secs() < 5, "{case}: {:?}", ran.took);
    }
}

/// A server that gives every request this answer and closes the connection.
fn server_that_says(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 8192];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}
