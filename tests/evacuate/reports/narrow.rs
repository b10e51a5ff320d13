//! Callers with few rights, and pods that cannot be decoded.

use std::path::Path;

use serde_json::json;
use testsupport::{Cluster, DEFAULT_TIMEOUT, Rule, Shape, wait_for};

use crate::{
    kit::{self, kubectl},
    place::Place,
    scene,
};

/// A merge patch of an object as this user. As text: the parser of this test does not go as deep as that of the server.
#[track_caller]
fn patch_as(cluster: &Cluster, kubeconfig: &Path, object: &[&str], patch: &str) {
    kubectl(
        cluster,
        kubeconfig,
        &[&["patch"], object, &["--type=merge", "-p", patch]].concat(),
    )
    .expect(0);
}

/// `managedFields` that nest so deep.
fn managed_fields(depth: usize, time: &str) -> String {
    let fields = format!("{}{{}}{}", "{\"f:a\":".repeat(depth), "}".repeat(depth));
    format!(
        r#"{{"metadata":{{"managedFields":[{{"manager":"tenant","operation":"Update","apiVersion":"v1",
            "fieldsType":"FieldsV1","time":"{time}","fieldsV1":{fields}}}]}}}}"#
    )
}

/// What a date means that no calendar of this build has.
const NEVER: &str = "9999-12-31T23:59:59Z";

#[test]
fn r44_managed_fields_of_a_tenant_end_no_list() {
    let place = Place::new("r44-fields");
    let (cluster, ns) = (place.cluster(), place.ns.name());
    place.ns.deployment("web", 2, &Shape::new().prefers(&place.node));
    place.ns.pod("elsewhere", &Shape::new().on(&place.other));
    place.ns.pdb("web", json!({"minAvailable": 1}));
    let pods = place.ns.wait_pods_ready(3);
    let rights = [
        Rule::allow("get,patch,delete", "pods").within(ns),
        Rule::allow("get,patch", "poddisruptionbudgets.policy").within(ns),
    ];
    let tenant = cluster.user_kubeconfig("r44-tenant", &rights);
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        patch_as(cluster, &tenant, &["pod", name, "-n", ns], &managed_fields(400, NEVER));
        let read = kubectl(
            cluster,
            &tenant,
            &["get", "pod", name, "-n", ns, "-o", "json", "--show-managed-fields"],
        );
        assert_eq!(read.expect(0).stdout.matches("\"f:a\":").count(), 400);
    }
    let budget = ["poddisruptionbudget", "web", "-n", ns];
    patch_as(cluster, &tenant, &budget, &managed_fields(400, NEVER));
    place
        .evacuate(&["--dry-run=server"])
        .expect(0)
        .says_nothing_of("cannot read");
    let ran = place.evacuate(&[]).expect(0);
    ran.says_nothing_of("cannot read");
    assert!(ran.stdout.ends_with("node/r44-fields-a drained\n"), "{}", ran.text());
    let evicted = place
        .moves()
        .into_iter()
        .filter(|m| m.starts_with("evict web-") && m.ends_with(" 201"));
    assert_eq!(evicted.count(), 2, "{}", ran.text());
    kubectl(
        cluster,
        &tenant,
        &["delete", "pod", "elsewhere", "-n", ns, "--wait=false"],
    )
    .expect(0);
    place.evacuate(&["--uncordon"]).expect(0);
}

/// A kubelet may write its own node and the status of its pods: with dates beyond the calendar, too.
#[test]
fn r44_what_a_kubelet_writes_does_not_keep_its_node() {
    let place = Place::new("r44-kubelet");
    let (cluster, ns) = (place.cluster(), place.ns.name());
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    let pods = place.ns.wait_pods_ready(1);
    let pod = pods[0]["metadata"]["name"].as_str().unwrap();
    let kubelet = cluster.kubelet_kubeconfig(&place.node);
    // As deep as the lists of this test bear it not: no object by itself is too deep for it.
    patch_as(
        cluster,
        &kubelet,
        &["node", &place.node],
        &managed_fields(122, "2026-01-01T00:00:00Z"),
    );
    place
        .ns
        .cluster()
        .patch_status("v1/Pod", ns, pod, json!({"status": {"startTime": NEVER}}));
    let conditions = cluster.get("v1/Node", "", &place.node).unwrap()["status"]["conditions"].clone();
    let mut conditions = conditions.as_array().unwrap().clone();
    conditions.push(json!({"type": "Vendor", "status": "True", "reason": "x", "message": "x", "lastHeartbeatTime": NEVER, "lastTransitionTime": NEVER}));
    let conditions = json!({"status": {"conditions": conditions}});
    cluster.patch_status("v1/Node", "", &place.node, conditions);
    let ran = place.evacuate(&["--reason=test"]).expect(0);
    ran.says_nothing_of("cannot read");
    assert_eq!(place.ns.pods_on(&place.node), [""; 0], "{}", ran.text());
    place.evacuate(&["--uncordon"]).expect(0);
    assert!(!place.is_cordoned());
}

/// The grace period is the tenant's: one that is longer than the calendar is no reason to stop.
#[test]
fn r44_a_grace_period_beyond_the_calendar() {
    let place = Place::new("r44-grace");
    let shape = Shape::new().never_stops().grace(i64::MAX);
    place.ns.pod("eternal", &shape.on(&place.other));
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(2);
    place.ns.delete("v1/Pod", "eternal");
    place.wait_terminating("eternal");
    place.evacuate(&[]).expect(0);
    place.evacuate(&["--uncordon"]).expect(0);
}

/// Who may create pods makes a page of their list larger than any answer may be, in few bytes on the wire.
#[test]
fn r53_large_pods_of_a_tenant_keep_no_node() {
    let cluster = crate::fence::kit::without_controllers(1);
    let _tenant = cluster.namespace("r53-large");
    let command = ["b".repeat(1_200_000)];
    for count in 0..60 {
        cluster.create(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("large-{count}"), "namespace": "r53-large"}, "spec": {
                "schedulingGates": [{"name": "example.com/never"}], "automountServiceAccountToken": false,
                "containers": [{"name": "c", "image": "i", "command": command}]}}));
    }
    let ran = kit::evacuate(&cluster, &["live-0"]).expect(0);
    ran.says_nothing_of("too large");
}

/// An object with free fields that nests too deep is named; the others of its list count.
#[test]
fn r44_an_object_that_cannot_be_decoded_is_one_finding() {
    let place = Place::new("r44-deep");
    let (cluster, ns) = (place.cluster(), place.ns.name());
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    place.ns.pdb("web", json!({"minAvailable": 1}));
    place.ns.wait_pods_ready(1);
    scene::define(cluster, "keda.sh", "v1alpha1", "ScaledObject");
    let scaled = |name: &str, more: &str| {
        format!(
            r#"{{"apiVersion":"keda.sh/v1alpha1","kind":"ScaledObject","metadata":{{"name":"{name}","namespace":"{ns}"}},
                "spec":{{"scaleTargetRef":{{"name":"web"}},"more":{more}}}}}"#
        )
    };
    let file = cluster.dir().join("r44-deep.json");
    std::fs::write(
        &file,
        scaled("deep", &format!("{}{}", "[".repeat(400), "]".repeat(400))),
    )
    .unwrap();
    wait_for("the kind", DEFAULT_TIMEOUT, || {
        let create = ["create", "-f", file.to_str().unwrap()];
        let created = kubectl(cluster, cluster.kubeconfig(), &create);
        (created.code == Some(0)).then_some(())
    });
    let ran = place.evacuate(&["--surge", "--dry-run=client"]).expect(0);
    ran.says_line(
        "Warning: cannot read the spec and the status of this scaledobject.keda.sh, so it is not checked: recursion limit exceeded (r44-deep/deep)",
    );
    // The other one of the list is found all the same.
    cluster.create(serde_json::from_str(&scaled("web", "null")).unwrap());
    let refused = place.evacuate(&["--surge"]).expect(3);
    refused.says("--surge cannot move deployment.apps r44-deep/web: KEDA scales it");
    place.assert_untouched();
}

/// A node that empties itself before it shuts down, with the credentials of its kubelet: it may list no pods but its own.
#[test]
fn r11_a_node_empties_itself() {
    let place = Place::new("r11");
    let cluster = place.cluster();
    place
        .ns
        .deployment("web", 2, &Shape::new().prefers(&place.node).stops_in("1s"));
    place.ns.pdb("web", json!({"minAvailable": 1}));
    place.ns.wait_pods_ready(2);
    let kubelet = cluster.kubelet_kubeconfig(&place.node);
    let shown = kit::run(place.command(&kubelet, &["--dry-run=server"])).expect(0);
    shown.says_line(
        "Warning: cannot list nodes, pods of other nodes, so it is not known whether the pods fit elsewhere: not allowed",
    );
    shown.says("unknown: nodes could not be listed");
    shown.says_line(
        "Warning: cannot list poddisruptionbudgets.policy, so budgets are known only from the server's answers: not allowed",
    );
    assert!(!place.is_cordoned());
    let ran = kit::run(place.command(&kubelet, &[])).expect(0);
    assert_eq!(place.ns.pods_on(&place.node), [""; 0], "{}", ran.text());
    let once = ran
        .stderr
        .lines()
        .filter(|line| line.contains("pods of other nodes"))
        .count();
    assert_eq!(once, 1, "{}", ran.text());
    // The budget was heard all the same.
    let evictions: Vec<u16> = place.requests().iter().map(|r| r.code).collect();
    assert!(evictions.contains(&429) || evictions.len() == 2, "{evictions:?}");
    kit::run(place.command(&kubelet, &["--uncordon"])).expect(0);
    assert!(!place.is_cordoned());
}

/// Another node is none of its business: that is said, and nothing is changed.
#[test]
fn r11_a_node_empties_no_other() {
    let place = Place::new("r11-other");
    let kubelet = place.cluster().kubelet_kubeconfig(&place.other);
    let ran = kit::run(place.command(&kubelet, &[])).expect(1);
    ran.says("Error from server (Forbidden): nodes \"r11-other-a\" is forbidden");
    place.assert_untouched();
}

/// Who may see the pods of one namespace cannot know what runs on a node: that right is named.
#[test]
fn r11_pods_of_one_namespace_are_too_few() {
    let place = Place::new("r11-ns");
    let (cluster, ns) = (place.cluster(), place.ns.name());
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    let rules = [
        Rule::allow("get,list,watch,patch", "nodes"),
        Rule::allow("list,watch,delete", "pods").within(ns),
        Rule::allow("create", "pods/eviction").within(ns),
    ];
    let hour = std::time::Duration::from_secs(3600);
    let account = cluster.token_kubeconfig(ns, "drainer", hour, &rules);
    let ran = kit::run(place.command(&account, &[])).expect(1);
    ran.says("cannot list resource \"pods\" in API group \"\" at the cluster scope");
    ran.says_line(
        "hint: a node can be emptied by who may list its pods in all namespaces: kubectl auth can-i list pods -A",
    );
    place.assert_untouched();
}
