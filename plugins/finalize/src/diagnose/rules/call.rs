//! What became of the API server's call of a webhook, from its own words, and whether any request can get an answer.

use super::super::Life;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// There was no connection: nothing listens, or there is no address.
    NoConnection,
    /// The connection is not trusted: a certificate that has expired, is not yet valid, of another host or authority.
    Untrusted,
    /// No answer came in time. What is in the request may be the reason.
    TimedOut,
    /// An answer came, and it is no review: an HTTP error, a web page.
    NoReview,
    /// Something else.
    Other,
}

impl Call {
    /// Reads the words after `failed calling webhook "NAME": failed to call webhook: `. A webhook can write what stands in a body
    /// that the server quotes, but not what stands before that.
    pub fn of(why: &str) -> Self {
        if let Some((_, rest)) = why.strip_prefix("Post \"").and_then(|rest| rest.split_once("\": ")) {
            return Self::without_answer(rest);
        }
        let answered = [
            "the server could not find the requested resource",
            "an error on the server (",
            "the server rejected our request",
            "the server has asked for the client to provide credentials",
            "the server does not allow this method",
            "the server is currently unable to handle the request",
            "the server was unable to return a response",
            "received invalid webhook response",
            "couldn't get version/kind",
            "couldn't parse",
            "error decoding",
            "no kind \"",
            "unexpected ",
            "invalid character",
            "yaml: ",
            "unknown (",
            "webhook response",
            "unsupported media type",
        ];
        match why {
            _ if answered.iter().any(|words| why.starts_with(words)) => Self::NoReview,
            _ if why.starts_with("context deadline exceeded") => Self::TimedOut,
            _ => Self::Other,
        }
    }

    /// Whom the API server has called, as its words name it: `guard.shop.svc:443`. Nothing where they do not.
    pub fn address(why: &str) -> Option<&str> {
        let (_, rest) = why.strip_prefix("Post \"")?.split_once("://")?;
        rest.split(['/', '?', '"']).next()
    }

    fn without_answer(rest: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|words| rest.contains(words));
        if rest.starts_with("tls: ") || rest.starts_with("x509: ") || rest.starts_with("remote error: tls: ") {
            return Self::Untrusted;
        }
        if has(&[
            "context deadline exceeded",
            "Client.Timeout",
            "net/http: timeout",
            "TLS handshake timeout",
        ]) {
            return Self::TimedOut;
        }
        let none = [
            "connection refused",
            "no such host",
            "no route to host",
            "network is unreachable",
            "i/o timeout",
            "connection timed out",
            "\" not found",
            "no endpoints available",
            "no service port",
            "service unavailable",
        ];
        if has(&none) { Self::NoConnection } else { Self::Other }
    }

    /// Whether no request at all gets an answer, as far as that and the state of the backend tell. What may depend on the
    /// request is for a person: somebody may have made it so.
    pub fn is_dead(self, backend: Life, is_service: bool) -> bool {
        match (self, backend) {
            (Self::NoReview, _) => false,
            (_, Life::Dead) => true,
            // Every request meets the same address and the same certificate.
            (Self::NoConnection | Self::Untrusted, _) => !is_service,
            _ => false,
        }
    }

    /// After the name of the webhook.
    pub fn says(self) -> &'static str {
        match self {
            Self::NoConnection => "does not answer",
            Self::Untrusted => "is not trusted by the API server",
            Self::TimedOut => "did not answer in time",
            Self::NoReview => "answers, but not with a review",
            Self::Other => "could not be asked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_call() {
        let post = |rest: &str| format!("Post \"https://guard.shop.svc:443/?timeout=10s\": {rest}");
        for (why, call) in [
            (post("service \"guard\" not found"), Call::NoConnection),
            (post("no endpoints available for service \"guard\""), Call::NoConnection),
            (
                post("dial tcp 10.0.0.1:443: connect: connection refused"),
                Call::NoConnection,
            ),
            (
                post("dial tcp: lookup guard on 10.0.0.2:53: no such host"),
                Call::NoConnection,
            ),
            (
                post(
                    "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time x",
                ),
                Call::Untrusted,
            ),
            (post("x509: certificate signed by unknown authority"), Call::Untrusted),
            (post("context deadline exceeded"), Call::TimedOut),
            (
                post("net/http: request canceled (Client.Timeout exceeded while awaiting headers)"),
                Call::TimedOut,
            ),
            (post("EOF"), Call::Other),
            (
                "the server could not find the requested resource".into(),
                Call::NoReview,
            ),
            (
                "an error on the server (\"connection refused\") has prevented the request from succeeding".into(),
                Call::NoReview,
            ),
            (
                "received invalid webhook response: expected response.uid=\"a\", got \"\"".into(),
                Call::NoReview,
            ),
            ("something new".into(), Call::Other),
        ] {
            assert_eq!(Call::of(&why), call, "{why}");
        }
    }

    #[test]
    fn whom_a_call_was_for() {
        let address = |why: &str| Call::address(why).map(str::to_owned);
        let service = "Post \"https://guard.shop.svc:443/check?timeout=10s\": EOF";
        assert_eq!(address(service).as_deref(), Some("guard.shop.svc:443"));
        let url = "Post \"https://127.0.0.1:4711?timeout=2s\": EOF";
        assert_eq!(address(url).as_deref(), Some("127.0.0.1:4711"));
        assert_eq!(address("the server could not find the requested resource"), None);
    }

    /// A tenant can make a webhook time out, answer 500, or hang up; none of that opens it.
    #[test]
    fn a_backend_that_is_ready_is_for_a_person() {
        for call in [
            Call::TimedOut,
            Call::NoReview,
            Call::Other,
            Call::NoConnection,
            Call::Untrusted,
        ] {
            assert!(!call.is_dead(Life::Unknown, true), "{call:?}");
        }
        assert!(Call::TimedOut.is_dead(Life::Dead, true) && Call::NoConnection.is_dead(Life::Unknown, false));
        assert!(!Call::TimedOut.is_dead(Life::Unknown, false));
        assert!(Call::Untrusted.is_dead(Life::Unknown, false) && Call::Untrusted.is_dead(Life::Dead, true));
        assert!(!Call::NoReview.is_dead(Life::Dead, true));
    }
}
