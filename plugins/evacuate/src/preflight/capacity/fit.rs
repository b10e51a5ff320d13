//! The room on a node: resources, number of pods, host ports (`NodeResourcesFit`, `NodePorts`).

use std::collections::BTreeMap;

use super::{
    scene::Scene,
    words::{Doubt, Word},
};
use crate::facts::{Milli, Node, Pod, Resources};

type Port = (String, String, i32);

/// What one node has left.
pub struct Room<'a> {
    allocatable: &'a Resources,
    free: Resources,
    /// What pods take that are not Terminating, by priority: a pod can make those of lower priority go.
    lasting: BTreeMap<i32, Resources>,
    /// Ports in use, with the priority of their pod; none where that is Terminating.
    ports: Vec<(&'a Port, Option<i32>)>,
    /// A pod holds more than can be seen.
    unclear: bool,
}

impl<'a> Room<'a> {
    /// The room beside the pods that stay. The scheduler counts every pod that is bound and not finished.
    pub fn new(node: &'a Node, pods: &[&'a Pod]) -> Self {
        let mut room = Self {
            allocatable: &node.allocatable,
            free: node.allocatable.clone(),
            lasting: BTreeMap::new(),
            ports: Vec::new(),
            unclear: pods.iter().any(|pod| pod.scheduling.is_unclear),
        };
        for pod in pods {
            let lasts = pod.deletion.is_none().then_some(pod.priority);
            room.free.sub(&pod.scheduling.held);
            room.ports
                .extend(pod.scheduling.host_ports.iter().map(|port| (port, lasts)));
            if let Some(priority) = lasts {
                room.lasting.entry(priority).or_default().add(&pod.scheduling.held);
            }
        }
        room
    }

    /// Puts a pod here.
    pub fn take(&mut self, pod: &'a Pod) {
        self.free.sub(&pod.scheduling.requests);
        self.ports
            .extend(pod.scheduling.host_ports.iter().map(|port| (port, Some(i32::MAX))));
    }

    /// Whether all that is taken here can be seen.
    pub const fn word(&self) -> Word {
        if self.unclear {
            Word::Unsure(Doubt::Resized)
        } else {
            Word::Pass
        }
    }

    /// Whether there is room for it now.
    pub fn fits(&self, pod: &Pod, scene: &Scene) -> bool {
        self.lacking(pod, scene, |name| self.free.get(name)).next().is_none() && !self.ports_taken(pod, |_| true)
    }

    /// What there is too little of now.
    pub fn short_now(&self, pod: &Pod, scene: &Scene) -> Vec<String> {
        let taken = self.ports_taken(pod, |_| true);
        named(taken, self.lacking(pod, scene, |name| self.free.get(name)))
    }

    /// What there is too little of even when Terminating pods have ended and all pods have gone that it could preempt.
    /// Only asked before any planned pod was placed.
    pub fn short_ever(&self, pod: &Pod, scene: &Scene) -> Vec<String> {
        let left = |name: &str| {
            let taken: Milli = self.lasting.range(pod.priority..).map(|(_, used)| used.get(name)).sum();
            self.allocatable.get(name) - taken
        };
        let taken = self.ports_taken(pod, |holder| holder.is_some_and(|priority| priority >= pod.priority));
        named(taken, self.lacking(pod, scene, left))
    }

    /// Names of resources of which less is left than the pod asks for. What it does not ask for cannot be missing, not
    /// even on an overcommitted node.
    fn lacking<'p>(&self, pod: &'p Pod, scene: &Scene, left: impl Fn(&str) -> Milli) -> impl Iterator<Item = &'p str> {
        let asked = pod.scheduling.requests.0.iter().filter(|(_, amount)| **amount > 0);
        asked.filter_map(move |(name, amount)| {
            (*amount > left(name) && scene.offered.contains(name.as_str())).then_some(name.as_str())
        })
    }

    fn ports_taken(&self, pod: &Pod, counts: impl Fn(Option<i32>) -> bool) -> bool {
        let wanted = &pod.scheduling.host_ports;
        self.ports
            .iter()
            .any(|(port, holder)| wanted.iter().any(|mine| clash(port, mine)) && counts(*holder))
    }
}

/// Two pods cannot have the same port at the same address; the wildcard address is every address.
fn clash(a: &Port, b: &Port) -> bool {
    let wildcard = |port: &Port| port.1 == "0.0.0.0";
    a.0 == b.0 && a.2 == b.2 && (a.1 == b.1 || wildcard(a) || wildcard(b))
}

fn named<'p>(ports_taken: bool, lacking: impl Iterator<Item = &'p str>) -> Vec<String> {
    let resources = lacking.map(|name| match name {
        "pods" => "too many pods".to_owned(),
        _ => format!("insufficient {name}"),
    });
    ports_taken
        .then(|| "host port".to_owned())
        .into_iter()
        .chain(resources)
        .collect()
}

/// The largest share that a pod takes of any resource of the largest node, in millionths.
pub fn share(pod: &Pod, nodes: &[&Node]) -> Milli {
    let largest = |name: &str| nodes.iter().map(|n| n.allocatable.get(name)).max().unwrap_or(0);
    let shares = pod
        .scheduling
        .requests
        .0
        .iter()
        .map(|(name, amount)| match largest(name) {
            0 => 0,
            most => amount * 1_000_000 / most,
        });
    shares.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::clash;

    #[test]
    fn host_ports_clash_by_protocol_address_and_port() {
        let port = |protocol: &str, address: &str, port| (protocol.to_owned(), address.to_owned(), port);
        let table = [
            (port("TCP", "0.0.0.0", 80), true),
            (port("TCP", "10.0.0.1", 80), true),
            (port("TCP", "10.0.0.2", 80), false),
            (port("UDP", "10.0.0.1", 80), false),
            (port("TCP", "10.0.0.1", 81), false),
        ];
        for (other, expected) in table {
            assert_eq!(clash(&port("TCP", "10.0.0.1", 80), &other), expected, "{other:?}");
        }
    }
}
