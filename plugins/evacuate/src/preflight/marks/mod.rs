//! Marks by which people ask other tools to leave a pod or a node alone.
//!
//! `kubectl drain` knows none of them, and neither do the evictions of this tool; but whoever set one had a reason, so
//! a person is told before it is too late.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use upkeep::report::{Finding, ObjRef, Severity};

use crate::facts::{Node, Pod};

type Labels = BTreeMap<String, String>;

/// Where a mark stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Label,
    Annotation,
}

struct Mark {
    id: &'static str,
    on: On,
    key: &'static str,
    /// Whether the value means what the mark is for.
    means: fn(&str) -> bool,
    /// Who respects it, and what it asks for.
    asks: &'static str,
}

/// On pods.
const PODS: [Mark; 9] = [
    Mark {
        id: "mark-safe-to-evict",
        on: On::Annotation,
        key: "cluster-autoscaler.kubernetes.io/safe-to-evict",
        means: |v| v == "false",
        asks: "the cluster autoscaler and draino must not evict",
    },
    Mark {
        id: "mark-safe-to-evict-on-completion",
        on: On::Annotation,
        key: "cluster-autoscaler.kubernetes.io/safe-to-evict",
        means: |v| v == "on-completion",
        asks: "the cluster autoscaler must let finish",
    },
    Mark {
        id: "mark-karpenter-do-not-disrupt",
        on: On::Annotation,
        key: "karpenter.sh/do-not-disrupt",
        means: |v| v == "true" || is_duration(v),
        asks: "Karpenter must not disrupt",
    },
    Mark {
        id: "mark-karpenter-do-not-evict",
        on: On::Annotation,
        key: "karpenter.sh/do-not-evict",
        means: |v| v == "true",
        asks: "older versions of Karpenter must not evict",
    },
    Mark {
        id: "mark-cluster-api-skip",
        on: On::Label,
        key: "cluster.x-k8s.io/drain",
        means: |v| v.eq_ignore_ascii_case("skip"),
        asks: "Cluster API must leave alone when it drains",
    },
    Mark {
        id: "mark-cluster-api-wait-completed",
        on: On::Label,
        key: "cluster.x-k8s.io/drain",
        means: |v| v.eq_ignore_ascii_case("wait-completed"),
        asks: "Cluster API must let finish when it drains",
    },
    Mark {
        id: "mark-draino",
        on: On::Annotation,
        key: "node-lifecycle.datadoghq.com/do-not-evict-pod",
        means: |v| v == "true",
        asks: "draino must not evict",
    },
    Mark {
        id: "mark-descheduler",
        on: On::Annotation,
        key: "descheduler.alpha.kubernetes.io/prefer-no-eviction",
        // The descheduler looks at the key only.
        means: |_| true,
        asks: "the descheduler should rather not evict",
    },
    Mark {
        id: "mark-agones",
        on: On::Label,
        key: "agones.dev/safe-to-evict",
        means: |v| v == "false",
        asks: "Agones keeps from being evicted",
    },
];

/// On nodes.
const NODES: [Mark; 5] = [
    Mark {
        id: "mark-scale-down-disabled",
        on: On::Annotation,
        key: "cluster-autoscaler.kubernetes.io/scale-down-disabled",
        means: |v| v == "true",
        asks: "the cluster autoscaler must not remove",
    },
    Mark {
        id: "mark-karpenter-node",
        on: On::Annotation,
        key: "karpenter.sh/do-not-disrupt",
        means: |v| v == "true" || is_duration(v),
        asks: "Karpenter must not disrupt",
    },
    Mark {
        id: "mark-karpenter-node-consolidate",
        on: On::Annotation,
        key: "karpenter.sh/do-not-consolidate",
        means: |v| v == "true",
        asks: "older versions of Karpenter must not consolidate",
    },
    Mark {
        id: "mark-draino-node",
        on: On::Label,
        key: "node-lifecycle.datadoghq.com/enabled",
        means: |v| v == "false",
        asks: "draino must leave alone",
    },
    Mark {
        id: "mark-medik8s-node",
        on: On::Label,
        key: "remediation.medik8s.io/exclude-from-remediation",
        means: |v| v == "true",
        asks: "medik8s must not remediate, as during a maintenance",
    },
];

/// All marks on the pods that go and on the nodes to be emptied, one finding for each kind of mark.
pub fn opt_outs(planned: &[&Pod], targets: &[Node]) -> Vec<Finding> {
    let pods = planned.iter().filter(|p| !p.finished());
    let pods: Vec<_> = pods.map(|p| (&p.labels, &p.annotations, p.reference())).collect();
    let nodes = targets
        .iter()
        .map(|n| (&n.labels, &n.annotations, ObjRef::cluster("node", &n.name, &n.uid)));
    let nodes: Vec<_> = nodes.collect();
    let mut found: Vec<Finding> = PODS.iter().filter_map(|mark| find(mark, &pods, "pod")).collect();
    found.extend(NODES.iter().filter_map(|mark| find(mark, &nodes, "node")));
    found
}

fn find(mark: &Mark, objects: &[(&Labels, &Labels, ObjRef)], noun: &str) -> Option<Finding> {
    let value = |labels: &Labels, annotations: &Labels| {
        let map = if mark.on == On::Label { labels } else { annotations };
        map.get(mark.key).filter(|value| (mark.means)(value)).cloned()
    };
    let marked: Vec<(&ObjRef, String)> = objects
        .iter()
        .filter_map(|(labels, annotations, object)| Some((object, value(labels, annotations)?)))
        .collect();
    let values: BTreeSet<&str> = marked
        .iter()
        .map(|(_, value)| value.as_str())
        .filter(|v| !v.is_empty())
        .collect();
    let values: Vec<&str> = values.into_iter().collect();
    let (count, plural) = (marked.len(), if marked.len() == 1 { "" } else { "s" });
    let key = if values.is_empty() {
        mark.key.to_owned()
    } else {
        format!("{}={}", mark.key, values.join("|"))
    };
    (count > 0).then(|| Finding {
        id: mark.id,
        severity: Severity::Warning,
        subjects: marked.iter().map(|(object, _)| (*object).clone()).collect(),
        evidence: format!("{count} {noun}{plural} that {} ({key})", mark.asks),
        hint: Some("evictions do not heed this mark; ask whoever set it".into()),
    })
}

/// `30m`, `1h30m`: a duration in Go's spelling that is longer than nothing. Karpenter takes one, counted from the pod's
/// start; whether it has passed is not judged here.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    let mut positive = false;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let Ok(number) = number.parse::<f64>() else {
            return false;
        };
        let unit = ["ns", "us", "ms", "h", "m", "s"]
            .into_iter()
            .find(|unit| tail.starts_with(unit));
        let Some(unit) = unit else { return false };
        positive |= number > 0.0;
        rest = &tail[unit.len()..];
    }
    positive
}
