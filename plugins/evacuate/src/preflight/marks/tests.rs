#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::preflight::testkit::{names, node, pod, told};

fn annotated(key: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {key: value}}})
}

fn labelled(key: &str, value: &str) -> Value {
    json!({"metadata": {"labels": {key: value}}})
}

#[test]
fn marks_on_pods() {
    const CA: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    let table = [
        (annotated(CA, "false"), Some("mark-safe-to-evict")),
        (annotated(CA, "true"), None),
        (annotated(CA, "on-completion"), Some("mark-safe-to-evict-on-completion")),
        (labelled(CA, "false"), None),
        (
            annotated("karpenter.sh/do-not-disrupt", "true"),
            Some("mark-karpenter-do-not-disrupt"),
        ),
        (
            annotated("karpenter.sh/do-not-disrupt", "1h30m"),
            Some("mark-karpenter-do-not-disrupt"),
        ),
        (annotated("karpenter.sh/do-not-disrupt", "0s"), None),
        (annotated("karpenter.sh/do-not-disrupt", "false"), None),
        (
            annotated("karpenter.sh/do-not-evict", "true"),
            Some("mark-karpenter-do-not-evict"),
        ),
        (
            labelled("cluster.x-k8s.io/drain", "skip"),
            Some("mark-cluster-api-skip"),
        ),
        (
            labelled("cluster.x-k8s.io/drain", "Wait-Completed"),
            Some("mark-cluster-api-wait-completed"),
        ),
        (labelled("cluster.x-k8s.io/drain", "other"), None),
        (annotated("cluster.x-k8s.io/drain", "skip"), None),
        (
            annotated("node-lifecycle.datadoghq.com/do-not-evict-pod", "true"),
            Some("mark-draino"),
        ),
        (
            annotated("descheduler.alpha.kubernetes.io/prefer-no-eviction", ""),
            Some("mark-descheduler"),
        ),
        (annotated("descheduler.alpha.kubernetes.io/evict", "true"), None),
        (labelled("agones.dev/safe-to-evict", "false"), Some("mark-agones")),
        (labelled("agones.dev/safe-to-evict", "true"), None),
    ];
    for (patch, expected) in table {
        let text = patch.to_string();
        let found = opt_outs(&[&pod("p", "n", "web", patch)], &[]);
        assert_eq!(
            found.iter().map(|f| f.id).collect::<Vec<_>>(),
            expected.into_iter().collect::<Vec<_>>(),
            "{text}"
        );
    }
}

#[test]
fn marks_on_nodes() {
    let table = [
        (
            annotated("cluster-autoscaler.kubernetes.io/scale-down-disabled", "true"),
            Some("mark-scale-down-disabled"),
        ),
        (
            annotated("cluster-autoscaler.kubernetes.io/scale-down-disabled", "false"),
            None,
        ),
        (
            annotated("karpenter.sh/do-not-disrupt", "true"),
            Some("mark-karpenter-node"),
        ),
        (
            annotated("karpenter.sh/do-not-consolidate", "true"),
            Some("mark-karpenter-node-consolidate"),
        ),
        (
            labelled("node-lifecycle.datadoghq.com/enabled", "false"),
            Some("mark-draino-node"),
        ),
        (labelled("node-lifecycle.datadoghq.com/enabled", "true"), None),
        (
            labelled("remediation.medik8s.io/exclude-from-remediation", "true"),
            Some("mark-medik8s-node"),
        ),
    ];
    for (patch, expected) in table {
        let text = patch.to_string();
        let found = opt_outs(&[], &[node("n", patch)]);
        assert_eq!(
            found.iter().map(|f| f.id).collect::<Vec<_>>(),
            expected.into_iter().collect::<Vec<_>>(),
            "{text}"
        );
    }
}

#[test]
fn one_finding_for_each_mark() {
    const KEY: &str = "karpenter.sh/do-not-disrupt";
    let marked = |name: &str, value: &str| pod(name, "n", "web", annotated(KEY, value));
    let mut done = marked("d", "true");
    done.phase = crate::facts::Phase::Succeeded;
    let pods = [
        marked("a", "true"),
        marked("b", "30m"),
        pod("c", "n", "web", json!({})),
        done,
    ];
    let found = opt_outs(&pods.iter().collect::<Vec<_>>(), &[]);
    assert_eq!(
        told(&found),
        [(
            "mark-karpenter-do-not-disrupt",
            "2 pods that Karpenter must not disrupt (karpenter.sh/do-not-disrupt=30m|true)"
        )]
    );
    assert_eq!(names(&found[0]), ["a", "b"]);
    let found = opt_outs(&[&marked("a", "true")], &[]);
    assert_eq!(
        found[0].evidence,
        "1 pod that Karpenter must not disrupt (karpenter.sh/do-not-disrupt=true)"
    );
}
