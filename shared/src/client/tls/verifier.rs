//! The verifiers that rustls asks.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::certificate::{Certificate, PublicKey};
use super::{chain, signatures};
use crate::error::CertificateFault;

/// Trusts what leads to one of the roots, as Go decides it.
#[derive(Debug)]
pub(super) struct Trusted {
    roots: Vec<Root>,
}

/// A certificate that could be read, and whose it is: a machine trusts hundreds, of which one is asked.
#[derive(Debug)]
struct Root {
    der: Vec<u8>,
    subject: Vec<u8>,
}

impl Trusted {
    /// What cannot be read is not trusted.
    pub(super) fn new(roots: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let read = |der: Vec<u8>| {
            let subject = Certificate::parse(&der).ok()?.subject.to_vec();
            Some(Root { der, subject })
        };
        let roots = roots.into_iter().filter_map(read).collect();
        Self { roots }
    }
}

/// `insecure-skip-tls-verify`: any certificate of any version for any name. The server must have its key, as in Go; where the
/// algorithm is one that is not known here, even that is not asked.
#[derive(Debug)]
pub(super) struct Insecure;

/// Go reads all certificates that a server sends, and takes none that it cannot read.
fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<Certificate<'a>, Error> {
    let certificate =
        Certificate::parse(der).map_err(|why| fault(format!("failed to parse certificate from server: {why}")))?;
    match signatures::rsa_bits(certificate.public_key) {
        Some(bits) if bits > 8192 => Err(fault(
            "server sent certificate containing RSA key larger than 8192 bits".to_owned(),
        )),
        _ => Ok(certificate),
    }
}

fn fault(why: String) -> Error {
    CertificateError::Other(OtherError(Arc::new(CertificateFault(why)))).into()
}

fn verify_handshake(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let certificate = parse(certificate)?;
    signatures::verify_handshake(signed.scheme, certificate.public_key, message, signed.signature())
        .map(|()| HandshakeSignatureValid::assertion())
        .map_err(fault)
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = parse(end_entity)?;
        let intermediates = intermediates.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let is_asked = |root: &&Root| {
            let mut issuers = std::iter::once(&leaf).chain(&intermediates).map(|child| child.issuer);
            root.der == leaf.raw || issuers.any(|issuer| issuer == root.subject)
        };
        let roots = self.roots.iter().filter(is_asked);
        let roots: Vec<_> = roots.filter_map(|root| Certificate::parse(&root.der).ok()).collect();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        chain::verify(&leaf, &intermediates, &roots, &server_name.to_str(), now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|why| fault(format!("failed to verify certificate: {why}")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_handshake(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_handshake(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signatures::schemes()
    }
}

impl ServerCertVerifier for Insecure {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        parse(end_entity).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_or_skip(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_or_skip(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signatures::schemes()
    }
}

fn verify_or_skip(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key: PublicKey<'_> = parse(certificate)?.public_key;
    match signatures::can_verify(key) {
        true => verify_handshake(message, certificate, signed),
        false => Ok(HandshakeSignatureValid::assertion()),
    }
}
