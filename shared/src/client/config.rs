//! From kubectl's terms to kube-rs' `Config`.

use std::time::Duration;

use http::HeaderValue;
use kube::Config;
use secrecy::ExposeSecret;

use super::choice::Choice;
use super::proxy::{self, Proxies};
use crate::error::{self, Error, Result};

/// A connection attempt to an address where nobody answers; Go's default in client-go.
const CONNECT: Duration = Duration::from_secs(30);

/// Builds the configuration. Credentials that can change during a run are left to [`super::credentials`].
pub(super) fn build(choice: &Choice, proxies: &Proxies, user_agent: &str) -> Result<Config> {
    let cluster = &choice.cluster;
    let url = server_url(choice)?;
    let mut config = Config::new(url.clone());
    config.connect_timeout = Some(CONNECT);
    // kube-rs would send a refused eviction again for minutes, without a word.
    config.default_retry = false;
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.auth_info = choice.user.clone();
    if let Some(token) = &config.auth_info.token {
        super::credentials::bearer(token.expose_secret())?;
    }
    config.proxy_url = match cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => Some(proxy::parse(url).map_err(|why| Error::failed(format!("invalid proxy-url: {why}")))?),
        None => proxies.for_server(&url)?,
    };
    let agent = HeaderValue::from_str(user_agent).map_err(|_| Error::failed("the user agent is not a header value"))?;
    config.headers.push((http::header::USER_AGENT, agent));
    if let Some(namespace) = &choice.namespace {
        config.default_namespace.clone_from(namespace);
    }
    Ok(config)
}

/// The address as it may be shown: without user and password.
pub(super) fn shown(url: &http::Uri) -> String {
    let path = url.path().trim_end_matches('/');
    format!("{}{path}", proxy::hide_password(url))
}

/// The address of the server. Without a scheme it is `http`, whatever else is configured: what kubectl does.
pub(super) fn server_url(choice: &Choice) -> Result<http::Uri> {
    let server = choice.cluster.server.as_deref().unwrap_or_default().trim();
    let full = match server.split_once("://") {
        Some(_) => server.to_owned(),
        None => format!("http://{server}"),
    };
    let url: http::Uri = full.parse().map_err(|_| bad_server(server))?;
    if let Some(port) = bad_port(&url) {
        return Err(Error::failed(format!("invalid port {port:?} of the server {server:?}")));
    }
    if url.host().is_none_or(str::is_empty) || !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(bad_server(server));
    }
    Ok(url)
}

/// A port that is none: the parser keeps it in the text and says that there is no port.
fn bad_port(url: &http::Uri) -> Option<String> {
    let authority = url.authority()?;
    let host = authority.as_str().rsplit('@').next()?;
    let port = host.strip_prefix(authority.host())?.strip_prefix(':')?;
    (!port.is_empty() && url.port().is_none()).then(|| port.to_owned())
}

fn bad_server(server: &str) -> Error {
    Error::failed(format!("host must be a URL or a host:port pair: {server:?}"))
}

/// What kube-rs did not like about the credentials, in kubectl's words.
pub(super) fn explain(error: &kube::Error, server: &str) -> Error {
    match error {
        kube::Error::Auth(auth) => Error::failed(format!("getting credentials: {auth}")),
        kube::Error::HttpError(_) => Error::failed("a name to impersonate cannot be sent in a header"),
        other => error::from_kube(other, server),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use kube::config::Cluster;

    fn choice(server: &str) -> Choice {
        let cluster = Cluster {
            server: Some(server.to_owned()),
            ..Cluster::default()
        };
        Choice {
            cluster,
            user_name: "u".to_owned(),
            ..Choice::default()
        }
    }

    #[test]
    fn a_server_may_lack_its_scheme() {
        let url = |choice: &Choice| server_url(choice).map(|url| url.to_string());
        assert_eq!(url(&choice("h:6443")).unwrap(), "http://h:6443/");
        assert_eq!(
            url(&choice("https://h/k8s/clusters/c-1")).unwrap(),
            "https://h/k8s/clusters/c-1"
        );
        let mut tls = choice("10.0.0.1");
        tls.cluster.insecure_skip_tls_verify = Some(true);
        assert_eq!(url(&tls).unwrap(), "http://10.0.0.1/");
        let far = url(&choice("https://h:99999")).unwrap_err();
        assert_eq!(
            far.headline(),
            "error: invalid port \"99999\" of the server \"https://h:99999\""
        );
        assert!(url(&choice("https://user@[::1]:6443")).is_ok());
        for bad in ["", "https://", "ftp://h", "a b"] {
            assert!(url(&choice(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn hidden_retries_are_off_and_the_agent_is_named() {
        let config = build(&choice("https://h"), &Proxies::default(), "kubectl-x/v1").unwrap();
        assert!(!config.default_retry);
        assert_eq!(config.headers[0].1, "kubectl-x/v1");
    }

    #[test]
    fn the_proxy_of_the_kubeconfig_does_not_ask_no_proxy() {
        let proxies = Proxies {
            https: "http://env:1".to_owned(),
            no: "*".to_owned(),
            ..Proxies::default()
        };
        let mut own = choice("https://h");
        assert_eq!(build(&own, &proxies, "x").unwrap().proxy_url, None);
        own.cluster.proxy_url = Some("http://own:2".to_owned());
        assert_eq!(
            build(&own, &proxies, "x").unwrap().proxy_url.unwrap().to_string(),
            "http://own:2/"
        );
    }
}
