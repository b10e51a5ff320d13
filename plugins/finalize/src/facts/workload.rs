//! What is kept of a Deployment, StatefulSet or DaemonSet.

use serde::Deserialize;

use super::{Object, object::Meta};

/// A workload that may be the controller that does not act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `deployments`.
    pub plural: &'static str,
    /// Its metadata.
    pub object: Object,
    /// How many pods it should have.
    pub wanted: i32,
    /// How many of them are Ready.
    pub ready: i32,
    /// `spec.template.spec.serviceAccountName`.
    pub service_account: String,
}

/// Reads a workload from a list; the three kinds differ only in where they count.
#[derive(Debug, Clone, Deserialize)]
pub struct Read {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<i32>,
    template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: TemplateSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TemplateSpec {
    service_account_name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    ready_replicas: i32,
    desired_number_scheduled: i32,
    number_ready: i32,
}

impl Workload {
    /// Namespace and name of the ServiceAccount of its pods.
    pub fn account(&self) -> (&str, &str) {
        let name = match self.service_account.as_str() {
            "" => "default",
            name => name,
        };
        (self.object.namespace.as_deref().unwrap_or_default(), name)
    }
}

impl Read {
    /// As one of this kind.
    pub fn of(self, plural: &'static str) -> Workload {
        let (wanted, ready) = if plural == "daemonsets" {
            (self.status.desired_number_scheduled, self.status.number_ready)
        } else {
            (self.spec.replicas.unwrap_or(1), self.status.ready_replicas)
        };
        Workload {
            plural,
            object: self.metadata.into(),
            wanted,
            ready,
            service_account: self.spec.template.spec.service_account_name,
        }
    }
}
