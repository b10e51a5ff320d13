//! Surges whose run was killed.

use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::scene::text;

use super::kit::*;

/// Killed after each of the requests that change something, the second run ends the work.
#[test]
fn surge_goes_on_after_a_kill_at_any_step() {
    for (step, verb, resource, subresource, times) in [
        ("record", "patch", "deployments", "", 1),
        ("mark", "patch", "pods", "", 1),
        ("scale", "update", "deployments", "scale", 1),
        ("back", "patch", "deployments", "", 2),
        ("down", "update", "deployments", "scale", 2),
    ] {
        let stage = Stage::new(&format!("surge-kill-{step}"), 1, |s| s.ready_after("1s").stops_in("3s"));
        let live = stage.place.start(&["--surge"]);
        wait_for("the step", DEFAULT_TIMEOUT, || {
            let asked = stage.place.asked().into_iter();
            let done = asked.filter(|r| {
                (r.verb.as_str(), r.resource.as_str(), r.subresource.as_str()) == (verb, resource, subresource)
                    && r.code < 300
            });
            (done.count() >= times).then_some(())
        });
        live.signal("KILL");
        drop(live.finish());
        let ran = stage.place.evacuate(&["--surge"]).expect(0);
        stage.moved(&ran);
    }
}

#[test]
fn surge_that_was_cut_off_is_not_taken_for_a_budget_that_has_opened() {
    let stage = Stage::new("surge-cut", 1, |s| s);
    let live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 2);
    live.signal("KILL");
    drop(live.finish());
    let refused = stage.place.evacuate(&[]).expect(3);
    assert!(
        refused
            .stderr
            .contains("a surge of deployment.apps surge-cut/web was begun and not ended"),
        "{}",
        refused.text()
    );
    let ran = stage.place.evacuate(&["--surge"]).expect(0);
    stage.moved(&ran);
}

#[test]
fn surge_that_was_cut_off_is_undone_on_the_way_back() {
    let stage = Stage::new("surge-back", 2, |s| s);
    let live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 4);
    live.signal("KILL");
    drop(live.finish());
    let shown = stage.place.evacuate(&["--uncordon", "--dry-run=client"]).expect(0);
    shown.says_line("deployment.apps surge-back/web: its surge would be undone (dry run)");
    assert_eq!(replicas_of(&stage.place.ns), 4);
    let ran = stage.place.evacuate(&["--uncordon", "-o", "json"]).expect(0);
    ran.says_line("deployment.apps surge-back/web: its surge is undone");
    let undone = &ran.json()["surges"][0];
    assert_eq!(
        (&undone["deployment"]["name"], &undone["undone"]),
        (&"web".into(), &true.into())
    );
    assert!(!stage.place.is_cordoned());
    stage.undone(&ran);
}

/// Killed while it is undone, the marks are on the new pods; a run without `--surge` keeps its hands off all the same.
#[test]
fn surge_that_was_cut_off_while_it_was_undone() {
    let stage = Stage::new("surge-twice", 1, |s| s.ready_after("30s"));
    let mut live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 2);
    live.wait_for("waiting for 1 pod elsewhere to be Ready, 0 now");
    live.signal("INT");
    wait_for("the surge is being undone", DEFAULT_TIMEOUT, || {
        let record = text(&web(&stage.place.ns)["metadata"]["annotations"][RECORD]);
        record.contains("\"stage\":\"undo\"").then_some(())
    });
    live.signal("KILL");
    drop(live.finish());
    let refused = stage.place.evacuate(&[]).expect(3);
    assert!(refused.stderr.contains("was begun and not ended"), "{}", refused.text());
    let ran = stage.place.evacuate(&["--uncordon"]).expect(0);
    assert!(!stage.place.is_cordoned());
    stage.undone(&ran);
}

/// Who may not undo all of it undoes what does no harm, says what is left, and leaves the record for somebody who may.
#[test]
fn surge_that_was_cut_off_and_may_not_be_undone() {
    let stage = Stage::new("surge-may-not", 1, |s| s.ready_after("30s"));
    let live = stage.place.start(&["--surge"]);
    scaled_to(&stage.place.ns, 2);
    live.signal("KILL");
    drop(live.finish());
    let mut rules = crate::scene::rights(&[]);
    let more = [
        ("get,list,patch", "deployments.apps"),
        ("update", "deployments.apps/scale"),
        ("list", "horizontalpodautoscalers.autoscaling"),
    ];
    rules.extend(more.map(|(verbs, resource)| testsupport::Rule::allow(verbs, resource)));
    let user = stage.place.cluster().user_kubeconfig("surge-may-not", &rules);
    let ran = crate::kit::run(stage.place.command(&user, &["--uncordon", "-o", "json"])).expect(1);
    let said = ran.json();
    assert_eq!(
        (&said["exitCode"], &said["nodes"]),
        (&serde_json::json!(1), &serde_json::json!([]))
    );
    assert_eq!(said["surges"][0]["undone"], false, "{said}");
    assert!(
        ran.stderr
            .contains("it is not allowed to remove annotations of its pods: pods "),
        "{}",
        ran.text()
    );
    assert_eq!(
        replicas_of(&stage.place.ns),
        2,
        "it is not scaled back while an old pod is marked"
    );
    assert!(stage.place.is_cordoned(), "{}", ran.text());
    let ran = stage.place.evacuate(&["--uncordon"]).expect(0);
    stage.undone(&ran);
}
