//! Name constraints of RFC 5280: for which names a CA may sign. DNS names and addresses are compared as Go does; a chain in
//! which others would have to be compared is refused.

use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};

use super::certificate::Certificate;
use super::der;

/// Whether names of all kinds in it are known.
pub(super) fn are_judged(constraints: &NameConstraints<'_>) -> bool {
    let known = |name: &GeneralName<'_>| {
        matches!(
            name,
            GeneralName::DNSName(_) | GeneralName::IPAddress(_) | GeneralName::RFC822Name(_) | GeneralName::URI(_)
        )
    };
    subtrees(constraints).all(|subtree| known(&subtree.base))
}

/// The constraints, if the parser has understood each of them: one that it left out would be none.
pub(super) fn checked<'a>(value: &[u8], constraints: &NameConstraints<'a>) -> Result<NameConstraints<'a>, String> {
    let written = || {
        let lists = der::sequence(value)?;
        let lengths = lists.iter().map(|list| Some(der::elements(list.content)?.len()));
        lengths.sum::<Option<usize>>()
    };
    let understood = subtrees(constraints).count();
    if understood == 0 || written() != Some(understood) {
        return Err("x509: invalid NameConstraints extension".to_owned());
    }
    let fault = subtrees(constraints).find_map(|subtree| match &subtree.base {
        GeneralName::Invalid(..) => Some("x509: invalid NameConstraints extension"),
        GeneralName::IPAddress(range) if !is_range(range) => Some("x509: IP constraint contained invalid mask"),
        _ => None,
    });
    fault.map_or_else(|| Ok(constraints.clone()), |why| Err(why.to_owned()))
}

fn subtrees<'c, 'a>(constraints: &'c NameConstraints<'a>) -> impl Iterator<Item = &'c GeneralSubtree<'a>> {
    let lists = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    lists.into_iter().flatten().flatten()
}

/// An address and a mask of ones before zeros.
fn is_range(range: &[u8]) -> bool {
    let mask = range[range.len() / 2..].iter();
    let zero_after_zero = |(one, next): (&u8, &u8)| *one == 0xff || *next == 0;
    let whole = mask.clone().zip(mask.clone().skip(1)).all(zero_after_zero);
    let in_byte = |byte: &u8| byte.leading_ones() == byte.count_ones();
    matches!(range.len(), 8 | 32) && whole && mask.clone().all(in_byte)
}

/// Checks the names of each certificate with the constraints of those above it. The leaf is the first in the chain.
pub(super) fn verify(chain: &[&Certificate<'_>]) -> Result<(), String> {
    for (index, certificate) in chain.iter().enumerate() {
        for above in &chain[index + 1..] {
            let Some(constraints) = &above.constraints else {
                continue;
            };
            if certificate.other_names > 0 {
                return Err("e-mail addresses and URIs cannot be checked against constraints".to_owned());
            }
            let permitted = constraints.permitted_subtrees.as_deref().unwrap_or_default();
            let excluded = constraints.excluded_subtrees.as_deref().unwrap_or_default();
            certificate.ip_addresses.iter().try_for_each(|address| {
                let name = format!("IP address \"{address}\"");
                check(&name, permitted, excluded, |base| match base {
                    GeneralName::IPAddress(range) => Some(in_range(*address, range)),
                    _ => None,
                })
            })?;
            certificate.dns_names.iter().try_for_each(|dns| {
                if !is_domain(dns) {
                    return Err(format!("x509: cannot parse dnsName {dns:?}"));
                }
                let name = format!("DNS name {dns:?}");
                check(&name, permitted, &[], |base| match base {
                    GeneralName::DNSName(base) => Some(is_below(base, dns)),
                    _ => None,
                })?;
                check(&name, &[], excluded, |base| match base {
                    GeneralName::DNSName(base) => Some(is_below(base, dns) || is_covered(base, dns)),
                    _ => None,
                })
            })?;
        }
    }
    Ok(())
}

/// `fits` says nothing about a constraint of another kind.
fn check(
    name: &str,
    permitted: &[GeneralSubtree<'_>],
    excluded: &[GeneralSubtree<'_>],
    fits: impl Fn(&GeneralName<'_>) -> Option<bool>,
) -> Result<(), String> {
    let mut of_kind = permitted.iter().filter_map(|subtree| fits(&subtree.base)).peekable();
    if of_kind.peek().is_some() && !of_kind.any(|fits| fits) {
        return Err(format!("{name} is not permitted by any constraint"));
    }
    match excluded.iter().any(|subtree| fits(&subtree.base) == Some(true)) {
        true => Err(format!("{name} is excluded by a constraint")),
        false => Ok(()),
    }
}

/// An address and a mask, one behind the other.
fn in_range(address: IpAddr, range: &[u8]) -> bool {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if range.len() != 2 * bytes.len() {
        return false;
    }
    let (base, mask) = range.split_at(bytes.len());
    bytes
        .iter()
        .zip(base)
        .zip(mask)
        .all(|((byte, base), mask)| byte & mask == base & mask)
}

/// `example.com` holds itself and all below it, `.example.com` only what is below, and the empty constraint everything.
fn is_below(base: &str, name: &str) -> bool {
    let (base, name) = (base.to_ascii_lowercase(), name.to_ascii_lowercase());
    match name.strip_suffix(base.as_str()) {
        Some(rest) => base.is_empty() || rest.is_empty() || base.starts_with('.') || rest.ends_with('.'),
        None => false,
    }
}

/// Whether a wildcard stands for the excluded name as well: `*.example.com` and `a.example.com`.
fn is_covered(base: &str, name: &str) -> bool {
    let base = base.to_ascii_lowercase();
    let rest = name.strip_prefix('*').map(str::to_ascii_lowercase);
    match (rest, base.find('.')) {
        (Some(rest), Some(dot)) => rest == base[dot..],
        _ => false,
    }
}

fn is_domain(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| !label.is_empty() && label.len() < 64 && label.chars().all(|c| c.is_ascii_graphic());
    name.len() < 254 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_hold_what_is_below_them() {
        let yes = [
            ("example.com", "example.com"),
            ("example.com", "A.Example.com"),
            (".example.com", "a.example.com"),
            ("", "a"),
            ("example.com", "*.example.com"),
        ];
        for (base, name) in yes {
            assert!(is_below(base, name), "{base} {name}");
        }
        for (base, name) in [
            (".example.com", "example.com"),
            ("example.com", "anexample.com"),
            ("a.b", "b"),
        ] {
            assert!(!is_below(base, name), "{base} {name}");
        }
        assert!(is_covered("a.example.com", "*.example.com"));
        assert!(!is_covered("a.b.example.com", "*.example.com") && !is_covered("com", "*.com"));
    }

    #[test]
    fn ranges_are_of_one_kind_of_address() {
        let range = [10, 0, 0, 0, 255, 0, 0, 0];
        assert!(in_range(IpAddr::from([10, 1, 2, 3]), &range));
        assert!(!in_range(IpAddr::from([11, 1, 2, 3]), &range));
        assert!(!in_range(IpAddr::from([0; 16]), &range));
        assert!(is_range(&range) && is_range(&[0; 32]) && is_range(&[255; 8]));
        for bad in [
            &[][..],
            &[0; 7],
            &[1, 2, 3, 4, 255, 0, 255, 0],
            &[1, 2, 3, 4, 0x0f, 0, 0, 0],
        ] {
            assert!(!is_range(bad), "{bad:?}");
        }
    }
}
