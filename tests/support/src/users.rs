//! Users with few rights.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::wait::{DEFAULT_TIMEOUT, wait_for};

/// One right, in kubectl's words: verbs and resources are comma lists, a resource is `pods`, `pods/eviction` or `deployments.apps/scale`.
#[derive(Debug, Clone)]
pub struct Rule {
    verbs: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    namespace: Option<String>,
}

impl Rule {
    /// In all namespaces.
    pub fn allow(verbs: &str, resources: &str) -> Self {
        let list = |text: &str| text.split(',').map(|part| part.trim().to_owned()).collect();
        Self {
            verbs: list(verbs),
            resources: list(resources),
            names: Vec::new(),
            namespace: None,
        }
    }

    /// Only in this namespace.
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Only for objects of these names.
    pub fn named(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(ToString::to_string).collect();
        self
    }

    fn policy_rules(&self) -> Vec<Value> {
        let rule = |resource: &String| {
            let (resource, group) = split_group(resource);
            json!({"verbs": self.verbs, "apiGroups": [group], "resources": [resource], "resourceNames": self.names})
        };
        self.resources.iter().map(rule).collect()
    }
}

/// `deployments.apps/scale` is the resource `deployments/scale` of the group `apps`.
fn split_group(resource: &str) -> (String, String) {
    let (resource, sub) = match resource.split_once('/') {
        Some((resource, sub)) => (resource, format!("/{sub}")),
        None => (resource, String::new()),
    };
    let (name, group) = resource.split_once('.').unwrap_or((resource, ""));
    (format!("{name}{sub}"), group.to_owned())
}

impl Cluster {
    /// The kubeconfig of a new user who may do just this. Returns when the rights are in force.
    pub fn user_kubeconfig(&self, user: &str, rules: &[Rule]) -> PathBuf {
        for (index, rule) in rules.iter().enumerate() {
            self.grant(&format!("{user}-{index}"), json!({"kind": "User", "name": user}), rule);
        }
        let pair = self.authority().client(user, None).unwrap_or_else(|e| panic!("{e:#}"));
        let credentials = json!({"client-certificate": pair.cert, "client-key": pair.key});
        let path = self
            .write_kubeconfig(user, &credentials)
            .unwrap_or_else(|e| panic!("{e:#}"));
        if let Some(last) = rules.last() {
            self.wait_granted(user, last);
        }
        path
    }

    /// The kubeconfig of a new user who has these roles of `docs/rbac`, as they are published: `evacuate-look`. The authorizer
    /// learns of them a moment later.
    pub fn user_with_roles(&self, user: &str, roles: &[&str]) -> PathBuf {
        for role in roles {
            let path = format!("{}/../../docs/rbac/{role}.yaml", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            self.apply(&text);
            // A role that is of one namespace is bound there.
            let namespace = text.lines().find_map(|line| line.strip_prefix("  namespace: "));
            let scope = if namespace.is_some() { "" } else { "Cluster" };
            let mut binding = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{scope}RoleBinding"),
                "metadata": {"name": format!("{user}-{role}")},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": format!("{scope}Role"), "name": format!("kubectl-{role}")},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
            });
            if let Some(namespace) = namespace {
                binding["metadata"]["namespace"] = json!(namespace);
            }
            self.apply_value(binding);
        }
        self.user_kubeconfig(user, &[])
    }

    /// The kubeconfig of a node's kubelet, as a TLS bootstrap gives it: the Node authorizer and the admission plugin
    /// NodeRestriction say what it may do.
    pub fn kubelet_kubeconfig(&self, node: &str) -> PathBuf {
        let user = format!("system:node:{node}");
        let pair = self.authority().client(&user, Some("system:nodes"));
        let pair = pair.unwrap_or_else(|e| panic!("{e:#}"));
        let credentials = json!({"client-certificate": pair.cert, "client-key": pair.key});
        self.write_kubeconfig(&format!("kubelet-{node}"), &credentials)
            .unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// The kubeconfig of a service account, which is made if it does not exist, with a token that lives for `lifetime` (at least 10 minutes).
    pub fn token_kubeconfig(&self, namespace: &str, account: &str, lifetime: Duration, rules: &[Rule]) -> PathBuf {
        let token = self.token_for(namespace, account, lifetime);
        for (index, rule) in rules.iter().enumerate() {
            let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": namespace});
            self.grant(&format!("{namespace}-{account}-{index}"), subject, rule);
        }
        let name = format!("{namespace}-{account}");
        let path = self
            .write_kubeconfig(&name, &json!({"token": token}))
            .unwrap_or_else(|e| panic!("{e:#}"));
        if let Some(last) = rules.last() {
            self.wait_granted(&format!("system:serviceaccount:{namespace}:{account}"), last);
        }
        path
    }

    /// A token of a service account, which is made if it does not exist.
    pub fn token_for(&self, namespace: &str, account: &str, lifetime: Duration) -> String {
        if self.get("v1/ServiceAccount", namespace, account).is_none() {
            let metadata = json!({"name": account, "namespace": namespace});
            self.create(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
        }
        let seconds = lifetime.as_secs();
        let answer = self.post(
            &format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"),
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}}),
        );
        answer["status"]["token"]
            .as_str()
            .unwrap_or_else(|| panic!("no token in {answer}"))
            .to_owned()
    }

    fn grant(&self, name: &str, mut subject: Value, rule: &Rule) {
        if subject["kind"] == "User" {
            subject["apiGroup"] = json!("rbac.authorization.k8s.io");
        }
        let (prefix, namespace) = match &rule.namespace {
            Some(namespace) => ("", json!(namespace)),
            None => ("Cluster", Value::Null),
        };
        let mut role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": format!("{prefix}Role"),
            "metadata": {"name": name},
            "rules": rule.policy_rules(),
        });
        let mut binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": format!("{prefix}RoleBinding"),
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": format!("{prefix}Role"), "name": name},
            "subjects": [subject],
        });
        if !namespace.is_null() {
            role["metadata"]["namespace"] = namespace.clone();
            binding["metadata"]["namespace"] = namespace;
        }
        self.apply_value(role);
        self.apply_value(binding);
    }

    /// The authorizer learns of roles by a watch, a moment after they were made.
    fn wait_granted(&self, user: &str, rule: &Rule) {
        let (resource, group) = split_group(&rule.resources[0]);
        let (resource, sub) = resource.split_once('/').unwrap_or((&resource, ""));
        let spec = json!({"user": user, "resourceAttributes": {
            "verb": rule.verbs[0],
            "group": group,
            "resource": resource,
            "subresource": sub,
            "name": rule.names.first(),
            "namespace": rule.namespace,
        }});
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
        wait_for(format!("the rights of {user}"), DEFAULT_TIMEOUT, || {
            let answer = self.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review.clone());
            (answer["status"]["allowed"] == true).then_some(())
        });
    }

    fn post(&self, path: &str, body: Value) -> Value {
        let client = self.own_client();
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes());
        let request = request.unwrap_or_else(|e| panic!("{e}"));
        self.block_on(async move { client.request(request).await })
            .unwrap_or_else(|e| panic!("failed to post to {path}: {e}"))
    }

    /// Writes a kubeconfig for this cluster with one user.
    pub(crate) fn write_kubeconfig(&self, name: &str, credentials: &Value) -> anyhow::Result<PathBuf> {
        self.write_kubeconfig_to(self.server(), name, credentials)
    }

    /// Writes a kubeconfig for this cluster at another address.
    pub(crate) fn write_kubeconfig_to(&self, server: &str, name: &str, credentials: &Value) -> anyhow::Result<PathBuf> {
        write_kubeconfig(
            &self.dir().join(format!("{name}.kubeconfig")),
            server,
            &self.ca_path(),
            name,
            credentials,
        )
    }
}

/// Writes a kubeconfig with one cluster (`testbed`), one user and one context.
pub fn write_kubeconfig(
    path: &Path,
    server: &str,
    ca: &Path,
    user: &str,
    credentials: &Value,
) -> anyhow::Result<PathBuf> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
        "current-context": "testbed",
    });
    // JSON is YAML.
    std::fs::write(path, serde_json::to_string_pretty(&config)?)?;
    Ok(path.to_owned())
}
