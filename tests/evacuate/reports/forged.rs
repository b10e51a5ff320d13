//! Records on nodes and Deployments that somebody else has written.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Ns, Shape, wait_for};

use super::degraded::{annotate, node, warnings};
use super::locks::forged;
use crate::{
    kit::{self, kubectl},
    place::Place,
    scene::{self, is_cordoned, lift, policy, text},
    surge::kit::{RECORD, Stage},
};

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
    kubectl(cluster, &kubelet, &["patch", "node", &quarantined, "-p", &patch]).expect(0);
    let all = |args: &[&str]| {
        let nodes = [place.node.as_str(), &quarantined, &place.other, "--uncordon"];
        kit::evacuate(
            cluster,
            &nodes.into_iter().chain(args.iter().copied()).collect::<Vec<_>>(),
        )
    };
    let shown = all(&["--dry-run=client"]).expect(0);
    assert!(
        shown.stderr.contains("Note: node/r47-bulk-q: annotations say ") && shown.stderr.contains("--yes answers"),
        "{}",
        shown.text()
    );
    let ran = all(&["-o", "json"]).expect(4);
    let said = format!(
        "cause: node/r47-bulk-q: annotations say that an evacuation has set its cordon (of run {run}), and this \
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
        (kubectl(cluster, cluster.kubeconfig(), &args).code != Some(0)).then_some(())
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
