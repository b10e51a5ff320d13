//! What is denied is final: nothing is offered that would be another try, or a way past it.

use std::collections::BTreeSet;

use upkeep::report::ObjRef;

use super::{DENIED, Found, WEBHOOK, desk::Desk, rules};
use crate::ladder::{Mend, Remedy};

impl Found {
    /// What this run has tried and was denied is final: no other change of that object is made. Nor is one deleted of which the
    /// deletion is denied.
    pub(super) fn denials(&mut self, desk: &Desk<'_>) {
        let mut denied = Vec::new();
        for cause in self.causes.values_mut() {
            cause.remedies.retain(|remedy| {
                let Some(mend) = &remedy.mend else { return true };
                let key = mend.key();
                let deletes = mend.right().verb == "delete";
                let known = || desk.denied_deletion(&key).filter(|_| deletes);
                let Some(said) = desk.refused(&key).filter(|said| said.is_denial()).or_else(known) else {
                    return true;
                };
                let subject = ObjRef {
                    kind: match key.group.as_str() {
                        "" => key.one(),
                        group => format!("{}.{group}", key.one()),
                    },
                    namespace: key.namespace.clone(),
                    name: key.name.clone(),
                    uid: mend.uid().unwrap_or_default().to_owned(),
                };
                denied.push((cause.key.clone(), subject, mend.right().verb, said.message.clone()));
                false
            });
        }
        for (held, subject, verb, said) in denied {
            let verb = if verb == "delete" { "DELETE" } else { "UPDATE" };
            let denial = rules::denied(desk, self, subject, verb, &said);
            if let (Some(cause), Some(denial)) = (self.causes.get_mut(&held), denial)
                && !cause.behind.contains(&denial)
            {
                cause.behind.push(denial);
            }
        }
        self.answering();
    }

    /// A webhook that has just denied something answers, whatever its endpoints tell: pods that are ending may be asked still.
    /// It is not taken out of the way because another request had no answer.
    fn answering(&mut self) {
        let denials = self
            .causes
            .keys()
            .filter(|key| key.id == DENIED && key.subject.kind == WEBHOOK);
        let answer: BTreeSet<String> = denials.map(|key| key.subject.name.clone()).collect();
        let is_one =
            |remedy: &Remedy| matches!(&remedy.mend, Some(Mend::Exclude { entry, .. }) if answer.contains(entry));
        for cause in self
            .causes
            .values_mut()
            .filter(|cause| cause.remedies.iter().any(is_one))
        {
            cause.remedies.retain(|remedy| !is_one(remedy));
            let text = "it has denied another request, so it answers, and stays in force";
            cause.evidence.push(text.to_owned());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        diagnose::{Cause, CauseKey},
        facts::Key,
        ladder::Rung,
    };

    fn cause(id: &'static str, subject: ObjRef, detail: &str, remedies: Vec<Remedy>) -> Cause {
        Cause {
            key: CauseKey {
                id,
                subject,
                detail: detail.into(),
            },
            says: String::new(),
            evidence: Vec::new(),
            actor: None,
            holds: Vec::new(),
            behind: Vec::new(),
            remedies,
        }
    }

    /// Of pods that are ending some requests get an answer, and others none.
    #[test]
    fn a_webhook_that_has_just_denied_something_stays_in_force() {
        let kept = |denier: &str| {
            let mend = Mend::Exclude {
                key: Key::cluster("admissionregistration.k8s.io", "validatingwebhookconfigurations", "c"),
                uid: "c".into(),
                entry: "guard.example.com".into(),
                namespace: Some("shop".into()),
                only: None,
                accounts: None,
            };
            let remedies = vec![
                Remedy::by_hand(Rung::Repair, "bring it back"),
                Remedy::mend(Rung::Neutralise, "leave it out", mend),
            ];
            let configuration = ObjRef::cluster("validatingwebhookconfiguration", "c", "c");
            let mut found = Found::default();
            found.cause(cause("webhook-down", configuration, "guard.example.com", remedies));
            found.cause(cause(
                DENIED,
                ObjRef::cluster(WEBHOOK, denier, ""),
                "DELETE",
                Vec::new(),
            ));
            found.answering();
            let down = found
                .causes
                .into_values()
                .find(|cause| cause.key.id == "webhook-down")
                .unwrap();
            (down.remedies.len(), down.evidence.len())
        };
        assert_eq!(kept("guard.example.com"), (1, 1));
        assert_eq!(kept("other.example.com"), (2, 0));
    }
}
