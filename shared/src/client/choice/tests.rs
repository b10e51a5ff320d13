//! The choice of context, cluster and user, against what kubectl does.

#![allow(clippy::unwrap_used)]

use secrecy::ExposeSecret;

use super::*;
use crate::args::Secret;

const FILE: &str = r#"
current-context: a
clusters:
- {name: c, cluster: {server: "https://c:6443", certificate-authority-data: Y2E=, tls-server-name: inside}}
- {name: d, cluster: {server: "https://d:6443", insecure-skip-tls-verify: true}}
- {name: both, cluster: {server: "https://b", insecure-skip-tls-verify: true, certificate-authority: /ca}}
- {name: empty, cluster: {}}
contexts:
- {name: a, context: {cluster: c, user: u, namespace: team}}
- {name: b, context: {cluster: d, user: cert}}
- {name: nouser, context: {cluster: c, user: missing}}
- {name: nocluster, context: {cluster: missing, user: u}}
- {name: both, context: {cluster: both, user: u}}
- {name: empty, context: {cluster: empty}}
- {name: two, context: {cluster: c, user: two}}
- {name: exec, context: {cluster: c, user: exec}}
users:
- {name: u, user: {token: from-file, tokenFile: /token}}
- {name: cert, user: {client-certificate-data: Y2VydA==, client-key-data: a2V5, as: someone, as-groups: [g]}}
- {name: two, user: {token: t, username: n, password: p}}
- {name: exec, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: x}}}
"#;

fn kubeconfig() -> Kubeconfig {
    Kubeconfig::from_yaml(FILE).unwrap()
}

fn choice(change: impl FnOnce(&mut KubeArgs)) -> Result<Choice> {
    let mut args = KubeArgs::default();
    change(&mut args);
    choose(&kubeconfig(), &args)
}

fn refusal(change: impl FnOnce(&mut KubeArgs)) -> String {
    choice(change).unwrap_err().headline().to_owned()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_current_context_is_used_unless_a_flag_says_otherwise() {
    let current = choice(|_| {}).unwrap();
    assert_eq!(current.cluster.server, some("https://c:6443"));
    assert_eq!((current.namespace, current.user_name.as_str()), (some("team"), "u"));
    let other = choice(|args| args.context = some("b")).unwrap();
    assert_eq!((other.cluster.server, other.namespace), (some("https://d:6443"), None));
    let mixed = choice(|args| {
        (args.cluster, args.user, args.namespace) = (some("d"), some("cert"), some("x"));
    });
    let mixed = mixed.unwrap();
    assert_eq!(
        (mixed.cluster.server, mixed.namespace),
        (some("https://d:6443"), some("x"))
    );
    assert!(mixed.user.client_certificate_data.is_some());
    let blank = choice(|args| (args.context, args.namespace) = (some(""), some(""))).unwrap();
    assert_eq!((blank.context, blank.namespace), (some("a"), some("team")));
}

#[test]
fn names_that_do_not_exist_are_errors_of_kubectl() {
    assert_eq!(
        refusal(|args| args.context = some("x")),
        "error: context \"x\" does not exist"
    );
    assert_eq!(
        refusal(|args| args.cluster = some("x")),
        "error: no server found for cluster \"x\""
    );
    assert_eq!(
        refusal(|args| args.user = some("x")),
        "error: auth info \"x\" does not exist"
    );
    assert_eq!(
        refusal(|args| args.context = some("nocluster")),
        "error: no server found for cluster \"missing\""
    );
    assert_eq!(
        refusal(|args| args.context = some("nouser")),
        "error: auth info \"missing\" does not exist"
    );
    let token = |args: &mut KubeArgs| (args.context, args.token) = (some("nouser"), Some(Secret("t".into())));
    assert!(choice(token).is_ok());
    assert!(choice(|args| (args.context, args.server) = (some("nocluster"), some("https://h"))).is_ok());
}

#[test]
fn another_server_drops_the_name_of_the_old_one() {
    let with = |server: Option<&str>, name: Option<&str>| {
        choice(|args| (args.server, args.tls_server_name) = (server.map(Into::into), name.map(Into::into)))
            .unwrap()
            .cluster
    };
    assert_eq!(with(None, None).tls_server_name, some("inside"));
    assert_eq!(with(Some("https://h"), None).tls_server_name, None);
    assert_eq!(with(Some("https://h"), Some("n")).tls_server_name, some("n"));
    assert_eq!(with(None, Some("n")).tls_server_name, some("n"));
}

#[test]
fn trust_in_the_server_is_replaced_as_a_whole() {
    let insecure = choice(|args| args.insecure_skip_tls_verify = Some(true))
        .unwrap()
        .cluster;
    assert_eq!(
        (insecure.insecure_skip_tls_verify, insecure.certificate_authority_data),
        (Some(true), None)
    );
    let trusted = choice(|args| (args.context, args.certificate_authority) = (some("b"), Some("/ca".into())));
    let trusted = trusted.unwrap().cluster;
    assert_eq!(
        (trusted.insecure_skip_tls_verify, trusted.certificate_authority),
        (Some(false), some("/ca"))
    );
    // As in kubectl, a flag that says false changes nothing.
    let still = choice(|args| (args.context, args.insecure_skip_tls_verify) = (some("b"), Some(false))).unwrap();
    assert_eq!(still.cluster.insecure_skip_tls_verify, Some(true));
    let sentence = "error: specifying a root certificates file with the insecure flag is not allowed";
    assert_eq!(refusal(|args| args.context = some("both")), sentence);
    let both = |args: &mut KubeArgs| {
        (args.insecure_skip_tls_verify, args.certificate_authority) = (Some(true), Some("/ca".into()))
    };
    assert_eq!(refusal(both), sentence);
}

#[test]
fn a_token_goes_before_every_other_way_to_log_in() {
    for context in ["a", "two", "exec"] {
        let token = |args: &mut KubeArgs| (args.context, args.token) = (some(context), Some(Secret("mine".into())));
        let user = choice(token).unwrap().user;
        assert_eq!(user.token.unwrap().expose_secret(), "mine");
        assert!(
            user.token_file.is_none() && user.exec.is_none() && user.username.is_none(),
            "{context}"
        );
    }
}

#[test]
fn certificate_flags_replace_the_data_of_the_file() {
    let both = |args: &mut KubeArgs| {
        (args.context, args.client_certificate, args.client_key) =
            (some("b"), Some("/cert".into()), Some("/key".into()));
    };
    let user = choice(both).unwrap().user;
    assert_eq!(
        (user.client_certificate, user.client_key),
        (some("/cert"), some("/key"))
    );
    assert!(user.client_certificate_data.is_none() && user.client_key_data.is_none());
    assert_eq!(
        refusal(|args| args.client_certificate = Some("/cert".into())),
        "error: client-key-data or client-key must be specified for u to use the clientCert authentication method."
    );
}

#[test]
fn impersonation_needs_a_user() {
    let sentence = "error: requesting uid, groups or user-extra for u without impersonating a user";
    assert_eq!(refusal(|args| args.impersonate_groups = vec!["g".into()]), sentence);
    assert_eq!(refusal(|args| args.impersonate_uid = some("1")), sentence);
    assert_eq!(
        refusal(|args| args.impersonate_extra = vec![("k".into(), "v".into())]),
        sentence
    );
    let full = choice(|args| {
        args.impersonate = some("a");
        args.impersonate_groups = vec!["g".into(), "h".into()];
        args.impersonate_extra = vec![("k".into(), "1".into()), ("k".into(), "2".into())];
    });
    let user = full.unwrap().user;
    assert_eq!(user.impersonate_groups.unwrap(), ["g", "h"]);
    assert_eq!(user.impersonate_user_extra.unwrap()["k"], ["1", "2"]);
    let from_file = choice(|args| args.context = some("b")).unwrap().user;
    assert_eq!(
        (from_file.impersonate, from_file.impersonate_groups),
        (some("someone"), Some(vec!["g".into()]))
    );
}

#[test]
fn two_ways_to_log_in_are_one_too_many() {
    assert_eq!(
        refusal(|args| args.context = some("two")),
        "error: more than one authentication method found for two; found [token basicAuth], only one is allowed"
    );
}

#[test]
fn without_a_server_the_pod_around_us_is_asked() {
    let account = tempfile::tempdir().unwrap();
    for (name, text) in [("token", "t\n"), ("ca.crt", "pem"), ("namespace", "kube-system\n")] {
        std::fs::write(account.path().join(name), text).unwrap();
    }
    let pod = Pod {
        service: Some(("fd00::1".into(), "443".into())),
        namespace: None,
        account: account.path().into(),
    };
    let args = KubeArgs::default();
    let empty = || choose(&Kubeconfig::default(), &args).unwrap();
    let inside = fall_back(empty(), &args, &pod).unwrap();
    assert_eq!(inside.cluster.server, some("https://[fd00::1]:443"));
    assert_eq!(inside.namespace, some("kube-system"));
    assert!(inside.user.token_file.unwrap().ends_with("/token"));
    assert!(inside.cluster.certificate_authority.unwrap().ends_with("/ca.crt"));
    let named = Pod {
        namespace: Some("mine".into()),
        ..pod.clone()
    };
    assert_eq!(fall_back(empty(), &args, &named).unwrap().namespace, some("mine"));
    // A kubeconfig goes before the pod, and without either it is kubectl's default.
    assert_eq!(
        fall_back(choice(|_| {}).unwrap(), &args, &pod).unwrap().cluster.server,
        some("https://c:6443")
    );
    let outside = Pod { service: None, ..pod };
    assert_eq!(
        fall_back(empty(), &args, &outside).unwrap().cluster.server,
        some("http://localhost:8080")
    );
}
