//! Without TLS no credential is sent: the rule of client-go's `ClientConfig`. Whom to impersonate is none, and is sent.

use kube::config::AuthInfo;

use super::choice::Choice;
use super::{config, proxy, tls};
use crate::error::Result;

/// Takes out of the choice what must not be sent. Returns what to warn of, where there was something.
///
/// Neither is a credential plugin run nor a token file read. As in kubectl, files that do not exist are errors all the same.
///
/// # Errors
/// A server that is no address; a certificate file that cannot be read.
pub(super) fn leave_out(choice: &mut Choice) -> Result<Option<String>> {
    let url = config::server_url(choice)?;
    if url.scheme_str() == Some("https") {
        return Ok(None);
    }
    tls::check_files(choice)?;
    let found = kinds(&choice.user);
    let user = std::mem::take(&mut choice.user);
    choice.user = AuthInfo {
        impersonate: user.impersonate,
        impersonate_uid: user.impersonate_uid,
        impersonate_groups: user.impersonate_groups,
        impersonate_user_extra: user.impersonate_user_extra,
        ..AuthInfo::default()
    };
    choice.cluster.certificate_authority = None;
    choice.cluster.certificate_authority_data = None;
    choice.cluster.insecure_skip_tls_verify = None;
    choice.cluster.tls_server_name = None;
    let server = proxy::hide_password(&url);
    let has_scheme = choice
        .cluster
        .server
        .as_deref()
        .is_some_and(|server| server.contains("://"));
    let cure = match has_scheme {
        true => String::new(),
        false => format!(
            "; write the server as {} if it has TLS",
            server.replacen("http", "https", 1)
        ),
    };
    let found = found.join(", ");
    let warning =
        format!("no credentials are sent to {server}, because the connection has no TLS (left out: {found}){cure}");
    Ok((!found.is_empty()).then_some(warning))
}

/// The credentials that there are, in words.
fn kinds(user: &AuthInfo) -> Vec<&'static str> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let kinds = [
        (user.token.is_some(), "token"),
        (given(&user.token_file), "token file"),
        (
            given(&user.username) || user.password.is_some(),
            "user name and password",
        ),
        (
            given(&user.client_certificate) || given(&user.client_certificate_data),
            "client certificate",
        ),
        (user.exec.is_some(), "credential plugin"),
        (user.auth_provider.is_some(), "auth provider"),
    ];
    kinds
        .into_iter()
        .filter_map(|(is_there, kind)| is_there.then_some(kind))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn choice(server: &str) -> Choice {
        let mut choice = Choice::default();
        choice.cluster.server = Some(server.to_owned());
        choice.user.token = Some(secrecy::SecretString::from("s3cret".to_owned()));
        choice.user.impersonate = Some("jane".to_owned());
        choice
    }

    #[test]
    fn credentials_need_tls() {
        let mut plain = choice("http://user:pass@h:8080/base");
        let warning = leave_out(&mut plain).unwrap().unwrap();
        assert_eq!(
            warning,
            "no credentials are sent to http://h:8080, because the connection has no TLS (left out: token)"
        );
        assert!(plain.user.token.is_none());
        assert_eq!(plain.user.impersonate.as_deref(), Some("jane"));
        assert_eq!(leave_out(&mut plain).unwrap(), None);

        let mut secure = choice("https://h");
        assert_eq!(leave_out(&mut secure).unwrap(), None);
        assert!(secure.user.token.is_some());
    }

    #[test]
    fn a_server_without_a_scheme_has_no_tls() {
        let mut bare = choice("h:6443");
        bare.cluster.insecure_skip_tls_verify = Some(true);
        let warning = leave_out(&mut bare).unwrap().unwrap();
        assert!(
            warning.ends_with("(left out: token); write the server as https://h:6443 if it has TLS"),
            "{warning}"
        );
        assert!(leave_out(&mut choice("ftp://h")).is_err());
    }
}
