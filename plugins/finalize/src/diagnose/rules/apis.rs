//! Aggregated APIs that do not answer. One of them holds every namespace of the cluster.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use upkeep::report::ObjRef;

use super::{
    super::{Actor, Cause, CauseKey, Found, Life, desk::Desk},
    backend::Backend,
};
use crate::{
    facts::Key,
    ladder::{Mend, Remedy, Rung},
};

/// On APIServices that the API server makes for itself.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Versions of which the server cannot say what is in them.
pub fn dark_apis(desk: &Desk<'_>, found: &mut Found) {
    for dark in &desk.discovery().dark {
        let name = dark.api_service();
        let key = Key::cluster("apiregistration.k8s.io", "apiservices", &name);
        let reference = |uid: &str| ObjRef::cluster("apiservice.apiregistration.k8s.io", &name, uid);
        let service = match desk.typed::<APIService>(&key) {
            None => continue,
            Some(Ok(service)) => Some(service),
            Some(Err(said)) if said.is_missing() => {
                let text = "it was removed, which the server has not noticed yet".to_owned();
                found.in_time.push((reference(""), text));
                continue;
            }
            Some(Err(_)) => None,
        };
        let uid = service
            .as_ref()
            .and_then(|s| s.metadata.uid.clone())
            .unwrap_or_default();
        let backend = service.as_ref().and_then(|s| s.spec.as_ref()?.service.as_ref());
        let backend = backend.and_then(|s| {
            Some(Backend::Service {
                namespace: s.namespace.clone()?,
                name: s.name.clone()?,
            })
        });
        let conditions = service.as_ref().and_then(|s| s.status.as_ref()?.conditions.as_ref());
        let available = conditions.into_iter().flatten().find(|c| c.type_ == "Available");
        if available.is_some_and(|c| c.status == "True") {
            let text = "it is available again, which the server has not noticed everywhere yet".to_owned();
            found.in_time.push((reference(&uid), text));
            continue;
        }
        let mut evidence = vec![dark.reason.clone()];
        evidence.extend(available.map(|c| {
            format!(
                "Available is {}: {} ({})",
                c.status,
                c.message.as_deref().unwrap_or_default(),
                c.reason.as_deref().unwrap_or_default()
            )
        }));
        let (actor, mut remedies) = match &backend {
            None => (None, Vec::new()),
            Some(backend) => {
                let Some((life, state)) = backend.state(desk) else {
                    continue;
                };
                let actor = Actor {
                    who: backend.to_string(),
                    life,
                    evidence: state,
                    workload: None,
                };
                let text = format!("bring {backend} and the pods behind it back");
                (Some(actor), vec![Remedy::by_hand(Rung::Repair, text)])
            }
        };
        let inside = matches!(&backend, Some(Backend::Service { namespace, .. }) if namespace == &desk.target().name);
        if inside && actor.as_ref().is_some_and(|a| a.life == Life::Dead) {
            evidence.push("its Service belongs to the very namespace that is being deleted".into());
        }
        remedies.push(out_of_the_way(&name, &uid, inside, service.as_ref()));
        found.cause(Cause {
            key: CauseKey {
                id: "apiservice-down",
                subject: reference(&uid),
                detail: String::new(),
            },
            says: format!(
                "the API {}/{} does not answer, which holds every namespace",
                dark.group, dark.version
            ),
            evidence,
            actor,
            holds: vec![ObjRef::cluster("namespace", &desk.target().name, "")],
            behind: Vec::new(),
            remedies,
        });
    }
}

/// An API whose backend goes with the namespace is not needed any more. Whether any other is, only a person knows. What the
/// API server manages itself is not touched.
fn out_of_the_way(name: &str, uid: &str, inside: bool, service: Option<&APIService>) -> Remedy {
    let managed = service
        .and_then(|s| s.metadata.labels.as_ref())
        .is_some_and(|l| l.contains_key(AUTOMANAGED));
    let key = Key::cluster("apiregistration.k8s.io", "apiservices", name);
    let uid = uid.to_owned();
    let has_backend = service.and_then(|s| s.spec.as_ref()?.service.as_ref()).is_some();
    if managed || uid.is_empty() || !has_backend || !inside {
        let text = format!("remove the APIService {name}, if what it serves is not needed any more");
        return Remedy::by_hand(Rung::Neutralise, text);
    }
    let text = format!("delete the APIService {name}: what answers for it goes with the namespace");
    Remedy::mend(Rung::Neutralise, text, Mend::DeleteAgain { key, uid })
}
