//! What the API server answers to the questions of a diagnosis.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use upkeep::node::Ready;

use super::{
    gates::{Behind, Class, EXEMPT, Request, Review, Who, said},
    known,
    world::{DEFINITION, GROUP, KINDS, Orders, SPACE, Thing, World},
};
use crate::facts::{Answer, Ask, Key, Object, Pod, ReadPod, Reply, Said};

fn missing<T>() -> Result<T, Said> {
    Err(said(404, "not found".into()))
}

fn hash(ask: &Ask) -> u64 {
    let mut hasher = DefaultHasher::new();
    ask.hash(&mut hasher);
    hasher.finish()
}

impl World {
    /// What the server answers.
    pub fn answer(&self, ask: &Ask, now: Timestamp) -> Answer {
        let target = Ask::Get(self.target());
        if let Some(noise) = self
            .noise
            .filter(|noise| hash(ask).is_multiple_of(*noise) && *ask != target)
        {
            return Err(match hash(ask) / noise % 5 {
                0 => said(403, "x is forbidden: User \"bob\" cannot do that".into()),
                1 => said(500, "etcdserver: leader changed".into()),
                2 => said(0, "connection refused".into()),
                3 => said(1, "no JSON".into()),
                _ => said(429, "too many requests".into()),
            });
        }
        match ask {
            Ask::Get(key) => self.get(key, now).map(|object| Reply::One(Box::new(object))),
            Ask::Metadata {
                group, plural, version, ..
            } => self.listed(group, plural, version.as_deref(), now),
            Ask::List {
                group,
                plural,
                namespace,
            } => Ok(Reply::All(self.all(group, plural, namespace.as_deref(), now))),
            Ask::Pods(_) | Ask::PodsOn(_) => Ok(Reply::Pods(self.pods(now))),
            Ask::Ready => Ok(Reply::Ready(vec![
                Ready::Unknown,
                Ready::True,
                Ready::True,
                Ready::True,
            ])),
            Ask::Workloads => Ok(Reply::Workloads(known::workloads(self))),
            Ask::Leases => Ok(Reply::Metadata(vec![Object {
                name: "operator".into(),
                namespace: Some("ops".into()),
                ..Object::default()
            }])),
            Ask::Definitions => Ok(Reply::Definitions(Vec::new())),
            Ask::May(_) | Ask::AccountMay { .. } => {
                match self.lacks.is_some_and(|lacks| hash(ask).is_multiple_of(lacks)) {
                    true => Err(said(403, "you may not".into())),
                    false => Ok(Reply::Done),
                }
            }
            Ask::Events { .. } => Ok(Reply::All(vec![
                json!({"reason": "Failed", "message": "\u{7}no", "count": "many"}),
            ])),
            Ask::DryDelete(key) => self.dry("DELETE", key).map(|_| Reply::Done),
            Ask::DryTouch(key) => self.dry("UPDATE", key).map(|_| Reply::Done),
            Ask::DryStrip { key, finalizer, .. } => {
                let mut object = self.get(key, now)?;
                if !self.dry("UPDATE", key)? {
                    let all = object["metadata"]["finalizers"].as_array_mut();
                    all.into_iter().for_each(|all| all.retain(|one| one != finalizer));
                }
                Ok(Reply::One(Box::new(object)))
            }
        }
    }

    /// Whether finalizers would be written back.
    fn dry(&self, operation: &str, key: &Key) -> Result<bool, Said> {
        let request = Request {
            who: Who::Us,
            operation,
            key,
            subresource: "",
            dry_run: true,
        };
        match self.review(&request) {
            Review::Refused(said, _) => Err(said),
            Review::Allowed(_) if operation == "UPDATE" && self.find(key).is_some_and(|(_, t)| t.invalid.is_some()) => {
                Err(self.is_invalid(key))
            }
            Review::Allowed(written_back) => Ok(written_back),
        }
    }

    /// What the server has against the object.
    pub fn is_invalid(&self, key: &Key) -> Said {
        let wrong = self.find(key).and_then(|(_, thing)| thing.invalid).unwrap_or_default();
        said(422, format!("{} \"{}\" is invalid: {wrong}", key.one(), key.name))
    }

    fn get(&self, key: &Key, now: Timestamp) -> Result<Value, Said> {
        if let Some((index, thing)) = self.find(key) {
            return Ok(self.json(index, thing, now));
        }
        let lease = |age: i64| {
            json!({"metadata": {"name": key.name}, "spec": {"holderIdentity": "x",
            "leaseDurationSeconds": 15, "renewTime": (now - SignedDuration::from_secs(age)).to_string()}})
        };
        let alive = |alive: bool| lease(if alive { 1 } else { 600 });
        match (key.plural.as_str(), key.name.as_str()) {
            ("namespaces", SPACE) => self.namespace(now).map_or_else(missing, Ok),
            ("leases", "kube-controller-manager") => self.managers.0.map(alive).map_or_else(missing, Ok),
            ("leases", "cloud-controller-manager") => self.managers.1.map(alive).map_or_else(missing, Ok),
            ("leases", "n1") => Ok(lease(600)),
            ("nodes", "n1") => Ok(
                json!({"metadata": {"name": "n1", "uid": "n1"}, "status": {"conditions": [
                {"type": "Ready", "status": "Unknown"}]}}),
            ),
            ("services", name) => match self.behind(name) {
                None | Some(Behind::NoService) => missing(),
                Some(_) => Ok(json!({"metadata": {"name": name}, "spec": {}})),
            },
            ("customresourcedefinitions", DEFINITION) => Ok(self.definition()),
            ("apiservices", _) if self.dark.is_some_and(|dark| dark.registered) => {
                let namespace = if self.dark.is_some_and(|dark| dark.inside) {
                    SPACE
                } else {
                    "ops"
                };
                Ok(
                    json!({"metadata": {"name": key.name, "uid": "api"}, "spec": {"groupPriorityMinimum": 1,
                    "versionPriority": 1, "service": {"namespace": namespace, "name": "api"}}}),
                )
            }
            _ => missing(),
        }
    }

    /// What is behind a Service, by its name.
    fn behind(&self, name: &str) -> Option<Behind> {
        let ready = |ready: bool| if ready { Behind::Ready } else { Behind::NotReady };
        match name {
            "api" => self.dark.map(|dark| ready(dark.ready)),
            "conv" => match self.orders {
                Orders::Down(is_ready) => Some(ready(is_ready)),
                _ => Some(Behind::Ready),
            },
            _ => {
                let index = name.strip_prefix('w')?.parse::<usize>().ok()?;
                self.gates.get(index).map(|gate| gate.behind)
            }
        }
    }

    fn listed(&self, group: &str, plural: &str, version: Option<&str>, now: Timestamp) -> Answer {
        if plural == "orders" && version != Some("v1beta1") {
            let failed = |why: &str| format!("conversion webhook for {GROUP}/v1, Kind=Order failed: {why}");
            match self.orders {
                Orders::VersionGone => {
                    let text = format!("request to convert CR from an invalid group/version: {GROUP}/v1alpha1");
                    return Err(said(500, text));
                }
                Orders::Down(_) => return Err(said(500, failed("Post \"https://conv.ops.svc:443/\": EOF"))),
                Orders::Refused => return Err(said(500, failed("I do not know how"))),
                Orders::Damaged => return Err(said(500, "illegal base64 data at input byte 7".into())),
                Orders::Forbidden => return Err(said(403, "orders is forbidden: User \"bob\" cannot list".into())),
                Orders::Readable | Orders::Unserved => {}
            }
        }
        let object = |name: String| Object {
            name,
            ..Object::default()
        };
        Ok(Reply::Metadata(match plural {
            "customresourcedefinitions" => vec![object(DEFINITION.into())],
            "apiservices" => self
                .dark
                .iter()
                .map(|_| object("v1.metrics.example.com".into()))
                .collect(),
            _ => {
                let objects = self
                    .of(group, plural)
                    .map(|(index, thing)| self.json(index, thing, now));
                // What does not decode is left out, as the server's answers are read.
                objects
                    .filter_map(|object| serde_json::from_value(object).ok())
                    .collect()
            }
        }))
    }

    fn of<'a>(&'a self, group: &'a str, plural: &'a str) -> impl Iterator<Item = (usize, &'a Thing)> {
        let is = move |thing: &&Thing| (KINDS[thing.kind].0, KINDS[thing.kind].2) == (group, plural);
        let numbered = self.things.iter().map(|(index, thing)| (*index, thing));
        numbered.filter(move |(_, thing)| is(thing))
    }

    fn pods(&self, now: Timestamp) -> Vec<Pod> {
        let pods = self.of("", "pods").map(|(index, thing)| self.json(index, thing, now));
        let read = pods.filter_map(|pod| serde_json::from_value::<ReadPod>(pod).ok());
        read.map(Pod::from).collect()
    }

    fn all(&self, group: &str, plural: &str, namespace: Option<&str>, now: Timestamp) -> Vec<Value> {
        let gates = |class: Class| {
            let of_it = self
                .gates
                .iter()
                .enumerate()
                .filter(move |(_, gate)| gate.class == class);
            of_it.map(|(index, gate)| gate.json(index)).collect::<Vec<Value>>()
        };
        let bound = |class: Class| {
            let of_it = self.gates.iter().filter(move |gate| gate.class == class);
            of_it
                .map(|gate| json!({"spec": {"policyName": gate.name}}))
                .collect::<Vec<Value>>()
        };
        match (group, plural) {
            (EXEMPT, "validatingwebhookconfigurations") => gates(Class::Validating),
            (EXEMPT, "mutatingwebhookconfigurations") => gates(Class::Mutating),
            (EXEMPT, "validatingadmissionpolicies") => gates(Class::Policy),
            (EXEMPT, "validatingadmissionpolicybindings") => bound(Class::Policy),
            (EXEMPT, "mutatingadmissionpolicies") => gates(Class::MutatingPolicy),
            (EXEMPT, "mutatingadmissionpolicybindings") => bound(Class::MutatingPolicy),
            (_, "endpointslices") => self.slices(namespace),
            (_, "clusterroles" | "clusterrolebindings") => known::rbac(plural),
            _ => self
                .of(group, plural)
                .map(|(index, thing)| self.json(index, thing, now))
                .collect(),
        }
    }

    fn slices(&self, namespace: Option<&str>) -> Vec<Value> {
        let names = (0..self.gates.len()).map(|index| format!("w{index}"));
        let names = names.chain(["conv".to_owned(), "api".to_owned()]);
        let inside = |name: &str| name == "api" && self.dark.is_some_and(|dark| dark.inside);
        let here = names.filter(|name| (namespace == Some(SPACE)) == inside(name));
        let slice = here.filter_map(|name| {
            let ready = self.behind(&name)? == Behind::Ready;
            Some(json!({"metadata": {"labels": {"kubernetes.io/service-name": name}},
                "endpoints": [{"conditions": {"ready": ready}}]}))
        });
        slice.collect()
    }
}
