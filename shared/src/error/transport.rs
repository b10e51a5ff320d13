//! Why no answer came from the server, in kubectl's words.
//!
//! kube-rs, hyper and rustls wrap each other's errors, and what a person needs is at the bottom. One walk down the chain
//! finds it.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Duration;

use super::api::{DEFAULT_SERVER, not_kubernetes, one_line};
use super::tls::tls_words;
use super::{Error, Exit};

/// What was waited for when the time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The beginning of the answer.
    Answer,
    /// The rest of the answer.
    Body,
    /// The next event or bookmark of a watch; the connection is taken for dead.
    Watch,
}

/// The server did not answer in the time that this client gives it. Raised by the client itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// What was waited for.
    pub wait: Wait,
    /// For how long.
    pub after: Duration,
    /// `GET /api/v1/nodes`.
    pub request: String,
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { wait, after, request } = self;
        match wait {
            Wait::Answer => write!(f, "no answer within {after:?} ({request})"),
            Wait::Body => write!(f, "the answer was not complete within {after:?} ({request})"),
            Wait::Watch => write!(
                f,
                "nothing heard for {after:?}, the connection is taken for dead ({request})"
            ),
        }
    }
}

impl StdError for NoAnswer {}

/// An answer, or an event of a watch, was larger than any that is read. Raised by the client itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge {
    /// `the answer to GET /api/v1/pods`, `an event of GET /api/v1/pods`.
    pub what: String,
    /// In bytes.
    pub limit: u64,
    /// What came over the wire, in bytes, where it was compressed.
    pub compressed: Option<u64>,
}

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            limit,
            compressed,
        } = self;
        write!(f, "{what} is too large: more than {} MiB", limit >> 20)?;
        match compressed {
            Some(bytes) => write!(f, " were decompressed from {} kB", bytes / 1000),
            None => Ok(()),
        }
    }
}

impl StdError for TooLarge {}

/// The way to the server leads through a proxy, which may be the one to blame. Wraps what went wrong.
#[derive(Debug)]
pub(crate) struct ViaProxy {
    /// The address of the proxy, without user and password.
    pub proxy: String,
    /// What went wrong.
    pub source: kube::Error,
}

impl std::fmt::Display for ViaProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "through the proxy {}", self.proxy)
    }
}

impl StdError for ViaProxy {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

/// What was found at the bottom of the chain.
enum Cause {
    /// An error of ours, passed through kube: finished words.
    Ours(Error),
    Refused,
    NoSuchHost,
    Timeout(String),
    Tls(String),
    Closed,
    /// The answer could not be read as JSON.
    Garbage(String),
    Other(String),
}

pub(super) fn explain(error: &kube::Error, server: &str) -> Error {
    let cause = find(error);
    if let Some(ViaProxy { proxy, .. }) = chain(error).find_map(|link| link.downcast_ref()) {
        return match cause {
            // Only the proxy itself was connected to.
            Cause::Refused => unable(&format!("the proxy {proxy} refused the connection")),
            Cause::NoSuchHost => unable(&format!("the proxy {proxy}: no such host")),
            Cause::Ours(error) => error,
            other => say(other, server).hint(format!("the way to the server leads through the proxy {proxy}")),
        };
    }
    say(cause, server)
}

fn unable(why: &str) -> Error {
    Error::verbatim(Exit::Failed, format!("Unable to connect to the server: {why}"))
}

fn say(cause: Cause, server: &str) -> Error {
    match cause {
        Cause::Ours(error) => error,
        Cause::Refused => {
            let host = host_and_port(server);
            let error = Error::verbatim(
                Exit::Failed,
                format!("The connection to the server {host} was refused - did you specify the right host or port?"),
            );
            if server.trim_end_matches('/') == DEFAULT_SERVER {
                return error.hint("no kubeconfig with a server was found; set KUBECONFIG or --kubeconfig");
            }
            error
        }
        Cause::NoSuchHost => unable(&format!("dial tcp: lookup {}: no such host", host_of(server))),
        Cause::Timeout(why) => unable(&why).hint("--request-timeout sets how long one request may take"),
        Cause::Tls(why) => unable(&format!("tls: {why}")),
        Cause::Closed => unable("the connection was closed before the answer was complete"),
        Cause::Garbage(why) => not_kubernetes(server, 200, "").caused_by(why),
        Cause::Other(why) => unable(&why),
    }
}

pub(super) fn describe(error: &kube::Error) -> String {
    match find(error) {
        Cause::Ours(error) => error.to_string(),
        Cause::Refused => "connection refused".to_owned(),
        Cause::NoSuchHost => "no such host".to_owned(),
        Cause::Timeout(why) | Cause::Other(why) => why,
        Cause::Tls(why) => format!("tls: {why}"),
        Cause::Closed => "the connection was closed".to_owned(),
        Cause::Garbage(why) => format!("the answer cannot be read: {why}"),
    }
}

/// Whether the answer was larger than any that is read; a smaller page of the list may not be.
pub fn is_too_large(error: &kube::Error) -> bool {
    chain(error).any(|link| link.is::<TooLarge>())
}

pub(super) fn is_transient(error: &kube::Error) -> bool {
    matches!(
        find(error),
        Cause::Refused | Cause::NoSuchHost | Cause::Timeout(_) | Cause::Closed
    )
}

fn find(error: &kube::Error) -> Cause {
    if let kube::Error::SerdeError(why) = error {
        return Cause::Garbage(why.to_string());
    }
    let mut last = String::new();
    for link in chain(error) {
        if let Some(cause) = known(link) {
            return cause;
        }
        // Each wrapper repeats what it wraps; the innermost text is the shortest and the most exact.
        let text = link.to_string();
        if !text.is_empty() {
            last = one_line(&text);
        }
    }
    Cause::Other(last)
}

/// What one link of the chain says by its type, or by its text where the type has no public name.
fn known(this: &(dyn StdError + 'static)) -> Option<Cause> {
    if let Some(ours) = this.downcast_ref::<Error>() {
        return Some(Cause::Ours(ours.clone()));
    }
    if let Some(too_large) = this.downcast_ref::<TooLarge>() {
        let error = Error::failed(too_large.to_string());
        return Some(Cause::Ours(match too_large.compressed {
            Some(_) => {
                error.hint("no API server compresses that much: check what is between this machine and the server")
            }
            None => error,
        }));
    }
    if let Some(no_answer) = this.downcast_ref::<NoAnswer>() {
        return Some(Cause::Timeout(no_answer.to_string()));
    }
    if let Some(tls) = this.downcast_ref::<rustls::Error>() {
        return Some(Cause::Tls(tls_words(tls)));
    }
    if let Some(kube::Error::SerdeError(why)) = this.downcast_ref::<kube::Error>() {
        return Some(Cause::Garbage(why.to_string()));
    }
    if let Some(io) = this.downcast_ref::<std::io::Error>()
        && io.get_ref().is_none()
    {
        return match io.kind() {
            ErrorKind::ConnectionRefused => Some(Cause::Refused),
            ErrorKind::TimedOut => Some(Cause::Timeout("i/o timeout".to_owned())),
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => Some(Cause::Closed),
            _ => None,
        };
    }
    let text = this.to_string();
    if text == "dns error" || text.starts_with("failed to lookup address") {
        return Some(Cause::NoSuchHost);
    }
    let cut = [
        "connection closed before message completed",
        "peer closed connection without sending TLS close_notify",
    ];
    if cut.iter().any(|words| text.starts_with(words)) || text.contains("unexpected EOF during chunk") {
        return Some(Cause::Closed);
    }
    None
}

/// The error and all that is wrapped in it, the outermost first.
fn chain(error: &kube::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |link| inside(*link))
}

/// `io::Error::source` steps over the error that it carries, which is the one that is looked for.
fn inside<'a>(this: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match this.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(carried) => Some(carried),
        None => this.source(),
    }
}

fn host_and_port(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

fn host_of(server: &str) -> String {
    server
        .parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned))
        .unwrap_or_else(|| server.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn service(error: impl Into<Box<dyn StdError + Send + Sync>>) -> kube::Error {
        kube::Error::Service(error.into())
    }

    #[test]
    fn each_cause_is_said_in_kubectls_words() {
        let no_answer = NoAnswer {
            wait: Wait::Answer,
            after: Duration::from_secs(5),
            request: "GET /api/v1/nodes".to_owned(),
        };
        let bad = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let cases = [
            (
                service(io::Error::from(ErrorKind::ConnectionRefused)),
                "The connection to the server h:6443 was refused - did you specify the right host or port?",
            ),
            (
                service(no_answer.clone()),
                "Unable to connect to the server: no answer within 5s (GET /api/v1/nodes)",
            ),
            (
                service(io::Error::new(ErrorKind::InvalidData, bad)),
                "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority",
            ),
            (
                kube::Error::ReadEvents(io::Error::other(service(no_answer))),
                "Unable to connect to the server: no answer within 5s (GET /api/v1/nodes)",
            ),
            (service(Error::refused("no credentials")), "error: no credentials"),
            (
                service("whatever\nelse"),
                "Unable to connect to the server: whatever else",
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(explain(&error, "https://h:6443/base").headline(), expected);
        }
    }

    #[test]
    fn only_what_can_get_better_is_transient() {
        assert!(is_transient(&service(io::Error::from(ErrorKind::ConnectionReset))));
        assert!(!is_transient(&service(rustls::Error::InvalidCertificate(
            rustls::CertificateError::Expired
        ))));
    }
}
