//! The certificates that the machine trusts, for a cluster without a certificate authority.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;

use crate::error::{Error, Result};

/// macOS and Windows decide themselves, as for Go.
#[cfg(any(target_os = "macos", windows))]
pub(super) fn verifier() -> Result<Arc<dyn ServerCertVerifier>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new(provider);
    verifier
        .map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>)
        .map_err(|error| Error::failed("cannot use the certificates of this machine").caused_by(error))
}

/// The files of the distribution, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
#[cfg(not(any(target_os = "macos", windows)))]
pub(super) fn verifier() -> Result<Arc<dyn ServerCertVerifier>> {
    use std::path::Path;

    /// The folders of Go's `x509`, which count while only `SSL_CERT_FILE` is set.
    const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let mut found = rustls_native_certs::load_native_certs();
    if set("SSL_CERT_FILE") && !set("SSL_CERT_DIR") {
        for folder in FOLDERS.map(Path::new).into_iter().filter(|folder| folder.is_dir()) {
            found
                .certs
                .extend(rustls_native_certs::load_certs_from_paths(None, Some(folder)).certs);
        }
    }
    if let (true, Some(error)) = (found.certs.is_empty(), found.errors.first()) {
        return Err(Error::failed("cannot read the certificates of this machine").caused_by(error));
    }
    let roots = found.certs.iter().map(|der| der.to_vec());
    Ok(Arc::new(super::verifier::Trusted::new(roots)))
}
