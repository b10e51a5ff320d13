//! Certificates and keys of every kind, also of those that no library makes any more: built as DER, byte by byte.

use std::io::Read as _;
use std::net::IpAddr;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use p521::ecdsa::signature::Signer as _;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _, SigningKey as _,
};

/// A tag with what is in it.
pub fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let head: &[u8] = match length {
        0..=0x7f => &[length as u8],
        0x80..=0xff => &[0x81, length as u8],
        _ => &[0x82, (length >> 8) as u8, length as u8],
    };
    [&[tag], head, &content].concat()
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;

/// An object identifier.
fn oid(text: &str) -> Vec<u8> {
    let numbers: Vec<u32> = text
        .split('.')
        .map(|number| number.parse().expect("a number"))
        .collect();
    let mut bytes = vec![(numbers[0] * 40 + numbers[1]) as u8];
    for number in &numbers[2..] {
        let groups = (0..5).rev().map(|group| (number >> (7 * group)) & 0x7f);
        let mut groups: Vec<u32> = groups.skip_while(|group| *group == 0).collect();
        if groups.is_empty() {
            groups.push(0);
        }
        let last = groups.len() - 1;
        bytes.extend(
            groups
                .iter()
                .enumerate()
                .map(|(at, group)| (group | if at < last { 0x80 } else { 0 }) as u8),
        );
    }
    der(0x06, &[&bytes])
}

/// One PEM block.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A private key.
pub struct Key {
    pkcs8: Vec<u8>,
    public: Vec<u8>,
    signs: Signs,
}

enum Signs {
    Ring(Box<KeyPair>),
    P521(Box<p521::ecdsa::SigningKey>),
    /// What is too short for *ring*.
    Never,
}

impl Key {
    /// A new key of the curve P-256.
    pub fn p256() -> Self {
        Self::of_ring(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"))
    }

    /// A new key of the curve P-384.
    pub fn p384() -> Self {
        Self::of_ring(KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key"))
    }

    /// A new key of the curve Ed25519.
    pub fn ed25519() -> Self {
        Self::of_ring(KeyPair::generate_for(&PKCS_ED25519).expect("a key"))
    }

    /// Always the same key: making one takes seconds.
    pub fn rsa2048() -> Self {
        Self::of_ring(KeyPair::from_pem(include_str!("keys/rsa2048.pem")).expect("a key"))
    }

    /// Always the same key; it cannot sign.
    pub fn rsa1024() -> Self {
        let text: String = include_str!("keys/rsa1024.pem")
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let pkcs8 = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        // PKCS#1 begins with version, modulus and exponent.
        let pkcs1 = inside_of(&pkcs8);
        let fields = &pkcs1[4 + 3..];
        let modulus = 4 - 1 + usize::from(fields[2]);
        let exponent = &fields[modulus..modulus + 5];
        let public = der(SEQUENCE, &[&fields[..modulus], exponent]);
        let algorithm = der(SEQUENCE, &[&oid("1.2.840.113549.1.1.1"), &[5, 0]]);
        let public = der(SEQUENCE, &[&algorithm, &der(BIT_STRING, &[&[0], &public])]);
        Self {
            pkcs8,
            public,
            signs: Signs::Never,
        }
    }

    /// A new key of the curve P-521.
    pub fn p521() -> Self {
        let mut number = [0; 66];
        let mut random = std::fs::File::open("/dev/urandom").expect("random bytes");
        random.read_exact(&mut number[1..]).expect("random bytes");
        let key = p521::ecdsa::SigningKey::from_slice(&number).expect("a key");
        let point = key.verifying_key().to_sec1_point(false);
        let algorithm = der(SEQUENCE, &[&oid("1.2.840.10045.2.1"), &oid("1.3.132.0.35")]);
        let bits = der(BIT_STRING, &[&[0], point.as_bytes()]);
        let inside = der(
            SEQUENCE,
            &[&[2, 1, 1], &der(OCTET_STRING, &[&number]), &der(0xa1, &[&bits])],
        );
        Self {
            pkcs8: der(SEQUENCE, &[&[2, 1, 0], &algorithm, &der(OCTET_STRING, &[&inside])]),
            public: der(SEQUENCE, &[&algorithm, &bits]),
            signs: Signs::P521(Box::new(key)),
        }
    }

    fn of_ring(key: KeyPair) -> Self {
        Self {
            pkcs8: key.serialize_der(),
            public: key.subject_public_key_info(),
            signs: Signs::Ring(Box::new(key)),
        }
    }

    /// PKCS#8.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// PKCS#8: `PRIVATE KEY`.
    pub fn pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    /// PKCS#1, for an RSA key: `RSA PRIVATE KEY`.
    pub fn pkcs1_pem(&self) -> String {
        pem("RSA PRIVATE KEY", inside_of(&self.pkcs8))
    }

    /// SEC1, for a key of a curve: `EC PARAMETERS` and `EC PRIVATE KEY`, as openssl writes them; `public` adds the public key.
    pub fn sec1_pem(&self, public: bool) -> String {
        let curve = match self.public.len() {
            91 => oid("1.2.840.10045.3.1.7"),
            120 => oid("1.3.132.0.34"),
            _ => oid("1.3.132.0.35"),
        };
        let point = &self.public[self.public.len() - point_length(&self.public)..];
        let number = self.number();
        let bits = der(0xa1, &[&der(BIT_STRING, &[&[0], point])]);
        let bits = if public { bits } else { Vec::new() };
        let key = der(
            SEQUENCE,
            &[&[2, 1, 1], &der(OCTET_STRING, &[&number]), &der(0xa0, &[&curve]), &bits],
        );
        pem("EC PARAMETERS", &curve) + &pem("EC PRIVATE KEY", &key)
    }

    /// The private number of a key of a curve.
    fn number(&self) -> Vec<u8> {
        let inside = inside_of(&self.pkcs8);
        let length = (point_length(&self.public) - 1) / 2;
        let head = [OCTET_STRING, length as u8];
        let at = inside.windows(2).position(|window| window == head).expect("a number");
        inside[at + 2..at + 2 + length].to_vec()
    }

    /// The algorithm and the signature. Of the curves with a hash of their size.
    fn sign(&self, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        match &self.signs {
            Signs::Ring(key) => {
                let algorithm = key.algorithm();
                let algorithm = if algorithm == &PKCS_ECDSA_P256_SHA256 {
                    oid("1.2.840.10045.4.3.2")
                } else if algorithm == &PKCS_ECDSA_P384_SHA384 {
                    oid("1.2.840.10045.4.3.3")
                } else if algorithm == &PKCS_ED25519 {
                    oid("1.3.101.112")
                } else {
                    [oid("1.2.840.113549.1.1.11"), vec![5, 0]].concat()
                };
                (algorithm, key.sign(message).expect("a signature"))
            }
            Signs::P521(key) => {
                let signature: p521::ecdsa::DerSignature = key.sign(message);
                (oid("1.2.840.10045.4.3.4"), signature.as_bytes().to_vec())
            }
            Signs::Never => panic!("this key cannot sign"),
        }
    }

    /// As the key of a server that uses rustls.
    pub fn rustls(&self) -> std::sync::Arc<dyn rustls::sign::SigningKey> {
        match &self.signs {
            Signs::P521(key) => std::sync::Arc::new(P521(key.clone())),
            _ => rustls::crypto::ring::sign::any_supported_type(&rustls::pki_types::PrivateKeyDer::Pkcs8(
                self.pkcs8.clone().into(),
            ))
            .expect("a key that rustls has"),
        }
    }
}

/// Two coordinates and a byte before them.
fn point_length(public: &[u8]) -> usize {
    match public.len() {
        91 => 65,
        120 => 97,
        _ => 133,
    }
}

/// What is in the octet string of PKCS#8.
fn inside_of(pkcs8: &[u8]) -> &[u8] {
    // Behind the version stands the algorithm, and behind that the octet string.
    let head = |at: usize| match pkcs8[at + 1] {
        0x81 => (3, usize::from(pkcs8[at + 2])),
        0x82 => (4, usize::from(pkcs8[at + 2]) << 8 | usize::from(pkcs8[at + 3])),
        length => (2, usize::from(length)),
    };
    let algorithm = head(0).0 + 3;
    let (bytes, length) = head(algorithm);
    let octets = algorithm + bytes + length;
    let (bytes, length) = head(octets);
    &pkcs8[octets + bytes..octets + bytes + length]
}

#[derive(Debug, Clone)]
struct P521(Box<p521::ecdsa::SigningKey>);

impl rustls::sign::SigningKey for P521 {
    fn choose_scheme(&self, offered: &[rustls::SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let offers = offered.contains(&rustls::SignatureScheme::ECDSA_NISTP521_SHA512);
        offers.then(|| Box::new(self.clone()) as Box<dyn rustls::sign::Signer>)
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        rustls::SignatureAlgorithm::ECDSA
    }
}

impl rustls::sign::Signer for P521 {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature: p521::ecdsa::DerSignature = self.0.sign(message);
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> rustls::SignatureScheme {
        rustls::SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

/// What a certificate says. Version 1 says no more than names and times.
#[derive(Clone)]
pub struct Spec {
    /// 1 or 3.
    pub version: u8,
    /// The subject, without a name an empty one.
    pub common_name: String,
    /// The organization in the subject.
    pub organization: Option<String>,
    /// The issuer; itself where it is none.
    pub issuer: Option<String>,
    /// Hours from now.
    pub hours: (i64, i64),
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Basic constraints: whether it is a CA, and how many may stand between it and a leaf.
    pub ca: Option<(bool, Option<u8>)>,
    /// Extended key usage, object identifiers.
    pub purposes: Vec<&'static str>,
    /// The bits of the key usage, the first on the left.
    pub key_usage: Option<u8>,
    /// A DNS name below which a CA may sign.
    pub permitted: Option<String>,
    /// A critical extension that nobody knows.
    pub critical: bool,
    /// The object identifier of another signature algorithm than the one it is signed with.
    pub algorithm: Option<&'static str>,
}

/// `serverAuth`.
pub const SERVER: &str = "1.3.6.1.5.5.7.3.1";
/// `clientAuth`.
pub const CLIENT: &str = "1.3.6.1.5.5.7.3.2";

impl Spec {
    /// A server certificate of version 3 for `127.0.0.1` and `localhost`, valid for a day.
    pub fn server(issuer: &str) -> Self {
        Self {
            version: 3,
            common_name: "server".to_owned(),
            organization: None,
            issuer: Some(issuer.to_owned()),
            hours: (-1, 24),
            dns: vec!["localhost".to_owned()],
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
            ca: None,
            purposes: vec![SERVER],
            key_usage: None,
            permitted: None,
            critical: false,
            algorithm: None,
        }
    }

    /// A CA of version 3 that has signed itself.
    pub fn ca(name: &str) -> Self {
        Self {
            common_name: name.to_owned(),
            issuer: None,
            dns: Vec::new(),
            addresses: Vec::new(),
            ca: Some((true, None)),
            purposes: Vec::new(),
            ..Self::server("")
        }
    }

    /// A client certificate of version 3.
    pub fn client(user: &str, group: &str, issuer: &str) -> Self {
        Self {
            common_name: user.to_owned(),
            organization: Some(group.to_owned()),
            purposes: vec![CLIENT],
            dns: Vec::new(),
            addresses: Vec::new(),
            ..Self::server(issuer)
        }
    }

    /// The certificate in DER, for this key, signed by the other.
    pub fn sign(&self, key: &Key, by: &Key) -> Vec<u8> {
        self.sign_with(key, |message| by.sign(message))
    }

    /// The same with any signature: algorithm and bytes.
    pub fn sign_with(&self, key: &Key, sign: impl Fn(&[u8]) -> (Vec<u8>, Vec<u8>)) -> Vec<u8> {
        let (algorithm, _) = sign(b"");
        let algorithm = match self.algorithm {
            Some(other) => der(SEQUENCE, &[&oid(other), &[5, 0]]),
            None => der(SEQUENCE, &[&algorithm]),
        };
        let mut serial = [0; 8];
        let mut random = std::fs::File::open("/dev/urandom").expect("random bytes");
        random.read_exact(&mut serial).expect("random bytes");
        serial[0] = 1;
        let version = if self.version == 3 {
            der(0xa0, &[&[2, 1, 2]])
        } else {
            Vec::new()
        };
        let issuer = match &self.issuer {
            Some(issuer) => name(issuer, None),
            None => name(&self.common_name, self.organization.as_deref()),
        };
        let now = Timestamp::now();
        let time = |hours| {
            let time = now + SignedDuration::from_hours(hours);
            der(0x17, &[time.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()])
        };
        let tbs = der(
            SEQUENCE,
            &[
                &version,
                &der(0x02, &[&serial]),
                &algorithm,
                &issuer,
                &der(SEQUENCE, &[&time(self.hours.0), &time(self.hours.1)]),
                &name(&self.common_name, self.organization.as_deref()),
                &key.public,
                &self.extensions(),
            ],
        );
        let signature = der(BIT_STRING, &[&[0], &sign(&tbs).1]);
        der(SEQUENCE, &[&tbs, &algorithm, &signature])
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut add = |id: &str, critical: bool, value: Vec<u8>| {
            let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
            all.push(der(SEQUENCE, &[&oid(id), critical, &der(OCTET_STRING, &[&value])]));
        };
        let names: Vec<Vec<u8>> = (self.dns.iter().map(|dns| der(0x82, &[dns.as_bytes()])))
            .chain(self.addresses.iter().map(|address| match address {
                IpAddr::V4(address) => der(0x87, &[&address.octets()]),
                IpAddr::V6(address) => der(0x87, &[&address.octets()]),
            }))
            .collect();
        if !names.is_empty() {
            add("2.5.29.17", false, der(SEQUENCE, &[&names.concat()]));
        }
        if let Some((is_ca, length)) = self.ca {
            let is_ca: &[u8] = if is_ca { &[1, 1, 0xff] } else { &[] };
            let length = length.map(|length| der(0x02, &[&[length]])).unwrap_or_default();
            add("2.5.29.19", true, der(SEQUENCE, &[is_ca, &length]));
        }
        if !self.purposes.is_empty() {
            let purposes: Vec<Vec<u8>> = self.purposes.iter().map(|purpose| oid(purpose)).collect();
            add("2.5.29.37", false, der(SEQUENCE, &[&purposes.concat()]));
        }
        if let Some(bits) = self.key_usage {
            add(
                "2.5.29.15",
                true,
                der(BIT_STRING, &[&[bits.trailing_zeros() as u8, bits]]),
            );
        }
        if let Some(permitted) = &self.permitted {
            let base = der(SEQUENCE, &[&der(0x82, &[permitted.as_bytes()])]);
            add("2.5.29.30", true, der(SEQUENCE, &[&der(0xa0, &[&base])]));
        }
        if self.critical {
            add("1.3.6.1.4.1.99999.1", true, vec![5, 0]);
        }
        match (self.version, all.is_empty()) {
            (3, false) => der(0xa3, &[&der(SEQUENCE, &[&all.concat()])]),
            _ => Vec::new(),
        }
    }
}

fn name(common_name: &str, organization: Option<&str>) -> Vec<u8> {
    let part = |id: &str, text: &str| der(0x31, &[&der(SEQUENCE, &[&oid(id), &der(0x0c, &[text.as_bytes()])])]);
    let organization = organization.map(|text| part("2.5.4.10", text)).unwrap_or_default();
    let common_name = match common_name {
        "" => Vec::new(),
        text => part("2.5.4.3", text),
    };
    der(SEQUENCE, &[&organization, &common_name])
}
