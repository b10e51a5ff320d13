//! What the API server cannot read from its storage: objects in a version that their definition has no longer, objects that
//! are damaged, objects that were encrypted with a key that is lost.

use upkeep::{discovery::Kind, report::ObjRef};

use super::super::{Cause, CauseKey, Found, desk::Desk};
use crate::{
    facts::{Ask, Key, Said, is_built_in},
    ladder::{Mend, Remedy, Rung},
};

/// How the server begins to say which version it does not find (apiextensions-apiserver, conversion).
const VERSION_GONE: &str = "request to convert CR from an invalid group/version: ";
/// What the storage says of an object that was encrypted with another key, or not at all (apiserver/pkg/storage/value).
const ENCRYPTED: [&str; 3] = [
    "unable to transform key",
    "no matching key was found",
    "no matching prefix found",
];
/// Words of faults that pass.
const PASSING: [&str; 7] = [
    "etcdserver:",
    "context deadline exceeded",
    "context canceled",
    "rpc error",
    "connection refused",
    "failed calling webhook",
    "timeout",
];

/// The `id` of what cannot be read.
pub const UNREADABLE: &str = "unreadable";

/// The version in which something is stored and that is not there any more.
pub fn version_gone(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once(VERSION_GONE)?;
    let named = rest.split_whitespace().next()?.trim_end_matches([',', ';', '"']);
    named.rsplit('/').next()
}

/// Whether the server says that it cannot read what is stored, and will not the next time either.
pub fn is_unreadable(said: &Said) -> bool {
    said.code == 500 && !said.is_denial() && !PASSING.iter().any(|passing| said.message.contains(passing))
}

/// Whether a kind that can be listed here cannot be listed in the whole cluster, for the namespace controller says so: an object
/// in another namespace is stored in a version that is not there any more, which keeps the server from listing the kind. The
/// server is asked itself, for what the controller has written may be old. True if that is why, or it is not known yet.
pub fn elsewhere(desk: &Desk<'_>, found: &mut Found, message: &str) -> bool {
    if version_gone(message).is_none() {
        return false;
    }
    let (_, rest) = message.split_once(VERSION_GONE).unwrap_or_default();
    let group = rest.split('/').next().unwrap_or_default();
    let mut known = true;
    for kind in desk
        .discovery()
        .preferred()
        .filter(|kind| kind.group == group && kind.can("list"))
    {
        match desk.metadata(&Ask::metadata(kind, None)) {
            None => known = false,
            Some(Err(said)) if version_gone(&said.message).is_some() => {
                gone_version(desk, found, kind, said);
            }
            Some(_) => {}
        }
    }
    let id = |cause: &Cause| cause.key.id == "version-gone";
    !known || found.causes.values().any(id)
}

/// Objects of a kind are stored in a version that its definition has no longer. Nothing while the definition is not known; it
/// need not be one that this user may read.
pub fn gone_version(desk: &Desk<'_>, found: &mut Found, kind: &Kind, said: &Said) -> Option<()> {
    let definition = format!("{}.{}", kind.plural, kind.group);
    let key = Key::cluster("apiextensions.k8s.io", "customresourcedefinitions", &definition);
    let uid = match desk.raw(&key)? {
        Ok(raw) => raw["metadata"]["uid"].as_str().unwrap_or_default(),
        Err(_) => "",
    };
    let version = version_gone(&said.message).unwrap_or_default();
    let mend = Mend::Serve {
        definition: definition.clone(),
        version: version.to_owned(),
    };
    let text = format!("serve the version {version} of {definition} again, without storing anything in it");
    found.cause(Cause {
        key: CauseKey {
            id: "version-gone",
            subject: ObjRef::cluster("customresourcedefinition.apiextensions.k8s.io", &definition, uid),
            detail: String::new(),
        },
        says: format!(
            "objects of {} are stored in a version that is not there any more ({version}), which holds every namespace",
            kind.resource()
        ),
        evidence: vec![said.message.clone()],
        actor: None,
        holds: vec![ObjRef::cluster("namespace", &desk.target().name, "")],
        behind: Vec::new(),
        remedies: vec![Remedy::mend(Rung::Repair, text, mend)],
    });
    Some(())
}

/// Something that cannot be read: a whole kind, or one object of it.
pub fn unreadable(found: &mut Found, kind: &Kind, namespace: Option<&str>, object: Option<&str>, message: &str) {
    let resource = kind.resource();
    let (subject, says) = match (object, namespace) {
        (Some(name), Some(namespace)) => {
            let subject = ObjRef::namespaced(&kind.one(), namespace, name, "");
            let says = format!("the API server cannot read {subject} from its storage");
            (subject, says)
        }
        (_, Some(namespace)) => (
            ObjRef::cluster("namespace", namespace, ""),
            format!("the API server cannot read the {resource} of namespace {namespace} from its storage"),
        ),
        (_, None) => (
            ObjRef::cluster(&kind.one(), object.unwrap_or("*"), ""),
            format!("the API server cannot read {resource} from its storage"),
        ),
    };
    found.cause(Cause {
        key: CauseKey {
            id: UNREADABLE,
            subject: subject.clone(),
            detail: resource,
        },
        says,
        evidence: vec![message.to_owned()],
        actor: None,
        holds: vec![subject],
        behind: Vec::new(),
        remedies: by_hand(kind, namespace, object, message)
            .into_iter()
            .map(|text| Remedy::by_hand(Rung::Repair, text))
            .collect(),
    });
}

/// What a person can do, the gentlest first.
pub fn by_hand(kind: &Kind, namespace: Option<&str>, object: Option<&str>, message: &str) -> Vec<String> {
    let at = path(kind, namespace, object, message);
    let mut ways = Vec::new();
    if ENCRYPTED.iter().any(|words| message.contains(words)) {
        ways.push(
            "restore the key with which it was encrypted in the file of --encryption-provider-config of every kube-apiserver, \
             after the key that is used now"
                .to_owned(),
        );
    }
    ways.push(format!(
        "restore it from a backup of etcd: it is stored at {at} (below --etcd-prefix, mostly /registry)"
    ));
    ways.push(format!(
        "if it is not needed any more, take a snapshot of etcd and remove just that key: etcdctl del {at}; or delete it through \
         the API with the option ignoreStoreReadErrorWithClusterBreakingPotential, which needs the feature gate \
         AllowUnsafeMalformedObjectDeletion of kube-apiserver (1.32 and later) and the verb unsafe-delete-ignore-read-errors; \
         its finalizers are skipped then"
    ));
    ways
}

/// Where it is in etcd, as the server says or as it is for most kinds.
fn path(kind: &Kind, namespace: Option<&str>, object: Option<&str>, message: &str) -> String {
    let named = message
        .split_once("unable to transform key \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    if let Some((key, _)) = named
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "/._:-".contains(c))
    {
        return key.to_owned();
    }
    let plural = match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "services") => "services/specs".to_owned(),
        ("", "endpoints") => "services/endpoints".to_owned(),
        ("", "nodes") => "minions".to_owned(),
        ("networking.k8s.io", "ingresses") => "ingress".to_owned(),
        (group, plural) if is_built_in(group) => plural.to_owned(),
        (group, plural) => format!("{group}/{plural}"),
    };
    let unknown = kind.namespaced.then_some("NAMESPACE");
    let namespace = namespace.or(unknown).map(|namespace| format!("{namespace}/"));
    let namespace = namespace.unwrap_or_default();
    format!("/registry/{plural}/{namespace}{}", object.unwrap_or("NAME"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, message: &str) -> Said {
        Said {
            code,
            reason: String::new(),
            message: message.into(),
        }
    }

    /// As the server of Kubernetes 1.36 says it.
    #[test]
    fn the_words_of_the_storage_are_understood() {
        let cached = "storage is (re)initializing: failed to list r26.example.com/v1, Kind=Relic: request to convert CR from an \
                      invalid group/version: r26.example.com/v1alpha1";
        let several = "Failed to delete all resource types, 2 remaining: illegal base64 data at input byte 7, request to convert \
                       CR from an invalid group/version: r26.example.com/v1alpha1, unexpected EOF";
        assert_eq!(version_gone(cached), Some("v1alpha1"));
        assert_eq!(version_gone(several), Some("v1alpha1"));
        assert_eq!(version_gone("relics \"a\" not found"), None);
        for stays in [
            "illegal base64 data at input byte 7",
            "no kind \"ConfigMap\" is registered for version \"v9\" in scheme \"pkg/runtime/scheme.go:111\"",
            "unexpected EOF",
            "Internal error occurred: unable to transform key \"/registry/secrets/enc/s2\": no matching key was found for the \
             provided AES transformer",
        ] {
            assert!(is_unreadable(&said(500, stays)), "{stays}");
            assert!(!is_unreadable(&said(429, stays)) && !is_unreadable(&said(0, stays)));
        }
        for passes in [
            "etcdserver: leader changed",
            "rpc error: code = Unavailable desc = error reading from server: EOF",
            "context deadline exceeded",
            "Internal error occurred: failed calling webhook \"a.example.com\": down",
        ] {
            assert!(!is_unreadable(&said(500, passes)), "{passes}");
        }
    }

    #[test]
    fn where_an_object_is_stored() {
        let kind = |group: &str, plural: &str| Kind {
            group: group.into(),
            plural: plural.into(),
            namespaced: true,
            ..Kind::default()
        };
        let at = |group: &str, plural: &str| path(&kind(group, plural), Some("ns"), Some("a"), "unexpected EOF");
        assert_eq!(at("", "secrets"), "/registry/secrets/ns/a");
        assert_eq!(at("apps", "deployments"), "/registry/deployments/ns/a");
        assert_eq!(at("networking.k8s.io", "ingresses"), "/registry/ingress/ns/a");
        assert_eq!(
            at("shop.example.com", "orders"),
            "/registry/shop.example.com/orders/ns/a"
        );
        let said = "unable to transform key \"/prefix/secrets/ns/b\": no matching key was found";
        assert_eq!(
            path(&kind("", "secrets"), Some("ns"), None, said),
            "/prefix/secrets/ns/b"
        );
        let forged = "unable to transform key \"/a; rm -rf\": no matching key was found";
        assert_eq!(
            path(&kind("", "secrets"), Some("ns"), None, forged),
            "/registry/secrets/ns/NAME"
        );
    }
}
