//! Admission webhooks that hear evictions: they may refuse them, change them, or be dead and stop all of them.

use std::collections::BTreeSet;

use upkeep::report::{Finding, Seen, Severity};

use crate::facts::{Facts, Pod, Webhook};

/// Webhooks that are known to hear evictions for a reason: part of the name of the webhook or its configuration, whose
/// it is, and what it does.
const KNOWN: [(&str, &str); 5] = [
    (
        "kubevirt.io",
        "KubeVirt answers 429 for a virtual machine and migrates it instead",
    ),
    (
        "virt-api",
        "KubeVirt answers 429 for a virtual machine and migrates it instead",
    ),
    (
        "drain-cleaner",
        "the Strimzi drain cleaner refuses for Kafka pods and has the operator roll them",
    ),
    (
        "pod-graceful-drain",
        "pod-graceful-drain turns evictions into dry runs and deletes the pods later",
    ),
    (
        "eviction-autoscaler",
        "the eviction autoscaler scales up what a budget blocks",
    ),
];

/// What to know about them before the first eviction. Where nothing is to be evicted, they do not matter.
pub fn eviction_webhooks(facts: &Facts, planned: &[&Pod]) -> Vec<Finding> {
    let hooks = facts.webhooks.known().map_or(&[][..], Vec::as_slice);
    if planned.is_empty() {
        return Vec::new();
    }
    let targets: BTreeSet<&str> = facts.targets.iter().map(|n| n.name.as_str()).collect();
    hooks.iter().map(|hook| judge(hook, &targets)).collect()
}

fn judge(hook: &Webhook, targets: &BTreeSet<&str>) -> Finding {
    let name = &hook.name;
    let finding = |id, severity, evidence: String, hint: &str| Finding {
        id,
        severity,
        subjects: vec![hook.configuration.clone()],
        evidence,
        hint: Some(hint.to_owned()),
    };
    let service = hook
        .service
        .as_ref()
        .map(|(namespace, service)| format!("{namespace}/{service}"));
    if let (true, Some(service), Seen::Known(backends)) = (hook.fails_closed, &service, &hook.backends) {
        if backends.is_empty() {
            return finding(
                "webhook-dead",
                Severity::Warning,
                format!("webhook {name} fails closed and service {service} has no ready backend"),
                "every eviction that it hears is refused; mend the service, or set its failurePolicy to Ignore",
            );
        }
        if backends.iter().all(|node| targets.contains(node.as_str())) {
            let count = match backends.len() {
                1 => "the only ready backend".to_owned(),
                n => format!("all {n} ready backends"),
            };
            let (run, these) = match (backends.len(), targets.len()) {
                (1, 1) => ("runs", "the node"),
                (1, _) => ("runs", "one of the nodes"),
                (_, 1) => ("run", "the node"),
                _ => ("run", "the nodes"),
            };
            return finding(
                "webhook-deadlock",
                Severity::Warning,
                format!("webhook {name} fails closed and {count} of service {service} {run} on {these} to be emptied"),
                "once they are gone, every eviction is refused that it would hear; start a backend elsewhere first",
            );
        }
    }
    let does = KNOWN
        .iter()
        .find(|(part, _)| name.contains(part) || hook.configuration.name.contains(part));
    let does = does.map_or_else(
        || {
            if hook.mutating {
                "it may change them".to_owned()
            } else {
                "it may refuse them".to_owned()
            }
        },
        |(_, does)| (*does).to_owned(),
    );
    let blind = match &hook.backends {
        Seen::Unknown { .. } if service.is_some() => "; its backends could not be read",
        _ => "",
    };
    finding(
        "webhook-hears",
        Severity::Info,
        format!("webhook {name} hears evictions: {does}{blind}"),
        "a refusal by a webhook is retried like one by a budget",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use upkeep::report::ObjRef;

    use super::*;
    use crate::preflight::testkit::{facts, node, on_targets, pod, unseen};

    fn ask(targets: usize, hook: Webhook) -> (&'static str, Severity, String) {
        let nodes = vec![node("t", json!({})), node("u", json!({})), node("a", json!({}))];
        let mut facts = facts(targets, nodes, vec![pod("p", "t", "web", json!({}))]);
        facts.webhooks = Seen::Known(vec![hook]);
        assert_eq!(eviction_webhooks(&facts, &[]), []);
        let found = eviction_webhooks(&facts, &on_targets(&facts)).remove(0);
        assert_eq!(found.subjects[0].name, "guard");
        (found.id, found.severity, found.evidence)
    }

    fn hook(name: &str, closed: bool, backends: &[&str]) -> Webhook {
        Webhook {
            configuration: ObjRef::cluster(
                "validatingwebhookconfiguration.admissionregistration.k8s.io",
                "guard",
                "u",
            ),
            name: name.into(),
            mutating: false,
            fails_closed: closed,
            service: Some(("ops".into(), "guard".into())),
            backends: Seen::Known(backends.iter().map(|b| (*b).to_owned()).collect()),
        }
    }

    #[test]
    fn dead_and_deadlocked() {
        let deadlock = |text: &str| {
            (
                "webhook-deadlock",
                Severity::Warning,
                format!("webhook w fails closed and {text} to be emptied"),
            )
        };
        let harmless = || {
            (
                "webhook-hears",
                Severity::Info,
                "webhook w hears evictions: it may refuse them".to_owned(),
            )
        };
        assert_eq!(
            ask(1, hook("w", true, &[])),
            (
                "webhook-dead",
                Severity::Warning,
                "webhook w fails closed and service ops/guard has no ready backend".into()
            )
        );
        assert_eq!(ask(1, hook("w", false, &[])), harmless());
        assert_eq!(
            ask(1, hook("w", true, &["t"])),
            deadlock("the only ready backend of service ops/guard runs on the node")
        );
        assert_eq!(
            ask(1, hook("w", true, &["t", "t"])),
            deadlock("all 2 ready backends of service ops/guard run on the node")
        );
        assert_eq!(
            ask(2, hook("w", true, &["t", "u"])),
            deadlock("all 2 ready backends of service ops/guard run on the nodes")
        );
        assert_eq!(
            ask(2, hook("w", true, &["u"])),
            deadlock("the only ready backend of service ops/guard runs on one of the nodes")
        );
        assert_eq!(ask(1, hook("w", true, &["t", "a"])), harmless());
        assert_eq!(ask(1, hook("w", false, &["t"])), harmless());
        let url = Webhook {
            service: None,
            ..hook("w", true, &[])
        };
        assert_eq!(ask(1, url), harmless());
    }

    #[test]
    fn what_the_known_ones_do() {
        let table = [
            (
                "virt-launcher-eviction-interceptor.kubevirt.io",
                "KubeVirt answers 429 for a virtual machine and migrates it instead",
            ),
            (
                "strimzi-drain-cleaner.strimzi.io",
                "the Strimzi drain cleaner refuses for Kafka pods and has the operator roll them",
            ),
            (
                "mpodseviction.pod-graceful-drain.io",
                "pod-graceful-drain turns evictions into dry runs and deletes the pods later",
            ),
            (
                "x.eviction-autoscaler.azure.com",
                "the eviction autoscaler scales up what a budget blocks",
            ),
            ("other", "it may refuse them"),
        ];
        for (name, does) in table {
            let expected = format!("webhook {name} hears evictions: {does}");
            assert_eq!(
                ask(1, hook(name, false, &["a"])),
                ("webhook-hears", Severity::Info, expected)
            );
        }
        let mutating = Webhook {
            mutating: true,
            ..hook("m", false, &["a"])
        };
        assert_eq!(ask(1, mutating).2, "webhook m hears evictions: it may change them");
        let blind = Webhook {
            backends: unseen(),
            ..hook("m", true, &[])
        };
        assert_eq!(
            ask(1, blind),
            (
                "webhook-hears",
                Severity::Info,
                "webhook m hears evictions: it may refuse them; its backends could not be read".into()
            )
        );
        let mut facts = facts(1, vec![node("t", json!({}))], vec![pod("p", "t", "web", json!({}))]);
        facts.webhooks = unseen();
        assert_eq!(eviction_webhooks(&facts, &on_targets(&facts)), []);
    }
}
