//! Webhooks by their names: which one the server speaks of, and whether it answers anybody.

use serde_json::Value;
use upkeep::{discovery::Kind, report::ObjRef};

use super::{
    super::{Found, Life, desk::Desk},
    admission::{GROUP, Request},
    backend::Backend,
    call::Call,
    matching::{self, Asked},
};
use crate::facts::{Ask, singular};

/// What is known of a webhook that could not be asked.
pub struct Dead {
    /// Its configuration.
    pub configuration: ObjRef,
    /// It.
    pub entry: Value,
    /// What should answer.
    pub backend: Backend,
    /// Whether anything is behind that.
    pub life: Life,
    /// What that rests on.
    pub evidence: String,
    /// What became of the call.
    pub call: Call,
    /// The server's words name its address, or none.
    is_called: bool,
}

impl Dead {
    /// Whether no request gets an answer from it. What became of a call says that only of the address that was called.
    pub fn is_dead(&self) -> bool {
        let is_service = matches!(self.backend, Backend::Service { .. });
        (self.is_called || is_service) && self.call.is_dead(self.life, is_service)
    }

    /// Whether this is the entry.
    pub fn is(&self, configuration: &ObjRef, entry: &Value) -> bool {
        self.configuration == *configuration && self.entry["name"] == entry["name"]
    }

    /// Whether it is asked about the subresource `status` of a kind as well.
    pub fn guards_status(&self, kind: &Kind) -> bool {
        let own = [format!("{}/status", kind.plural), format!("{}/*", kind.plural)];
        let rules = self.entry["rules"].as_array().into_iter().flatten();
        let mut resources = rules.flat_map(|rule| rule["resources"].as_array().into_iter().flatten());
        resources.any(|r| {
            r.as_str()
                .is_some_and(|r| r == "*/*" || r == "*/status" || own.iter().any(|o| o == r))
        })
    }
}

/// Finds the webhook that did not answer a request. Nothing while it is not known; the API server may have an older
/// configuration than the one that can be read.
pub fn dead(desk: &Desk<'_>, found: &mut Found, request: &Request<'_>, webhook: &str, why: &str) -> Option<Dead> {
    let Some((configuration, entry)) = find(desk, request, webhook, why)? else {
        let subject = desk.reference(request.kind, request.object);
        let text = format!("the API server has not noticed yet that the webhook {webhook} was changed");
        found.in_time.push((subject, text));
        return None;
    };
    let backend = Backend::of(&entry["clientConfig"])?;
    let (life, evidence) = backend.state(desk)?;
    Some(Dead {
        configuration,
        entry,
        life,
        evidence,
        call: Call::of(why),
        is_called: is_called(&backend, why),
        backend,
    })
}

/// The configuration that has this entry. The same name may stand in several: the one whose address the server's words name,
/// of those one that is asked about the request, and of those one that nobody answers for. Nothing inside where none is, and
/// nothing at all while it is not known.
fn find(desk: &Desk<'_>, request: &Request<'_>, webhook: &str, why: &str) -> Option<Option<(ObjRef, Value)>> {
    let mut best: Option<((bool, Asked, bool), ObjRef, Value)> = None;
    for (reference, entry) in entries(desk)? {
        if entry["name"] != webhook {
            continue;
        }
        let asked = matching::asked(desk, &entry, request.kind, request.object, request.verb)?;
        if asked == Asked::No {
            continue;
        }
        let (called, dead) = match Backend::of(&entry["clientConfig"]) {
            Some(backend) => (is_called(&backend, why), backend.state(desk)?.0 == Life::Dead),
            None => (false, false),
        };
        let rank = (called, asked, dead);
        if best.as_ref().is_none_or(|(best, ..)| *best < rank) {
            best = Some((rank, reference, entry));
        }
    }
    Some(best.map(|(_, reference, entry)| (reference, entry)))
}

fn is_called(backend: &Backend, why: &str) -> bool {
    Call::address(why).is_none_or(|address| backend.is_at(address))
}

/// Every webhook, with its configuration. What may not be listed is left out.
pub fn entries(desk: &Desk<'_>) -> Option<Vec<(ObjRef, Value)>> {
    let mut all = Vec::new();
    for plural in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        let Ok(configurations) = desk.all::<Value>(&Ask::list(GROUP, plural, None))? else {
            continue;
        };
        for configuration in configurations {
            let text = |field: &str| configuration["metadata"][field].as_str().unwrap_or_default();
            let reference = ObjRef::cluster(&singular(plural), text("name"), text("uid"));
            let entries = configuration["webhooks"].as_array().cloned().unwrap_or_default();
            all.extend(entries.into_iter().map(|entry| (reference.clone(), entry)));
        }
    }
    Some(all)
}
