//! What is judged from the pods and from what their controllers want.
#![allow(clippy::unwrap_used)]

use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, policy::v1::PodDisruptionBudget};
use serde_json::{Value, json};

use super::*;
use crate::{
    facts::Workload,
    preflight::testkit::{self, merge},
};

/// A Ready pod of `Kind name` with the label `app: web`.
fn pod(name: &str, owner: &str, patch: Value) -> Pod {
    let mut object = json!({"metadata": {"labels": {"app": "web"}}});
    if let Some((kind, name)) = owner.split_once(' ') {
        let version = match kind {
            "Job" => "batch/v1",
            "Cluster" => "postgresql.cnpg.io/v1",
            _ => "apps/v1",
        };
        object["metadata"]["ownerReferences"] =
            json!([{"apiVersion": version, "kind": kind, "name": name, "uid": name, "controller": true}]);
    }
    merge(&mut object, patch);
    testkit::pod(name, "n1", "", object)
}

fn terminating() -> Value {
    json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}})
}

fn finished() -> Value {
    json!({"status": {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "False"}]}})
}

/// A budget over `app: web` that allows nothing.
fn budget(spec: Value, patch: Value) -> Budget {
    let mut object = json!({
        "metadata": {"namespace": "default", "name": "b", "uid": "b", "generation": 2},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 2, "disruptionsAllowed": 0},
    });
    merge(&mut object["spec"], spec);
    merge(&mut object, patch);
    serde_json::from_value::<PodDisruptionBudget>(object).unwrap().into()
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}})
}

fn stateful_set(name: &str, replicas: i32) -> Workload {
    let object = json!({"metadata": {"namespace": "default", "name": name, "uid": name},
        "spec": {"replicas": replicas, "serviceName": name, "selector": {}, "template": template()}});
    serde_json::from_value::<apps::StatefulSet>(object).unwrap().into()
}

fn deployment(name: &str, replicas: i32, patch: Value) -> Workload {
    let mut object = json!({"metadata": {"namespace": "default", "name": name, "uid": name},
        "spec": {"replicas": replicas, "selector": {}, "template": template()}});
    merge(&mut object, patch);
    serde_json::from_value::<apps::Deployment>(object).unwrap().into()
}

/// The ReplicaSet `<name>-rs` of a Deployment.
fn replica_set(of: &str, replicas: i32) -> Workload {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": of, "uid": of, "controller": true}]);
    let name = format!("{of}-rs");
    let object = json!({"metadata": {"namespace": "default", "name": name, "uid": name, "ownerReferences": owner},
        "spec": {"replicas": replicas, "selector": {}, "template": template()}});
    serde_json::from_value::<apps::ReplicaSet>(object).unwrap().into()
}

/// These, and nothing else of their kinds.
fn read(all: Vec<Workload>) -> Workloads {
    let mut workloads = Workloads::default();
    for kind in [
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "ReplicationController",
        "Job",
    ] {
        workloads.add(kind, all.iter().filter(|w| w.kind == kind).cloned().collect());
    }
    workloads
}

fn judged(budget: &Budget, pods: &[Pod], workloads: Option<&Workloads>) -> Class {
    outlook(budget, pods.iter(), 1, None, workloads).class
}

/// What is said of a budget that can recover, or nothing where it cannot.
fn shut(class: &Class) -> Option<String> {
    match class {
        Class::Shut { holders, short } => Some(held(holders, short)),
        _ => None,
    }
}

fn never_because(class: &Class) -> (String, String) {
    match class {
        Class::Never { why, cure } => (
            why.clone(),
            match cure {
                Cure::Words(words) => words.clone(),
                other => format!("{other:?}"),
            },
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn r02_a_set_that_lacks_pods_is_not_never() {
    let two = budget(json!({"minAvailable": 2}), json!({}));
    let set = read(vec![stateful_set("db", 3)]);
    let db = |i: usize, patch: Value| pod(&format!("db-{i}"), "StatefulSet db", patch);
    let stopping = [db(0, json!({})), db(1, json!({})), db(2, terminating())];
    let expected = "; StatefulSet db has 2 of 3 pods (db-2 is Terminating on n1)";
    // Where the set could not be read, its Terminating pod has a name to come back to.
    for workloads in [Some(&set), None, Some(&Workloads::default())] {
        assert_eq!(shut(&judged(&two, &stopping, workloads)).as_deref(), Some(expected));
    }
    let missing = shut(&judged(&two, &stopping[..2], Some(&set)));
    assert_eq!(
        missing.as_deref(),
        Some("; StatefulSet db has 2 of 3 pods (db-2 is missing)")
    );
    // A pod that another label takes out of the budget counts for its set all the same.
    let other = db(2, json!({"metadata": {"labels": {"app": "other"}}}));
    let class = judged(&two, &[stopping[0].clone(), stopping[1].clone(), other], Some(&set));
    assert_eq!(
        never_because(&class),
        ("minAvailable 2 needs all of its 2 pods".into(), "MorePods".into())
    );
    // Scaled to 2, the third one does not come back.
    let smaller = read(vec![stateful_set("db", 2)]);
    assert!(matches!(judged(&two, &stopping, Some(&smaller)), Class::Never { .. }));
    // Nor without its set.
    assert!(matches!(
        judged(&two, &stopping, Some(&read(Vec::new()))),
        Class::Never { .. }
    ));
}

#[test]
fn r02_a_deployment_that_lacks_pods_is_not_never() {
    let web = |i: usize| pod(&format!("web-{i}"), "ReplicaSet web-rs", json!({}));
    let pods: Vec<Pod> = (0..3).map(web).collect();
    let quota = json!({"status": {"conditions": [
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}]}});
    let case = |replicas: i32, patch: Value| read(vec![deployment("web", replicas, patch), replica_set("web", 3)]);
    let three = budget(json!({"minAvailable": 3}), json!({}));
    assert!(matches!(
        judged(&three, &pods, Some(&case(3, json!({})))),
        Class::Never { .. }
    ));
    let table = [
        (json!({}), "; Deployment web has 3 of 4 pods"),
        (
            quota,
            "; Deployment web has 3 of 4 pods; it cannot create more: exceeded quota: pods",
        ),
    ];
    for (patch, expected) in table {
        let class = judged(&three, &pods, Some(&case(4, patch)));
        assert_eq!(shut(&class).as_deref(), Some(expected));
    }
    // One that has no pod at the moment counts by its template.
    let other = read(vec![
        deployment("web", 3, json!({})),
        replica_set("web", 3),
        deployment("late", 1, json!({})),
    ]);
    assert_eq!(
        shut(&judged(&three, &pods, Some(&other))).as_deref(),
        Some("; Deployment late has 0 of 1 pods")
    );
    // A percentage counts what the controllers want; unknown ones are believed to want what the status says.
    let percent = budget(json!({"minAvailable": "75%"}), json!({"status": {"expectedPods": 4}}));
    let operated: Vec<Pod> = (0..3)
        .map(|i| pod(&format!("pg-{i}"), "Cluster pg", json!({})))
        .collect();
    assert_eq!(
        shut(&judged(&percent, &operated, Some(&read(Vec::new())))).as_deref(),
        Some("; their controller has 3 of 4 pods")
    );
}

/// The budget counts three replicas and sees one of their pods.
#[test]
fn r03_a_selector_that_leaves_pods_of_a_controller_out() {
    let set = read(vec![stateful_set("db", 3)]);
    let other = json!({"metadata": {"labels": {"app": "other"}}});
    let pods = [
        pod("db-0", "StatefulSet db", json!({})),
        pod("db-1", "StatefulSet db", other.clone()),
        pod("db-2", "StatefulSet db", other),
    ];
    let one = budget(json!({"maxUnavailable": 1}), json!({"status": {"expectedPods": 3}}));
    assert_eq!(
        never_because(&judged(&one, &pods, Some(&set))).0,
        "maxUnavailable 1 is counted from the 3 replicas of its controllers, and it selects only 1"
    );
}

#[test]
fn r03_bare_pods_are_counted_by_a_number_only() {
    let bare: Vec<Pod> = (0..3).map(|i| pod(&format!("p{i}"), "", json!({}))).collect();
    let cure = "state minAvailable as a number, which is counted without controllers";
    for spec in [
        json!({"maxUnavailable": 1}),
        json!({"maxUnavailable": "50%"}),
        json!({"minAvailable": "50%"}),
    ] {
        let seen = budget(spec, json!({"status": {"currentHealthy": 3}}));
        let (why, cured) = never_because(&judged(&seen, &bare, None));
        let expected = format!(
            "{} is counted from the replicas of controllers, and its 3 pods have none",
            seen.stated()
        );
        assert_eq!((why, cured.as_str()), (expected, cure));
    }
    let number = budget(json!({"minAvailable": 2}), json!({"status": {"disruptionsAllowed": 1}}));
    assert_eq!(judged(&number, &bare, None), Class::Open);
    // Beside pods of a controller they count as healthy ones.
    let mut mixed = bare.clone();
    mixed.push(pod("db-0", "StatefulSet db", json!({})));
    let status = json!({"status": {"disruptionsAllowed": 4, "expectedPods": 1}});
    let seen = budget(json!({"minAvailable": "100%"}), status.clone());
    assert!(matches!(judged(&seen, &mixed, None), Class::Never { .. }));
    let seen = budget(json!({"minAvailable": "90%"}), status);
    let set = read(vec![stateful_set("db", 1)]);
    assert_eq!(judged(&seen, &mixed, Some(&set)), Class::Open);
    // Those that an earlier run has asked to leave do not come back.
    let mut fewer = bare;
    fewer[0].deletion = Some(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
    let seen = budget(json!({"minAvailable": 2}), json!({}));
    let class = outlook(&seen, fewer.iter(), 1, Some(3), None).class;
    assert_eq!(never_because(&class).0, "minAvailable 2 needs all of its 2 pods");
}

fn failed(message: &str) -> Value {
    json!({"status": {"observedGeneration": 1, "conditions": [
        {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": message,
            "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

#[test]
fn r04_what_cannot_be_counted_is_named() {
    let job = |name: &str| -> Workload {
        let object = json!({"metadata": {"namespace": "default", "name": name, "uid": name}});
        serde_json::from_value::<batch::Job>(object).unwrap().into()
    };
    let workloads = read(vec![
        deployment("web", 1, json!({})),
        replica_set("web", 1),
        job("backup"),
        job("load"),
    ]);
    let web = pod("web-1", "ReplicaSet web-rs", json!({}));
    let no_jobs = "jobs.batch does not implement the scale subresource";
    let leave_out = "narrow its selector so that it leaves these pods out";
    let number = "or state minAvailable as a number";
    let table = [
        (
            vec![pod("backup-x", "Job backup", finished())],
            no_jobs,
            "backup-x of Job backup, finished",
            format!("{leave_out}, delete the finished Job backup, {number}"),
        ),
        (
            vec![pod("load-x", "Job load", json!({}))],
            no_jobs,
            "load-x of Job load",
            format!("{leave_out}, {number}"),
        ),
        (
            vec![pod("agent-1", "DaemonSet agent", json!({}))],
            "daemonsets.apps does not implement the scale subresource",
            "agent-1 of DaemonSet agent",
            format!("{leave_out}, {number}"),
        ),
        (
            vec![pod("old-1", "ReplicaSet old", json!({}))],
            "found no controllers for pod \"old-1\"",
            "old-1 of ReplicaSet old, which does not exist",
            format!("{leave_out}, {number}"),
        ),
        (
            vec![
                pod("backup-x", "Job backup", finished()),
                pod("agent-1", "DaemonSet agent", json!({})),
            ],
            no_jobs,
            "agent-1 of DaemonSet agent, backup-x of Job backup, finished",
            format!("{leave_out}, delete the finished Job backup, {number}"),
        ),
    ];
    for (others, message, who, cure) in table {
        let seen = budget(json!({"maxUnavailable": 1}), failed(message));
        let pods: Vec<Pod> = others.into_iter().chain([web.clone()]).collect();
        let (why, cured) = never_because(&judged(&seen, &pods, Some(&workloads)));
        let expected = format!("it also selects pods whose owner has no number of replicas: {who} ({message})");
        assert_eq!((why, cured), (expected, cure));
    }
    // Once its spec is another one, what was said of the old one does not count.
    let mut changed = failed(no_jobs);
    changed["metadata"] = json!({"generation": 3});
    let seen = budget(json!({"maxUnavailable": 1}), changed);
    assert_eq!(judged(&seen, std::slice::from_ref(&web), None), Class::Stale);
}

#[test]
fn r01_never_is_said_only_where_nobody_but_the_user_can_change_it() {
    let one = |patch: Value| budget(json!({"minAvailable": 1}), patch);
    let owned = |version: &str, kind: &str| {
        json!({"metadata": {"ownerReferences": [
            {"apiVersion": version, "kind": kind, "name": "pg", "uid": "pg", "controller": true}]}})
    };
    let primary = [pod("pg-1", "Cluster pg", json!({}))];
    let bare = [pod("pg-1", "", json!({}))];
    let mut above = replica_set("web", 1);
    above.owner.as_mut().unwrap().api_version = "argoproj.io/v1alpha1".into();
    let rollout = read(vec![above]);
    let table = [
        (one(json!({})), &primary, None, true),
        (one(owned("postgresql.cnpg.io/v1", "Cluster")), &bare, None, true),
        (one(owned("apps/v1", "StatefulSet")), &bare, None, false),
        (one(json!({})), &bare, None, false),
        (
            one(json!({})),
            &[pod("web-1", "ReplicaSet web-rs", json!({}))],
            Some(&rollout),
            true,
        ),
        (
            one(json!({})),
            &[pod("web-1", "ReplicaSet web-rs", json!({}))],
            None,
            false,
        ),
    ];
    for (seen, pods, workloads, managed) in table {
        let class = judged(&seen, pods, workloads);
        assert_eq!(class.word(), if managed { "managed" } else { "never" }, "{class:?}");
    }
    // With room there is nothing to change.
    let open = one(json!({"status": {"disruptionsAllowed": 1}}));
    let two = [primary[0].clone(), pod("pg-2", "Cluster pg", json!({}))];
    assert_eq!(judged(&open, &two, None), Class::Open);
}
