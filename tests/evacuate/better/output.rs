//! What is printed: previews, documents, names.

use serde_json::{Value, json};
use testsupport::{Cluster, Shape, wait_for};

use crate::{
    kit::evacuate,
    scene::{evictions, filters, is_cordoned, lift, policy, writes},
};

#[test]
fn b11_a_server_dry_run_counts_what_the_budget_allows() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b11");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 3, &Shape::new().prefers(&a));
    ns.pdb("web", json!({"maxUnavailable": 1}));
    ns.wait_pods_ready(3);
    ns.wait_pdb_allows("web", 1);
    let mark = cluster.audit().mark();
    let ran = evacuate(cluster, &[&a, "--dry-run=server"]).expect(0);
    insta::with_settings!({filters => filters()}, { insta::assert_snapshot!(ran.text(), @r#"
        node/b11-a cordoned (server dry run)
        evicting pod b11/web-0 (server dry run)
        evicting pod b11/web-1 (server dry run)
        evicting pod b11/web-2 (server dry run)
        node/b11-a drained (server dry run)
        --- stderr
        node/b11-a: 3 pods leave, 0 stay
        NAMESPACE   POD     ACTION        BUDGET   GRACE   ROOM
        b11         web-0   evict         web      30s     fits on 1 node
        b11         web-1   evict later   web      30s     fits on 1 node
        b11         web-2   evict later   web      30s     fits on 1 node
        budget/b11/web: maxUnavailable 1, allows 1 now, needs 2 healthy pods and has 3; 3 pods of this plan need its consent
        Note: budget b11/web (maxUnavailable 1) allows 1 now and the rest of these 3 pods later, in at least 3 rounds: b11/web-0, b11/web-1, b11/web-2
        Note: the run can take longer than 30s, the longest grace period of a pod, because budgets allow only some evictions at a time: b11/web-0
        Note: the server would evict each of these pods alone; their budgets allow 1 now, 2 later
        --- exit Some(0)
        "#); });
    assert_eq!(writes(&ns, mark), [""; 0]);
    let asked = crate::scene::asked(&ns, mark);
    assert_eq!(
        asked
            .iter()
            .filter(|r| r.subresource == "eviction" && r.is_dry_run())
            .count(),
        3
    );
    assert!(!is_cordoned(cluster, &a));
}

#[test]
fn b11_a_blocked_budget_does_not_make_a_dry_run_loop() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b11b");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 2, &Shape::new().prefers(&a));
    ns.pdb("web", json!({"minAvailable": 2}));
    ns.wait_pods_ready(2);
    ns.wait_pdb_allows("web", 0);
    let mark = cluster.audit().mark();
    evacuate(cluster, &[&a, "--dry-run=server"]).expect(3);
    let ran = evacuate(cluster, &[&a, "--dry-run=server", "--on-blocked=wait"]).expect(0);
    ran.says_line(
        "Warning: the server would not evict now: The disruption budget web needs 2 healthy pods and has 2 currently \
         (b11b/web-0, b11b/web-1)",
    );
    let asked = crate::scene::asked(&ns, mark);
    assert_eq!(
        asked.iter().filter(|r| r.subresource == "eviction").count(),
        2,
        "each is asked once"
    );
    assert_eq!((writes(&ns, mark), evictions(&ns, mark).len()), (vec![], 0));
}

#[test]
fn b25_one_document_for_programs() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b25");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.replicaset("web", 1, &Shape::new().prefers(&a).stops_in("1s"));
    ns.pdb("web", json!({"maxUnavailable": 1}));
    ns.daemonset("agent", &Shape::new());
    ns.wait_pods_ready(3);
    let before = ns.pods();
    let find = |prefix: &str, node: &str| {
        let found = before.iter().find(|p| {
            p["spec"]["nodeName"] == node && p["metadata"]["name"].as_str().is_some_and(|n| n.starts_with(prefix))
        });
        found.unwrap_or_else(|| panic!("no {prefix} on {node}"))["metadata"].clone()
    };
    let (web, agent) = (find("web-", &a), find("agent-", &a));
    let ran = evacuate(cluster, &[&a, "-o", "json", "--wait-replacements=20s"]).expect(0);
    let mut document = ran.json();
    for pointer in ["/seconds", "/nodes/0/seconds", "/moved/0/goneAfter"] {
        let seconds = document.pointer_mut(pointer).expect(pointer).take();
        assert!(
            (1.0..30.0).contains(&seconds.as_f64().unwrap()),
            "{pointer}: {}",
            ran.text()
        );
        *document.pointer_mut(pointer).unwrap() = json!(0);
    }
    let after = ns.pods();
    let successor = after.iter().find(|p| {
        p["metadata"]["name"].as_str().is_some_and(|n| n.starts_with("web-")) && p["metadata"]["uid"] != web["uid"]
    });
    let budget = ns.get("policy/v1/PodDisruptionBudget", "web").unwrap();
    let pod = |meta: &Value, more: Value| {
        let mut pod = json!({"kind": "pod", "namespace": "b25", "name": meta["name"], "uid": meta["uid"]});
        testsupport::merge(&mut pod, more);
        pod
    };
    let expected = json!({
        "kind": "Evacuation",
        "version": 1,
        "dryRun": "none",
        "outcome": "done",
        "exitCode": 0,
        "seconds": 0,
        "nodes": [{
            "name": "b25-a", "state": "Drained", "cordoned": true, "cordonedByThisRun": true, "gone": 1, "left": 0,
            "seconds": 0,
        }],
        "moved": [pod(&web, json!({
            "from": "b25-a", "by": "evict", "goneAfter": 0,  "goneAfter": 0, "owner": "ReplicaSet/web",
            "successor": {"name": successor.unwrap()["metadata"]["name"], "node": b, "ready": true},
        }))],
        "remaining": [],
        "plan": {
            "pods": [
                pod(&agent, json!({"node": "b25-a", "goes": false, "reasons": ["daemonset"]})),
                pod(&web, json!({
                    "node": "b25-a", "goes": true, "when": "now", "budget": "web", "room": document["plan"]["pods"][1]["room"],
                    "reasons": [],
                })),
            ],
            "budgets": [{
                "kind": "poddisruptionbudget.policy", "namespace": "b25", "name": "web", "uid": budget["metadata"]["uid"],
                "stated": "maxUnavailable 1", "allowed": 1, "healthy": 1, "neededHealthy": 0, "podsInPlan": 1, "class": "open",
            }],
        },
        "findings": [{
            "id": "daemonset", "severity": "info", "subjects": [pod(&agent, json!({}))],
            "evidence": "ignoring DaemonSet-managed Pods",
        }],
    });
    // Others may have something to say as well.
    if let Some(findings) = document["findings"].as_array_mut() {
        findings.retain(|f| f["id"] == "daemonset");
    }
    assert_eq!(document, expected, "{}", ran.text());
}

#[test]
fn b25_yaml_says_what_json_says_and_a_refusal_is_a_document_too() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b25r");
    let [a] = ns.nodes(["a"]);
    ns.pod("bare", &Shape::new());
    ns.wait_pods_ready(1);
    let json = evacuate(cluster, &[&a, "-o", "json"]).expect(3);
    let document = json.json();
    assert_eq!(
        (
            &document["outcome"],
            &document["exitCode"],
            &document["nodes"][0]["state"],
            &document["findings"][0]["id"]
        ),
        (&json!("refused"), &json!(3), &json!("Planned"), &json!("no-controller")),
        "{}",
        json.text()
    );
    let yaml = evacuate(cluster, &[&a, "-o", "yaml"]).expect(3);
    let read: Value = serde_yaml::from_str(&yaml.stdout).unwrap();
    assert_eq!(read["plan"], document["plan"]);
    assert_eq!((yaml.stderr, read["kind"].as_str()), (json.stderr, Some("Evacuation")));

    let preview = evacuate(cluster, &[&a, "-o", "json", "--dry-run=client", "--force"])
        .expect(0)
        .json();
    assert_eq!(
        (
            &preview["dryRun"],
            &preview["outcome"],
            &preview["plan"]["pods"][0]["goes"]
        ),
        (&json!("client"), &json!("preview"), &json!(true))
    );
    let name = evacuate(cluster, &[&a, "-o", "name", "--force"]).expect(0);
    assert_eq!(name.stdout, "node/b25r-a\n");
}

/// A policy whose message moves the cursor, reverses text and hides letters.
#[test]
fn r50_hidden_characters_are_escaped_in_every_form() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("r50");
    let [a, _b] = ns.nodes(["a", "b"]);
    policy(
        cluster,
        "r50",
        "UPDATE",
        "nodes",
        &format!("object.metadata.name == '{a}'"),
        "!object.spec.?unschedulable.orValue(false)",
    );
    let message = "no\u{9b}2J\u{202e}\u{200b}\u{61c}\u{e0041}\u{ad}";
    let kind = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy";
    let mut made = cluster.get(kind, "", "r50").unwrap();
    made["spec"]["validations"][0]["message"] = json!(message);
    cluster.patch(
        kind,
        "",
        "r50",
        json!({"spec": {"validations": made["spec"]["validations"]}}),
    );
    wait_for("the policy", testsupport::DEFAULT_TIMEOUT, || {
        let ran = crate::kit::run(crate::kit::command(cluster, &[&a, "-o", "json", "--dry-run=server"]));
        (ran.code == Some(1)).then_some(())
    });
    let hidden = regex::Regex::new(r"[\p{Cf}\p{Zl}\p{Zp}\p{Cc}&&[^\n]]").unwrap();
    for form in ["json", "yaml", "wide", "name"] {
        let ran = evacuate(cluster, &[&a, "-o", form]).expect(1);
        assert!(
            !hidden.is_match(&ran.stdout) && !hidden.is_match(&ran.stderr),
            "{form}: {:?}",
            ran.text()
        );
        match form {
            "json" => assert!(ran.json().to_string().contains(message), "{}", ran.text()),
            "yaml" => {
                let read: Value = serde_yaml::from_str(&ran.stdout).unwrap();
                assert!(read.to_string().contains(message), "{}", ran.text());
            }
            _ => assert!(
                ran.stderr.contains(r"no\u{9b}2J\u{202e}\u{200b}\u{61c}\u{e0041}\u{ad}"),
                "{}",
                ran.text()
            ),
        }
    }
    lift(cluster, "r50");
}
