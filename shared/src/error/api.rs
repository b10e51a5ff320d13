//! What the API server answered, in kubectl's words.

use kube::core::Status;

use super::{Error, Exit, transport};

/// The reason that kube-rs writes into a status which it made up itself, because the answer was no status object.
const NOT_A_STATUS: &str = "Failed to parse error data";

/// Where kubectl looks for the server when nobody told it where; `kubectl proxy --port=8080` listens there.
pub(crate) const DEFAULT_SERVER: &str = "http://localhost:8080";

/// The error as kubectl would print it. `server` is the address of the API server, `https://host:port`.
pub fn from_kube(error: &kube::Error, server: &str) -> Error {
    match status(error) {
        Some(status) if status.reason == NOT_A_STATUS => from_text(status, server),
        Some(status) => from_status(status),
        None => transport::explain(error, server),
    }
}

/// What happened, as one line for use inside another message: the server's own words where it said something.
pub fn describe(error: &kube::Error) -> String {
    match status(error) {
        Some(status) if status.reason == NOT_A_STATUS => from_text(status, "the server").to_string(),
        Some(status) if status.message.is_empty() => reason_of(status.code).1.to_owned(),
        Some(status) => one_line(&status.message),
        None => transport::describe(error),
    }
}

/// The status object, where the server sent one.
pub fn status(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// Whether the same request may well succeed a little later: the connection failed, nobody answered in time, the server
/// throttles (429), or it or something in front of it is in trouble (500, 502, 503, 504).
///
/// A 429 with the cause `DisruptionBudget` is an answer, not throttling. A certificate that is not trusted, credentials
/// that are refused and an answer that is not Kubernetes' do not get better by themselves.
pub fn is_transient(error: &kube::Error) -> bool {
    match status(error) {
        Some(status) => match status.code {
            429 => !status
                .details
                .iter()
                .flat_map(|d| &d.causes)
                .any(|c| c.reason == "DisruptionBudget"),
            code => matches!(code, 500 | 502 | 503 | 504),
        },
        None => transport::is_transient(error),
    }
}

fn from_status(status: &Status) -> Error {
    let (reason, sentence) = reason_of(status.code);
    let reason = if status.reason.is_empty() {
        reason
    } else {
        &status.reason
    };
    let message = if status.message.is_empty() {
        sentence.to_owned()
    } else {
        one_line(&status.message)
    };
    if reason == "Unauthorized" {
        return Error::failed(format!("You must be logged in to the server ({message})"));
    }
    if reason == "Invalid" {
        // kubectl shortens this one: the server's sentence names the object already.
        let named = status
            .details
            .as_ref()
            .is_some_and(|d| !d.kind.is_empty() && message.starts_with(&d.kind));
        let headline = if named {
            format!("The {message}")
        } else {
            format!("The request is invalid: {message}")
        };
        return Error::verbatim(Exit::Failed, headline);
    }
    let headline = if reason.is_empty() {
        format!("Error from server: {message}")
    } else {
        format!("Error from server ({reason}): {message}")
    };
    Error::verbatim(Exit::Failed, headline)
}

/// The answer was an error, but no status object: from a proxy, or from a part of the server that speaks plain text.
fn from_text(status: &Status, server: &str) -> Error {
    let text = status.message.trim();
    if text.starts_with('<') || text.len() > 400 {
        return not_kubernetes(server, status.code, text);
    }
    let (reason, sentence) = reason_of(status.code);
    let quoted = one_line(text);
    match status.code {
        401 => Error::failed(format!("You must be logged in to the server ({sentence})")),
        404 | 429 | 503 | 504 => Error::verbatim(Exit::Failed, format!("Error from server ({reason}): {sentence}")),
        _ if quoted.is_empty() => Error::verbatim(Exit::Failed, format!("Error from server ({reason}): {sentence}")),
        _ => Error::verbatim(
            Exit::Failed,
            format!("Error from server ({reason}): {sentence}: {quoted}"),
        ),
    }
}

/// An answer that no API server sends: a login page, an error page of a proxy, text where JSON should be.
pub(crate) fn not_kubernetes(server: &str, code: u16, text: &str) -> Error {
    let redirect = (300..400).contains(&code) && !text.is_empty();
    let what = if redirect {
        text
    } else if text.trim_start().starts_with('<') {
        "a web page"
    } else {
        "something"
    };
    let known = http::StatusCode::from_u16(code).ok().and_then(|s| s.canonical_reason());
    let code = known.map_or(format!("{code}"), |name| format!("{code} {name}"));
    let excerpt = if redirect { String::new() } else { excerpt(text) };
    let quoted = if excerpt.is_empty() {
        String::new()
    } else {
        format!(": {excerpt:?}")
    };
    Error::failed(format!(
        "{server} did not answer like a Kubernetes API server: {code} with {what}{quoted}"
    ))
    .hint("check the server address of this context, and whether a proxy or a login page stands in between")
}

/// The title of a web page, else the first words.
fn excerpt(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|from| {
        let from = from + "<title>".len();
        lower[from..].find("</title>").and_then(|to| text.get(from..from + to))
    });
    // Markup without a title says nothing to anybody.
    let shown = title.unwrap_or(if text.trim_start().starts_with('<') { "" } else { text });
    one_line(shown).chars().take(80).collect()
}

/// The reason and the sentence that Kubernetes clients use for a bare HTTP status.
fn reason_of(code: u16) -> (&'static str, &'static str) {
    match code {
        400 => ("BadRequest", "the server rejected our request for an unknown reason"),
        401 => (
            "Unauthorized",
            "the server has asked for the client to provide credentials",
        ),
        403 => ("Forbidden", "the server does not allow this request"),
        404 => ("NotFound", "the server could not find the requested resource"),
        405 => (
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        409 => ("Conflict", "the server reported a conflict"),
        410 => ("Expired", "the requested version is too old"),
        413 => ("RequestEntityTooLarge", "the request is too large"),
        422 => (
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        500 => (
            "InternalError",
            "an error on the server has prevented the request from succeeding",
        ),
        502 => ("BadGateway", "something in front of the server could not reach it"),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        _ => ("Unknown", "the server answered with an unknown status"),
    }
}

/// Server text can have several lines (lists of causes); a message has one.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn api(value: serde_json::Value) -> kube::Error {
        kube::Error::Api(Box::new(serde_json::from_value(value).unwrap()))
    }

    fn garbage(code: u16, text: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure(text, NOT_A_STATUS).with_code(code)))
    }

    #[test]
    fn a_status_becomes_kubectls_sentence() {
        let cases = [
            (
                json!({"code": 404, "reason": "NotFound", "message": "nodes \"x\" not found"}),
                "Error from server (NotFound): nodes \"x\" not found",
            ),
            (
                json!({"code": 401, "reason": "Unauthorized", "message": "Unauthorized"}),
                "error: You must be logged in to the server (Unauthorized)",
            ),
            (
                json!({"code": 422, "reason": "Invalid", "message": "Pod \"x\" is invalid: spec: bad", "details": {"kind": "Pod", "name": "x"}}),
                "The Pod \"x\" is invalid: spec: bad",
            ),
            (
                json!({"code": 422, "reason": "Invalid", "message": "the server rejected our request due to an error in our request"}),
                "The request is invalid: the server rejected our request due to an error in our request",
            ),
            (
                json!({"code": 503, "reason": "ServiceUnavailable"}),
                "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
            ),
            (
                json!({"code": 500, "message": "a\n\tb"}),
                "Error from server (InternalError): a b",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(from_kube(&api(value), "https://h:6443").headline(), expected);
        }
    }

    #[test]
    fn garbage_is_named_as_such() {
        let page = "<html><head><TITLE>502 Bad\nGateway</TITLE></head></html>";
        assert_eq!(
            from_kube(&garbage(502, page), "https://h:6443").headline(),
            "error: https://h:6443 did not answer like a Kubernetes API server: 502 Bad Gateway with a web page: \"502 Bad Gateway\""
        );
        assert_eq!(
            from_kube(&garbage(404, "404 page not found"), "https://h").headline(),
            "Error from server (NotFound): the server could not find the requested resource"
        );
        assert_eq!(
            from_kube(
                &garbage(400, "Client sent an HTTP request to an HTTPS server."),
                "http://h"
            )
            .headline(),
            "Error from server (BadRequest): the server rejected our request for an unknown reason: Client sent an HTTP request to an HTTPS server."
        );
    }

    #[test]
    fn a_budget_is_an_answer_and_throttling_is_not() {
        let budget = json!({"code": 429, "reason": "TooManyRequests", "message": "m", "details": {"causes": [{"reason": "DisruptionBudget"}]}});
        assert!(!is_transient(&api(budget)));
        assert!(is_transient(&api(json!({"code": 429, "reason": "TooManyRequests"}))));
        assert!(is_transient(&garbage(502, "<html>")));
        assert!(!is_transient(&api(json!({"code": 403, "reason": "Forbidden"}))));
    }

    #[test]
    fn a_description_has_one_line_and_no_debug_output() {
        let text = describe(&api(
            json!({"code": 403, "reason": "Forbidden", "message": "nodes is forbidden:\n no"}),
        ));
        assert_eq!(text, "nodes is forbidden: no");
    }
}
