//! From kubectl's terms to kube-rs' `Config`.

use std::path::Path;
use std::time::Duration;

use http::HeaderValue;
use kube::Config;
use kube::config::{Cluster, KubeconfigError, LoadDataError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;

use super::choice::Choice;
use super::kubeconfig::reason;
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
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    config.root_cert = root_certificates(cluster)?;
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

/// A server without a scheme is `https` where anything about TLS is configured, else `http`: client-go's rule.
fn server_url(choice: &Choice) -> Result<http::Uri> {
    let Choice { cluster, user, .. } = choice;
    let server = cluster.server.as_deref().unwrap_or_default().trim();
    let tls = cluster.certificate_authority.is_some()
        || cluster.certificate_authority_data.is_some()
        || cluster.insecure_skip_tls_verify == Some(true)
        || user.client_certificate.is_some()
        || user.client_certificate_data.is_some();
    let full = match server.split_once("://") {
        Some(_) => server.to_owned(),
        None => format!("{}://{server}", if tls { "https" } else { "http" }),
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

fn root_certificates(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>> {
    use base64::Engine;
    let unable = |why: &str| Error::failed(format!("unable to load root certificates: {why}"));
    let pem = if let Some(data) = cluster
        .certificate_authority_data
        .as_deref()
        .filter(|data| !data.is_empty())
    {
        let decoded = base64::engine::general_purpose::STANDARD.decode(data);
        decoded.map_err(|_| unable("certificate-authority-data is not base64"))?
    } else if let Some(path) = cluster.certificate_authority.as_deref().filter(|path| !path.is_empty()) {
        std::fs::read(path).map_err(|error| {
            Error::failed(format!(
                "unable to read certificate-authority {path} due to open {path}: {}",
                reason(&error)
            ))
        })?
    } else {
        return Ok(None);
    };
    let parsed: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match parsed {
        Ok(certificates) if !certificates.is_empty() => Ok(Some(certificates.iter().map(|der| der.to_vec()).collect())),
        _ => Err(unable("unable to parse bytes as PEM block")),
    }
}

/// What kube-rs did not like about the credentials or certificates, in kubectl's words.
pub(super) fn explain(error: &kube::Error, server: &str, user: &str) -> Error {
    let file = |what: &str, load: &LoadDataError| match load {
        LoadDataError::ReadFile(error, path) => Error::failed(format!(
            "unable to read {what} {path} for {user} due to open {path}: {}",
            reason(error),
            path = path.display()
        )),
        other => Error::failed(format!("unable to read {what} for {user}")).caused_by(other),
    };
    match error {
        kube::Error::InferKubeconfig(KubeconfigError::LoadClientCertificate(load)) => file("client-cert", load),
        kube::Error::InferKubeconfig(KubeconfigError::LoadClientKey(load)) => file("client-key", load),
        kube::Error::RustlsTls(tls) => Error::failed("cannot use the certificates of this context").caused_by(tls),
        kube::Error::ProxyProtocolUnsupported { proxy_url } => Error::failed(format!(
            "the proxy {} has a scheme that is not http, https or socks5",
            proxy::hide_password(proxy_url)
        )),
        kube::Error::Auth(auth) => Error::failed(format!("getting credentials: {auth}")),
        kube::Error::HttpError(_) => Error::failed("a name to impersonate cannot be sent in a header"),
        other => error::from_kube(other, server),
    }
}

/// The certificate authority as PEM, for a credential plugin that asked for it.
pub(super) fn authority_pem(cluster: &Cluster) -> Option<Vec<u8>> {
    use base64::Engine;
    match cluster
        .certificate_authority_data
        .as_deref()
        .filter(|data| !data.is_empty())
    {
        Some(data) => base64::engine::general_purpose::STANDARD.decode(data).ok(),
        None => cluster
            .certificate_authority
            .as_deref()
            .and_then(|path| std::fs::read(Path::new(path)).ok()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
        assert_eq!(url(&tls).unwrap(), "https://10.0.0.1/");
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
    fn certificates_that_are_none_are_named_as_kubectl_does() {
        let mut bad = choice("https://h");
        bad.cluster.certificate_authority = Some("/nope".to_owned());
        let headline = |choice: &Choice| {
            build(choice, &Proxies::default(), "x")
                .unwrap_err()
                .headline()
                .to_owned()
        };
        assert_eq!(
            headline(&bad),
            "error: unable to read certificate-authority /nope due to open /nope: no such file or directory"
        );
        bad.cluster.certificate_authority_data = Some("bm90IGEgY2VydA==".to_owned());
        assert_eq!(
            headline(&bad),
            "error: unable to load root certificates: unable to parse bytes as PEM block"
        );
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
