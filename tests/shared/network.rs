//! Proxies. The API server listens on loopback, so it is reached by a name that only the proxy knows.

use serde_json::json;

use crate::bench::{Proxy, admin, apiserver, kubeconfig, probe_with};

/// A name in the server's certificate that no resolver knows.
const NAME: &str = "kubernetes.default.svc";

fn by_name(dir: &std::path::Path, cluster: serde_json::Value) -> String {
    let mut fields = json!({"server": format!("https://{NAME}:{}", apiserver().port())});
    testsupport::merge(&mut fields, cluster);
    kubeconfig(dir, fields, admin()).display().to_string()
}

#[test]
fn the_proxy_of_the_environment_is_used_for_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let url = format!("http://{}", proxy.address);
    let config = by_name(dir.path(), json!({}));
    // The list does not name the server; it does name the proxy, which must not matter.
    let lists = ["", "127.0.0.1,10.0.0.0/8,localhost,.example,", "svc.example"];
    for list in lists {
        let ran = probe_with(&["--kubeconfig", &config], &[("HTTPS_PROXY", &url), ("NO_PROXY", list)]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{list}");
    }
    let expected = format!("CONNECT {NAME}:{}", apiserver().port());
    assert_eq!(proxy.asked(), vec![expected; lists.len()]);
}

#[test]
fn servers_in_no_proxy_are_reached_directly() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let url = format!("http://{}", proxy.address);
    let config = by_name(dir.path(), json!({}));
    for list in [
        "*",
        ".svc",
        "localhost,127.0.0.1,.svc,",
        "default.svc",
        &format!("{NAME}:{}", apiserver().port()),
    ] {
        let ran = probe_with(&["--kubeconfig", &config], &[("https_proxy", &url), ("no_proxy", list)]);
        assert!(
            ran.stderr.contains(&format!("lookup {NAME}: no such host")),
            "{list}: {ran:?}"
        );
    }
    // Loopback is never proxied, whatever the environment says.
    let ran = probe_with(&[], &[("HTTPS_PROXY", &url)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}

#[test]
fn the_proxy_of_the_kubeconfig_wins() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other) = (Proxy::start(), Proxy::start());
    let config = by_name(dir.path(), json!({"proxy-url": format!("http://{}", own.address)}));
    let env = format!("http://{}", other.address);
    let ran = probe_with(&["--kubeconfig", &config], &[("HTTPS_PROXY", &env), ("NO_PROXY", "*")]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!((own.asked().len(), other.asked().len()), (1, 0));
}

#[test]
fn a_proxy_that_is_not_there_is_not_blamed_on_the_server_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let config = by_name(dir.path(), json!({"proxy-url": "ftp://user:s3cret@proxy"}));
    let ran = probe_with(&["--kubeconfig", &config], &[]);
    assert_eq!(
        ran.stderr,
        "error: invalid proxy-url: ftp://proxy is not http, https or socks5 with a host\n"
    );
    let config = by_name(dir.path(), json!({"proxy-url": "http://user:s3cret@127.0.0.1:1"}));
    let ran = probe_with(&["--kubeconfig", &config], &[]);
    assert_eq!(
        ran.stderr.lines().next(),
        Some("Unable to connect to the server: the proxy http://127.0.0.1:1 refused the connection")
    );
}
