//! Servers, and the authorities that they are trusted by.

use std::net::IpAddr;

use serde_json::json;
use testsupport::x509::{CLIENT, Key, Spec};

use super::{Row, Server, base64, certificate, run_all};

const UNKNOWN: &str = "x509: certificate signed by unknown authority";
const EXPIRED: &str = "x509: certificate has expired or is not yet valid: current time ";
const NO_ADDRESS: &str = "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs";

/// One CA with its key.
fn authority() -> (Key, Vec<u8>) {
    let key = Key::p256();
    let der = Spec::ca("ca").sign(&key, &key);
    (key, der)
}

#[test]
fn r06_servers_are_trusted_as_kubectl_does() {
    let (ca_key, ca_der) = authority();
    let ca = certificate(&ca_der);
    let mut rows = Vec::new();
    // Leaf, key of the leaf, rest of the chain.
    let mut row = |name, chain: Vec<Vec<u8>>, key: &Key, host, cluster, refused| {
        rows.push(Row {
            name,
            server: Server::start(chain, key),
            host,
            cluster,
            vars: Vec::new(),
            refused,
        });
    };
    let key = Key::p256();
    let changed = |change: &dyn Fn(&mut Spec)| {
        let mut spec = Spec::server("ca");
        change(&mut spec);
        spec.sign(&key, &ca_key)
    };
    let good = changed(&|_| {});
    let trusts = |text: &str| json!({"ca": text});
    let local = "127.0.0.1";

    row("v3", vec![good.clone()], &key, local, trusts(&ca), None);
    row("by name", vec![good.clone()], &key, "localhost", trusts(&ca), None);
    row(
        "another CA",
        vec![good.clone()],
        &key,
        local,
        trusts(&certificate(&authority().1)),
        Some(UNKNOWN),
    );
    row(
        "another CA of the same name",
        vec![good.clone()],
        &key,
        local,
        trusts(&certificate(&Spec::ca("ca").sign(&key, &key))),
        Some(
            "(possibly because of \"x509: ECDSA verification failure\" while trying to verify candidate authority certificate \"ca\")",
        ),
    );
    let expired = changed(&|spec| spec.hours = (-48, -24));
    row("expired", vec![expired], &key, local, trusts(&ca), Some(EXPIRED));
    let early = changed(&|spec| spec.hours = (24, 48));
    row(
        "not yet valid",
        vec![early.clone()],
        &key,
        local,
        trusts(&ca),
        Some(" is before "),
    );
    row(
        "not yet valid, insecure",
        vec![early],
        &key,
        local,
        json!({"insecure-skip-tls-verify": true}),
        None,
    );
    row(
        "leaf as CA",
        vec![good.clone()],
        &key,
        local,
        trusts(&certificate(&good)),
        None,
    );
    let expired = changed(&|spec| spec.hours = (-48, -24));
    row(
        "expired leaf as CA",
        vec![expired.clone()],
        &key,
        local,
        trusts(&certificate(&expired)),
        Some(" is after "),
    );
    let elsewhere = changed(&|spec| spec.addresses = vec![IpAddr::from([10, 0, 0, 1])]);
    row(
        "leaf as CA, another address",
        vec![elsewhere.clone()],
        &key,
        local,
        trusts(&certificate(&elsewhere)),
        Some("x509: certificate is valid for 10.0.0.1, not 127.0.0.1"),
    );
    let clients = changed(&|spec| spec.purposes = vec![CLIENT]);
    let usage = Some("x509: certificate specifies an incompatible key usage");
    row(
        "for clients only",
        vec![clients.clone()],
        &key,
        local,
        trusts(&ca),
        usage,
    );
    row(
        "leaf as CA, for clients only",
        vec![clients.clone()],
        &key,
        local,
        trusts(&certificate(&clients)),
        usage,
    );
    let neither = changed(&|spec| spec.purposes = Vec::new());
    row("no purposes", vec![neither], &key, local, trusts(&ca), None);
    let other_name = changed(&|spec| spec.dns = vec!["elsewhere".to_owned(), "*.example".to_owned()]);
    row(
        "another host",
        vec![other_name.clone()],
        &key,
        "localhost",
        trusts(&ca),
        Some("x509: certificate is valid for elsewhere, *.example, not localhost"),
    );
    let named = |name: &str| json!({"ca": ca.as_str(), "tls-server-name": name});
    row(
        "tls-server-name",
        vec![other_name.clone()],
        &key,
        local,
        named("elsewhere"),
        None,
    );
    row(
        "tls-server-name, a wildcard",
        vec![other_name.clone()],
        &key,
        local,
        named("a.example"),
        None,
    );
    row(
        "tls-server-name, two labels",
        vec![other_name.clone()],
        &key,
        local,
        named("a.b.example"),
        Some("not a.b.example"),
    );
    row(
        "tls-server-name, an address",
        vec![elsewhere],
        &key,
        local,
        named("10.0.0.1"),
        None,
    );
    let no_address = changed(&|spec| spec.addresses = Vec::new());
    row(
        "no address",
        vec![no_address],
        &key,
        local,
        trusts(&ca),
        Some(NO_ADDRESS),
    );
    let legacy = changed(&|spec| {
        spec.common_name = "localhost".to_owned();
        spec.dns = Vec::new();
        spec.addresses = Vec::new();
    });
    row(
        "common name",
        vec![legacy],
        &key,
        "localhost",
        trusts(&ca),
        Some("x509: certificate relies on legacy Common Name field, use SANs instead"),
    );
    let critical = changed(&|spec| spec.critical = true);
    row(
        "critical extension",
        vec![critical],
        &key,
        local,
        trusts(&ca),
        Some("x509: unhandled critical extension"),
    );
    let sha1 = changed(&|spec| spec.algorithm = Some("1.2.840.113549.1.1.5"));
    row(
        "SHA-1",
        vec![sha1],
        &key,
        local,
        trusts(&ca),
        Some("x509: certificate signed by unknown authority"),
    );

    // Version 1 has no names in it.
    let old = changed(&|spec| spec.version = 1);
    row(
        "v1 server",
        vec![old.clone()],
        &key,
        local,
        trusts(&ca),
        Some(NO_ADDRESS),
    );
    row(
        "v1 server, insecure",
        vec![old.clone()],
        &key,
        local,
        json!({"insecure-skip-tls-verify": true}),
        None,
    );
    row(
        "v1 leaf as CA",
        vec![old.clone()],
        &key,
        local,
        trusts(&certificate(&old)),
        Some(NO_ADDRESS),
    );

    // Self-signed.
    let own = |change: &dyn Fn(&mut Spec)| {
        let mut spec = Spec::server("server");
        change(&mut spec);
        spec.sign(&key, &key)
    };
    let plain = own(&|_| {});
    row(
        "self-signed",
        vec![plain.clone()],
        &key,
        local,
        trusts(&certificate(&plain)),
        None,
    );
    row(
        "self-signed, unknown",
        vec![plain.clone()],
        &key,
        local,
        trusts(&ca),
        Some(UNKNOWN),
    );
    let both = own(&|spec| spec.ca = Some((true, None)));
    row(
        "self-signed CA that serves",
        vec![both.clone()],
        &key,
        local,
        trusts(&certificate(&both)),
        None,
    );
    let data = base64(&certificate(&both));
    row(
        "the same as data",
        vec![both],
        &key,
        local,
        json!({"certificate-authority-data": data}),
        None,
    );

    // Roots.
    let root = |change: &dyn Fn(&mut Spec)| {
        let mut spec = Spec::ca("ca");
        change(&mut spec);
        certificate(&spec.sign(&ca_key, &ca_key))
    };
    row(
        "v1 root",
        vec![good.clone()],
        &key,
        local,
        trusts(&root(&|spec| spec.version = 1)),
        None,
    );
    row(
        "v3 root that is no CA",
        vec![good.clone()],
        &key,
        local,
        trusts(&root(&|spec| spec.ca = None)),
        Some("x509: invalid signature: parent certificate cannot sign this kind of certificate"),
    );
    row(
        "expired root",
        vec![good.clone()],
        &key,
        local,
        trusts(&root(&|spec| spec.hours = (-48, -24))),
        Some(EXPIRED),
    );
    row(
        "root for clients only",
        vec![good.clone()],
        &key,
        local,
        trusts(&root(&|spec| spec.purposes = vec![CLIENT])),
        usage,
    );
    row(
        "root that may not sign",
        vec![good.clone()],
        &key,
        local,
        trusts(&root(&|spec| spec.key_usage = Some(0x80))),
        Some("x509: invalid signature: parent certificate cannot sign this kind of certificate"),
    );
    row(
        "root that may",
        vec![good.clone()],
        &key,
        local,
        trusts(&root(&|spec| spec.key_usage = Some(0x04))),
        None,
    );
    row(
        "name constraint that holds",
        vec![changed(&|spec| spec.dns = vec!["a.example".to_owned()])],
        &key,
        local,
        trusts(&root(&|spec| spec.permitted = Some("example".to_owned()))),
        None,
    );
    row(
        "name constraint that does not",
        vec![good.clone()],
        &key,
        local,
        trusts(&root(&|spec| spec.permitted = Some("example".to_owned()))),
        Some("is not authorized to sign for this name: DNS name \"localhost\" is not permitted by any constraint"),
    );

    // Intermediates.
    let middle_key = Key::p256();
    let middle = |change: &dyn Fn(&mut Spec)| {
        let mut spec = Spec::ca("middle");
        spec.issuer = Some("ca".to_owned());
        change(&mut spec);
        spec.sign(&middle_key, &ca_key)
    };
    let below = Spec::server("middle").sign(&key, &middle_key);
    let chain = |der: Vec<u8>| vec![below.clone(), der];
    row("intermediate", chain(middle(&|_| {})), &key, local, trusts(&ca), None);
    row(
        "intermediate as the root",
        vec![below.clone()],
        &key,
        local,
        trusts(&certificate(&middle(&|_| {}))),
        None,
    );
    row(
        "intermediate that is missing",
        vec![below.clone()],
        &key,
        local,
        trusts(&ca),
        Some(UNKNOWN),
    );
    row(
        "intermediate that is no CA",
        chain(middle(&|spec| spec.ca = Some((false, None)))),
        &key,
        local,
        trusts(&ca),
        Some("x509: invalid signature: parent certificate cannot sign this kind of certificate"),
    );
    row(
        "v1 intermediate",
        chain(middle(&|spec| spec.version = 1)),
        &key,
        local,
        trusts(&ca),
        Some("x509: certificate is not authorized to sign other certificates"),
    );
    row(
        "too long a path",
        chain(middle(&|_| {})),
        &key,
        local,
        trusts(&root(&|spec| spec.ca = Some((true, Some(0))))),
        Some("x509: too many intermediates for path length constraint"),
    );

    // Files.
    let other = certificate(&authority().1);
    row(
        "several CAs",
        vec![good.clone()],
        &key,
        local,
        trusts(&format!("{other}{ca}")),
        None,
    );
    row(
        "damaged CA before it",
        vec![good.clone()],
        &key,
        local,
        trusts(&format!("{}{ca}", certificate(b"no"))),
        None,
    );
    let text = format!("Bag Attributes\n    friendlyName: x\nsubject=CN = ca\n# comment\n{ca}trailing garbage");
    row("text around it", vec![good.clone()], &key, local, trusts(&text), None);
    row(
        "CRLF",
        vec![good.clone()],
        &key,
        local,
        trusts(&text.replace('\n', "\r\n")),
        None,
    );
    row(
        "without the last line break",
        vec![good.clone()],
        &key,
        local,
        trusts(ca.trim_end()),
        None,
    );
    row(
        "a key beside it",
        vec![good.clone()],
        &key,
        local,
        trusts(&format!("{}{ca}", Key::p256().sec1_pem(true))),
        None,
    );
    row(
        "no PEM",
        vec![good.clone()],
        &key,
        local,
        trusts("no"),
        Some("unable to load root certificates: unable to parse bytes as PEM block"),
    );
    row(
        "no certificate",
        vec![good.clone()],
        &key,
        local,
        trusts(&certificate(b"no")),
        Some("unable to load root certificates: failed to parse certificate: x509: malformed certificate"),
    );
    row(
        "an empty file",
        vec![good.clone()],
        &key,
        local,
        trusts(""),
        Some(UNKNOWN),
    );

    // The certificates of the machine.
    for (name, text, refused) in [
        ("the machine's CA", ca.clone(), None),
        ("not the machine's", other, Some(UNKNOWN)),
    ] {
        rows.push(Row {
            name,
            server: Server::start(vec![good.clone()], &key),
            host: local,
            cluster: json!({}),
            vars: vec![("SSL_CERT_FILE", text)],
            refused,
        });
    }
    run_all(&rows);
}
