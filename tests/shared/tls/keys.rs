//! Servers with keys of every kind.

use serde_json::{Value, json};
use testsupport::x509::{Key, Spec};

use super::{Row, Server, certificate, run_all};

#[test]
fn r06_servers_have_keys_of_every_kind() {
    let mut rows = Vec::new();
    let keys = [
        ("P-256", [Key::p256(), Key::p256()]),
        ("P-384", [Key::p384(), Key::p384()]),
        ("P-521", [Key::p521(), Key::p521()]),
        ("Ed25519", [Key::ed25519(), Key::ed25519()]),
        ("RSA", [Key::rsa2048(), Key::rsa2048()]),
    ];
    for (name, [ca_key, key]) in keys {
        let ca = certificate(&Spec::ca("ca").sign(&ca_key, &ca_key));
        let leaf = Spec::server("ca").sign(&key, &ca_key);
        let trusts = json!({"ca": ca});
        let row = |server, cluster: &Value| Row {
            name,
            server,
            host: "127.0.0.1",
            cluster: cluster.clone(),
            vars: Vec::new(),
            refused: None,
        };
        rows.push(row(Server::start(vec![leaf.clone()], &key), &trusts));
        rows.push(row(
            Server::start(vec![leaf.clone()], &key),
            &json!({"insecure-skip-tls-verify": true}),
        ));
        // A scheme of TLS 1.2 does not name its curve; the test's server has none for P-521.
        if name != "P-521" {
            let old = Server::with_versions(vec![leaf], &key, &[&rustls::version::TLS12]);
            rows.push(row(old, &trusts));
        }
    }
    run_all(&rows);
}
