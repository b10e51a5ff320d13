//! Where a kind and its objects are.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use upkeep::discovery::Kind;

use crate::facts::Key;

/// What a path takes as it is. Names of most kinds have nothing else; those of roles may have everything but `/` and `%`.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// A name as one part of a path.
pub fn segment(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, PLAIN)
}

/// The path of all objects of a kind.
pub fn of_kind(kind: &Kind, namespace: Option<&str>) -> String {
    let root = if kind.group.is_empty() { "/api" } else { "/apis" };
    let version = kind.api_version();
    match namespace.filter(|_| kind.namespaced) {
        Some(namespace) => format!("{root}/{version}/namespaces/{}/{}", segment(namespace), kind.plural),
        None => format!("{root}/{version}/{}", kind.plural),
    }
}

/// The path of one object.
pub fn of_object(kind: &Kind, key: &Key) -> String {
    format!("{}/{}", of_kind(kind, key.namespace.as_deref()), segment(&key.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_core_and_of_other_groups() {
        let pods = Kind {
            version: "v1".into(),
            plural: "pods".into(),
            namespaced: true,
            ..Kind::default()
        };
        let key = Key::new(&pods, Some("shop"), "web");
        assert_eq!(of_object(&pods, &key), "/api/v1/namespaces/shop/pods/web");
        assert_eq!(of_kind(&pods, None), "/api/v1/pods");
        let class = Kind {
            group: "storage.k8s.io".into(),
            version: "v1".into(),
            plural: "storageclasses".into(),
            ..Kind::default()
        };
        let key = Key::new(&class, Some("ignored"), "fast");
        assert_eq!(of_object(&class, &key), "/apis/storage.k8s.io/v1/storageclasses/fast");
        let key = Key::new(&class, None, "a b?c#d");
        assert_eq!(
            of_object(&class, &key),
            "/apis/storage.k8s.io/v1/storageclasses/a%20b%3Fc%23d"
        );
    }
}
