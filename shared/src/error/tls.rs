//! What is wrong with a certificate or a handshake, in words.

use super::api::one_line;

/// What is wrong with a server's certificate, in Go's words: `failed to verify certificate: x509: ...`. Raised by the client itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateFault(pub String);

impl std::fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CertificateFault {}

/// rustls names certificate faults by the names of its enum variants; these are the words of Go's x509, which people know.
pub(super) fn tls_words(error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    let rustls::Error::InvalidCertificate(bad) = error else {
        return match error {
            rustls::Error::InvalidMessage(_) => "first record does not look like a TLS handshake".to_owned(),
            rustls::Error::AlertReceived(alert) => {
                format!("the server ended the handshake: {}", words(&format!("{alert:?}")))
            }
            other => one_line(&other.to_string()),
        };
    };
    let why = match bad {
        // The words of Go begin with `tls:` where it is not about the certificate itself.
        Bad::Other(other) if other.0.is::<CertificateFault>() => {
            let text = one_line(&other.to_string());
            return text.strip_prefix("tls: ").unwrap_or(&text).to_owned();
        }
        Bad::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        Bad::Expired | Bad::ExpiredContext { .. } => "certificate has expired".to_owned(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => "certificate is not yet valid".to_owned(),
        Bad::NotValidForName => "certificate is not valid for the name of the server".to_owned(),
        Bad::NotValidForNameContext { expected, presented } => {
            format!(
                "certificate is valid for {}, not {}",
                presented
                    .iter()
                    .map(|name| plain_name(name))
                    .collect::<Vec<_>>()
                    .join(", "),
                expected.to_str()
            )
        }
        Bad::Revoked => "certificate has been revoked".to_owned(),
        Bad::BadSignature => "certificate has a bad signature".to_owned(),
        Bad::Other(other) => one_line(&other.to_string()),
        other => words(&format!("{other:?}")),
    };
    format!("failed to verify certificate: x509: {why}")
}

/// rustls hands out `DnsName("localhost")`; people know `localhost`.
fn plain_name(name: &str) -> String {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(name).trim_matches('"').to_owned()
}

/// `BadCertificate` becomes `bad certificate`.
fn words(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, CertificateError, Error};

    #[test]
    fn faults_are_said_in_words() {
        let bad = |fault| tls_words(&Error::InvalidCertificate(fault));
        let cases = [
            (
                bad(CertificateError::Expired),
                "failed to verify certificate: x509: certificate has expired",
            ),
            (
                bad(CertificateError::BadEncoding),
                "failed to verify certificate: x509: bad encoding",
            ),
            (
                bad(CertificateError::NotValidForNameContext {
                    expected: rustls::pki_types::ServerName::try_from("nope").unwrap_or_else(|_| unreachable!()),
                    presented: vec!["DnsName(\"localhost\")".into(), "IpAddress(127.0.0.1)".into()],
                }),
                "failed to verify certificate: x509: certificate is valid for localhost, 127.0.0.1, not nope",
            ),
            (
                tls_words(&Error::AlertReceived(AlertDescription::HandshakeFailure)),
                "the server ended the handshake: handshake failure",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(text, expected);
        }
    }
}
