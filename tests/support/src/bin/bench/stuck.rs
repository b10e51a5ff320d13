//! What holds a large namespace: `kubectl finalize --dry-run` beside what people type, and beside a loop that only lists.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use kube::{
    Client,
    api::{ListParams, ObjectList},
    core::{PartialObjectMeta, Request},
};
use serde_json::{Value, json};
use testsupport::{Cluster, Options, wait_for};

/// Kinds, objects of them, and pods that are stuck.
const KINDS: usize = 300;
const OBJECTS: usize = 20_000;
const STUCK: usize = 500;
/// As many requests at a time as the tool that is measured against it.
const AT_ONCE: usize = 16;
/// How often ours and the loop are measured.
const TIMES: usize = 15;
const NAMESPACE: &str = "big";

/// Prints a row for each.
pub fn stuck(finalize: &Path) {
    let cluster = Cluster::start(Options {
        scheduler: false,
        kwok: false,
        ..Options::default()
    });
    fill(&cluster);
    println!("| {KINDS} CRDs, {OBJECTS} objects, {STUCK} stuck | | seconds | x ours | peak MiB |");
    println!("|---|---|---|---|---|");
    let names = "kubectl api-resources --verbs=list --namespaced -o name";
    let each = format!("{names} | xargs -n1 kubectl get -n {NAMESPACE} --ignore-not-found -o name");
    let list = format!("kubectl get -n {NAMESPACE} --ignore-not-found -o name \"$({names} | paste -sd, -)\"");
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        ours.push(diagnosed(&cluster, finalize));
        floor.push(lists(&cluster));
    }
    ours.sort_by_key(|(took, _)| *took);
    floor.sort();
    let (median, peak) = ours[TIMES / 2];
    let row = |title: &str, took: Duration, peak: Option<f64>| {
        let ratio = took.as_secs_f64() / median.as_secs_f64();
        let peak = peak.map_or("-".into(), |p| format!("{p:.1}"));
        println!("| | {title} | {:.2} | {ratio:.2} | {peak} |", took.as_secs_f64());
    };
    row("kubectl finalize --dry-run", median, Some(peak));
    row("raw loop over the same lists", floor[TIMES / 2], None);
    row("kubectl get, one list", shell(&cluster, &list), None);
    row("kubectl get, one kind at a time", shell(&cluster, &each), None);
    cluster.create(json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta1.gone.example.io"}, "spec": {"group": "gone.example.io", "version": "v1beta1",
            "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": {"namespace": "kube-system", "name": "gone"}}}));
    wait_for("the API to be unavailable", Duration::from_secs(60), || {
        let service = cluster.get("apiregistration.k8s.io/v1/APIService", "", "v1beta1.gone.example.io")?;
        service["status"]["conditions"].is_array().then_some(())
    });
    let (took, peak) = diagnosed(&cluster, finalize);
    row("kubectl finalize --dry-run, with a dead API", took, Some(peak));
}

/// A namespace whose pods will not go, so that nothing else in it has been asked to go yet.
fn fill(cluster: &Cluster) {
    let ns = cluster.namespace(NAMESPACE);
    let definitions = (0..KINDS).map(|i| {
        let (plural, kind) = (format!("kind{i}s"), format!("Kind{i}"));
        let version = json!({"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.bench.example.com")}, "spec": {"group": "bench.example.com",
            "scope": "Namespaced", "versions": [version], "names": {"plural": plural, "singular": format!("kind{i}"),
            "kind": kind, "listKind": format!("{kind}List")}}})
    });
    post(
        cluster,
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        definitions,
    );
    wait_for("the definitions", Duration::from_secs(300), || {
        let all = cluster.list("apiextensions.k8s.io/v1/CustomResourceDefinition", "", "");
        let established = |d: &&Value| {
            let conditions = d["status"]["conditions"].as_array().into_iter().flatten();
            conditions
                .into_iter()
                .any(|c| c["type"] == "Established" && c["status"] == "True")
        };
        (all.iter().filter(established).count() == KINDS).then_some(())
    });
    let maps = (0..OBJECTS).map(|i| json!({"metadata": {"name": format!("o-{i}")}, "data": {"k": "v".repeat(500)}}));
    post(cluster, &format!("/api/v1/namespaces/{NAMESPACE}/configmaps"), maps);
    let pods = (0..STUCK).map(|i| {
        json!({"metadata": {"name": format!("p-{i}"), "finalizers": ["example.com/cleanup"]},
            "spec": {"containers": [{"name": "c", "image": "i"}]}})
    });
    post(cluster, &format!("/api/v1/namespaces/{NAMESPACE}/pods"), pods);
    cluster.delete("v1/Namespace", "", ns.name());
    wait_for("the pods to be deleted", Duration::from_secs(120), || {
        let pods = cluster.list("v1/Pod", NAMESPACE, "");
        let going = pods.iter().filter(|p| p["metadata"]["deletionTimestamp"].is_string());
        (going.count() == STUCK).then_some(())
    });
}

fn post(cluster: &Cluster, path: &str, objects: impl Iterator<Item = Value> + Send) {
    let client = cluster.client();
    let sent = futures::stream::iter(objects).for_each_concurrent(64, |object| {
        let client = client.clone();
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .expect("a request");
        async move {
            client.request::<Value>(request).await.expect("created");
        }
    });
    cluster.block_on(sent);
}

fn diagnosed(cluster: &Cluster, finalize: &Path) -> (Duration, f64) {
    let mut command = Command::new(finalize);
    command.args(["ns", NAMESPACE, "--dry-run"]);
    command
        .env_clear()
        .envs(cluster.env())
        .env("KUBECONFIG", cluster.kubeconfig());
    super::round::measured(command)
}

/// Every list that the diagnosis takes, and nothing else: what it takes, the server takes.
fn lists(cluster: &Cluster) -> Duration {
    let began = Instant::now();
    cluster.block_on(async {
        let client = cluster.client();
        let found = kube::discovery::Discovery::new(client.clone())
            .run_aggregated()
            .await
            .expect("discovery");
        let mut paths = Vec::new();
        for group in found.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                let namespaced = capabilities.scope == kube::discovery::Scope::Namespaced;
                if namespaced && capabilities.supports_operation("list") && capabilities.supports_operation("delete") {
                    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
                    paths.push(format!(
                        "{root}/{}/namespaces/{NAMESPACE}/{}",
                        resource.api_version, resource.plural
                    ));
                }
            }
        }
        futures::stream::iter(paths)
            .for_each_concurrent(AT_ONCE, |path| pages(client.clone(), path))
            .await;
    });
    began.elapsed()
}

async fn pages(client: Client, path: String) {
    let mut params = ListParams::default().limit(500);
    loop {
        let request = Request::new(path.clone()).list_metadata(&params).expect("a request");
        let Ok(page) = client.request::<ObjectList<PartialObjectMeta>>(request).await else {
            return;
        };
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(more) => params = params.continue_token(&more),
            None => return,
        }
    }
}

fn shell(cluster: &Cluster, line: &str) -> Duration {
    let path = cluster
        .env()
        .into_iter()
        .find(|(name, _)| *name == "PATH")
        .map(|(_, path)| path);
    let path = format!("{}:/usr/bin:/bin", path.unwrap_or_default());
    let began = Instant::now();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", line])
        .env_clear()
        .envs(cluster.env())
        .env("PATH", path);
    command.env("KUBECONFIG", cluster.kubeconfig());
    // Some kinds cannot be listed in every cluster; who types this lives with that.
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("it starts").code().is_some(), "{line} was ended");
    began.elapsed()
}
