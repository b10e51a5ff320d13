//! What a scheduler would find once the planned pods have gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use upkeep::report::Seen;

use crate::facts::{Facts, Node, Pod, Ready, Uid, Volumes};

/// Nodes and pods, indexed for the rules.
pub struct Scene<'a> {
    /// All nodes, those to be emptied included: their labels still count.
    pub all: BTreeMap<&'a str, &'a Node>,
    /// Nodes that new pods may go to, by name.
    pub open: Vec<&'a Node>,
    /// Why other nodes are out, one entry for each. Those to be emptied are not named.
    pub closed: Vec<&'static str>,
    /// Pods that stay where they are, by namespace; finished ones are left out.
    pub staying: BTreeMap<&'a str, Vec<&'a Pod>>,
    /// Pods that may turn up on any open node: the planned ones, and those that wait for a node.
    pub floating: Vec<&'a Pod>,
    /// Names of the nodes to be emptied.
    pub targets: BTreeSet<&'a str>,
    /// Labels of namespaces.
    pub namespaces: &'a Seen<BTreeMap<String, BTreeMap<String, String>>>,
    /// How many volumes of each CSI driver a node takes.
    pub limits: &'a Seen<BTreeMap<String, BTreeMap<String, i64>>>,
    /// Claims and volumes.
    pub volumes: &'a Seen<Volumes>,
    /// Resources that at least one node reports. A resource that none reports is handed out by something else than the
    /// node's own count (dynamic allocation, a scheduler extender), so its absence proves nothing.
    pub offered: BTreeSet<&'a str>,
    by_node: HashMap<&'a str, Vec<&'a Pod>>,
}

impl<'a> Scene<'a> {
    /// Sorts what was read. Pods that surge stay where they are, and their successors come on top.
    pub fn new(facts: &'a Facts, nodes: &'a [Node], planned: &[&'a Pod], surging: &BTreeSet<Uid>) -> Self {
        let targets: BTreeSet<&str> = facts.targets.iter().map(|n| n.name.as_str()).collect();
        let going = planned.iter().map(|p| p.uid.as_str());
        let going: BTreeSet<&str> = going.filter(|uid| !surging.contains(*uid)).collect();
        let all: BTreeMap<&str, &Node> = facts
            .targets
            .iter()
            .chain(nodes)
            .map(|n| (n.name.as_str(), n))
            .collect();
        let others = || all.values().filter(|n| !targets.contains(n.name.as_str()));
        let mut scene = Self {
            open: others().filter(|n| closed(n).is_none()).copied().collect(),
            closed: others().filter_map(|n| closed(n)).collect(),
            offered: all
                .values()
                .flat_map(|n| &n.allocatable.0)
                .filter(|(_, n)| **n > 0)
                .map(|(r, _)| r.as_str())
                .collect(),
            all,
            targets: targets.clone(),
            staying: BTreeMap::new(),
            floating: planned.to_vec(),
            namespaces: &facts.namespaces,
            limits: &facts.volume_limits,
            volumes: &facts.volumes,
            by_node: HashMap::new(),
        };
        for pod in facts
            .pods
            .iter()
            .filter(|p| !p.finished() && !going.contains(p.uid.as_str()))
        {
            if pod.node.is_empty() {
                scene.floating.push(pod);
            } else {
                scene.staying.entry(&pod.namespace).or_default().push(pod);
                scene.by_node.entry(&pod.node).or_default().push(pod);
            }
        }
        scene
    }

    /// The pods that stay on a node.
    pub fn on(&self, node: &str) -> &[&'a Pod] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    /// The label of the node that a pod runs on.
    pub fn label(&self, pod: &Pod, key: &str) -> Option<&'a str> {
        let node: &'a Node = self.all.get(pod.node.as_str())?;
        node.labels.get(key).map(String::as_str)
    }
}

/// Why no new pod goes to a node. Ready is looked at although the scheduler goes by taints: the node controller sets
/// the taint for it a moment later.
fn closed(node: &Node) -> Option<&'static str> {
    if node.deleting {
        Some("being deleted")
    } else if node.unschedulable {
        Some("cordoned")
    } else if node.ready != Ready::True {
        Some("not ready")
    } else {
        None
    }
}
