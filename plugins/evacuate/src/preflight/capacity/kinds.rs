//! Puts pods together that every node answers alike.

use std::collections::HashMap;

use crate::facts::Pod;

/// Pods that are alike, and one that stands for all of them.
pub struct Kind<'a> {
    /// Any of them.
    pub pod: &'a Pod,
    /// All of them.
    pub members: Vec<&'a Pod>,
}

/// Pods of one controller come from one template; what differs between them after all (claims of a StatefulSet, an
/// index among the labels, a resized container) is compared, so that nothing is taken for granted.
pub fn alike<'a>(pods: &[&'a Pod]) -> Vec<Kind<'a>> {
    let mut kinds: Vec<Kind> = Vec::new();
    let mut by_owner: HashMap<&str, Vec<usize>> = HashMap::new();
    for pod in pods {
        let owner = pod.owner.as_ref().map_or("", |o| o.uid.as_str());
        let known = by_owner.entry(owner).or_default();
        match known.iter().find(|i| same(kinds[**i].pod, pod)) {
            Some(i) => kinds[*i].members.push(pod),
            None => {
                known.push(kinds.len());
                kinds.push(Kind {
                    pod,
                    members: vec![pod],
                });
            }
        }
    }
    kinds
}

fn same(a: &Pod, b: &Pod) -> bool {
    let (x, y) = (&a.scheduling, &b.scheduling);
    a.namespace == b.namespace
        && a.priority == b.priority
        && a.labels == b.labels
        && a.claims == b.claims
        && x.requests == y.requests
        && x.is_resizing == y.is_resizing
        && x.opaque == y.opaque
        && x.other_scheduler == y.other_scheduler
        && a.tolerations == b.tolerations
        && x.node_selector == y.node_selector
        && x.affinity == y.affinity
        && x.spread == y.spread
        && x.host_ports == y.host_ports
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preflight::testkit::{cpu, pod};

    #[test]
    fn pods_of_one_template_are_one_kind() {
        let table = [
            (cpu("1"), "web", 1),
            (cpu("2"), "web", 2),
            (cpu("1"), "api", 2),
            (
                json!({"metadata": {"labels": {"index": "1"}}, "spec": cpu("1")["spec"]}),
                "web",
                2,
            ),
        ];
        for (patch, owner, expected) in table {
            let text = format!("{owner} {patch}");
            let pods = [pod("a", "n", "web", cpu("1")), pod("b", "n", owner, patch)];
            let kinds = alike(&pods.iter().collect::<Vec<_>>());
            assert_eq!(kinds.len(), expected, "{text}");
            assert_eq!(kinds.iter().map(|k| k.members.len()).sum::<usize>(), 2, "{text}");
        }
    }
}
