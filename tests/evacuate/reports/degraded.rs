//! Nodes that cannot be annotated, locks and records that others forge.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, Live, Ns, Shape, wait_for};

use crate::{
    fence::kit::Dead,
    kit::{self, Ran},
    place::Place,
    scene::{self, LEASE, LOCKS, is_cordoned, is_locked, lift, lock, policy, rights, text},
    surge::kit::{RECORD, Stage},
};

/// What all annotations of an object may have together (`TotalAnnotationSizeLimitB`).
const LIMIT: usize = 256 * 1024;
const PLAIN: &str = "is cordoned without annotations, because the server refuses them: ";

fn node(cluster: &Cluster, name: &str) -> Value {
    cluster.get("v1/Node", "", name).expect("the node exists")
}

fn annotate(cluster: &Cluster, node: &str, annotations: &Value) {
    cluster.patch("v1/Node", "", node, json!({"metadata": {"annotations": annotations}}));
}

/// Fills the annotations of a node up to a few bytes.
fn fill(cluster: &Cluster, name: &str) {
    let there = node(cluster, name)["metadata"]["annotations"].clone();
    let there = there.as_object().into_iter().flatten();
    let used: usize = there.map(|(key, value)| key.len() + text(value).len()).sum();
    let key = "example.com/full";
    let room = LIMIT - used - key.len() - 40;
    annotate(cluster, name, &json!({ key: "x".repeat(room) }));
}

/// A policy under which the annotations of a node stay as they are.
fn frozen(cluster: &Cluster, id: &str, node: &str) {
    let concerns = format!("request.name == '{node}'");
    let same = "(has(object.metadata.annotations) ? object.metadata.annotations : {}) == \
                (has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {})";
    policy(cluster, id, "UPDATE", "nodes", &concerns, same);
    wait_for("the policy", DEFAULT_TIMEOUT, || {
        let patch = json!({"metadata": {"annotations": {"example.com/tried": id}}}).to_string();
        let tried = kubectl(
            cluster,
            cluster.kubeconfig(),
            &["patch", "node", node, "--dry-run=server", "-p", &patch],
        );
        (!tried.0).then_some(())
    });
}

/// Whether kubectl succeeds, and what it says.
fn kubectl(cluster: &Cluster, kubeconfig: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(cluster.kubectl());
    command
        .env_clear()
        .envs(cluster.env())
        .env("KUBECONFIG", kubeconfig)
        .args(args);
    let done = command.output().expect("kubectl runs");
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn warnings<'a>(ran: &'a Ran, about: &str) -> Vec<&'a str> {
    ran.stderr.lines().filter(|line| line.contains(about)).collect()
}

/// A pod that takes a while to stop, so that there is time to look at the run.
fn slow(place: &Place) {
    let shape = Shape::new().prefers(&place.node).stops_in("4s").grace(30);
    place.ns.deployment("slow", 1, &shape);
    scene::wait_all_on(&place.ns, &place.node, 1);
}

#[test]
fn r05_a_node_whose_annotations_are_at_their_limit() {
    let place = Place::new("r05-full");
    let cluster = place.cluster();
    slow(&place);
    fill(cluster, &place.node);
    // The dry run sends what the run will send.
    let shown = place.evacuate(&["--dry-run=server"]).expect(0);
    assert_eq!(warnings(&shown, PLAIN).len(), 1, "{}", shown.text());
    assert!(shown.stderr.contains("262144"), "{}", shown.text());
    assert!(!place.is_cordoned() && lock(cluster, &place.node).is_none());

    let mut run = place.start(&[]);
    run.wait_for("evicting pod");
    assert!(place.is_cordoned() && place.cordoned_by().is_none());
    assert!(is_locked(cluster, &place.node), "the lock is a Lease");
    let second = place.evacuate(&[]).expect(3);
    assert!(second.stderr.contains(" is at work on it; "), "{}", second.text());
    let ran = run.finish().expect(0);
    assert_eq!(warnings(&ran, PLAIN).len(), 1, "{}", ran.text());
    assert!(
        ran.stderr.contains("'kubectl uncordon r05-full-a' does"),
        "{}",
        ran.text()
    );
    assert_eq!(place.ns.pods_on(&place.node), [""; 0]);
    assert!(place.is_cordoned() && !is_locked(cluster, &place.node));
}

#[test]
fn r05_a_policy_that_forbids_annotations_allows_the_cordon_and_the_way_back() {
    let place = Place::new("r05-policy");
    let cluster = place.cluster();
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    place.ns.pdb("web", json!({"minAvailable": 1}));
    scene::wait_all_on(&place.ns, &place.node, 1);
    frozen(cluster, "r05-frozen", &place.node);
    let shown = place.evacuate(&["--dry-run=server", "--on-blocked=wait"]);
    assert_eq!(warnings(&shown, PLAIN).len(), 1, "{}", shown.text());
    // What this run has cordoned it takes back, although nothing on the node says so.
    let args = ["--on-blocked=wait", "--timeout=2s", "--uncordon-on-abort"];
    let ran = place.evacuate(&args).expect(5);
    assert!(
        ran.stdout.contains("node/r05-policy-a cordoned\n") && ran.stdout.contains("node/r05-policy-a uncordoned\n"),
        "{}",
        ran.text()
    );
    assert_eq!(warnings(&ran, PLAIN).len(), 1, "{}", ran.text());
    assert!(!place.is_cordoned() && !is_locked(cluster, &place.node));
    lift(cluster, "r05-frozen");
}

/// The policy comes after the run: the node is brought back, and its annotations stay.
#[test]
fn r05_a_policy_that_forbids_to_remove_annotations_allows_the_uncordon() {
    let place = Place::new("r05-back");
    let cluster = place.cluster();
    place.evacuate(&[]).expect(0);
    frozen(cluster, "r05-kept", &place.node);
    let ran = place.evacuate(&["--uncordon"]).expect(0);
    lift(cluster, "r05-kept");
    assert!(!place.is_cordoned());
    let said = "annotations and labels of the evacuation stay, because the server refuses to change them: ";
    assert_eq!(warnings(&ran, said).len(), 1, "{}", ran.text());
}

/// A label is not needed to empty a node either; the annotations are there all the same.
#[test]
fn r05_a_policy_that_forbids_the_label() {
    const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
    let place = Place::new("r05-label");
    let cluster = place.cluster();
    let concerns = format!("request.name == '{}'", place.node);
    let without = format!("!('{LABEL}' in object.metadata.labels)");
    policy(cluster, "r05-no-label", "UPDATE", "nodes", &concerns, &without);
    wait_for("the policy", DEFAULT_TIMEOUT, || {
        let label = format!("{LABEL}=x");
        let tried = kubectl(
            cluster,
            cluster.kubeconfig(),
            &["label", "node", &place.node, &label, "--dry-run=server"],
        );
        (!tried.0).then_some(())
    });
    let ran = place.evacuate(&["--exclude-lb"]).expect(0);
    lift(cluster, "r05-no-label");
    let said = format!("Warning: node/r05-label-a: label {LABEL} is not set, because the server refuses it: ");
    assert_eq!(warnings(&ran, &said).len(), 1, "{}", ran.text());
    ran.says_nothing_of(PLAIN);
    assert!(place.cordoned_by().is_some());
    // A label that somebody sets afterwards is not this run's to remove.
    wait_for("the policy is lifted", DEFAULT_TIMEOUT, || {
        let label = format!("{LABEL}=");
        let set = kubectl(cluster, cluster.kubeconfig(), &["label", "node", &place.node, &label]);
        set.0.then_some(())
    });
    place.evacuate(&["--uncordon"]).expect(0);
    assert_eq!(node(cluster, &place.node)["metadata"]["labels"][LABEL], "");
}

#[test]
fn r05_without_the_right_to_write_leases_the_lock_is_an_annotation() {
    let place = Place::new("r05-rights");
    let cluster = place.cluster();
    slow(&place);
    let without = rights(&["create leases.coordination.k8s.io", "patch leases.coordination.k8s.io"]);
    let user = cluster.user_kubeconfig("r05-rights", &without);
    let said = "Warning: two runs at once are kept apart only by an annotation, which the node itself can write: no Lease can be \
                written in namespace kube-public (not allowed)";
    let shown = kit::run(place.command(&user, &["--dry-run=server"])).expect(0);
    shown.says_line(said);
    let mut run = Live::start(place.command(&user, &[]));
    run.wait_for("evicting pod");
    let held = &node(cluster, &place.node)["metadata"]["annotations"]["kubectl-upkeep/lock"];
    assert!(held.is_string() && lock(cluster, &place.node).is_none(), "{held}");
    // One that may write Leases keeps away from it all the same.
    let second = place.evacuate(&[]).expect(3);
    assert!(second.stderr.contains(" is at work on it; "), "{}", second.text());
    let ran = run.finish().expect(0);
    assert_eq!(warnings(&ran, "two runs at once").len(), 1, "{}", ran.text());
    assert!(!is_locked(cluster, &place.node));
    // Neither the one nor the other.
    let bare = Place::new("r05-none");
    fill(cluster, &bare.node);
    let ran = kit::run(bare.command(&user, &[])).expect(0);
    assert_eq!(
        warnings(&ran, "two runs at once are not kept apart: ").len(),
        1,
        "{}",
        ran.text()
    );
    assert_eq!(warnings(&ran, PLAIN).len(), 1, "{}", ran.text());
    assert!(bare.is_cordoned());
}

/// Nobody but a denial of the cordon itself ends the run, and then nothing has been changed.
#[test]
fn r05_a_denied_cordon_is_found_before_anything_is_changed() {
    let place = Place::new("r05-denied");
    let cluster = place.cluster();
    let concerns = format!("request.name == '{}'", place.node);
    let expression = "!(has(object.spec.unschedulable) && object.spec.unschedulable)";
    policy(cluster, "r05-no-cordon", "UPDATE", "nodes", &concerns, expression);
    wait_for("the policy", DEFAULT_TIMEOUT, || {
        (place.evacuate(&["--dry-run=server"]).code == Some(1)).then_some(())
    });
    let ran = place.evacuate(&["-o", "json"]).expect(1);
    lift(cluster, "r05-no-cordon");
    assert!(
        ran.stderr
            .contains("error: unable to drain node \"r05-denied-a\": it could not be cordoned: "),
        "{}",
        ran.text()
    );
    assert_eq!(ran.json()["outcome"], "failed", "{}", ran.text());
    place.assert_untouched();
    assert!(lock(cluster, &place.node).is_none());
}

/// The taint of a machine that is off needs no annotation either.
#[test]
fn r05_a_dead_node_whose_annotations_are_at_their_limit() {
    let dead = Dead::new("r05-dead");
    fill(dead.ns.cluster(), &dead.node);
    let live = dead.tainted(&["--powered-off"]);
    dead.collect();
    let ran = live.finish().expect(0);
    assert_eq!(
        warnings(&ran, "is tainted without an annotation").len(),
        1,
        "{}",
        ran.text()
    );
    dead.assert_lifted(&ran.text());
}

/// A claim as version 0.1.0 wrote it, and as a kubelet can write it at any time.
fn forged(run: &str) -> Value {
    let now = Timestamp::now().to_string();
    let claim = json!({
        "run": run, "user": "root", "host": "elsewhere", "pid": 1, "process": "1", "machine": "elsewhere",
        "started": now, "heartbeat": now,
    });
    json!({"kubectl-upkeep/lock": claim.to_string()})
}

#[test]
fn r48_a_kubelet_that_keeps_the_lock_fresh_does_not_forbid_the_evacuation() {
    let place = Place::new("r48");
    let cluster = place.cluster();
    slow(&place);
    let kubelet = cluster.kubelet_kubeconfig(&place.node);
    let as_kubelet = |args: &[&str]| kubectl(cluster, &kubelet, args);
    let forge = |run: &str| {
        let patch = json!({"metadata": {"annotations": forged(run)}}).to_string();
        as_kubelet(&["patch", "node", &place.node, "-p", &patch])
    };
    assert!(forge("3f3f").0, "a kubelet may annotate its own node");
    let refused = place.evacuate(&[]).expect(3);
    assert!(
        refused.stderr.contains("root on elsewhere (run 3f3f, pid 1, since "),
        "{}",
        refused.text()
    );
    assert!(refused.stderr.contains("add --take-over=3f3f"), "{}", refused.text());
    place.evacuate(&["--take-over=4f"]).expect(3);

    // From here on it writes another run each time.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let forger = scope.spawn(|| {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                count += 1;
                forge(&format!("{count}f"));
                std::thread::sleep(Duration::from_millis(100));
            }
            count
        });
        let mut run = place.start(&["--take-over=annotation"]);
        run.wait_for("evicting pod");
        // It cannot write, nor remove, the lock of that run.
        let held = lock(cluster, &place.node).expect("the lock is a Lease");
        let name = text(&held["metadata"]["name"]);
        let patch = json!({"spec": {"holderIdentity": "3f3f"}}).to_string();
        for args in [
            vec!["-n", LOCKS, "get", "lease", &name],
            vec!["-n", LOCKS, "delete", "lease", &name],
            vec!["-n", LOCKS, "patch", "lease", &name, "--type=merge", "-p", &patch],
        ] {
            let (done, said) = as_kubelet(&args);
            assert!(!done && said.contains("Forbidden"), "{said}");
        }
        let ran = run.finish();
        over.store(true, Ordering::Relaxed);
        assert!(forger.join().unwrap() > 5);
        let ran = ran.expect(0);
        assert_eq!(place.ns.pods_on(&place.node), [""; 0], "{}", ran.text());
        ran.says_nothing_of("removed the claim")
            .says_nothing_of("has been taken over");
    });
    assert!(lock(cluster, &place.node).is_none());
}

/// Two runs at once, of which a person says that the first is over: it notices, and keeps its hands off.
#[test]
fn r48_a_lock_is_taken_over_from_the_run_that_is_named_and_from_no_other() {
    let place = Place::new("r48-take");
    let cluster = place.cluster();
    place.ns.pod("slow", &Shape::new().on(&place.node).never_stops());
    place.ns.wait_pods_ready(1);
    let mut first = place.start(&["--force", "--uncordon-on-abort"]);
    first.wait_for("evicting pod r48-take/slow");
    let holder = |cluster: &Cluster| text(&lock(cluster, &place.node).expect("it is locked")["spec"]["holderIdentity"]);
    let run = holder(cluster);
    let refused = place.evacuate(&["--force"]).expect(3);
    let hint = format!("add --take-over={run}");
    assert!(refused.stderr.contains(&hint), "{}", refused.text());
    for other in ["--take-over=0123456789abcdef", "--take-over=annotation"] {
        place.evacuate(&["--force", other]).expect(3);
    }
    place.evacuate(&["--force", "--take-over="]).expect(2);
    let take = format!("--take-over=0123456789abcdef,{run}");
    let mut second = place.start(&["--force", &take]);
    second.wait_for(&format!("taking over from another run (run {run}, "));
    assert_ne!(holder(cluster), run);
    // The first one learns of it with its next heartbeat.
    let ran = first.finish().expect(4);
    assert!(
        ran.stderr.contains("has been taken over by another run (run "),
        "{}",
        ran.text()
    );
    assert!(place.is_cordoned() && is_locked(cluster, &place.node));
    let at_once = kube::api::DeleteParams::default().grace_period(0);
    cluster.delete_with("v1/Pod", place.ns.name(), "slow", &at_once);
    second.finish().expect(0);
    assert!(!is_locked(cluster, &place.node));
}

/// A Lease that somebody has left, or forged, without being a run.
#[test]
fn r48_a_lease_that_is_wedged() {
    let place = Place::new("r48-wedged");
    let cluster = place.cluster();
    let uid = text(&node(cluster, &place.node)["metadata"]["uid"]);
    let renewed = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
    let name = format!("kubectl-upkeep-{}-{uid}", place.node);
    cluster.apply_value(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name, "namespace": LOCKS, "labels": {"app.kubernetes.io/managed-by": "kubectl-upkeep"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": place.node, "uid": uid}],
        },
        "spec": {"holderIdentity": "nobody;id", "acquireTime": renewed, "renewTime": renewed},
    }));
    let refused = place.evacuate(&[]).expect(3);
    assert!(
        refused.stderr.contains("another run (run nobody;id, pid 0, since ")
            && refused.stderr.contains("--take-over=RUN"),
        "{}",
        refused.text()
    );
    place.evacuate(&["--uncordon"]).expect(3);
    let ran = place.evacuate(&["--take-over=nobody;id"]).expect(0);
    assert!(ran.stderr.contains("taking over from "), "{}", ran.text());
    assert!(cluster.get(LEASE, LOCKS, &name).is_none());
    place.evacuate(&["--uncordon"]).expect(0);
}

/// What is published of a run names neither its user nor its machine.
#[test]
fn r53_a_lock_names_neither_login_nor_machine() {
    let place = Place::new("r53");
    let cluster = place.cluster();
    slow(&place);
    let mut command = place.command(cluster.kubeconfig(), &["--reason=disk"]);
    command.env("USER", "alice-login").env("LOGNAME", "alice-login");
    let mut run = Live::start(command);
    run.wait_for("evicting pod");
    let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let boot = read("/proc/sys/kernel/random/boot_id");
    let host = read("/proc/sys/kernel/hostname");
    let held = lock(cluster, &place.node).expect("it is locked");
    let ran = run.finish().expect(0);
    let events = cluster.list("v1/Event", "default", "");
    let events: Vec<Value> = events
        .into_iter()
        .filter(|e| e["involvedObject"]["name"] == *place.node && e["reportingComponent"] == "kubectl-evacuate")
        .collect();
    assert_eq!(events.len(), 1, "{}", ran.text());
    let node = node(cluster, &place.node);
    for published in [
        held,
        events[0].clone(),
        node["metadata"]["annotations"].clone(),
        node["status"]["conditions"].clone(),
    ] {
        let published = published.to_string();
        for secret in ["alice-login", &boot, &format!("{host}\"")] {
            assert!(!published.contains(secret), "{secret} in {published}");
        }
    }
}

/// Keeps an annotation of a Deployment as it is, whoever removes it, until the work is done.
fn rewritten<T>(ns: &Ns<'_>, name: &str, record: &Value, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let patch = json!({"metadata": {"annotations": {RECORD: record.to_string()}}});
    ns.patch("apps/v1/Deployment", name, patch.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                ns.patch("apps/v1/Deployment", name, patch.clone());
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn r47_a_forged_surge_does_not_keep_a_node_from_coming_back() {
    const TOLD: &str = "kubectl-upkeep/evacuation";
    let stage = Stage::new("r47-surge", 1, |s| s);
    let Stage { place, witness, .. } = stage;
    let cluster = place.cluster();
    place.evacuate(&["--surge"]).expect(0);
    drop(witness.finish());
    let told = text(&node(cluster, &place.node)["metadata"]["annotations"][TOLD]);
    let evacuation: Value = serde_json::from_str(&told).unwrap();
    let run = text(&evacuation["run"]);
    let deployment = &crate::surge::kit::web(&place.ns)["metadata"]["uid"];
    assert_eq!(evacuation["surges"], json!([deployment]), "the node tells of it");
    let forger = cluster.namespace("r47-forger");
    forger.deployment("victim", 1, &Shape::new());
    let record = |replicas: i32| json!({"run": run, "stage": "out", "replicas": replicas, "target": 2, "pods": ["u"], "nodes": [place.node]});
    // With values that make no sense; and with those of the true run, on a Deployment that it has not touched.
    for forged in [record(-1), record(1), json!("x")] {
        annotate(cluster, &place.node, &json!({TOLD: told}));
        let ran = rewritten(&forger, "victim", &forged, || place.evacuate(&["--uncordon"])).expect(0);
        assert!(!place.is_cordoned(), "{forged}\n{}", ran.text());
        assert!(ran.took < Duration::from_secs(20), "{}", ran.text());
        let said = "of deployment.apps r47-forger/victim is not the record of an evacuation of these nodes";
        assert_eq!(warnings(&ran, said).len(), 1, "{forged}\n{}", ran.text());
        let victim = forger.get("apps/v1/Deployment", "victim").unwrap();
        assert_eq!(victim["spec"]["replicas"], 1);
        // Nor does it keep the node from being emptied, with and without a surge of one's own.
        annotate(cluster, &place.node, &json!({TOLD: told}));
        rewritten(&forger, "victim", &forged, || place.evacuate(&[])).expect(0);
        rewritten(&forger, "victim", &forged, || place.evacuate(&["--surge"])).expect(0);
    }
}

#[test]
fn r47_a_forged_cordon_is_not_lifted_with_many_others() {
    let place = Place::new("r47-bulk");
    let cluster = place.cluster();
    let [quarantined] = place.ns.nodes(["q"]);
    place.evacuate(&[]).expect(0);
    kit::evacuate(cluster, &[&place.other]).expect(0);
    let run = place.cordoned_by().unwrap();
    // The node writes the name of a run that has cordoned others.
    scene::cordon(cluster, &quarantined, true);
    let kubelet = cluster.kubelet_kubeconfig(&quarantined);
    let patch = json!({"metadata": {"annotations": {"kubectl-upkeep/cordoned-by": run}}}).to_string();
    assert!(kubectl(cluster, &kubelet, &["patch", "node", &quarantined, "-p", &patch]).0);
    let all = |args: &[&str]| {
        let nodes = [place.node.as_str(), &quarantined, &place.other, "--uncordon"];
        kit::evacuate(
            cluster,
            &nodes.into_iter().chain(args.iter().copied()).collect::<Vec<_>>(),
        )
    };
    let shown = all(&["--dry-run=client"]).expect(0);
    assert!(
        shown.stderr.contains("Note: node/r47-bulk-q is asked for: ") && shown.stderr.contains("--yes answers"),
        "{}",
        shown.text()
    );
    let ran = all(&["-o", "json"]).expect(4);
    let said = format!(
        "cause: node/r47-bulk-q is asked for: annotations say that an evacuation has set its cordon (of run {run}), and this \
         machine knows of no such run of yours"
    );
    ran.says_line(&said);
    let rows = ran.json()["nodes"].as_array().unwrap().clone();
    let row = rows.iter().find(|row| row["name"] == *quarantined).unwrap();
    assert_eq!((&row["uncordoned"], &row["cordoned"]), (&json!(false), &json!(true)));
    assert!(row["reason"].is_string(), "{row}");
    let cordoned = [&place.node, &quarantined, &place.other].map(|node| is_cordoned(cluster, node));
    assert_eq!(cordoned, [false, true, false], "{}", ran.text());
    // Where nothing else is left to do, it is a refusal. A selector is bulk, too.
    cluster.patch(
        "v1/Node",
        "",
        &quarantined,
        json!({"metadata": {"labels": {"r47": "bulk"}}}),
    );
    let refused = kit::evacuate(cluster, &["-l", "r47=bulk", "--uncordon"]).expect(3);
    assert!(refused.stderr.contains("nothing was changed"), "{}", refused.text());
    assert!(is_cordoned(cluster, &quarantined));
    all(&["--yes"]).expect(0);
    assert!(!is_cordoned(cluster, &quarantined));
}

/// What another user or another machine has cordoned is asked for as well; a node that is named alone is meant.
#[test]
fn r47_a_run_of_another_machine_is_asked_for_and_one_node_is_not() {
    let place = Place::new("r47-else");
    let cluster = place.cluster();
    let nodes = [place.node.as_str(), place.other.as_str()];
    kit::evacuate(cluster, &nodes).expect(0);
    let elsewhere = tempfile::tempdir().unwrap();
    let from = |args: &[&str]| {
        let mut command = kit::command(cluster, args);
        command.env("XDG_STATE_HOME", elsewhere.path());
        kit::run(command)
    };
    from(&[nodes[0], nodes[1], "--uncordon"]).expect(3);
    from(&[nodes[0], "--uncordon"]).expect(0);
    assert!(!place.is_cordoned() && is_cordoned(cluster, &place.other));
    kit::evacuate(cluster, &[nodes[0], nodes[1], "--uncordon"]).expect(0);
    assert!(!is_cordoned(cluster, &place.other));
}

#[test]
fn r47_what_fails_on_one_node_concerns_that_node_alone() {
    let place = Place::new("r47-one");
    let cluster = place.cluster();
    let [locked] = place.ns.nodes(["l"]);
    let nodes = [place.node.as_str(), place.other.as_str(), locked.as_str()];
    kit::evacuate(cluster, &nodes).expect(0);
    let concerns = format!("request.name == '{}'", place.node);
    let expression = "has(object.spec.unschedulable) && object.spec.unschedulable";
    policy(cluster, "r47-stays", "UPDATE", "nodes", &concerns, expression);
    wait_for("the policy", DEFAULT_TIMEOUT, || {
        let patch = json!({"spec": {"unschedulable": false}}).to_string();
        let args = ["patch", "node", &place.node, "--dry-run=server", "-p", &patch];
        (!kubectl(cluster, cluster.kubeconfig(), &args).0).then_some(())
    });
    annotate(cluster, &locked, &forged("5f"));
    let back = [&nodes[..], &["--uncordon"]].concat();
    let ran = kit::evacuate(cluster, &back).expect(4);
    lift(cluster, "r47-stays");
    let cordoned = nodes.map(|node| is_cordoned(cluster, node));
    assert_eq!(cordoned, [true, false, true], "{}", ran.text());
    assert!(
        ran.stderr
            .contains("cause: node/r47-one-l: root on elsewhere (run 5f, ")
            && ran.stderr.contains("r47-stays says no"),
        "{}",
        ran.text()
    );
    wait_for("the policy is lifted", DEFAULT_TIMEOUT, || {
        let ran = kit::evacuate(cluster, &[&back[..], &["--take-over=5f"]].concat());
        (ran.code == Some(0)).then_some(())
    });
    assert_eq!(nodes.map(|node| is_cordoned(cluster, node)), [false; 3]);
}
