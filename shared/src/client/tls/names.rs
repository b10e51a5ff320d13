//! Whether a certificate is one for this host, as Go's `VerifyHostname` decides it.

use std::net::IpAddr;

use super::certificate::Certificate;

/// More names than this are counted, not listed.
const LISTED: usize = 100;

/// Compares the alternative names with the host. The words are those of Go's `HostnameError`.
pub(super) fn verify(certificate: &Certificate<'_>, host: &str) -> Result<(), String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        let same = |other: &IpAddr| other.to_canonical() == address.to_canonical();
        return match certificate.ip_addresses.iter().any(same) {
            true => Ok(()),
            false => Err(mismatch(certificate, host, Some(address))),
        };
    }
    let name = host.to_ascii_lowercase();
    let plain = is_host_name(&name, false);
    let fits = |other: &str| match plain && is_host_name(other, true) {
        true => matches(other, &name),
        // Other names are compared as they are.
        false => !matches!(other, "" | ".") && other.eq_ignore_ascii_case(&name),
    };
    match certificate.dns_names.iter().find(|other| fits(other)) {
        Some(_) => Ok(()),
        None => Err(mismatch(certificate, host, None)),
    }
}

fn mismatch(certificate: &Certificate<'_>, host: &str, address: Option<IpAddr>) -> String {
    if certificate.alternative_names.is_none() && matches(&certificate.common_name, &host.to_ascii_lowercase()) {
        return "x509: certificate relies on legacy Common Name field, use SANs instead".to_owned();
    }
    let addresses = certificate.ip_addresses.len();
    let names = certificate.dns_names.len();
    let valid = match address {
        Some(_) if addresses == 0 => {
            return format!("x509: cannot validate certificate for {host} because it doesn't contain any IP SANs");
        }
        Some(_) if addresses >= LISTED => {
            return format!("x509: certificate is valid for {addresses} IP SANs, but none matched {host}");
        }
        Some(_) => certificate
            .ip_addresses
            .iter()
            .map(IpAddr::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        None if names >= LISTED => {
            return format!("x509: certificate is valid for {names} names, but none matched {host}");
        }
        None => certificate.dns_names.join(", "),
    };
    match valid.as_str() {
        "" => format!("x509: certificate is not valid for any names, but wanted to match {host}"),
        valid => format!("x509: certificate is valid for {valid}, not {host}"),
    }
}

/// Whether a text is a host name by RFC 6125, with underscores; a pattern may begin with `*.`.
fn is_host_name(name: &str, pattern: bool) -> bool {
    let name = match pattern {
        true => name,
        false => name.strip_suffix('.').unwrap_or(name),
    };
    let label = |(index, label): (usize, &str)| {
        let letter = |(at, c): (usize, char)| c.is_ascii_alphanumeric() || c == '_' || c == '-' && at > 0;
        let wildcard = pattern && index == 0 && label == "*";
        !label.is_empty() && (wildcard || label.char_indices().all(letter))
    };
    name != "*" && name.split('.').enumerate().all(label)
}

/// Label by label; the first may be `*` in the pattern. `host` is in lower case.
fn matches(pattern: &str, host: &str) -> bool {
    let host: Vec<_> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let pattern = pattern.to_ascii_lowercase();
    let pattern: Vec<_> = pattern.split('.').collect();
    let same = |(index, (one, other)): (usize, (&&str, &&str))| one == other || index == 0 && *one == "*";
    pattern != [""] && pattern.len() == host.len() && pattern.iter().zip(&host).enumerate().all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_labels() {
        let yes = [
            ("a.example", "a.example"),
            ("A.example", "a.example."),
            ("*.example", "a.example"),
            ("a_b.example", "a_b.example"),
        ];
        for (pattern, host) in yes {
            assert!(matches(pattern, host), "{pattern} {host}");
        }
        let no = [
            ("*.example", "a.b.example"),
            ("*.example", "example"),
            ("a*.example", "ab.example"),
            ("a.*", "a.example"),
            ("", ""),
            ("example", "a.example"),
        ];
        for (pattern, host) in no {
            assert!(!matches(pattern, host), "{pattern} {host}");
        }
    }

    #[test]
    fn host_names_are_told_from_other_texts() {
        for name in ["a", "a-b.c", "a_b", "*.a"] {
            assert!(is_host_name(name, true), "{name}");
        }
        for name in ["*", "", ".", "a..b", "-a", "a.*", "a b", "*a.b"] {
            assert!(!is_host_name(name, true), "{name}");
        }
        assert!(is_host_name("a.", false) && !is_host_name("a.", true) && !is_host_name("*.a", false));
    }
}
