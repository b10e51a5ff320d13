//! Whether a server's certificate is to be trusted: the rules and the words of Go's `x509.Certificate.Verify`.
//!
//! They differ from webpki's, which rustls asks otherwise. A certificate that is itself among the roots needs no issuer. Roots
//! may be of version 1, but must be valid now and may not say that they sign nothing. A CA may serve, too.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::certificate::{Certificate, Purposes};
use super::{constraints, names, signatures};

/// How many signatures are verified for one chain.
const SIGNATURES: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Leaf,
    Intermediate,
    Root,
}

/// Finds a chain from the server's certificate to one of the roots. `now` is in seconds since 1970.
pub(super) fn verify(
    leaf: &Certificate<'_>,
    intermediates: &[Certificate<'_>],
    roots: &[Certificate<'_>],
    host: &str,
    now: i64,
) -> Result<(), String> {
    is_valid(leaf, Kind::Leaf, 0, now)?;
    names::verify(leaf, host)?;
    let chains = if roots.iter().any(|root| root.raw == leaf.raw) {
        vec![vec![leaf]]
    } else {
        let mut search = Search {
            intermediates,
            roots,
            now,
            signatures: 0,
        };
        search.chains(&[leaf])?
    };
    let mut refused = None;
    for chain in &chains {
        match check(chain) {
            Ok(()) => return Ok(()),
            Err(why) => refused.get_or_insert(why),
        };
    }
    Err(refused.unwrap_or_else(|| "x509: no valid chains built".to_owned()))
}

/// What concerns a whole chain.
fn check(chain: &[&Certificate<'_>]) -> Result<(), String> {
    // No policy is asked for; only a CA could demand one.
    let below_root = chain.split_last().map_or(&[][..], |(_, below)| below);
    if below_root.iter().any(|certificate| certificate.demands_policies) {
        return Err("x509: no valid chains built: certificate policies are not supported".to_owned());
    }
    if chain.iter().any(|certificate| certificate.purposes == Purposes::Others) {
        return Err("x509: certificate specifies an incompatible key usage".to_owned());
    }
    constraints::verify(chain).map_err(|why| {
        format!("x509: a root or intermediate certificate is not authorized to sign for this name: {why}")
    })
}

/// What concerns one certificate that `above` others stand below of.
fn is_valid(certificate: &Certificate<'_>, kind: Kind, above: usize, now: i64) -> Result<(), String> {
    if certificate.unhandled {
        return Err("x509: unhandled critical extension".to_owned());
    }
    let outside = |word: &str, limit: i64| {
        let (now, limit) = (time(now, &TimeZone::system()), time(limit, &TimeZone::UTC));
        Err(format!(
            "x509: certificate has expired or is not yet valid: current time {now} is {word} {limit}"
        ))
    };
    if now < certificate.not_before {
        return outside("before", certificate.not_before);
    }
    if now > certificate.not_after {
        return outside("after", certificate.not_after);
    }
    if kind == Kind::Intermediate && certificate.is_ca != Some(true) {
        return Err("x509: certificate is not authorized to sign other certificates".to_owned());
    }
    let between = above.saturating_sub(1);
    let limit = certificate.path_length.filter(|_| certificate.is_ca.is_some());
    if kind != Kind::Leaf && limit.is_some_and(|limit| between > limit as usize) {
        return Err("x509: too many intermediates for path length constraint".to_owned());
    }
    Ok(())
}

/// As Go's `time.RFC3339`.
fn time(seconds: i64, zone: &TimeZone) -> String {
    let Ok(time) = Timestamp::from_second(seconds) else {
        return seconds.to_string();
    };
    let time = time.to_zoned(zone.clone());
    let format = if time.offset().is_zero() { "%FT%TZ" } else { "%FT%T%:z" };
    time.strftime(format).to_string()
}

struct Search<'c> {
    intermediates: &'c [Certificate<'c>],
    roots: &'c [Certificate<'c>],
    now: i64,
    signatures: usize,
}

impl<'c> Search<'c> {
    /// All chains that go on from this one and end in a root. Its depth is bounded by the number of signatures.
    fn chains(&mut self, below: &[&'c Certificate<'c>]) -> Result<Vec<Vec<&'c Certificate<'c>>>, String> {
        let Some(child) = below.last() else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let mut error = None;
        // Go tells of the first candidate that did not do.
        let mut hint = None;
        let (roots, intermediates) = (self.roots, self.intermediates);
        'candidates: for (kind, pool) in [(Kind::Root, roots), (Kind::Intermediate, intermediates)] {
            for candidate in issuers(child, pool) {
                self.signatures += 1;
                if self.signatures > SIGNATURES {
                    error = Some(TOO_MANY.to_owned());
                    break 'candidates;
                }
                if below.iter().any(|known| is_same(known, candidate)) {
                    continue;
                }
                if let Err(why) = may_have_signed(candidate, child) {
                    hint.get_or_insert((why, &candidate.called));
                    continue;
                }
                if let Err(why) = is_valid(candidate, kind, below.len(), self.now) {
                    hint.get_or_insert((why.clone(), &candidate.called));
                    error = Some(why);
                    continue;
                }
                error = None;
                let chain = [below, &[candidate]].concat();
                if kind == Kind::Root {
                    found.push(chain);
                    continue;
                }
                match self.chains(&chain) {
                    Ok(more) => found.extend(more),
                    Err(why) if why == TOO_MANY => {
                        error = Some(why);
                        break 'candidates;
                    }
                    Err(why) => error = Some(why),
                }
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let unknown = "x509: certificate signed by unknown authority";
        Err(error.unwrap_or_else(|| match hint {
            Some((why, name)) => format!(
                "{unknown} (possibly because of {why:?} while trying to verify candidate authority certificate {name:?})"
            ),
            None => unknown.to_owned(),
        }))
    }
}

const TOO_MANY: &str = "x509: signature check attempts limit reached while verifying certificate chain";

/// Those whose subject is the issuer, first those whose key it names; each once.
fn issuers<'c>(child: &Certificate<'_>, pool: &'c [Certificate<'c>]) -> Vec<&'c Certificate<'c>> {
    let mut seen = HashSet::new();
    let mut found: Vec<_> = pool
        .iter()
        .filter(|candidate| candidate.subject == child.issuer && seen.insert(candidate.raw))
        .collect();
    found.sort_by_key(
        |candidate| match (candidate.subject_key_id, child.authority_key_id.as_slice()) {
            (one, other) if one == other => 0,
            ([], _) | (_, []) => 1,
            _ => 2,
        },
    );
    found
}

/// The same key, subject and alternative names: a loop, though the bytes differ.
fn is_same(one: &Certificate<'_>, other: &Certificate<'_>) -> bool {
    one.subject == other.subject
        && one.public_key == other.public_key
        && one.alternative_names == other.alternative_names
}

/// Whether the issuer may sign certificates, and has signed this one.
fn may_have_signed(issuer: &Certificate<'_>, child: &Certificate<'_>) -> Result<(), String> {
    if issuer.may_not_sign() {
        return Err("x509: invalid signature: parent certificate cannot sign this kind of certificate".to_owned());
    }
    signatures::verify(child.signed, issuer.public_key)
}
