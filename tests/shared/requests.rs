//! What really goes to the server.

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::Eviction;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use serde_json::json;
use testsupport::{Cluster, Shape};
use upkeep::error;
use upkeep::lock::{self, Claim, Identity, Verdict};

use crate::bench::{AGENT, connect, probe};

/// An eviction as the plugins ask for one.
async fn evict(pods: &Api<Pod>, name: &str, uid: &str, grace: u32) -> Result<Status, kube::Error> {
    let eviction: Eviction = serde_json::from_value(json!({
        "metadata": {"name": name},
        "deleteOptions": {"gracePeriodSeconds": grace, "preconditions": {"uid": uid}},
    }))
    .unwrap();
    pods.create_subresource("eviction", name, &PostParams::default(), &eviction)
        .await
}

fn uid_of(ns: &testsupport::Ns<'_>, pod: &str) -> String {
    ns.get("v1/Pod", pod).unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "current_thread")]
async fn a_blocked_eviction_is_sent_once() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("blocked");
    ns.nodes(["blocked-a"]);
    ns.deployment("web", 1, &Shape::new());
    let pod = ns.wait_pods_ready(1)[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    ns.pdb("web", json!({"minAvailable": 1}));
    ns.wait_pdb_allows("web", 0);
    let connection = connect().await;
    let pods = Api::<Pod>::namespaced(connection.client.clone(), ns.name());
    let mark = cluster.audit().mark();
    let started = std::time::Instant::now();
    let refused = evict(&pods, &pod, &uid_of(&ns, &pod), 0).await.unwrap_err();
    assert!(
        started.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    let status = error::status(&refused).unwrap();
    assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
    assert!(!error::is_transient(&refused), "a budget is an answer");
    assert_eq!(
        connection.explain(&refused).headline(),
        "Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget."
    );
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let evictions = cluster
        .audit()
        .since(mark, AGENT)
        .into_iter()
        .filter(|r| r.subresource == "eviction" && r.namespace == ns.name());
    assert_eq!(evictions.count(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn grace_and_preconditions_of_an_eviction_reach_the_server() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("preconditions");
    ns.nodes(["preconditions-a"]);
    ns.pod("stays", &Shape::new().never_stops().grace(600));
    ns.wait_pods_ready(1);
    let connection = connect().await;
    let pods = Api::<Pod>::namespaced(connection.client.clone(), ns.name());
    let wrong = evict(&pods, "stays", "00000000-0000-0000-0000-000000000000", 7)
        .await
        .unwrap_err();
    assert!(
        matches!(&wrong, kube::Error::Api(status) if status.is_conflict()),
        "{wrong}"
    );
    assert!(ns.get("v1/Pod", "stays").unwrap()["metadata"]["deletionTimestamp"].is_null());
    evict(&pods, "stays", &uid_of(&ns, "stays"), 7).await.unwrap();
    assert_eq!(
        ns.get("v1/Pod", "stays").unwrap()["metadata"]["deletionGracePeriodSeconds"],
        7
    );
    let now = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid_of(&ns, "stays")),
            ..Preconditions::default()
        }),
        ..DeleteParams::default().grace_period(0)
    };
    pods.delete("stays", &now).await.unwrap();
}

#[test]
fn a_warning_of_the_server_is_shown_once() {
    let ran = probe(&["--deprecated", "-n", "default"]);
    assert_eq!(
        ran.stderr,
        "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n"
    );
    assert_eq!(ran.code, 0);
}

#[test]
fn the_user_agent_names_the_plugin() {
    let audit = Cluster::shared().audit();
    let mark = audit.mark();
    assert_eq!(probe(&["--as", "someone-else"]).code, 1);
    let requests = audit.since(mark, "kubectl-probe");
    let [request] = requests.iter().filter(|r| r.code == 403).collect::<Vec<_>>()[..] else {
        panic!("{requests:?}")
    };
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        request.user_agent,
        format!("kubectl-probe/v{version} ({}/{})", go_os(), go_arch())
    );
}

fn go_os() -> &'static str {
    if cfg!(target_os = "macos") {
        "darwin"
    } else {
        std::env::consts::OS
    }
}

fn go_arch() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

#[test]
fn requests_are_shown_at_level_six_without_secrets() {
    let quiet = probe(&["-v", "5"]);
    assert_eq!(quiet.stderr, "");
    let loud = probe(&["-v=6", "--token", "s3cret"]);
    assert!(
        loud.stderr.contains("GET https://127.0.0.1:") && loud.stderr.contains("/api/v1/nodes"),
        "{loud:?}"
    );
    let all = probe(&["--v=10", "--token", "s3cret"]);
    assert!(!all.stderr.contains("s3cret"), "{all:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_dead_api_group_is_no_obstacle() {
    let cluster = Cluster::shared();
    cluster.apply_value(json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.dead.example.com"},
        "spec": {
            "group": "dead.example.com", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "nobody"},
        },
    }));
    let api = Api::<Node>::all(connect().await.client);
    let listed = api.list(&ListParams::default()).await;
    cluster.delete("apiregistration.k8s.io/v1/APIService", "", "v1.dead.example.com");
    assert!(listed.is_ok());
}

#[tokio::test(flavor = "current_thread")]
async fn of_two_runs_one_gets_the_claim_and_the_loser_notices() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("claims");
    let [node] = ns.nodes(["claims-a"]);
    let api = Api::<Node>::all(connect().await.client);
    let now = jiff::Timestamp::now();
    let (one, two) = (Identity::current(), Identity::current());
    let (mine, theirs) = (Claim::new(&one, now), Claim::new(&two, now));
    let params = PatchParams::default();
    // Controllers may still be writing to a node that has just been made.
    let version = loop {
        let version = api.get(&node).await.unwrap().metadata.resource_version.unwrap();
        let patch = Patch::Merge(lock::claim_patch(&version, &mine));
        match api.patch(&node, &params, &patch).await {
            Ok(_) => break version,
            Err(error) => assert!(
                matches!(&error, kube::Error::Api(status) if status.is_conflict()),
                "{error}"
            ),
        }
    };
    let late = api
        .patch(&node, &params, &Patch::Merge(lock::claim_patch(&version, &theirs)))
        .await
        .unwrap_err();
    assert!(
        matches!(&late, kube::Error::Api(status) if status.is_conflict()),
        "{late}"
    );
    let value = api.get(&node).await.unwrap().metadata.annotations.unwrap()[lock::LOCK].clone();
    assert_eq!(lock::verdict(Some(&value), now, &one), Verdict::Mine);
    assert!(matches!(lock::verdict(Some(&value), now, &two), Verdict::Fresh { .. }));

    let json = |value| Patch::<()>::Json(serde_json::from_value(value).unwrap());
    let alive = mine.renewed(jiff::Timestamp::now());
    api.patch(&node, &params, &json(lock::heartbeat_patch(&mine, &alive)))
        .await
        .unwrap();
    // The old value is no longer there, as after a takeover.
    let lost = api
        .patch(&node, &params, &json(lock::heartbeat_patch(&mine, &alive)))
        .await
        .unwrap_err();
    assert!(
        matches!(&lost, kube::Error::Api(status) if status.is_invalid()),
        "{lost}"
    );
    api.patch(&node, &params, &json(lock::release_patch(&alive)))
        .await
        .unwrap();
    let left = api.get(&node).await.unwrap().metadata.annotations.unwrap_or_default();
    assert!(!left.contains_key(lock::LOCK));
}
