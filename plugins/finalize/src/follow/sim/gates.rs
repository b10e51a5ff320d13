//! Admission as the API server does it: who is asked about a request, and what comes of it. Written down once more, from the
//! server's own rules and tests (apiserver/pkg/admission/plugin/webhook), so that it does not share the faults of ours.

use serde_json::{Value, json};

use super::{
    words::{CODES, REASONS},
    world::{SPACE, World},
};
use crate::facts::{CONDITION, Key, Said};

/// The group of configurations, which nobody is asked about.
pub const EXEMPT: &str = "admissionregistration.k8s.io";
/// In which order they are asked.
const ORDER: [Class; 4] = [Class::MutatingPolicy, Class::Mutating, Class::Policy, Class::Validating];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Validating,
    Mutating,
    Policy,
    MutatingPolicy,
}

/// What it answers, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allows,
    /// With these words; only this user, or everybody.
    Denies(usize, bool),
    /// It changes the object so that the finalizers stay.
    WritesBack,
}

/// What is behind a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    Ready,
    NotReady,
    /// Pods that are not Ready, and still answer every second time.
    Ending,
    NoService,
    Url,
}

/// A webhook or a policy.
#[derive(Debug, Clone)]
pub struct Gate {
    pub class: Class,
    /// Several configurations may use the same.
    pub name: &'static str,
    pub group: &'static str,
    pub resource: &'static str,
    pub operation: &'static str,
    pub scope: &'static str,
    /// It is for the namespaces with a label: ours has it, or not.
    pub namespaces: Option<bool>,
    /// It is for objects with a label, or without.
    pub labelled: Option<bool>,
    /// A match condition, and what it comes to.
    pub condition: Option<bool>,
    pub ignores: bool,
    pub verdict: Verdict,
    pub behind: Behind,
    /// What became of the call although it is up, or of one by URL: an index.
    pub trouble: Option<usize>,
    pub side_effects: bool,
    /// A run leaves our requests out of it.
    pub left_out: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Us,
    Controller,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub who: Who,
    pub operation: &'a str,
    pub key: &'a Key,
    pub subresource: &'a str,
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug)]
pub enum Review {
    /// Whether finalizers are written back.
    Allowed(bool),
    /// Who has denied it, where that is why.
    Refused(Said, Option<usize>),
}

/// Which of these says that the connection was refused.
pub const REFUSED: usize = 2;
pub const UP: [&str; 4] = [
    "Post \"https://w.ops.svc:443/\": context deadline exceeded",
    "the server could not find the requested resource",
    "Post \"https://w.ops.svc:443/\": dial tcp 10.0.0.1:443: connect: connection refused",
    "something new",
];
const BY_URL: [&str; 4] = [
    "Post \"https://w.example.com/\": dial tcp: lookup w.example.com: no such host",
    "Post \"https://w.example.com/\": x509: certificate signed by unknown authority",
    "Post \"https://w.example.com/\": context deadline exceeded",
    "an error on the server (\"no\") has prevented the request from succeeding",
];

impl Gate {
    pub fn is_webhook(&self) -> bool {
        matches!(self.class, Class::Validating | Class::Mutating)
    }

    /// Whether anything may answer: then nobody may pass it by.
    pub fn may_answer(&self) -> bool {
        !self.is_webhook()
            || match self.behind {
                Behind::Ready => true,
                Behind::NotReady | Behind::NoService | Behind::Ending => false,
                Behind::Url => !matches!(self.trouble, Some(0 | 1)),
            }
    }

    /// Whether it is asked about a request, but for what a run has left out.
    pub fn is_asked(&self, world: &World, request: &Request<'_>) -> bool {
        let key = request.key;
        let (resource, sub) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let namespaced = key.namespace.is_some() && key.plural != "namespaces";
        let of_ours = key.namespace.as_deref() == Some(SPACE) || (key.plural == "namespaces" && key.name == SPACE);
        let has_namespace = key.namespace.is_some() || key.plural == "namespaces";
        let label = world.find(key).is_some_and(|(_, thing)| thing.labelled);
        key.group != EXEMPT
            && [key.group.as_str(), "*"].contains(&self.group)
            && (resource == "*" || resource == key.plural)
            && (sub == "*" || sub == request.subresource)
            && [request.operation, "*"].contains(&self.operation)
            && (self.scope == "*" || (self.scope == "Namespaced") == namespaced)
            && self.namespaces.is_none_or(|ours| !has_namespace || (ours && of_ours))
            && self.labelled.is_none_or(|wanted| wanted == label)
            && self.condition.unwrap_or(true)
    }

    /// What it says to one request, or what becomes of the call.
    fn says(&self, index: usize, request: &Request<'_>) -> Result<Verdict, String> {
        let words = |words: &str| Err(words.replace("//w.", &format!("//w{index}.")));
        let answers = || Ok(self.verdict);
        let every_second = request.key.name.ends_with(['1', '3', '5']);
        if !self.is_webhook() {
            return answers();
        }
        match (self.behind, self.trouble) {
            (Behind::Ready | Behind::Url, None) => answers(),
            (Behind::Ready, Some(trouble)) => words(UP[trouble]),
            (Behind::Url, Some(trouble)) => words(BY_URL[trouble]),
            (Behind::Ending, _) if every_second => answers(),
            (Behind::Ending | Behind::NotReady, _) => {
                words("Post \"https://w.ops.svc:443/\": no endpoints available for service \"w\"")
            }
            (Behind::NoService, _) => words("Post \"https://w.ops.svc:443/\": service \"w\" not found"),
        }
    }

    /// As it stands in its configuration, or in a policy.
    pub fn json(&self, index: usize) -> Value {
        let rules = json!([{"operations": [self.operation], "apiGroups": [self.group], "apiVersions": ["*"],
            "resources": [self.resource], "scope": self.scope}]);
        let namespaces = self
            .namespaces
            .map(|ours| json!({"matchLabels": {"team": if ours { SPACE } else { "other" }}}));
        let objects = self.labelled.map(|wanted| {
            let operator = if wanted { "Exists" } else { "DoesNotExist" };
            json!({"matchExpressions": [{"key": "hold", "operator": operator}]})
        });
        let mut conditions: Vec<Value> = Vec::new();
        conditions.extend(self.condition.map(|_| json!({"name": "own", "expression": "a.b"})));
        conditions.extend(
            self.left_out
                .then(|| json!({"name": CONDITION, "expression": format!("!(x == \"{SPACE}\")")})),
        );
        let metadata = json!({"name": format!("c{index}"), "uid": format!("c{index}")});
        if !self.is_webhook() {
            let matches = json!({"resourceRules": rules, "namespaceSelector": namespaces, "objectSelector": objects});
            return json!({"metadata": {"name": self.name}, "spec": {"matchConstraints": matches,
                "matchConditions": conditions}});
        }
        let client = match self.behind {
            Behind::Url => json!({"url": format!("https://w{index}.example.com/")}),
            _ => json!({"service": {"namespace": "ops", "name": format!("w{index}")}}),
        };
        let entry = json!({"name": self.name, "clientConfig": client, "rules": rules, "namespaceSelector": namespaces,
            "objectSelector": objects, "matchConditions": conditions,
            "failurePolicy": if self.ignores { "Ignore" } else { "Fail" }});
        json!({"metadata": metadata, "webhooks": [entry]})
    }
}

impl World {
    /// Asks everybody who is asked about a request.
    pub fn review(&self, request: &Request<'_>) -> Review {
        let mut written_back = false;
        for class in ORDER {
            for (index, gate) in self.gates.iter().enumerate().filter(|(_, gate)| gate.class == class) {
                let left_out = gate.left_out && gate.is_webhook();
                if left_out || !gate.is_asked(self, request) {
                    continue;
                }
                if request.dry_run && gate.side_effects && gate.is_webhook() {
                    let text = format!("admission webhook \"{}\" does not support dry run", gate.name);
                    return Review::Refused(said(400, text), None);
                }
                match gate.says(index, request) {
                    Ok(Verdict::Denies(words, only_us)) if request.who == Who::Us || !only_us => {
                        return Review::Refused(denial(gate, request.key, words), Some(index));
                    }
                    Ok(Verdict::WritesBack) => {
                        written_back |= matches!(gate.class, Class::Mutating | Class::MutatingPolicy)
                    }
                    Ok(_) => {}
                    Err(_) if gate.ignores => {}
                    Err(why) => {
                        let name = gate.name;
                        let text = format!(
                            "Internal error occurred: failed calling webhook \"{name}\": failed to call webhook: {why}"
                        );
                        return Review::Refused(said(500, text), None);
                    }
                }
            }
        }
        Review::Allowed(written_back && request.operation == "UPDATE")
    }
}

pub fn said(code: u16, message: String) -> Said {
    Said {
        code,
        reason: String::new(),
        message,
    }
}

/// In the words of the server.
fn denial(gate: &Gate, key: &Key, words: usize) -> Said {
    let (name, why) = (gate.name, REASONS[words]);
    match gate.class {
        Class::Policy => said(
            422,
            format!(
                "{} \"{}\" is forbidden: ValidatingAdmissionPolicy '{name}' with binding 'b' denied request: {why}",
                key.plural, key.name
            ),
        ),
        Class::MutatingPolicy => said(422, format!("policy '{name}' with binding 'b' denied request: {why}")),
        Class::Validating | Class::Mutating => said(
            CODES[words],
            format!("admission webhook \"{name}\" denied the request: {why}"),
        ),
    }
}
