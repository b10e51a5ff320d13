//! What follows from the server's answer to the dry run of a removal, over facts written down by hand.
#![allow(clippy::unwrap_used)]

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use upkeep::discovery::Discovery;

use super::*;
use crate::{
    diagnose::{Diagnosis, diagnose},
    facts::{Answer, Facts, answer::NO_ANSWER},
    knowledge::Knowledge,
    ladder::Mend,
};

const DEAD: &str = "Internal error occurred: failed calling webhook \"w.example.com\": failed to call webhook: Post \
                    \"https://w.ops.svc:443/\": service \"w\" not found";

/// A cluster of one object, and what its server says.
struct World {
    kind: Kind,
    /// To the dry run of the removal.
    said: Said,
    webhooks: Vec<Value>,
    mutating: Vec<Value>,
    policies: Vec<Value>,
    /// Whether pods behind the Service `ops/w` are Ready; nothing where there is no such Service.
    ready: Option<bool>,
}

impl World {
    fn new(plural: &str, group: &str, subresources: &[&str], code: u16, message: &str) -> Self {
        let kind = Kind {
            group: group.into(),
            version: "v1".into(),
            preferred: true,
            kind: "Thing".into(),
            plural: plural.into(),
            singular: plural.trim_end_matches('s').into(),
            namespaced: true,
            subresources: subresources.iter().map(ToString::to_string).collect(),
            ..Kind::default()
        };
        Self {
            kind,
            said: Said {
                code,
                reason: String::new(),
                message: message.into(),
            },
            webhooks: vec![Self::webhook("w.example.com")],
            mutating: Vec::new(),
            policies: Vec::new(),
            ready: None,
        }
    }

    fn webhook(name: &str) -> Value {
        json!({"name": name, "failurePolicy": "Fail", "clientConfig": {"service": {"namespace": "ops", "name": "w"}},
            "rules": [{"operations": ["UPDATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]})
    }

    fn answer(&self, ask: &Ask) -> Answer {
        let missing = Err(Said {
            code: 404,
            reason: "NotFound".into(),
            message: "not found".into(),
        });
        match ask {
            Ask::DryStrip { .. } => Err(self.said.clone()),
            Ask::Get(key) if key.name == "x" => {
                Ok(Reply::One(Box::new(json!({"metadata": {"name": "x", "namespace": "s",
                "uid": "u", "finalizers": ["example.com/f"], "deletionTimestamp": "1970-01-01T00:00:00Z"}}))))
            }
            Ask::Get(key) if key.plural == "services" && self.ready.is_some() => {
                Ok(Reply::One(Box::new(json!({"metadata": {"name": "w"}, "spec": {}}))))
            }
            Ask::List { plural, .. } if plural == "validatingwebhookconfigurations" => Ok(Reply::All(vec![
                json!({"metadata": {"name": "c", "uid": "c"}, "webhooks": self.webhooks}),
            ])),
            Ask::List { plural, .. } if plural == "mutatingwebhookconfigurations" => Ok(Reply::All(vec![
                json!({"metadata": {"name": "m", "uid": "m"}, "webhooks": self.mutating}),
            ])),
            Ask::List { plural, .. } if plural == "validatingadmissionpolicies" => {
                Ok(Reply::All(self.policies.clone()))
            }
            Ask::List { plural, .. } if plural == "validatingadmissionpolicybindings" => {
                let bound = self
                    .policies
                    .iter()
                    .map(|p| json!({"spec": {"policyName": p["metadata"]["name"]}}));
                Ok(Reply::All(bound.collect()))
            }
            Ask::List { plural, .. } if plural == "endpointslices" => Ok(Reply::All(vec![
                json!({"metadata": {"labels": {"kubernetes.io/service-name": "w"}},
                    "endpoints": [{"conditions": {"ready": self.ready == Some(true)}}]}),
            ])),
            Ask::List { .. } => Ok(Reply::All(Vec::new())),
            Ask::Metadata { .. } | Ask::Leases => Ok(Reply::Metadata(Vec::new())),
            Ask::Workloads => Ok(Reply::Workloads(Vec::new())),
            Ask::May(_) => Ok(Reply::Done),
            _ => missing,
        }
    }

    fn diagnosis(&self) -> Diagnosis {
        let discovery = Discovery {
            kinds: vec![self.kind.clone()],
            ..Discovery::default()
        };
        let key = Key::new(&self.kind, Some("s"), "x");
        let mut facts = Facts::of(&discovery, key, SignedDuration::ZERO);
        facts.match_conditions = true;
        facts.now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(10);
        let knowledge = Knowledge::default();
        loop {
            let diagnosis = diagnose(&facts, &knowledge);
            if diagnosis.asks.is_empty() {
                return diagnosis;
            }
            let answers = diagnosis.asks.iter().map(|ask| (ask.clone(), self.answer(ask)));
            facts.answers.extend(answers.collect::<Vec<_>>());
        }
    }

    /// The ids of the roots, and what can be done about them.
    fn roots(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let diagnosis = self.diagnosis();
        let ids = diagnosis.roots().map(|cause| cause.key.id).collect();
        let mends = diagnosis
            .roots()
            .flat_map(|cause| &cause.remedies)
            .filter_map(|r| r.mend.as_ref());
        let mends = mends.map(|mend| match mend {
            Mend::Strip { status: false, .. } => "strip",
            Mend::Strip { status: true, .. } => "strip status",
            Mend::Exclude { .. } => "exclude",
            _ => "other",
        });
        (ids, mends.collect())
    }
}

#[test]
fn a_dead_webhook_before_an_object_without_a_status() {
    let world = World::new("configmaps", "", &[], 500, DEAD);
    assert_eq!(world.roots(), (vec!["webhook-down"], vec!["exclude"]));
    // It is up: for a person.
    let ready = World {
        ready: Some(true),
        ..World::new("configmaps", "", &[], 500, DEAD)
    };
    assert_eq!(ready.roots(), (vec!["webhook-down"], vec![]));
    let not_ready = World {
        ready: Some(false),
        ..World::new("configmaps", "", &[], 500, DEAD)
    };
    assert_eq!(not_ready.roots(), (vec!["webhook-down"], vec!["exclude"]));
}

/// Through the status only where nobody else would be passed by.
#[test]
fn the_status_is_a_way_where_nobody_else_is_asked() {
    let world = || World::new("services", "", &["status"], 500, DEAD);
    assert_eq!(world().roots(), (vec!["finalizer"], vec!["strip status"]));
    let another = World {
        webhooks: vec![World::webhook("w.example.com"), World::webhook("living.example.com")],
        ..world()
    };
    assert_eq!(another.roots(), (vec!["webhook-down"], vec!["exclude"]));
    // Several configurations may use the same name.
    let of_one_name = World {
        mutating: vec![World::webhook("w.example.com")],
        ..world()
    };
    assert_eq!(of_one_name.roots(), (vec!["webhook-down"], vec!["exclude"]));
    let rules = World::webhook("")["rules"].clone();
    let policy = json!({"metadata": {"name": "hold"}, "spec": {"matchConstraints": {"resourceRules": rules}}});
    let held = World {
        policies: vec![policy],
        ..world()
    };
    assert_eq!(held.roots(), (vec!["webhook-down"], vec!["exclude"]));
    let mut both = world();
    both.webhooks[0]["rules"][0]["resources"] = json!(["services", "services/status"]);
    assert_eq!(both.roots(), (vec!["webhook-down"], vec!["exclude"]));
    // Custom resources take no metadata through it.
    let custom = World::new("things", "x.example.com", &["status"], 500, DEAD);
    assert_eq!(custom.roots(), (vec!["webhook-down"], vec!["exclude"]));
}

/// What became of the call of one says nothing about another of the same name.
#[test]
fn two_webhooks_of_one_name() {
    let refused = DEAD.replace(
        "service \"w\" not found",
        "dial tcp 10.0.0.1:443: connect: connection refused",
    );
    let mut up = World::webhook("w.example.com");
    up["clientConfig"] = json!({"url": "https://up.example.com/check"});
    let mut world = World {
        mutating: vec![up],
        ready: Some(true),
        ..World::new("configmaps", "", &[], 500, &refused)
    };
    world.webhooks[0]["matchConditions"] = json!([{"name": "own", "expression": "true"}]);
    assert_eq!(world.roots(), (vec!["webhook-down"], vec![]));
    world.webhooks.clear();
    assert_eq!(world.roots(), (vec!["webhook-down"], vec![]));
    let refused = refused.replace("w.ops.svc:443", "up.example.com");
    let by_url = World {
        said: Said {
            message: refused,
            ..world.said.clone()
        },
        ..world
    };
    assert_eq!(by_url.roots(), (vec!["webhook-down"], vec!["exclude"]));
}

#[test]
fn a_webhook_with_side_effects_is_judged_by_what_is_behind_it() {
    let said = "admission webhook \"w.example.com\" does not support dry run";
    let world = World::new("configmaps", "", &[], 400, said);
    assert_eq!(world.roots(), (vec!["webhook-down"], vec!["exclude"]));
    let ready = World {
        ready: Some(true),
        ..world
    };
    assert_eq!(ready.roots(), (vec!["webhook-down"], vec![]));
}

/// Whatever status it has, and whatever way there would be.
#[test]
fn a_denial_leaves_no_way() {
    for message in [
        "admission webhook \"w.example.com\" denied the request: no",
        "services \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
        "policy 'p' with binding 'b' denied request: no",
    ] {
        for code in [400, 403, 404, 409, 422, 429, 500] {
            let world = World::new("services", "", &["status"], code, message);
            assert_eq!(world.roots(), (vec!["denied"], vec![]), "{code} {message}");
        }
    }
}

#[test]
fn an_object_that_is_not_valid() {
    let said = "Service \"x\" is invalid: spec.clusterIP: Invalid value: \"\": field is immutable";
    let mut world = World::new("services", "", &["status"], 422, said);
    // A webhook that is asked about it may be what has changed it; nobody passes it by.
    assert_eq!(world.roots(), (vec!["change-refused"], vec![]));
    world.webhooks.clear();
    assert_eq!(world.roots(), (vec!["finalizer"], vec!["strip status"]));
    let custom = World::new(
        "things",
        "x.example.com",
        &["status"],
        422,
        "Thing \"x\" is invalid: spec: no",
    );
    assert_eq!(custom.roots(), (vec!["change-refused"], vec![]));
    // What is missing can be filled.
    let said = "Thing \"x\" is invalid: spec.size: Required value";
    let missing = World::new("things", "x.example.com", &[], 422, said);
    assert_eq!(missing.roots(), (vec!["finalizer"], vec!["strip"]));
}

/// The attempt will show.
#[test]
fn what_is_no_answer_of_admission_closes_no_way() {
    for (code, message) in [
        (NO_ANSWER, "connection refused"),
        (
            403,
            "configmaps \"x\" is forbidden: User \"bob\" cannot patch resource \"configmaps\"",
        ),
        (404, "configmaps \"x\" not found"),
        (409, "the object has been modified"),
        (422, "the server rejected our request due to an error in our request"),
        (403, "configmaps \"x\" is forbidden: not yet ready to handle request"),
        (503, "the server is currently unable to handle the request"),
    ] {
        let world = World::new("configmaps", "", &[], code, message);
        assert_eq!(world.roots(), (vec!["finalizer"], vec!["strip"]), "{code} {message}");
    }
    let plugin = World::new(
        "configmaps",
        "",
        &[],
        403,
        "configmaps \"x\" is forbidden: exceeded quota: q",
    );
    assert_eq!(plugin.roots(), (vec!["change-refused"], vec![]));
}
