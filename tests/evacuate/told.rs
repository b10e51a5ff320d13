//! What others can see on a node, and the way back (`--reason`, `--exclude-lb`, `--uncordon`).

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Shape, condition, wait_for};

use crate::{
    kit::{self, Ran},
    place::Place,
    scene::{self, cordon, is_cordoned, is_locked, rights},
};

const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

fn node(place: &Place, name: &str) -> Value {
    place.cluster().get("v1/Node", "", name).expect("the node exists")
}

fn evacuation(node: &Value) -> Option<Value> {
    let text = node["metadata"]["annotations"]["kubectl-upkeep/evacuation"].as_str()?;
    Some(serde_json::from_str(text).unwrap())
}

/// Reason and message of the Events about a node that this program has made.
fn events(place: &Place, name: &str) -> Vec<(String, String)> {
    let all = place.cluster().list("v1/Event", "default", "");
    let ours = all
        .iter()
        .filter(|e| e["involvedObject"]["name"] == name && e["reportingComponent"] == "kubectl-evacuate");
    ours.map(|e| (scene::text(&e["reason"]), scene::text(&e["message"])))
        .collect()
}

fn bring_back(place: &Place, args: &[&str]) -> Ran {
    let args: Vec<&str> = args.iter().copied().chain(["--uncordon"]).collect();
    place.evacuate(&args)
}

#[test]
fn others_are_told_and_the_way_back_removes_all_of_it() {
    let place = Place::new("told");
    place
        .ns
        .deployment("web", 1, &Shape::new().prefers(&place.node).stops_in("3s"));
    place.ns.wait_pods_ready(1);
    let before = node(&place, &place.node);
    let mut live = place.start(&["--reason", " disk swap ", "--exclude-lb"]);
    let during = wait_for("the condition", DEFAULT_TIMEOUT, || {
        let node = node(&place, &place.node);
        (condition(&node, "DrainInProgress") == Some("True")).then_some(node)
    });
    assert_eq!(condition(&during, "Drained"), Some("False"));
    assert_eq!(condition(&during, "Ready"), Some("True"));
    assert_eq!(during["metadata"]["labels"][LABEL], "");
    let said = evacuation(&during).unwrap();
    assert_eq!(
        (&said["reason"], &said["excludedLb"]),
        (&json!("disk swap"), &json!(true))
    );
    // r53: nothing of the person or the machine.
    let fields: Vec<&String> = said.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["excludedLb", "reason", "run", "since"], "{said}");
    assert!(live.is_running(), "{}", live.said());
    // While the run is at work, nobody takes the node away from it.
    let refused = bring_back(&place, &[]).expect(3);
    assert!(refused.stderr.contains("nothing was changed") && refused.stderr.contains("is at work on it"));
    live.finish().expect(0);

    let after = node(&place, &place.node);
    assert_eq!(condition(&after, "DrainInProgress"), Some("False"));
    assert_eq!(condition(&after, "Drained"), Some("True"));
    let events = events(&place, &place.node);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].0, "Evacuated");
    assert!(
        events[0].1.starts_with("1 pod gone (run ") && events[0].1.ends_with(": disk swap)"),
        "{events:?}"
    );

    let shown = bring_back(&place, &["--dry-run=client"]).expect(0);
    assert_eq!(shown.stdout, "node/told-a uncordoned (dry run)\n");
    let asked = bring_back(&place, &["--dry-run=server"]).expect(0);
    assert_eq!(asked.stdout, "node/told-a uncordoned (server dry run)\n");
    assert!(is_cordoned(place.cluster(), &place.node), "a dry run changes nothing");

    let ran = bring_back(&place, &[]).expect(0);
    assert_run!(ran, @r"
    node/told-a uncordoned
    --- stderr
    node/told-a: removed label node.kubernetes.io/exclude-from-external-load-balancers; conditions DrainInProgress, Drained
    --- exit Some(0)
    ");
    let back = node(&place, &place.node);
    for part in ["labels", "annotations"] {
        assert_eq!(back["metadata"][part], before["metadata"][part], "{part}");
    }
    assert!(!is_cordoned(place.cluster(), &place.node) && !is_locked(place.cluster(), &place.node));
    assert_eq!(
        (condition(&back, "DrainInProgress"), condition(&back, "Drained")),
        (None, None)
    );
    assert_eq!(condition(&back, "Ready"), Some("True"));
    let again = bring_back(&place, &[]).expect(0);
    assert_eq!(
        (again.stdout.as_str(), again.stderr.as_str()),
        ("node/told-a already uncordoned\n", "")
    );
}

#[test]
fn what_somebody_else_did_stays() {
    let place = Place::new("told-else");
    let cluster = place.cluster();
    let label = json!({"metadata": {"labels": {LABEL: "theirs"}}});
    cluster.patch("v1/Node", "", &place.node, label);
    cordon(cluster, &place.node, true);
    place.evacuate(&["--exclude-lb"]).expect(0);
    let ran = bring_back(&place, &["-o", "json"]).expect(4);
    let said = &ran.json()["nodes"][0];
    assert_eq!((&said["uncordoned"], &said["cordoned"]), (&json!(false), &json!(true)));
    assert!(ran.stderr.contains("stays cordoned"), "{}", ran.text());
    let node = node(&place, &place.node);
    assert_eq!(node["metadata"]["labels"][LABEL], "theirs");
    assert_eq!(evacuation(&node), None);
    assert!(is_cordoned(cluster, &place.node));
}

#[test]
fn a_second_run_keeps_what_the_first_has_to_take_back() {
    let place = Place::new("told-twice");
    place.evacuate(&["--exclude-lb", "--reason=first"]).expect(0);
    place.evacuate(&["--reason=second"]).expect(0);
    let between = node(&place, &place.node);
    let said = evacuation(&between).unwrap();
    assert_eq!((&said["reason"], &said["excludedLb"]), (&json!("second"), &json!(true)));
    // One that has none of its own keeps that of the one before, and its time.
    place.evacuate(&[]).expect(0);
    let left = node(&place, &place.node);
    let third = evacuation(&left).unwrap();
    assert_eq!((&third["reason"], &third["since"]), (&said["reason"], &said["since"]));
    let all = left["status"]["conditions"].as_array().unwrap().iter();
    let drained: Vec<&Value> = all.filter(|c| c["type"] == "Drained").collect();
    assert!(
        scene::text(&drained[0]["message"]).ends_with(": second)"),
        "{drained:?}"
    );
    let mut events = events(&place, &place.node);
    events.retain(|(_, message)| message.ends_with(": second)"));
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(
        bring_back(&place, &[]).expect(0).stdout,
        "node/told-twice-a uncordoned\n"
    );
    assert_eq!(node(&place, &place.node)["metadata"]["labels"].get(LABEL), None);
}

#[test]
fn a_run_that_stops_says_so() {
    let place = Place::new("told-stop");
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    place.ns.pdb("web", json!({"minAvailable": 1}));
    place.ns.wait_pods_ready(1);
    place.evacuate(&["--on-blocked=wait", "--timeout=2s"]).expect(5);
    let stopped = node(&place, &place.node);
    assert_eq!(condition(&stopped, "DrainInProgress"), Some("False"));
    assert_eq!(condition(&stopped, "Drained"), Some("False"));
    let events = events(&place, &place.node);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].0, "EvacuationStopped");
    assert!(
        events[0].1.starts_with("0 pods gone; the time of --timeout was up ("),
        "{events:?}"
    );
    // With the cordon all of it is taken back.
    place
        .evacuate(&[
            "--on-blocked=wait",
            "--timeout=2s",
            "--uncordon-on-abort",
            "--exclude-lb",
        ])
        .expect(5);
    let stays = node(&place, &place.node);
    assert!(
        is_cordoned(place.cluster(), &place.node),
        "it was cordoned before that run"
    );
    assert!(evacuation(&stays).is_some());
    bring_back(&place, &[]).expect(0);
    place
        .evacuate(&[
            "--on-blocked=wait",
            "--timeout=2s",
            "--uncordon-on-abort",
            "--exclude-lb",
        ])
        .expect(5);
    let back = node(&place, &place.node);
    assert_eq!((evacuation(&back), back["metadata"]["labels"].get(LABEL)), (None, None));
    assert_eq!(condition(&back, "DrainInProgress"), None);
}

#[test]
fn missing_rights_to_tell_are_named_once() {
    let place = Place::new("told-rights");
    for name in ["one", "two"] {
        place.ns.pod(name, &Shape::new().on(&place.node));
    }
    place.ns.wait_pods_ready(2);
    let without = rights(&["patch nodes/status", "create events"]);
    let config = place.cluster().user_kubeconfig("told-rights", &without);
    let ran = kit::run(place.command(&config, &["--force"])).expect(0);
    let warnings: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|l| l.contains("are not set") || l.contains("are made"))
        .collect();
    assert_eq!(
        warnings,
        [
            "Warning: the conditions DrainInProgress and Drained of nodes are not set: not allowed",
            "Warning: no Events are made: not allowed"
        ]
    );
    let back = kit::run(place.command(&config, &["--uncordon"])).expect(0);
    assert_eq!(back.stdout, "node/told-rights-a uncordoned\n");
}

/// A claim that looks stale may be one of a machine whose clock is wrong.
#[test]
fn claim_that_is_renewed_meanwhile_is_not_taken_back() {
    let place = Place::new("told-stale");
    let claim = |heartbeat: &str| {
        let claim = json!({
            "run": "0", "user": "eve", "host": "h", "pid": 1, "process": "1", "machine": "elsewhere",
            "started": "2020-01-01T00:00:00Z", "heartbeat": heartbeat,
        });
        let annotations = json!({"kubectl-upkeep/lock": claim.to_string()});
        let patch = json!({"metadata": {"annotations": annotations}});
        place.cluster().patch("v1/Node", "", &place.node, patch);
    };
    claim("2020-01-01T00:00:00Z");
    let mut live = place.start(&["--uncordon"]);
    live.wait_for("to see whether that run is alive");
    claim("2020-01-01T00:00:05Z");
    let refused = live.finish().expect(3);
    assert!(refused.stderr.contains("nothing was changed"), "{}", refused.text());
    assert!(is_locked(place.cluster(), &place.node));
    // Nobody renews it: it is gone with the rest.
    let mut late = place.start(&["--uncordon", "--timeout=2s"]);
    late.wait_for("to see whether that run is alive");
    let late = late.finish().expect(5);
    late.says_line(
        "error: the time of --timeout was up before every node had been brought back; run it again to go on",
    );
    place.evacuate(&["--uncordon"]).expect(0);
    assert!(!is_locked(place.cluster(), &place.node));
}

#[test]
fn bad_ways_back() {
    let place = Place::new("told-bad");
    let none = kit::evacuate(place.cluster(), &["nowhere", "--uncordon"]).expect(1);
    assert_eq!(
        none.stderr,
        "Error from server (NotFound): nodes \"nowhere\" not found\n"
    );
    let long = "x".repeat(513);
    for reason in ["", "  ", &long] {
        let ran = place.evacuate(&["--reason", reason]).expect(2);
        assert!(ran.stderr.contains("--reason"), "{}", ran.text());
    }
    for other in ["--reason=x", "--surge", "--force", "--grace-period=3"] {
        let both = place.evacuate(&["--uncordon", other]).expect(2);
        assert!(both.stderr.contains("cannot be used with"), "{}", both.text());
    }
    let both = place.evacuate(&["--surge", "force"]).expect(2);
    assert!(both.stderr.contains("--surge=force"), "{}", both.text());
    let nobody = place.cluster().user_kubeconfig("told-bad", &rights(&["patch nodes"]));
    place.evacuate(&[]).expect(0);
    let ran = kit::run(place.command(&nobody, &["--uncordon"])).expect(1);
    assert!(ran.stderr.contains("cannot patch resource \"nodes\""), "{}", ran.text());
    assert!(is_cordoned(place.cluster(), &place.node));
}
