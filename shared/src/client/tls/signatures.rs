//! Which signatures can be verified: what *ring* can, and what Go can beyond it: the curve P-521, SHA-512 with the smaller
//! curves, and certificates that were signed with RSA keys of 1024 to 2047 bits.

use p521::ecdsa::signature::hazmat::PrehashVerifier;
use ring::signature::{self as of_ring, VerificationAlgorithm};
use rustls::SignatureScheme;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::certificate::{PublicKey, Signed};

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

/// An object identifier and its parameters.
pub(super) const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
const EC: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// What Go does not accept any more, by the object identifier.
const INSECURE: [(&[u8], &str); 4] = [
    (&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4], "MD5-RSA"),
    (&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], "SHA1-RSA"),
    (&[6, 5, 0x2b, 0x0e, 3, 2, 0x1d], "SHA1-RSA"),
    (&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], "ECDSA-SHA1"),
];

/// Beyond what *ring* has.
static MORE: [Algorithm; 7] = [
    &Ecdsa(Curve::P521, Hash::Sha512),
    &Ecdsa(Curve::P521, Hash::Sha384),
    &Ecdsa(Curve::P521, Hash::Sha256),
    &Ecdsa(Curve::P384, Hash::Sha512),
    &Ecdsa(Curve::P256, Hash::Sha512),
    &ShortRsa(
        alg_id::RSA_PKCS1_SHA256,
        &of_ring::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    ),
    &ShortRsa(
        alg_id::RSA_PKCS1_SHA512,
        &of_ring::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    ),
];

/// The schemes that a server may sign a handshake with, the best first.
pub(super) fn schemes() -> Vec<SignatureScheme> {
    let mut schemes = rustls::crypto::ring::default_provider()
        .signature_verification_algorithms
        .supported_schemes();
    schemes.push(SignatureScheme::ECDSA_NISTP521_SHA512);
    schemes
}

/// Verifies the signature of a handshake. In TLS 1.2 the scheme does not say which curve it is.
pub(super) fn verify_handshake(
    scheme: SignatureScheme,
    key: PublicKey<'_>,
    message: &[u8],
    signature: &[u8],
) -> Result<(), String> {
    let provider = rustls::crypto::ring::default_provider();
    let mapping = provider.signature_verification_algorithms.mapping;
    let of_ring = mapping.iter().filter(|(of, _)| *of == scheme).flat_map(|(_, all)| *all);
    let hash = match scheme {
        SignatureScheme::ECDSA_NISTP521_SHA512 => Some(alg_id::ECDSA_SHA512),
        SignatureScheme::ECDSA_NISTP384_SHA384 => Some(alg_id::ECDSA_SHA384),
        SignatureScheme::ECDSA_NISTP256_SHA256 => Some(alg_id::ECDSA_SHA256),
        SignatureScheme::RSA_PKCS1_SHA256 => Some(alg_id::RSA_PKCS1_SHA256),
        SignatureScheme::RSA_PKCS1_SHA512 => Some(alg_id::RSA_PKCS1_SHA512),
        _ => None,
    };
    let more = MORE
        .iter()
        .filter(|algorithm| Some(algorithm.signature_alg_id()) == hash);
    let fitting = of_ring
        .chain(more)
        .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key.algorithm);
    let mut tried = false;
    for algorithm in fitting {
        tried = true;
        if algorithm.verify_signature(key.key, message, signature).is_ok() {
            return Ok(());
        }
    }
    match weak_rsa(key) {
        Some(why) => Err(why),
        None if tried => Err("tls: invalid signature by the server certificate".to_owned()),
        None => Err(format!(
            "tls: the key of the server certificate cannot be used with {scheme:?}"
        )),
    }
}

/// Verifies the signature of a certificate with the key of its issuer. The words are those of Go's `CheckSignatureFrom`.
pub(super) fn verify(signed: Signed<'_>, key: PublicKey<'_>) -> Result<(), String> {
    if let Some((_, name)) = INSECURE.iter().find(|(oid, _)| signed.algorithm.starts_with(oid)) {
        return Err(format!("x509: cannot verify signature: insecure algorithm {name}"));
    }
    let provider = rustls::crypto::ring::default_provider();
    let all = provider.signature_verification_algorithms.all.iter().chain(&MORE);
    let fitting = all.filter(|algorithm| {
        algorithm.signature_alg_id().as_ref() == signed.algorithm
            && algorithm.public_key_alg_id().as_ref() == key.algorithm
    });
    let mut tried = false;
    for algorithm in fitting {
        tried = true;
        if algorithm
            .verify_signature(key.key, signed.message, signed.signature)
            .is_ok()
        {
            return Ok(());
        }
    }
    if !tried {
        return Err("x509: cannot verify signature: algorithm unimplemented".to_owned());
    }
    Err(match key.algorithm {
        RSA => "crypto/rsa: verification error",
        algorithm if algorithm.starts_with(EC) => "x509: ECDSA verification failure",
        _ => "x509: Ed25519 verification failure",
    }
    .to_owned())
}

/// Whether handshakes with this key can be verified.
pub(super) fn can_verify(key: PublicKey<'_>) -> bool {
    weak_rsa(key).is_none()
}

/// Why a handshake with a short RSA key fails.
fn weak_rsa(key: PublicKey<'_>) -> Option<String> {
    let bits = rsa_bits(key)?;
    (bits < 2048)
        .then(|| format!("tls: the server certificate has an RSA key of {bits} bits; at least 2048 are needed"))
}

/// The length of an RSA key.
pub(super) fn rsa_bits(key: PublicKey<'_>) -> Option<usize> {
    if key.algorithm != RSA {
        return None;
    }
    let modulus = super::der::sequence(key.key)?.first()?.expect(super::der::INTEGER)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = &modulus[zeros..];
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}

#[derive(Debug, Clone, Copy)]
enum Curve {
    P256,
    P384,
    P521,
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// ECDSA with a curve and a hash that *ring* does not have together.
#[derive(Debug)]
struct Ecdsa(Curve, Hash);

impl SignatureVerificationAlgorithm for Ecdsa {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self.0 {
            Curve::P256 => alg_id::ECDSA_P256,
            Curve::P384 => alg_id::ECDSA_P384,
            Curve::P521 => alg_id::ECDSA_P521,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.1 {
            Hash::Sha256 => alg_id::ECDSA_SHA256,
            Hash::Sha384 => alg_id::ECDSA_SHA384,
            Hash::Sha512 => alg_id::ECDSA_SHA512,
        }
    }

    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let hash = match self.1 {
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha384 => Sha384::digest(message).to_vec(),
            Hash::Sha512 => Sha512::digest(message).to_vec(),
        };
        macro_rules! verify {
            ($curve:ident) => {{
                let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
                let signature = $curve::ecdsa::DerSignature::from_bytes(signature).map_err(|_| InvalidSignature)?;
                key.verify_prehash(&hash, &signature)
                    .map_err(|_| InvalidSignature)
            }};
        }
        match self.0 {
            Curve::P256 => verify!(p256),
            Curve::P384 => verify!(p384),
            Curve::P521 => verify!(p521),
        }
    }
}

/// RSA keys of at least 1024 bits, which Go still takes.
#[derive(Debug)]
struct ShortRsa(AlgorithmIdentifier, &'static dyn VerificationAlgorithm);

impl SignatureVerificationAlgorithm for ShortRsa {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0
    }

    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = of_ring::UnparsedPublicKey::new(self.1, key);
        key.verify(message, signature).map_err(|_| InvalidSignature)
    }
}
