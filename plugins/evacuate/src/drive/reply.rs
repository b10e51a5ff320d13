//! Reads the server's answers: the same status code means several things, and the causes tell them apart.

use kube::{Error, core::Status};
use upkeep::error::describe;

use crate::engine::event::Reply;

/// Cause of a 429 that a budget gave.
const BUDGET: &str = "DisruptionBudget";
/// Cause of a 403 in a namespace that is being deleted.
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

/// What an answer means to the engine.
pub fn read<T>(result: Result<T, Error>) -> Reply {
    match result {
        Ok(_) => Reply::Accepted,
        Err(Error::Api(status)) => refusal(&status),
        // Whatever else went wrong, the request may have been carried out.
        Err(error) => Reply::Lost(describe(&error)),
    }
}

fn refusal(status: &Status) -> Reply {
    let text = status.message.clone();
    let cause = |wanted: &str| {
        let causes = status.details.iter().flat_map(|d| d.causes.iter());
        causes.filter(|c| c.reason == wanted).map(|c| c.message.clone()).next()
    };
    let retry_after = status
        .details
        .as_ref()
        .map(|d| u64::from(d.retry_after_seconds))
        .filter(|s| *s > 0);
    if is_admission(&text) {
        return Reply::Denied(text);
    }
    match status.code {
        404 => Reply::NotFound,
        409 => Reply::Conflict(text),
        429 => match cause(BUDGET) {
            Some(message) => Reply::OverBudget {
                message: if message.is_empty() { text } else { message },
                retry_after,
            },
            None if text.contains("disruption budget") => Reply::OverBudget {
                message: text,
                retry_after,
            },
            None => Reply::Throttled { retry_after },
        },
        403 if cause(NAMESPACE_TERMINATING).is_some() => Reply::NamespaceTerminating,
        403 => Reply::Forbidden(text),
        // The eviction registry has no reason of its own for this case, only the words.
        500 if text.contains("more than one PodDisruptionBudget") => Reply::Overlap(text),
        500 | 504 if text.contains("PodDisruptionBudget") && text.contains("conflict") => Reply::Contended(text),
        500..=599 => Reply::Unavailable(text),
        _ => Reply::Rejected(text),
    }
}

/// An admission plugin said no, or could not be asked. Webhooks choose their own status codes; the frame around their
/// words is the API server's.
fn is_admission(text: &str) -> bool {
    text.contains("admission webhook")
        || text.contains("failed calling webhook")
        || text.contains("ValidatingAdmissionPolicy")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(value: serde_json::Value) -> Reply {
        let status: Status = serde_json::from_value(value).unwrap();
        read::<()>(Err(Error::Api(Box::new(status))))
    }

    #[test]
    fn the_same_code_means_several_things() {
        let budget = json!({"code": 429, "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": {"causes": [{"reason": "DisruptionBudget", "message": "The disruption budget b needs 2 healthy pods and has 2 currently"}]}});
        assert_eq!(
            answer(budget),
            Reply::OverBudget {
                message: "The disruption budget b needs 2 healthy pods and has 2 currently".into(),
                retry_after: None
            }
        );
        let slow = json!({"code": 429, "message": "Too many requests", "details": {"retryAfterSeconds": 3}});
        assert_eq!(answer(slow), Reply::Throttled { retry_after: Some(3) });
        let webhook = json!({"code": 429, "message": "admission webhook \"x\" denied the request: migrating"});
        assert!(matches!(answer(webhook), Reply::Denied(_)));
        let overlap = json!({"code": 500, "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."});
        assert!(matches!(answer(overlap), Reply::Overlap(_)));
        let conflicts =
            json!({"code": 504, "message": "Timeout: couldn't update PodDisruptionBudget \"b\" due to conflicts"});
        assert!(matches!(answer(conflicts), Reply::Contended(_)));
        assert!(matches!(
            answer(json!({"code": 503, "message": "busy"})),
            Reply::Unavailable(_)
        ));
        let ending = json!({"code": 403, "message": "no", "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
        assert_eq!(answer(ending), Reply::NamespaceTerminating);
        assert!(matches!(
            answer(json!({"code": 403, "message": "no"})),
            Reply::Forbidden(_)
        ));
        assert_eq!(answer(json!({"code": 404, "message": "gone"})), Reply::NotFound);
        assert!(matches!(
            answer(json!({"code": 422, "message": "bad"})),
            Reply::Rejected(_)
        ));
    }
}
