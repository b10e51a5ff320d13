//! Admission webhooks that hear evictions.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::ListParams;
use upkeep::{
    Result,
    report::{ObjRef, Seen},
};

use super::Lists;
use crate::facts::Webhook;

/// A webhook's parts that both kinds of configuration have.
struct Entry {
    name: String,
    rules: Option<Vec<RuleWithOperations>>,
    policy: Option<String>,
    client: WebhookClientConfig,
}

/// Both kinds of configurations; the endpoints behind them are read later, where there are any.
pub async fn webhooks(lists: &Lists) -> Result<Seen<Vec<Webhook>>> {
    let validating = lists.all::<ValidatingWebhookConfiguration, Validating>(ListParams::default());
    let mutating = lists.all::<MutatingWebhookConfiguration, Mutating>(ListParams::default());
    let (validating, mutating) = futures::future::join(validating, mutating).await;
    let validating = lists.seen(
        validating,
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
    )?;
    let mutating = lists.seen(mutating, "mutatingwebhookconfigurations.admissionregistration.k8s.io")?;
    let (validating, mutating) = match (validating, mutating) {
        (Seen::Known(validating), Seen::Known(mutating)) => (validating, mutating),
        (Seen::Unknown { verb, resource, reason }, _) | (_, Seen::Unknown { verb, resource, reason }) => {
            return Ok(Seen::Unknown { verb, resource, reason });
        }
    };
    let all = validating
        .into_iter()
        .map(|v| v.0)
        .chain(mutating.into_iter().map(|m| m.0));
    Ok(Seen::Known(all.flatten().collect()))
}

struct Validating(Vec<Webhook>);
struct Mutating(Vec<Webhook>);

impl From<ValidatingWebhookConfiguration> for Validating {
    fn from(object: ValidatingWebhookConfiguration) -> Self {
        let name = object.metadata.name.unwrap_or_default();
        let configuration = ObjRef::cluster(
            "validatingwebhookconfiguration.admissionregistration.k8s.io",
            &name,
            object.metadata.uid.as_deref().unwrap_or_default(),
        );
        let entries = object.webhooks.into_iter().flatten().map(|w| Entry {
            name: w.name,
            rules: w.rules,
            policy: w.failure_policy,
            client: w.client_config,
        });
        Self(
            entries
                .filter_map(|e| hears_evictions(&configuration, e, false))
                .collect(),
        )
    }
}

impl From<MutatingWebhookConfiguration> for Mutating {
    fn from(object: MutatingWebhookConfiguration) -> Self {
        let name = object.metadata.name.unwrap_or_default();
        let configuration = ObjRef::cluster(
            "mutatingwebhookconfiguration.admissionregistration.k8s.io",
            &name,
            object.metadata.uid.as_deref().unwrap_or_default(),
        );
        let entries = object.webhooks.into_iter().flatten().map(|w| Entry {
            name: w.name,
            rules: w.rules,
            policy: w.failure_policy,
            client: w.client_config,
        });
        Self(
            entries
                .filter_map(|e| hears_evictions(&configuration, e, true))
                .collect(),
        )
    }
}

fn hears_evictions(configuration: &ObjRef, entry: Entry, mutating: bool) -> Option<Webhook> {
    if !entry.rules.iter().flatten().any(matches_evictions) {
        return None;
    }
    let service = entry.client.service.map(|s| (s.namespace, s.name));
    Some(Webhook {
        configuration: configuration.clone(),
        name: entry.name,
        mutating,
        fails_closed: entry.policy.as_deref() != Some("Ignore"),
        service,
        backends: Seen::Known(Vec::new()),
    })
}

/// Evictions are a CREATE of `pods/eviction` in the core group. A plain `*` means all resources but no subresources.
fn matches_evictions(rule: &RuleWithOperations) -> bool {
    let any = |values: &Option<Vec<String>>, wanted: &[&str]| {
        values.iter().flatten().any(|value| wanted.contains(&value.as_str()))
    };
    any(&rule.operations, &["*", "CREATE"])
        && any(&rule.api_groups, &["*", ""])
        && any(&rule.api_versions, &["*", "v1"])
        && any(&rule.resources, &["*/*", "pods/*", "pods/eviction", "*/eviction"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_rules_hear_evictions() {
        let rule = |resource: &str, operation: &str| RuleWithOperations {
            api_groups: Some(vec![String::new()]),
            api_versions: Some(vec!["v1".into()]),
            operations: Some(vec![operation.into()]),
            resources: Some(vec![resource.into()]),
            scope: None,
        };
        for resource in ["pods/eviction", "pods/*", "*/*", "*/eviction"] {
            assert!(matches_evictions(&rule(resource, "CREATE")), "{resource}");
            assert!(matches_evictions(&rule(resource, "*")), "{resource}");
            assert!(!matches_evictions(&rule(resource, "UPDATE")), "{resource}");
        }
        for resource in ["pods", "*", "pods/log"] {
            assert!(!matches_evictions(&rule(resource, "*")), "{resource}");
        }
    }
}
