//! What runs asked of the server and left behind, as far as it concerns one test's own corner of the shared cluster.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testsupport::{Cluster, Mark, Ns, Request, Rule, wait_for};

/// Beginning of the plugin's user agent.
pub const AGENT: &str = "kubectl-evacuate";

const LOCK: &str = "kubectl-upkeep/lock";

/// What the plugin asked about this namespace and its nodes.
pub fn asked(ns: &Ns<'_>, mark: Mark) -> Vec<Request> {
    let ours = format!("{}-", ns.name());
    let mut requests = ns.cluster().audit().since(mark, AGENT);
    requests.retain(|r| r.namespace == ns.name() || (r.resource == "nodes" && r.name.starts_with(&ours)));
    requests
}

/// Requests that changed something, or would have.
pub fn writes(ns: &Ns<'_>, mark: Mark) -> Vec<String> {
    let requests = asked(ns, mark).into_iter().filter(|r| r.is_write() && !r.is_dry_run());
    requests.map(|r| format!("{} {} {}", r.verb, r.uri, r.code)).collect()
}

/// How often each pod was asked to be evicted, and with which answers.
pub fn evictions(ns: &Ns<'_>, mark: Mark) -> BTreeMap<String, Vec<u16>> {
    let mut found = BTreeMap::<String, Vec<u16>>::new();
    for request in asked(ns, mark) {
        if request.subresource == "eviction" && !request.is_dry_run() {
            found.entry(request.name).or_default().push(request.code);
        }
    }
    found
}

pub fn is_cordoned(cluster: &Cluster, node: &str) -> bool {
    let node = cluster.get("v1/Node", "", node).expect("the node is there");
    node["spec"]["unschedulable"] == true
}

/// The namespace of the locks.
pub const LOCKS: &str = "kube-public";
pub const LEASE: &str = "coordination.k8s.io/v1/Lease";

/// The Lease of a node.
pub fn lock(cluster: &Cluster, node: &str) -> Option<Value> {
    let all = cluster.list(LEASE, LOCKS, "app.kubernetes.io/managed-by=kubectl-upkeep");
    let mut of_node = all
        .into_iter()
        .filter(|l| l["metadata"]["ownerReferences"][0]["name"] == node);
    of_node.next()
}

/// Whether a run holds the node.
pub fn is_locked(cluster: &Cluster, node: &str) -> bool {
    let held = lock(cluster, node).is_some_and(|l| l["spec"]["holderIdentity"].is_string());
    let node = cluster.get("v1/Node", "", node).expect("the node is there");
    held || node["metadata"]["annotations"].get(LOCK).is_some()
}

/// Removes the lock of a node by hand.
pub fn unlock(cluster: &Cluster, node: &str) {
    let lock = lock(cluster, node).expect("the node is locked");
    cluster.delete(LEASE, LOCKS, &text(&lock["metadata"]["name"]));
}

pub fn cordon(cluster: &Cluster, node: &str, unschedulable: bool) {
    cluster.patch("v1/Node", "", node, json!({"spec": {"unschedulable": unschedulable}}));
}

/// Name and UID of every pod of the namespace that is not Terminating.
pub fn living(ns: &Ns<'_>) -> BTreeMap<String, String> {
    let pods = ns.pods().into_iter();
    let pods = pods.filter(|p| p["metadata"]["deletionTimestamp"].is_null());
    pods.map(|p| (text(&p["metadata"]["name"]), text(&p["metadata"]["uid"])))
        .collect()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Waits until all pods of the namespace are Ready on this node.
pub fn wait_all_on(ns: &Ns<'_>, node: &str, count: usize) {
    wait_for(format!("{count} pods on {node}"), testsupport::DEFAULT_TIMEOUT, || {
        let pods = ns.wait_pods_ready(count);
        pods.iter().all(|p| p["spec"]["nodeName"] == node).then_some(())
    });
}

/// Rights that suffice for everything the plugin may want, less those whose text begins with one of `without`
/// (`list pods`).
pub fn rights(without: &[&str]) -> Vec<Rule> {
    const ALL: [(&str, &[&str]); 17] = [
        ("nodes", &["get", "list", "watch", "patch"]),
        ("nodes/status", &["patch"]),
        ("events", &["create"]),
        ("pods", &["list", "watch", "delete"]),
        ("pods/eviction", &["create"]),
        ("poddisruptionbudgets.policy", &["list", "watch"]),
        ("daemonsets.apps", &["list"]),
        ("deployments.apps", &["list"]),
        ("replicasets.apps", &["list"]),
        ("statefulsets.apps", &["list"]),
        ("jobs.batch", &["list"]),
        ("replicationcontrollers", &["list"]),
        (
            "validatingwebhookconfigurations.admissionregistration.k8s.io",
            &["list"],
        ),
        ("mutatingwebhookconfigurations.admissionregistration.k8s.io", &["list"]),
        ("persistentvolumeclaims", &["list"]),
        ("persistentvolumes", &["list"]),
        ("volumeattachments.storage.k8s.io", &["list", "watch"]),
    ];
    let mut rules = Vec::new();
    for verb in ["get", "list", "create", "patch", "delete"] {
        let resource = "leases.coordination.k8s.io";
        if !without.contains(&format!("{verb} {resource}").as_str()) {
            rules.push(Rule::allow(verb, resource).within(LOCKS));
        }
    }
    for (resource, verbs) in ALL {
        for verb in verbs {
            if !without.contains(&format!("{verb} {resource}").as_str()) {
                rules.push(Rule::allow(verb, resource));
            }
        }
    }
    rules
}

/// Denies what `expression` (CEL) is false for. Returns when the policy was made; it works a moment later.
pub fn policy(cluster: &Cluster, name: &str, operation: &str, resource: &str, concerns: &str, expression: &str) {
    cluster.apply_value(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": [resource],
            }]},
            "matchConditions": [{"name": "concerns", "expression": concerns}],
            "validations": [{"expression": expression, "message": format!("{name} says no")}],
        },
    }));
    cluster.apply_value(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }));
}

/// Takes a policy back.
pub fn lift(cluster: &Cluster, name: &str) {
    for kind in ["ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"] {
        cluster.delete(&format!("admissionregistration.k8s.io/v1/{kind}"), "", name);
    }
}

/// What the server says to a dry run of an eviction.
pub fn would_evict(ns: &Ns<'_>, pod: &str) -> Result<(), String> {
    let client = ns.cluster().client();
    let api: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(client, ns.name());
    let params = kube::api::EvictParams {
        post_options: kube::api::PostParams {
            dry_run: true,
            ..Default::default()
        },
        ..Default::default()
    };
    let answer = ns.cluster().block_on(async move { api.evict(pod, &params).await });
    answer.map(drop).map_err(|e| e.to_string())
}

/// Filters for snapshots: random names, times, ids.
pub fn filters() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"-[0-9a-z]{8,10}-[0-9a-z]{5}\b", "-HASH"),
        (r"\bin [0-9]+\.[0-9]s", "in TIME"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
        (r"\b[0-9][0-9a-z]* of grace left", "TIME of grace left"),
        (r" +\n", "\n"),
    ]
}

/// The lines of one stream, sorted: for results whose order is left to chance.
pub fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// A kind of custom resources with free fields in a namespace.
pub fn define(cluster: &Cluster, group: &str, version: &str, kind: &str) {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let versions = json!([{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": free}}]);
    cluster.apply_value(
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")}, "spec": {"group": group, "scope": "Namespaced",
            "names": {"plural": plural, "singular": singular, "kind": kind}, "versions": versions}}),
    );
}
