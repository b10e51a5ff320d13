//! A client certificate with its key, as Go's `tls.X509KeyPair` takes them: certificates of any version, keys in PKCS#1, PKCS#8
//! or SEC1, whatever the label says.

use std::sync::Arc;

use rustls::crypto::ring::sign::{any_ecdsa_type, any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, alg_id};
use rustls::sign::{CertifiedKey, SigningKey};

use super::certificate::{Certificate, PublicKey};
use super::{der, p521, pem, signatures};

const NO_MATCH: &str = "tls: private key does not match public key";
const OTHER_TYPE: &str = "tls: private key type does not match public key type";

/// Reads both from PEM. rustls would refuse certificates that webpki cannot read, which are those of version 1; the server decides
/// about them.
pub(super) fn read(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain = certificates(certificate)?;
    let key = private_key(key)?;
    let leaf = chain.first().map(Vec::as_slice).unwrap_or_default();
    let leaf = Certificate::parse(leaf)?;
    let signing = signing_key(&key, leaf.public_key)?;
    let chain = chain.iter().cloned().map(CertificateDer::from).collect();
    Ok(CertifiedKey::new(chain, signing))
}

fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let (found, skipped): (Vec<_>, Vec<_>) = pem::blocks(text)
        .into_iter()
        .partition(|block| block.label == "CERTIFICATE");
    if !found.is_empty() {
        return Ok(found.into_iter().map(|block| block.der).collect());
    }
    Err(match &skipped[..] {
        [] => "tls: failed to find any PEM data in certificate input".to_owned(),
        [one] if one.label.ends_with("PRIVATE KEY") => {
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
                .to_owned()
        }
        others => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: {}",
            labels(others)
        ),
    })
}

fn private_key(text: &[u8]) -> Result<Vec<u8>, String> {
    let blocks = pem::blocks(text);
    let is_key = |block: &&pem::Block| block.label == "PRIVATE KEY" || block.label.ends_with(" PRIVATE KEY");
    if let Some(found) = blocks.iter().find(is_key) {
        return Ok(found.der.clone());
    }
    Err(match &blocks[..] {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [one] if one.label == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        others => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: {}",
            labels(others)
        ),
    })
}

/// As Go prints a list.
fn labels(blocks: &[pem::Block]) -> String {
    let labels: Vec<_> = blocks.iter().map(|block| block.label.as_str()).collect();
    format!("[{}]", labels.join(" "))
}

/// The key, if it belongs to the certificate's.
fn signing_key(key: &[u8], public: PublicKey<'_>) -> Result<Arc<dyn SigningKey>, String> {
    if let Some(ec) = EcKey::read(key) {
        return ec.signing_key(public);
    }
    let forms = [
        PrivateKeyDer::Pkcs1(key.to_vec().into()),
        PrivateKeyDer::Pkcs8(key.to_vec().into()),
    ];
    let read = forms.iter().find_map(|form| any_supported_type(form).ok());
    let Some(signing) = read else {
        return Err(match signatures::rsa_bits(public) {
            Some(bits) if !(2048..=4096).contains(&bits) => {
                format!("tls: an RSA key of {bits} bits cannot be used; it must have 2048 to 4096 bits")
            }
            _ => "tls: failed to parse private key".to_owned(),
        });
    };
    match signing.public_key() {
        Some(own) if own.as_ref() == public.whole => Ok(signing),
        Some(own) => Err(match super::certificate::public_key(own.as_ref()) {
            Some(own) if own.algorithm == public.algorithm => NO_MATCH,
            _ => OTHER_TYPE,
        }
        .to_owned()),
        None => Err("tls: unknown public key algorithm".to_owned()),
    }
}

/// A private key of an elliptic curve: the curve's object identifier and the number. *ring* wants the public key beside it, which
/// not all programs write; the certificate has it.
#[derive(Debug, PartialEq, Eq)]
struct EcKey<'a> {
    curve: &'a [u8],
    number: &'a [u8],
}

/// The object identifier of keys of elliptic curves, 1.2.840.10045.2.1.
const EC: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

impl<'a> EcKey<'a> {
    /// PKCS#8, or SEC1 (RFC 5915), which PKCS#8 has inside.
    fn read(key: &'a [u8]) -> Option<Self> {
        let parts = der::sequence(key)?;
        let (version, rest) = parts.split_first()?;
        version.expect(der::INTEGER)?;
        match rest {
            [algorithm, inside, ..] if algorithm.tag == der::SEQUENCE => {
                let [id, curve] = der::elements(algorithm.content)?[..] else {
                    return None;
                };
                if id.expect(der::OBJECT_ID)? != EC {
                    return None;
                }
                let inside = der::sequence(inside.expect(der::OCTET_STRING)?)?;
                let number = inside.get(1)?.expect(der::OCTET_STRING)?;
                Some(Self {
                    curve: curve.expect(der::OBJECT_ID)?,
                    number,
                })
            }
            [number, curve, ..] if number.tag == der::OCTET_STRING && curve.tag == 0xa0 => {
                let [curve] = der::elements(curve.content)?[..] else {
                    return None;
                };
                Some(Self {
                    curve: curve.expect(der::OBJECT_ID)?,
                    number: number.content,
                })
            }
            _ => None,
        }
    }

    fn signing_key(&self, public: PublicKey<'_>) -> Result<Arc<dyn SigningKey>, String> {
        let algorithm = der::wrap(der::OBJECT_ID, &[&EC]);
        let curve = der::wrap(der::OBJECT_ID, &[self.curve]);
        let own = [algorithm.as_slice(), &curve].concat();
        if public.algorithm != own {
            let same_type = public.algorithm.starts_with(&algorithm);
            return Err(if same_type { NO_MATCH } else { OTHER_TYPE }.to_owned());
        }
        let length: usize = match own.as_slice() {
            own if own == alg_id::ECDSA_P256.as_ref() => 32,
            own if own == alg_id::ECDSA_P384.as_ref() => 48,
            own if own == alg_id::ECDSA_P521.as_ref() => 66,
            _ => return Err("tls: failed to parse private key".to_owned()),
        };
        // Some programs leave out zeros in front, some write more of them.
        let zeros = self.number.iter().take_while(|byte| **byte == 0).count();
        let number = &self.number[zeros..];
        let number = match length.checked_sub(number.len()) {
            Some(missing) => [&vec![0; missing], number].concat(),
            None => return Err("tls: failed to parse private key".to_owned()),
        };
        if length == 66 {
            return p521::signing_key(&number, public).ok_or_else(|| NO_MATCH.to_owned());
        }
        let point = der::wrap(der::BIT_STRING, &[&[0], public.key]);
        let inside = der::wrap(
            der::SEQUENCE,
            &[
                &[der::INTEGER, 1, 1],
                &der::wrap(der::OCTET_STRING, &[&number]),
                &der::wrap(0xa1, &[&point]),
            ],
        );
        let whole = der::wrap(
            der::SEQUENCE,
            &[
                &[der::INTEGER, 1, 0],
                &der::wrap(der::SEQUENCE, &[&own]),
                &der::wrap(der::OCTET_STRING, &[&inside]),
            ],
        );
        // *ring* compares the two.
        any_ecdsa_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(whole))).map_err(|_| NO_MATCH.to_owned())
    }
}
