//! A certificate as Go's `crypto/x509` looks at it: what decides whether it may sign, for what it is, and for which names.

use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, NameConstraints, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Version};

use super::{constraints, der};

/// Below this stand the extensions of RFC 5280: 2.5.29.
const STANDARD: [u8; 2] = [0x55, 0x1d];
/// Those of them that Go knows: key identifiers, key usage, names, constraints, policies, extended key usage.
const KNOWN: [u8; 12] = [14, 15, 17, 19, 30, 31, 32, 33, 35, 36, 37, 54];
/// 1.3.6.1.5.5.7.1.1, the authority information access.
const AUTHORITY_INFO: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 1, 1];

/// A public key. What is compared with those of signature algorithms are the insides of the algorithm's sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PublicKey<'a> {
    /// Object identifier and parameters.
    pub algorithm: &'a [u8],
    pub key: &'a [u8],
    /// The whole SubjectPublicKeyInfo.
    pub whole: &'a [u8],
}

/// What was signed, by which algorithm, and the signature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub message: &'a [u8],
    /// Object identifier and parameters.
    pub algorithm: &'a [u8],
    pub signature: &'a [u8],
}

/// For which purposes a key may be used. Empty lists are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purposes {
    /// It does not say.
    Unsaid,
    ServerAuth,
    Others,
}

/// A certificate that could be read.
#[derive(Debug, Clone)]
pub(super) struct Certificate<'a> {
    pub raw: &'a [u8],
    /// 1, 2 or 3.
    pub version: u32,
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    /// How a person calls the subject: its common name, organization or serial number.
    pub called: String,
    pub common_name: String,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    pub public_key: PublicKey<'a>,
    pub signed: Signed<'a>,
    /// Whether it is one of a CA, where it says so.
    pub is_ca: Option<bool>,
    pub path_length: Option<u32>,
    /// The bits of the key usage, zero where there are none.
    pub key_usage: u16,
    pub purposes: Purposes,
    pub alternative_names: Option<&'a [u8]>,
    pub dns_names: Vec<&'a str>,
    pub ip_addresses: Vec<IpAddr>,
    /// E-mail addresses and URIs, which may fall under constraints that are not judged here.
    pub other_names: usize,
    pub constraints: Option<NameConstraints<'a>>,
    pub subject_key_id: &'a [u8],
    pub authority_key_id: Vec<u8>,
    /// A critical extension that is not understood.
    pub unhandled: bool,
    /// Policies that a chain would have to be checked for.
    pub demands_policies: bool,
}

/// Key usage, bit 5.
const CERT_SIGN: u16 = 1 << 5;

impl<'a> Certificate<'a> {
    /// Reads DER. The words are those of Go's `x509.ParseCertificate`.
    pub(super) fn parse(raw: &'a [u8]) -> Result<Self, String> {
        let malformed = |what: &str| format!("x509: malformed {what}");
        let (rest, parsed) = X509Certificate::from_der(raw).map_err(|_| malformed("certificate"))?;
        if !rest.is_empty() {
            return Err("x509: trailing data".to_owned());
        }
        let tbs = &parsed.tbs_certificate;
        if tbs.version.0 > X509Version::V3.0 {
            return Err("x509: invalid version".to_owned());
        }
        if parsed.raw_serial().first().is_some_and(|first| first & 0x80 != 0) {
            return Err("x509: negative serial number".to_owned());
        }
        if tbs.signature != parsed.signature_algorithm {
            return Err("x509: inner and outer signature algorithm identifiers don't match".to_owned());
        }
        let signed = signed(raw).ok_or_else(|| malformed("algorithm identifier"))?;
        let public_key = public_key(tbs.subject_pki.raw).ok_or_else(|| malformed("spki"))?;
        let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
        let common_name = tbs.subject.iter_common_name().last().and_then(text);
        let organization = tbs.subject.iter_organization().next().and_then(text);
        let common_name = common_name.unwrap_or_default();
        let called = Some(common_name.clone())
            .filter(|name| !name.is_empty())
            .or(organization)
            .unwrap_or_else(|| format!("serial:{}", tbs.serial));
        let mut certificate = Self {
            raw,
            version: tbs.version.0 + 1,
            issuer: tbs.issuer.as_raw(),
            subject: tbs.subject.as_raw(),
            called,
            common_name,
            not_before: tbs.validity.not_before.timestamp(),
            not_after: tbs.validity.not_after.timestamp(),
            public_key,
            signed,
            is_ca: None,
            path_length: None,
            key_usage: 0,
            purposes: Purposes::Unsaid,
            alternative_names: None,
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            other_names: 0,
            constraints: None,
            subject_key_id: &[],
            authority_key_id: Vec::new(),
            unhandled: false,
            demands_policies: false,
        };
        let mut seen = std::collections::HashSet::new();
        for extension in tbs.extensions() {
            let oid = extension.oid.as_bytes();
            if !seen.insert(oid.to_vec()) {
                return Err(format!(
                    "x509: certificate contains duplicate extension with OID \"{}\"",
                    extension.oid
                ));
            }
            let known = oid.strip_prefix(&STANDARD).is_some_and(|id| match id {
                [id] => KNOWN.contains(id),
                _ => false,
            });
            if oid == AUTHORITY_INFO {
                if extension.critical {
                    return Err("x509: authority info access incorrectly marked critical".to_owned());
                }
            } else if known {
                certificate.take(extension.critical, extension.value, extension.parsed_extension())?;
            } else {
                certificate.unhandled |= extension.critical;
            }
        }
        Ok(certificate)
    }

    /// Takes in one extension that Go knows.
    fn take(&mut self, critical: bool, value: &'a [u8], extension: &ParsedExtension<'a>) -> Result<(), String> {
        match extension {
            ParsedExtension::ParseError { .. } | ParsedExtension::UnsupportedExtension { .. } => {
                return Err("x509: malformed extension".to_owned());
            }
            ParsedExtension::BasicConstraints(basic) => {
                self.is_ca = Some(basic.ca);
                self.path_length = basic.path_len_constraint;
            }
            ParsedExtension::KeyUsage(usage) => self.key_usage = usage.flags,
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let others = usage.client_auth
                    || usage.code_signing
                    || usage.email_protection
                    || usage.time_stamping
                    || usage.ocsp_signing
                    || !usage.other.is_empty();
                self.purposes = match (usage.any || usage.server_auth, others) {
                    (true, _) => Purposes::ServerAuth,
                    (false, true) => Purposes::Others,
                    (false, false) => Purposes::Unsaid,
                };
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                self.alternative_names = Some(value);
                for name in &names.general_names {
                    self.take_name(name)?;
                }
                let none = self.dns_names.is_empty() && self.ip_addresses.is_empty() && self.other_names == 0;
                self.unhandled |= critical && none;
            }
            ParsedExtension::NameConstraints(constraints) => {
                self.unhandled |= critical && !constraints::are_judged(constraints);
                self.constraints = Some(constraints::checked(value, constraints)?);
            }
            ParsedExtension::SubjectKeyIdentifier(id) => {
                if critical {
                    return Err("x509: subject key identifier incorrectly marked critical".to_owned());
                }
                self.subject_key_id = id.0;
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                if critical {
                    return Err("x509: authority key identifier incorrectly marked critical".to_owned());
                }
                self.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec()).unwrap_or_default();
            }
            ParsedExtension::PolicyConstraints(policy) => {
                self.demands_policies |= policy.require_explicit_policy.is_some();
            }
            ParsedExtension::PolicyMappings(_) => self.demands_policies = true,
            _ => {}
        }
        Ok(())
    }

    fn take_name(&mut self, name: &GeneralName<'a>) -> Result<(), String> {
        match name {
            GeneralName::DNSName(name) if name.is_ascii() => self.dns_names.push(name),
            GeneralName::DNSName(_) => return Err("x509: SAN dNSName is malformed".to_owned()),
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                let address =
                    address.map_err(|_| format!("x509: cannot parse IP address of length {}", bytes.len()))?;
                self.ip_addresses.push(address);
            }
            GeneralName::RFC822Name(_) | GeneralName::URI(_) => self.other_names += 1,
            GeneralName::Invalid(..) => return Err("x509: invalid subject alternative name".to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// Whether it says that it may not sign certificates. One of version 1 or 2 cannot say.
    pub(super) fn may_not_sign(&self) -> bool {
        let says_no = self.version == 3 && self.is_ca.is_none() || self.is_ca == Some(false);
        says_no || self.key_usage != 0 && self.key_usage & CERT_SIGN == 0
    }
}

/// The parts of the outermost sequence.
fn signed(raw: &[u8]) -> Option<Signed<'_>> {
    match der::sequence(raw)?[..] {
        [message, algorithm, signature] => Some(Signed {
            message: message.whole,
            algorithm: algorithm.expect(der::SEQUENCE)?,
            signature: signature.bits()?,
        }),
        _ => None,
    }
}

/// A SubjectPublicKeyInfo.
pub(super) fn public_key(whole: &[u8]) -> Option<PublicKey<'_>> {
    match der::sequence(whole)?[..] {
        [algorithm, key] => Some(PublicKey {
            algorithm: algorithm.expect(der::SEQUENCE)?,
            key: key.bits()?,
            whole,
        }),
        _ => None,
    }
}
