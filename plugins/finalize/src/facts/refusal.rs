//! What the server's words about a refused request mean: whether somebody has denied it, and who.
//!
//! A webhook that denies a request chooses the HTTP status and the reason of the answer, so neither tells anything. The
//! beginning of the message is the server's own (apiserver/pkg/admission/plugin/webhook/errors, .../plugin/policy).

/// Why a request was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The API server got no review from a webhook.
    Unreachable {
        /// Its name.
        webhook: &'a str,
        /// What became of the call.
        why: &'a str,
    },
    /// A webhook may have side effects, so the server does not call it for a dry run.
    NoDryRun {
        /// Its name.
        webhook: &'a str,
    },
    /// A webhook denies it.
    Denied {
        /// Its name.
        webhook: &'a str,
        /// Its reason.
        why: &'a str,
    },
    /// A policy denies it.
    Policy {
        /// `ValidatingAdmissionPolicy` or `MutatingAdmissionPolicy`.
        kind: &'static str,
        /// Its name.
        policy: &'a str,
        /// The name of its binding; empty where the policy as a whole is at fault.
        binding: &'a str,
        /// Its reason.
        why: &'a str,
    },
    /// The object cannot be read in this version.
    Conversion,
    /// The object would not be valid, whoever has made it so.
    Invalid,
    /// Something else.
    Other,
}

impl<'a> Refusal<'a> {
    /// Reads the message of a `Status`, without anything before it.
    pub fn read(message: &'a str) -> Self {
        // Who denies may say anything, the words of the server too. So what is at the beginning counts first.
        let dead = message.strip_prefix("Internal error occurred: failed calling webhook \"");
        if let Some((webhook, rest)) = dead.and_then(|rest| rest.split_once('"')) {
            let why = rest.trim_start_matches([':', ';']).trim();
            let why = why.strip_prefix("failed to call webhook:").unwrap_or(why).trim();
            return Self::Unreachable { webhook, why };
        }
        if let Some(rest) = message.strip_prefix(WEBHOOK) {
            return of_webhook(rest);
        }
        let mutating = message
            .strip_prefix("policy '")
            .or_else(|| message.strip_prefix("policy \""));
        if let Some(rest) = mutating.filter(|rest| rest.contains(DENIED)) {
            return of_policy("MutatingAdmissionPolicy", rest);
        }
        if let Some((_, rest)) = message.split_once("ValidatingAdmissionPolicy '") {
            return of_policy("ValidatingAdmissionPolicy", rest);
        }
        if let Some((_, rest)) = message.split_once(WEBHOOK) {
            return of_webhook(rest);
        }
        if message.contains("conversion webhook for ") {
            return Self::Conversion;
        }
        if message.contains(" is invalid: ") {
            return Self::Invalid;
        }
        Self::Other
    }

    /// Whether somebody who was asked does not want it.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Policy { .. })
    }
}

const WEBHOOK: &str = "admission webhook \"";
const DENIED: &str = " denied request: ";

fn of_webhook(rest: &str) -> Refusal<'_> {
    let (webhook, rest) = rest.split_once('"').unwrap_or((rest, ""));
    if rest == " does not support dry run" {
        return Refusal::NoDryRun { webhook };
    }
    let why = rest.trim().strip_prefix("denied the request").unwrap_or(rest);
    Refusal::Denied {
        webhook,
        why: why.trim_start_matches(':').trim(),
    }
}

/// `NAME' with binding 'NAME' denied request: WHY`, `NAME' denied request: WHY`.
fn of_policy<'a>(kind: &'static str, rest: &'a str) -> Refusal<'a> {
    let (policy, rest) = rest.split_once(['\'', '"']).unwrap_or((rest, ""));
    let bound = rest
        .strip_prefix(" with binding '")
        .and_then(|rest| rest.split_once('\''));
    let (binding, rest) = bound.unwrap_or(("", rest));
    let why = rest.strip_prefix(DENIED).unwrap_or(rest);
    Refusal::Policy {
        kind,
        policy,
        binding,
        why: why.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_server_are_understood() {
        let dead = "Internal error occurred: failed calling webhook \"deny.example.com\": failed to call webhook: Post \
                    \"https://nope.x.svc:443/?timeout=2s\": service \"nope\" not found";
        assert_eq!(
            Refusal::read(dead),
            Refusal::Unreachable {
                webhook: "deny.example.com",
                why: "Post \"https://nope.x.svc:443/?timeout=2s\": service \"nope\" not found"
            }
        );
        assert_eq!(
            Refusal::read("admission webhook \"guard.example.com\" denied the request: not today"),
            Refusal::Denied {
                webhook: "guard.example.com",
                why: "not today"
            }
        );
        assert_eq!(
            Refusal::read("admission webhook \"guard.example.com\" does not support dry run"),
            Refusal::NoDryRun {
                webhook: "guard.example.com"
            }
        );
        assert_eq!(Refusal::read("configmaps \"a\" not found"), Refusal::Other);
        let invalid = "ConfigMap \"a\" is invalid: data: Forbidden: field is immutable when `immutable` is set";
        assert_eq!(Refusal::read(invalid), Refusal::Invalid);
        let conversion = "conversion webhook for x.example.com/v1, Kind=X failed: Post \"https://a.b.svc\": EOF";
        assert_eq!(Refusal::read(conversion), Refusal::Conversion);
    }

    #[test]
    fn policies_of_both_kinds_with_and_without_a_binding() {
        let policy = |kind, binding, why| Refusal::Policy {
            kind,
            policy: "hold",
            binding,
            why,
        };
        for (message, expected) in [
            (
                "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'hold' with binding 'b' denied request: failed expression: false",
                policy("ValidatingAdmissionPolicy", "b", "failed expression: false"),
            ),
            (
                "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'hold' denied request: failed to configure policy: x",
                policy("ValidatingAdmissionPolicy", "", "failed to configure policy: x"),
            ),
            (
                "policy 'hold' with binding 'b' denied request: no",
                policy("MutatingAdmissionPolicy", "b", "no"),
            ),
            (
                "policy \"hold\" denied request: no",
                policy("MutatingAdmissionPolicy", "", "no"),
            ),
        ] {
            assert_eq!(Refusal::read(message), expected);
        }
    }

    /// Who denies may say what the server says of one that is dead, of a missing object or of a missing right.
    #[test]
    fn a_denial_stays_one_whatever_it_says() {
        for said in [
            "Internal error occurred: failed calling webhook \"other.example.com\": it is down",
            "conversion webhook for x/v1, Kind=X failed",
            "ConfigMap \"a\" is invalid: data: Required value",
            "configmaps \"a\" is forbidden: User \"bob\" cannot patch resource",
            " does not support dry run",
        ] {
            let webhook = format!("admission webhook \"guard.example.com\" denied the request: {said}");
            assert!(Refusal::read(&webhook).is_denial(), "{webhook}");
            let policy = format!(
                "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'hold' with binding 'b' denied request: {said}"
            );
            assert!(Refusal::read(&policy).is_denial(), "{policy}");
        }
    }
}
