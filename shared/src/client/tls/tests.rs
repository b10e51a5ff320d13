//! The rules alone, with certificates that tests make.

use testsupport::x509::{Key, Spec};

use super::certificate::Certificate;
use super::chain;

const NOW_AND_LATER: [i64; 2] = [0, 48 * 3600];

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn verify(leaf: &[u8], intermediates: &[Vec<u8>], roots: &[Vec<u8>], host: &str, now: i64) -> Result<(), String> {
    let (leaf, intermediates, roots) = (Certificate::parse(leaf)?, parse(intermediates)?, parse(roots)?);
    chain::verify(&leaf, &intermediates, &roots, host, now)
}

fn parse(ders: &[Vec<u8>]) -> Result<Vec<Certificate<'_>>, String> {
    ders.iter().map(|der| Certificate::parse(der)).collect()
}

#[test]
fn a_leaf_is_valid_between_its_times() {
    let key = Key::p256();
    let leaf = Spec::server("server").sign(&key, &key);
    let [now, later] = NOW_AND_LATER.map(|seconds| now() + seconds);
    let roots = [leaf.clone()];
    assert_eq!(verify(&leaf, &[], &roots, "localhost", now), Ok(()));
    let why = verify(&leaf, &[], &roots, "localhost", later).err().unwrap_or_default();
    assert!(
        why.starts_with("x509: certificate has expired or is not yet valid: current time 2"),
        "{why}"
    );
    assert!(why.contains(" is after 2") && why.ends_with('Z'), "{why}");
}

#[test]
fn authorities_that_sign_each_other_are_no_endless_way() {
    let (a, b, key) = (Key::p256(), Key::p256(), Key::p256());
    let by = |name: &str, issuer: &str, key: &Key, by: &Key| {
        let mut spec = Spec::ca(name);
        spec.issuer = Some(issuer.to_owned());
        spec.sign(key, by)
    };
    let circle = [
        by("a", "b", &a, &b),
        by("b", "a", &b, &a),
        by("a", "a", &a, &a),
        by("b", "b", &b, &b),
    ];
    let leaf = Spec::server("a").sign(&key, &a);
    let unknown = "x509: certificate signed by unknown authority";
    assert_eq!(verify(&leaf, &circle, &[], "localhost", now()), Err(unknown.to_owned()));
    assert_eq!(
        verify(&leaf, &circle, &[by("b", "b", &b, &b)], "localhost", now()),
        Ok(())
    );
}

#[test]
fn no_more_than_a_hundred_signatures_are_verified() {
    let (ca, key) = (Key::p256(), Key::p256());
    // Each of them could have signed each other: the ways are more than could ever be gone.
    let crowd: Vec<Vec<u8>> = (0..30)
        .map(|number| {
            let mut spec = Spec::ca("same");
            spec.dns = vec![format!("n{number}")];
            spec.sign(&ca, &ca)
        })
        .collect();
    let leaf = Spec::server("same").sign(&key, &ca);
    let limit = "x509: signature check attempts limit reached while verifying certificate chain";
    assert_eq!(verify(&leaf, &crowd, &[], "localhost", now()), Err(limit.to_owned()));
}

proptest::proptest! {
    #[test]
    fn no_bytes_stop_the_reader(bytes in proptest::collection::vec(0u8.., 0..300)) {
        drop(Certificate::parse(&bytes));
        drop(super::identity::read(&bytes, &bytes));
    }

    #[test]
    fn a_damaged_certificate_is_never_trusted(at in 0usize..2000, bit in 0u32..8) {
        use std::sync::OnceLock;
        static MADE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
        let (leaf, root) = MADE.get_or_init(|| {
            let (ca, key) = (Key::p256(), Key::p256());
            (Spec::server("ca").sign(&key, &ca), Spec::ca("ca").sign(&ca, &ca))
        });
        let mut damaged = leaf.clone();
        let at = at % damaged.len();
        damaged[at] ^= 1 << bit;
        proptest::prop_assert!(verify(&damaged, &[], std::slice::from_ref(root), "localhost", now()).is_err());
    }
}
