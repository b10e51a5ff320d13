//! The namespace controller is refused what it has to do: by RBAC, or by an API that others serve and that has rights of its own.

use upkeep::report::ObjRef;

use super::super::{Actor, Cause, CauseKey, Found, Life, desk::Desk};
use crate::ladder::{Remedy, Rung};

/// The `id` of the cause.
pub const REFUSED: &str = "controller-refused";
/// The account of the namespace controller where kube-controller-manager gives each its own.
const ACCOUNT: &str = "system:serviceaccount:kube-system:namespace-controller";

/// What the server says of a request that its sender may not make.
#[derive(Debug, Default, PartialEq, Eq)]
struct Forbidden<'a> {
    /// `networkpolicies.projectcalico.org`.
    what: &'a str,
    /// The account.
    user: Option<&'a str>,
    /// `list`.
    verb: Option<&'a str>,
    /// The whole of it.
    words: &'a str,
}

/// Reads the conditions of a namespace (apiserver/pkg/endpoints/handlers/responsewriters). A policy or a webhook that answers
/// says `is forbidden`, too; that is a denial, and not meant here.
fn read(message: &str) -> Option<Forbidden<'_>> {
    let (before, rest) = message.split_once(" is forbidden: ")?;
    let denied = [
        "ValidatingAdmissionPolicy",
        "admission webhook",
        "denied request",
        "denied the request",
        "exceeded quota",
    ];
    if denied.iter().any(|words| message.contains(words)) {
        return None;
    }
    let what = before
        .rsplit([' ', ','])
        .find(|word| !word.starts_with('"') && !word.is_empty())?;
    let start = before.len() - before.rsplit(", ").next().unwrap_or(before).len();
    let words = message.get(start..).unwrap_or(message);
    let words = words
        .strip_prefix("Failed to delete all resource types, ")
        .unwrap_or(words);
    let words = words.split_once(" remaining: ").map_or(words, |(_, words)| words);
    // One of many is enough.
    let words = match words.match_indices(" is forbidden: ").nth(1) {
        Some((next, _)) => words
            .get(..next)
            .and_then(|one| one.rsplit_once(", "))
            .map_or(words, |(one, _)| one),
        None => words,
    };
    let user = rest.strip_prefix("User \"").and_then(|rest| rest.split_once('"'));
    let verb = user
        .and_then(|(_, rest)| rest.strip_prefix(" cannot "))
        .and_then(|rest| rest.split(' ').next());
    Some(Forbidden {
        what,
        user: user.map(|(user, _)| user),
        verb,
        words,
    })
}

/// What the namespace controller has written about a request of its own that was refused. True if that is it.
pub fn controller(desk: &Desk<'_>, found: &mut Found, message: &str) -> bool {
    let Some(forbidden) = read(message) else {
        return false;
    };
    let user = forbidden.user.unwrap_or(ACCOUNT);
    let what = forbidden.what;
    let group = what.split_once('.').map_or("", |(_, group)| group);
    let kinds = desk.discovery().preferred().filter(|kind| kind.resource() == what);
    let by_definition = kinds.count() > 0 && !group.is_empty();
    let mut remedies = Vec::new();
    match forbidden.verb {
        Some(verb) => remedies.push(format!(
            "give {user} the right to {verb} {what}: the ClusterRole system:controller:namespace-controller has get, list, delete and \
             deletecollection of everything, and kube-apiserver restores it at its start"
        )),
        None => remedies.push(format!(
            "give {user} the right to get, list, delete and deletecollection {what} where that API asks for it"
        )),
    }
    if by_definition {
        remedies.push(format!(
            "the server of the API {group} may ask for rights of its own (Calico: get tiers.projectcalico.org, and list and \
             delete tier.networkpolicies.projectcalico.org)"
        ));
    }
    let subject = ObjRef::cluster("namespace", &desk.target().name, "");
    found.cause(Cause {
        key: CauseKey {
            id: REFUSED,
            subject: subject.clone(),
            detail: what.to_owned(),
        },
        says: format!("the namespace controller may not delete {what}, so the namespace stays"),
        evidence: vec![format!("it says: {}", forbidden.words)],
        actor: Some(Actor {
            who: "the namespace controller in kube-controller-manager".into(),
            life: Life::Unknown,
            evidence: "it tries, and is refused".into(),
            workload: None,
        }),
        holds: vec![subject],
        behind: Vec::new(),
        remedies: remedies
            .into_iter()
            .map(|text| Remedy::by_hand(Rung::Repair, text))
            .collect(),
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_conditions_are_understood() {
        let rbac = "Failed to delete all resource types, 1 remaining: configmaps is forbidden: User \
                    \"system:serviceaccount:kube-system:namespace-controller\" cannot deletecollection resource \"configmaps\" in \
                    API group \"\" in the namespace \"x\"";
        let read_rbac = read(rbac).unwrap_or_default();
        assert_eq!(
            (read_rbac.what, read_rbac.user, read_rbac.verb),
            ("configmaps", Some(ACCOUNT), Some("deletecollection"))
        );
        assert!(read_rbac.words.starts_with("configmaps is forbidden"));
        let many = format!("{rbac}, secrets is forbidden: User \"u\" cannot delete resource \"secrets\"");
        assert_eq!(read(&many).unwrap_or_default().words, read_rbac.words);
        let calico = "Failed to delete all resource types, 2 remaining: unexpected EOF, networkpolicies.projectcalico.org is forbidden: \
                      Operation on Calico tiered policy is forbidden";
        let read_calico = read(calico).unwrap_or_default();
        assert_eq!(
            (read_calico.what, read_calico.user),
            ("networkpolicies.projectcalico.org", None)
        );
        assert_eq!(
            read_calico.words,
            "networkpolicies.projectcalico.org is forbidden: Operation on Calico tiered policy is forbidden"
        );
        let named = read("secrets \"a\" is forbidden: no").unwrap_or_default();
        assert_eq!(named.what, "secrets");
        for other in [
            "configmaps \"Unknown\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            "unexpected items still remain in namespace: x for gvr: /v1, Resource=pods",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
