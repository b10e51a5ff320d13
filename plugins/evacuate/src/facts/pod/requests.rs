//! What a pod takes of a node: requests as the scheduler counts them, and ports of the host.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as api;

use crate::facts::{Milli, Resources};

/// Whether it is more than how a runtime rounds CPU.
pub(super) fn differ(held: &Resources, asked: &Resources) -> bool {
    const ROUNDED: Milli = 10;
    let mut names = held.0.keys().chain(asked.0.keys());
    names.any(|name| {
        let difference = (held.get(name) - asked.get(name)).abs();
        difference > if name == "cpu" { ROUNDED } else { 0 }
    })
}

/// What the scheduler counts: init containers run one after another beside the sidecars started before them; then all
/// containers and sidecars run together. Pod-level resources replace both sums where they are named; overhead is added
/// (`PodRequests` in component-helpers). With a status, a container that is resized in place counts with the most of what it
/// asks for, what it was given, and what it has (KEP-1287), init containers only where they are sidecars.
pub(super) fn requests(spec: &api::PodSpec, status: Option<&api::PodStatus>) -> Resources {
    let infeasible = status.is_some_and(|status| {
        let mut pending = status
            .conditions
            .iter()
            .flatten()
            .filter(|c| c.type_ == "PodResizePending");
        pending
            .next()
            .is_some_and(|c| c.reason.as_deref() == Some("Infeasible"))
    });
    let statuses = status.into_iter().flat_map(|status| {
        let both = [&status.container_statuses, &status.init_container_statuses];
        both.into_iter().flatten().flatten()
    });
    let statuses: BTreeMap<&str, &api::ContainerStatus> = statuses.map(|s| (s.name.as_str(), s)).collect();
    let of = |c: &api::Container| {
        let asked = Resources::read(c.resources.as_ref().and_then(|r| r.requests.as_ref()));
        let is_init = spec.init_containers.iter().flatten().any(|init| init.name == c.name);
        let counts = !is_init || c.restart_policy.as_deref() == Some("Always");
        let there = statuses.get(c.name.as_str()).filter(|_| counts);
        let Some((status, has)) = there.and_then(|status| Some((status, status.resources.as_ref()?))) else {
            return asked;
        };
        let mut most = if infeasible { Resources::default() } else { asked };
        most.max(&Resources::read(has.requests.as_ref()));
        most.max(&Resources::read(status.allocated_resources.as_ref()));
        most
    };
    let mut steady = Resources::default();
    for container in &spec.containers {
        steady.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut init_peak = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&own);
            init_peak.max(&sidecars);
        } else {
            let mut beside = sidecars.clone();
            beside.add(&own);
            init_peak.max(&beside);
        }
    }
    steady.add(&sidecars);
    steady.max(&init_peak);
    if let Some(pod_level) = &spec.resources {
        steady.overlay(&Resources::read(pod_level.requests.as_ref()));
    }
    steady.add(&Resources::read(spec.overhead.as_ref()));
    steady.0.insert("pods".into(), 1_000);
    steady
}

pub(super) fn host_ports(spec: &api::PodSpec) -> Vec<(String, String, i32)> {
    let on_host = spec.host_network.unwrap_or(false);
    // Sidecars run as long as the pod does.
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|p| {
            let port = p
                .host_port
                .or(on_host.then_some(p.container_port))
                .filter(|port| *port > 0)?;
            let protocol = p.protocol.clone().unwrap_or_else(|| "TCP".into());
            let address = p
                .host_ip
                .clone()
                .filter(|a| !a.is_empty())
                .unwrap_or_else(|| "0.0.0.0".into());
            Some((protocol, address, port))
        })
        .collect()
}
