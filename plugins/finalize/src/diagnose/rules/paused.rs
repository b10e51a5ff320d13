//! Objects whose controller leaves them alone because it was told to, by an annotation or a field of theirs.

use serde_json::Value;
use upkeep::{discovery::Kind, ui::command};

use super::super::desk::Desk;
use crate::facts::{Key, Object};

/// An annotation that pauses the controller of an object.
struct Pause {
    /// Of these API groups, with everything below them.
    groups: &'static [&'static str],
    annotation: &'static str,
    /// The value that pauses; nothing where any does.
    value: Option<&'static str>,
}

/// Each from the documentation of its project.
const PAUSES: [Pause; 7] = [
    // https://docs.crossplane.io/latest/managed-resources/managed-resources/#paused ; also composites and claims, whose groups
    // are their authors'.
    Pause {
        groups: &[""],
        annotation: "crossplane.io/paused",
        value: Some("true"),
    },
    // https://cluster-api.sigs.k8s.io/reference/labels_and_annotations : its presence is enough.
    Pause {
        groups: &["cluster.x-k8s.io"],
        annotation: "cluster.x-k8s.io/paused",
        value: None,
    },
    // https://book.metal3.io/bmo/status_annotation
    Pause {
        groups: &["metal3.io"],
        annotation: "baremetalhost.metal3.io/paused",
        value: None,
    },
    // https://strimzi.io/docs/operators/latest/deploying#proc-pausing-reconciliation-str
    Pause {
        groups: &["strimzi.io"],
        annotation: "strimzi.io/pause-reconciliation",
        value: Some("true"),
    },
    // https://www.elastic.co/docs/deploy-manage/deploy/cloud-on-k8s/k8s-pause-orchestration
    Pause {
        groups: &["k8s.elastic.co"],
        annotation: "eck.k8s.elastic.co/managed",
        value: Some("false"),
    },
    // https://cloudnative-pg.io/documentation/current/labels_annotations/
    Pause {
        groups: &["cnpg.io"],
        annotation: "cnpg.io/reconciliationLoop",
        value: Some("disabled"),
    },
    // https://stackgres.io/doc/latest/ : sgcluster.
    Pause {
        groups: &["stackgres.io"],
        annotation: "stackgres.io/reconciliation-pause",
        value: Some("true"),
    },
];

/// Which Cluster of Cluster API an object belongs to.
const OF_CLUSTER: &str = "cluster.x-k8s.io/cluster-name";
const CLUSTER_API: &str = "cluster.x-k8s.io";

/// What pauses it, and how that is ended. Nothing inside where nothing does, and nothing at all while it is not known.
pub fn paused(desk: &Desk<'_>, kind: &Kind, object: &Object, raw: &Value) -> Option<Option<(String, String)>> {
    if let Some(annotation) = by_annotation(kind, raw) {
        let mut arguments = vec![kind.resource(), object.name.clone()];
        if let Some(namespace) = &object.namespace {
            arguments.extend(["-n".to_owned(), namespace.clone()]);
        }
        arguments.push(format!("{annotation}-"));
        let line = command("kubectl annotate", arguments.iter().map(String::as_str));
        return Some(Some((
            format!("its annotation {annotation} pauses its controller"),
            line,
        )));
    }
    if !within(&kind.group, CLUSTER_API) {
        return Some(None);
    }
    let itself = (kind.plural == "clusters").then_some(object.name.as_str());
    let named = itself.or_else(|| raw["metadata"]["labels"][OF_CLUSTER].as_str());
    let (Some(cluster), Some(namespace)) = (named, object.namespace.as_deref()) else {
        return Some(None);
    };
    // What its label says of the name is only asked for.
    let key = Key::within(CLUSTER_API, "clusters", namespace, cluster);
    let Ok(found) = desk.raw(&key)? else {
        return Some(None);
    };
    Some((found["spec"]["paused"] == true).then(|| {
        let patch = r#"{"spec":{"paused":false}}"#;
        let arguments = [
            "clusters.cluster.x-k8s.io",
            cluster,
            "-n",
            namespace,
            "--type=merge",
            "-p",
            patch,
        ];
        let line = command("kubectl patch", arguments);
        (
            format!("spec.paused of cluster.{CLUSTER_API} {namespace}/{cluster} pauses its controllers"),
            line,
        )
    }))
}

fn by_annotation(kind: &Kind, raw: &Value) -> Option<&'static str> {
    let found = PAUSES.iter().find(|pause| {
        let value = raw["metadata"]["annotations"][pause.annotation].as_str();
        let pauses = value.is_some_and(|value| pause.value.is_none_or(|wanted| wanted == value));
        pauses && pause.groups.iter().any(|group| within(&kind.group, group))
    });
    found.map(|pause| pause.annotation)
}

/// `infrastructure.cluster.x-k8s.io` is within `cluster.x-k8s.io`; every group is within the empty one.
fn within(group: &str, of: &str) -> bool {
    of.is_empty() || group == of || group.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_that_pause() {
        let kind = |group: &str| Kind {
            group: group.into(),
            ..Kind::default()
        };
        let cases = [
            ("s3.aws.upbound.io", "crossplane.io/paused", "true", true),
            ("s3.aws.upbound.io", "crossplane.io/paused", "false", false),
            ("infrastructure.cluster.x-k8s.io", "cluster.x-k8s.io/paused", "", true),
            ("evilcluster.x-k8s.io", "cluster.x-k8s.io/paused", "", false),
            ("", "cluster.x-k8s.io/paused", "", false),
            ("kafka.strimzi.io", "strimzi.io/pause-reconciliation", "true", true),
            ("postgresql.cnpg.io", "cnpg.io/reconciliationLoop", "disabled", true),
            ("postgresql.cnpg.io", "cnpg.io/reconciliationLoop", "enabled", false),
        ];
        for (group, annotation, value, wanted) in cases {
            let raw = json!({"metadata": {"annotations": {annotation: value}}});
            assert_eq!(
                by_annotation(&kind(group), &raw).is_some(),
                wanted,
                "{group} {annotation}={value}"
            );
        }
        assert_eq!(by_annotation(&kind("x"), &json!({})), None);
    }
}
