//! Client certificates, shown to a real kube-apiserver.

use serde_json::json;
use testsupport::Cluster;
use testsupport::x509::{Key, pem};

use super::{base64, both, certificate, compare};
use crate::bench::probe_path;

/// The certificate of a client and its key, as PEM.
struct Client {
    name: &'static str,
    certificate: String,
    key: String,
    refused: Option<&'static str>,
}

#[test]
fn r06_clients_show_certificates_of_every_kind() {
    let cluster = Cluster::shared();
    let issue = |key: &Key, version: u8| {
        certificate(&cluster.certify("tls-client", "system:masters", key, |spec| spec.version = version))
    };
    let mut rows = Vec::new();
    let mut row = |name, certificate: String, key: String, refused| {
        rows.push(Client {
            name,
            certificate,
            key,
            refused,
        });
    };
    let (p256, p384, p521) = (Key::p256(), Key::p384(), Key::p521());
    let (ed25519, rsa) = (Key::ed25519(), Key::rsa2048());
    for (name, key) in [
        ("P-256", &p256),
        ("P-384", &p384),
        ("P-521", &p521),
        ("Ed25519", &ed25519),
        ("RSA", &rsa),
    ] {
        row(name, issue(key, 3), key.pem(), None);
        row(name, issue(key, 1), key.pem(), None);
    }
    for (name, key) in [
        ("P-256 in SEC1", &p256),
        ("P-384 in SEC1", &p384),
        ("P-521 in SEC1", &p521),
    ] {
        row(name, issue(key, 1), key.sec1_pem(true), None);
        row(name, issue(key, 3), key.sec1_pem(false), None);
    }
    row("RSA in PKCS#1", issue(&rsa, 1), rsa.pkcs1_pem(), None);
    row(
        "another label",
        issue(&rsa, 3),
        rsa.pem().replace("PRIVATE KEY", "RSA PRIVATE KEY"),
        None,
    );
    let text = format!("Bag Attributes\n    localKeyID: 01\n{}# end", issue(&p256, 1));
    row(
        "text around it",
        text.replace('\n', "\r\n"),
        format!("comment: x\n{}", p256.pem()),
        None,
    );
    row(
        "key and certificate in one file",
        p256.pem() + &issue(&p256, 1),
        issue(&p256, 1) + &p256.pem(),
        None,
    );
    let no_match = Some("tls: private key does not match public key");
    row("another key", issue(&p256, 1), Key::p256().pem(), no_match);
    row(
        "another key in SEC1",
        issue(&p256, 3),
        Key::p256().sec1_pem(false),
        no_match,
    );
    row("another P-521 key", issue(&p521, 3), Key::p521().pem(), no_match);
    row("another curve", issue(&p256, 3), p384.pem(), no_match);
    let other_type = Some("tls: private key type does not match public key type");
    row("RSA for EC", issue(&p256, 3), rsa.pem(), other_type);
    row("EC for RSA", issue(&rsa, 3), p256.pem(), other_type);
    row("Ed25519 for EC", issue(&p256, 3), ed25519.pem(), other_type);
    row(
        "no key",
        issue(&p256, 3),
        "no".to_owned(),
        Some("tls: failed to find any PEM data in key input"),
    );
    row(
        "switched",
        p256.pem(),
        issue(&p256, 3),
        Some(
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
        ),
    );
    row(
        "a certificate as key",
        issue(&p256, 3),
        issue(&p256, 3),
        Some("tls: found a certificate rather than a key in the PEM for the private key"),
    );
    row(
        "a damaged key",
        issue(&p256, 3),
        pem("PRIVATE KEY", b"no"),
        Some("tls: failed to parse private key"),
    );
    row(
        "no certificate",
        pem("CERTIFICATE", b"no"),
        p256.pem(),
        Some("x509: malformed certificate"),
    );

    probe_path();
    let entry = json!({"server": cluster.server(), "certificate-authority": cluster.ca_path()});
    // In turns as files and as data.
    let check = |index: usize, client: &Client| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("crt"), &client.certificate).unwrap();
        std::fs::write(dir.path().join("key"), &client.key).unwrap();
        let user = match index % 2 {
            0 => json!({"client-certificate": "crt", "client-key": "key"}),
            _ => json!({
                "client-certificate-data": base64(&client.certificate), "client-key-data": base64(&client.key)}),
        };
        compare(client.name, &both(dir.path(), &entry, &user, &[]), client.refused)
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let rows = rows.iter().enumerate();
        let running: Vec<_> = rows
            .map(|(index, row)| scope.spawn(move || check(index, row)))
            .collect();
        running
            .into_iter()
            .filter_map(|row| row.join().unwrap().err())
            .collect()
    });
    assert!(
        failed.is_empty(),
        "{} of {} rows:\n{}",
        failed.len(),
        rows.len(),
        failed.join("\n")
    );
}

/// What *ring* cannot do and Go can is refused by name.
#[test]
fn r06_a_key_that_is_too_short_is_named() {
    let cluster = Cluster::shared();
    let key = Key::rsa1024();
    let dir = tempfile::tempdir().unwrap();
    let certificate = certificate(&cluster.certify("short", "system:masters", &key, |_| {}));
    let user = json!({"client-certificate-data": base64(&certificate), "client-key-data": base64(&key.pem())});
    let entry = json!({"server": cluster.server(), "certificate-authority": cluster.ca_path()});
    let [_, ours] = both(dir.path(), &entry, &user, &[]);
    assert_eq!(
        ours.stderr.lines().next(),
        Some("error: tls: an RSA key of 1024 bits cannot be used; it must have 2048 to 4096 bits")
    );
}
