//! TLS as kubectl does it: whatever Go's `crypto/tls` accepts is accepted, and what it refuses is refused in its words.
//!
//! rustls carries the connection. What it would leave to webpki is decided here by Go's rules, because they differ: [`chain`]
//! for a server's certificate, [`identity`] for the client's, [`pem`] for the files. [`signatures`] verifies with *ring*, and with
//! RustCrypto's curves where *ring* has none.

mod certificate;
mod chain;
mod constraints;
mod der;
mod identity;
mod names;
mod p521;
mod pem;
mod signatures;
mod system;
#[cfg(test)]
mod tests;
mod verifier;

use std::sync::Arc;

use kube::config::Cluster;
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::choice::Choice;
use super::kubeconfig::reason;
use crate::error::{Error, Result};

/// How the server is told from others.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// By these certificates, in DER.
    Roots(Vec<Vec<u8>>),
    /// By those of the machine.
    System,
    /// Not at all.
    Anyone,
}

/// Whom to trust, for which name, and which certificate to show. Read once.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub trust: Trust,
    /// The name to ask the certificate for, where it is not the host of the address.
    pub server_name: Option<ServerName<'static>>,
    pub identity: Option<Arc<CertifiedKey>>,
}

impl Settings {
    /// Reads the certificates that cluster and user name.
    ///
    /// # Errors
    /// A file that cannot be read, certificates or keys that cannot be used.
    pub(super) fn read(choice: &Choice) -> Result<Self> {
        let cluster = &choice.cluster;
        let trust = match authority(cluster)? {
            _ if cluster.insecure_skip_tls_verify == Some(true) => Trust::Anyone,
            Some(pem) => Trust::Roots(roots(&pem)?),
            None => Trust::System,
        };
        let name = cluster.tls_server_name.as_deref().filter(|name| !name.is_empty());
        let server_name = name
            .map(|name| {
                let parsed = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
                parsed.map_err(|_| {
                    Error::failed(format!(
                        "the tls-server-name {name:?} is neither a host name nor an address"
                    ))
                })
            })
            .transpose()?;
        let identity = client_certificate(choice)?;
        Ok(Self {
            trust,
            server_name,
            identity,
        })
    }

    /// The same with the certificate that a credential plugin handed out, in PEM.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub(super) fn with_identity(&self, certificate: &str, key: &str) -> Result<Self> {
        let pair = identity::read(certificate.as_bytes(), key.as_bytes());
        let pair = pair.map_err(|why| {
            Error::failed(format!(
                "getting credentials: exec: failed parsing client key/certificate: {why}"
            ))
        })?;
        Ok(Self {
            identity: Some(Arc::new(pair)),
            ..self.clone()
        })
    }

    /// What rustls wants. Reads the machine's certificates where those count.
    ///
    /// # Errors
    /// A machine without certificates.
    pub(super) fn client_config(&self) -> Result<ClientConfig> {
        let verifier: Arc<dyn ServerCertVerifier> = match &self.trust {
            Trust::Roots(roots) => Arc::new(verifier::Trusted::new(roots.iter().cloned())),
            Trust::System => system::verifier()?,
            Trust::Anyone => Arc::new(verifier::Insecure),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::failed("cannot use TLS").caused_by(error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Ok(match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
            None => builder.with_no_client_auth(),
        })
    }
}

/// The certificate authority as PEM, from the kubeconfig or from the file that it names.
///
/// # Errors
/// A file that cannot be read; data that is not base64.
pub(super) fn authority(cluster: &Cluster) -> Result<Option<Vec<u8>>> {
    let data = cluster.certificate_authority_data.as_deref();
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        return base64(data, "certificate-authority-data").map(Some);
    }
    let path = cluster.certificate_authority.as_deref().filter(|path| !path.is_empty());
    path.map(|path| {
        std::fs::read(path).map_err(|error| {
            let why = reason(&error);
            Error::failed(format!(
                "unable to read certificate-authority {path} due to open {path}: {why}"
            ))
        })
    })
    .transpose()
}

/// The words are those of client-go's `createErrorParsingCAData`.
fn roots(text: &[u8]) -> Result<Vec<Vec<u8>>> {
    // An empty file means that nobody is trusted: not the machine's certificates.
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let unable = |why: &str| Error::failed(format!("unable to load root certificates: {why}"));
    let certificates = pem::certificates(text);
    // One that cannot be read is skipped while there are others.
    let (good, bad): (Vec<_>, Vec<_>) = certificates
        .into_iter()
        .partition(|der| certificate::Certificate::parse(der).is_ok());
    if !good.is_empty() {
        return Ok(good);
    }
    Err(match bad.first().map(|der| certificate::Certificate::parse(der)) {
        Some(Err(why)) => unable(&format!("failed to parse certificate: {why}")),
        _ if pem::blocks(text).is_empty() => unable("unable to parse bytes as PEM block"),
        _ => unable("no valid certificate authority data seen"),
    })
}

/// What the user's entry has about a certificate, as it is.
struct ClientPem {
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

/// Reads certificate and key of the user. An empty file counts as one.
///
/// # Errors
/// A file that cannot be read; data that is not base64.
fn client_files(choice: &Choice) -> Result<ClientPem> {
    use secrecy::ExposeSecret;
    let user = &choice.user;
    let read = |what: &str, data: Option<&str>, path: Option<&str>| {
        let given = |text: &&str| !text.is_empty();
        match (data.filter(given), path.filter(given)) {
            (Some(data), _) => base64(data, &format!("{what}-data")).map(Some),
            (None, Some(path)) => std::fs::read(path).map(Some).map_err(|error| {
                let (name, why) = (&choice.user_name, reason(&error));
                Error::failed(format!(
                    "unable to read {what} {path} for {name} due to open {path}: {why}"
                ))
            }),
            (None, None) => Ok(None),
        }
    };
    let data = user.client_certificate_data.as_deref();
    let certificate = read("client-cert", data, user.client_certificate.as_deref())?;
    let data = user.client_key_data.as_ref().map(|data| data.expose_secret());
    let key = read("client-key", data, user.client_key.as_deref())?;
    Ok(ClientPem { certificate, key })
}

fn client_certificate(choice: &Choice) -> Result<Option<Arc<CertifiedKey>>> {
    let ClientPem {
        certificate: Some(certificate),
        key: Some(key),
    } = client_files(choice)?
    else {
        return Ok(None);
    };
    let pair = identity::read(&certificate, &key).map_err(|why| {
        let name = &choice.user_name;
        Error::failed(why).hint(format!(
            "client certificate and client key of user {name:?} must be PEM and belong together"
        ))
    })?;
    Ok(Some(Arc::new(pair)))
}

/// What kubectl checks even where nothing of it is used.
///
/// # Errors
/// A file that cannot be read; data that is not base64.
pub(super) fn check_files(choice: &Choice) -> Result<()> {
    authority(&choice.cluster)?;
    client_files(choice)?;
    Ok(())
}

fn base64(data: &str, what: &str) -> Result<Vec<u8>> {
    use base64::Engine;
    let text: String = data.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let decoded = base64::engine::general_purpose::STANDARD.decode(text);
    decoded.map_err(|_| Error::failed(format!("{what} is not base64")))
}
