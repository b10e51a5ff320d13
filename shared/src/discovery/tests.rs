#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn aggregated() -> Discovery {
    let core = json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {}, "versions": [
    {"version": "v1", "freshness": "Current", "resources": [
        {"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced", "singularResource": "pod",
         "verbs": ["list", "delete"], "shortNames": ["po"], "subresources": [{"subresource": "status"}]},
        {"resource": "namespaces", "responseKind": {"kind": "Namespace"}, "scope": "Cluster", "shortNames": ["ns"]},
        {"resource": "bindings", "responseKind": null, "scope": "Namespaced"},
    ]}]}]});
    let groups = json!({"kind": "APIGroupDiscoveryList", "items": [
        {"metadata": {"name": "apps"}, "versions": [
            {"version": "v1", "freshness": "Current", "resources": [
                {"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced"}]},
            {"version": "v1beta1", "freshness": "Current", "resources": [
                {"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced"}]}]},
        {"metadata": {"name": "metrics.example.com"}, "versions": [
            {"version": "v1", "freshness": "Stale", "resources": []}]},
        {"metadata": {"name": "other.example.com"}, "versions": [
            {"version": "v1", "freshness": "Current", "resources": [
                {"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced"},
                {"resource": "nets", "responseKind": {"kind": "Net"}, "scope": "Namespaced", "shortNames": ["ns"]}]}]}]});
    let answers = [core, groups];
    let versions = answers.iter().flat_map(|answer| aggregated::read(answer).unwrap());
    Discovery::from_versions(versions.collect())
}

#[test]
fn a_stale_version_is_dark_and_the_others_are_known() {
    let found = aggregated();
    assert_eq!(found.dark.len(), 1);
    assert_eq!(found.dark[0].api_service(), "v1.metrics.example.com");
    let names: Vec<String> = found.preferred().map(Kind::resource).collect();
    assert_eq!(
        names,
        [
            "pods",
            "namespaces",
            "deployments.apps",
            "pods.other.example.com",
            "nets.other.example.com"
        ]
    );
    let pod = &found.kinds[0];
    assert!(pod.namespaced && pod.can("list") && !pod.can("patch"));
    assert_eq!(pod.subresources, ["status"]);
    assert_eq!(found.versions("apps", "deployments").count(), 2);
}

#[test]
fn kinds_are_found_by_what_people_type() {
    let found = aggregated();
    let name = |typed: &str| {
        let kind = found.find(typed);
        kind.map(|k| format!("{} {}", k.resource(), k.version))
    };
    for typed in ["po", "pod", "pods", "Pod", "POD", "pods.v1", "pods.v1."] {
        assert_eq!(name(typed).as_deref(), Some("pods v1"), "{typed}");
    }
    assert_eq!(name("ns").as_deref(), Some("namespaces v1"));
    assert_eq!(name("deployment.apps").as_deref(), Some("deployments.apps v1"));
    assert_eq!(
        name("deployment.v1beta1.apps").as_deref(),
        Some("deployments.apps v1beta1")
    );
    assert_eq!(
        name("pod.other.example.com").as_deref(),
        Some("pods.other.example.com v1")
    );
    assert_eq!(
        name("ns.other.example.com").as_deref(),
        Some("nets.other.example.com v1")
    );
    for typed in ["", "nothing", "pods.none", "pods.v2"] {
        assert_eq!(name(typed), None, "{typed}");
    }
    assert_eq!(found.of_kind("apps/v2", "Deployment").unwrap().version, "v1");
    assert!(found.of_kind("batch/v1", "Job").is_none());
}

#[test]
fn the_older_form_is_read_too() {
    let core = versions::read(&json!({"kind": "APIVersions", "versions": ["v1"]}));
    assert_eq!((core[0].group.as_str(), core[0].version.as_str()), ("", "v1"));
    let groups = versions::read(
        &json!({"kind": "APIGroupList", "groups": [{"name": "apps", "versions": [
        {"groupVersion": "apps/v1beta1", "version": "v1beta1"}, {"groupVersion": "apps/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}]}),
    );
    let order: Vec<&str> = groups.iter().map(|v| v.version.as_str()).collect();
    assert_eq!(order, ["v1", "v1beta1"]);
}
