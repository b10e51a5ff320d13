//! R2 to R4: budgets that recover, budgets that never will, and why.

use std::path::Path;

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Ns, Shape, wait_for};

use crate::{
    kit::{self, Ran},
    place::Place,
    scene::{cordon, living},
};

/// A StatefulSet `db` of three, of which two are on the node that is emptied, under a budget that needs two.
fn database(id: &str, stops_in: &str) -> Place {
    let place = Place::new(id);
    let shape = Shape::new().prefers(&place.node).stops_in(stops_in);
    place.ns.statefulset("db", 2, &shape);
    place.ns.wait_pods_ready(2);
    cordon(place.cluster(), &place.node, true);
    place.ns.scale("apps/v1/StatefulSet", "db", 3);
    place.ns.wait_pods_ready(3);
    cordon(place.cluster(), &place.node, false);
    place.ns.pdb("db", json!({"minAvailable": 2}));
    place.ns.wait_pdb_allows("db", 1);
    assert_eq!(place.ns.pods_on(&place.node), ["db-0", "db-1"]);
    place
}

#[test]
fn r02_a_pod_of_the_set_elsewhere_is_still_terminating() {
    let place = database("r02", "4s");
    place.cluster().delete("v1/Pod", "r02", "db-2");
    place.ns.wait_pdb_allows("db", 0);
    let ran = place.evacuate(&[]).expect(0);
    ran.says_line(
        "Warning: budget r02/db (minAvailable 2) does not allow the eviction of these 2 pods now: it needs 2 healthy pods \
         and has 2; StatefulSet db has 2 of 3 pods (db-2 is Terminating on r02-b) (r02/db-0, r02/db-1)",
    );
    ran.says_line("hint: evacuate waits until it recovers");
    assert_eq!(place.ns.pods_on(&place.node), [""; 0]);
}

#[test]
fn r02_the_same_command_goes_on_after_ctrl_c() {
    let place = database("r02-again", "5s");
    let mut live = place.start(&[]);
    live.wait_for("evicting pod r02-again/db-0");
    place.wait_terminating("db-0");
    live.signal("INT");
    live.finish().expect(130).says("run again to go on");
    let ran = place.evacuate(&[]).expect(0);
    ran.says("StatefulSet db has 2 of 3 pods (db-0 is Terminating on r02-again-a)");
    ran.says_nothing_of("never").says_nothing_of("refused");
    assert_eq!(place.ns.pods_on(&place.node), [""; 0]);
}

/// A quota keeps the Deployment from having the fourth pod that it wants.
#[test]
fn r02_a_deployment_has_fewer_pods_than_it_wants() {
    let place = Place::new("r02-quota");
    place.ns.deployment("web", 3, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(3);
    place.ns.pdb("web", json!({"minAvailable": 3}));
    // All are there and healthy: then it is never.
    let refused = place.evacuate(&[]).expect(3);
    refused.says("budget r02-quota/web (minAvailable 3) can never allow the eviction of these 3 pods: minAvailable 3 needs all of its 3 pods");
    place.assert_untouched();

    place
        .ns
        .create(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "3"}}}));
    wait_for("the quota", DEFAULT_TIMEOUT, || {
        let quota = place.ns.get("v1/ResourceQuota", "few")?;
        (quota["status"]["used"]["pods"] == "3").then_some(())
    });
    place.ns.scale("apps/v1/Deployment", "web", 4);
    wait_for("the Deployment to say why", DEFAULT_TIMEOUT, || {
        let web = place.ns.get("apps/v1/Deployment", "web")?;
        testsupport::condition(&web, "ReplicaFailure").map(drop)
    });
    let shown = place.evacuate(&["--dry-run=client"]).expect(0);
    shown.says("does not allow the eviction of these 3 pods now: it needs 3 healthy pods and has 3; Deployment web has 3 of 4 pods; it cannot create more: ");
    shown.says("exceeded quota");
    let mut live = place.start(&[]);
    live.wait_for("budget r02-quota/web blocks the eviction of r02-quota/web-");
    place.cluster().delete("v1/ResourceQuota", "r02-quota", "few");
    // Its controller would try again by itself, later and later.
    for set in place.ns.list("apps/v1/ReplicaSet") {
        let name = set["metadata"]["name"].as_str().unwrap().to_owned();
        place.ns.patch(
            "apps/v1/ReplicaSet",
            &name,
            json!({"metadata": {"annotations": {"touched": "1"}}}),
        );
    }
    live.finish().expect(0);
    assert_eq!(place.ns.pods_on(&place.node), [""; 0]);
}

/// `kubectl evacuate NODE ARGS`, with a place of its own for what is saved.
fn evacuate(place: &Place, state: &Path, args: &[&str]) -> Ran {
    let mut command = place.command(place.cluster().kubeconfig(), args);
    command.env("XDG_STATE_HOME", state);
    kit::run(command)
}

/// Three pods without a controller under a budget, all on the node.
fn bare(id: &str, spec: Value) -> Place {
    let place = Place::new(id);
    for name in ["one", "two", "three"] {
        place.ns.pod(name, &Shape::new().on(&place.node).label("app", "bare"));
    }
    place.ns.wait_pods_ready(3);
    place.ns.pdb("bare", spec);
    wait_for("the budget to see its pods", DEFAULT_TIMEOUT, || {
        let budget = place.ns.get("policy/v1/PodDisruptionBudget", "bare")?;
        (budget["status"]["currentHealthy"] == 3).then_some(())
    });
    place
}

/// Files of all runs below a folder.
/// The files of backups. Which runs this user has made is kept beside them.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| !path.ends_with("nodes.jsonl"));
    let found = paths.flat_map(|path| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path.display().to_string()]
        }
    });
    found.collect()
}

#[test]
fn r03_bare_pods_that_a_budget_cannot_count() {
    for (id, spec) in [
        ("r03-max", json!({"maxUnavailable": 1})),
        ("r03-percent", json!({"minAvailable": "50%"})),
    ] {
        let place = bare(id, spec);
        let stated = if id == "r03-max" {
            "maxUnavailable 1"
        } else {
            "minAvailable 50%"
        };
        let state = tempfile::tempdir().unwrap();
        let cause = format!(
            "budget {id}/bare ({stated}) can never allow the eviction of these 3 pods: {stated} is counted from the replicas \
             of controllers, and its 3 pods have none ({id}/one, {id}/three, {id}/two)"
        );
        let hint = "hint: state minAvailable as a number, which is counted without controllers; with --on-blocked=wait the \
                    run waits for that";
        let ran = evacuate(&place, state.path(), &["--force"]).expect(3);
        ran.says_line(&format!("cause: {cause}")).says_line(hint);
        for dry in ["--dry-run=client", "--dry-run=server"] {
            let shown = evacuate(&place, state.path(), &["--force", dry]).expect(3);
            shown.says_line(&format!("Refused: {cause}")).says_line(hint);
            assert_eq!(shown.stdout, "", "{}", shown.text());
            let shown = evacuate(&place, state.path(), &["--force", dry, "-o", "json"])
                .expect(3)
                .json();
            assert_eq!(shown["exitCode"], 3);
            assert_eq!(shown["plan"]["budgets"][0]["class"], "never");
        }
        place.assert_untouched();

        // Told to wait, it waits. What is still there is not called saved, and needs no backup.
        let wait = ["--force", "--on-blocked=wait", "--timeout=3s"];
        let shown = evacuate(&place, state.path(), &[&wait[..], &["--dry-run=client"]].concat()).expect(5);
        assert_eq!(
            shown.stdout,
            format!("node/{id}-a cordoned (dry run)\n"),
            "{}",
            shown.text()
        );
        let ran = evacuate(&place, state.path(), &wait).expect(5);
        ran.says_nothing_of("saved").says_nothing_of("brings");
        assert_eq!(place.ns.pods_on(&place.node).len(), 3);
        assert_eq!(files(state.path()), Vec::<String>::new());
    }
}

/// What the refusal advises helps; and a pod that is gone is called saved.
#[test]
fn r03_a_number_is_counted_without_controllers() {
    let place = bare("r03-number", json!({"maxUnavailable": 1}));
    let state = tempfile::tempdir().unwrap();
    place.ns.patch(
        "policy/v1/PodDisruptionBudget",
        "bare",
        json!({"spec": {"maxUnavailable": null, "minAvailable": 2}}),
    );
    place.ns.wait_pdb_allows("bare", 1);
    let ran = evacuate(&place, state.path(), &["--force"]).expect(4);
    // One went, and nothing replaces it, so no other can go.
    assert_eq!(living(&place.ns).len(), 2, "{}", ran.text());
    ran.says("can never allow its eviction: minAvailable 2 needs all of its 2 pods");
    ran.says("as it was").says("brings it back");
    let saved = files(state.path());
    assert_eq!(saved.len(), 2, "one pod, restorable and raw: {saved:?}");
}

#[test]
fn r03_a_pod_that_is_still_terminating_is_not_called_saved() {
    let place = Place::new("r03-slow");
    place
        .ns
        .pod("slow", &Shape::new().on(&place.node).never_stops().grace(600));
    place.ns.wait_pods_ready(1);
    let state = tempfile::tempdir().unwrap();
    let ran = evacuate(&place, state.path(), &["--force", "--timeout=2s"]).expect(5);
    ran.says("it was asked to leave and is still there: r03-slow/slow");
    ran.says("once it has left, 'kubectl apply -f ");
    ran.says_nothing_of("as it was");
    assert_eq!(files(state.path()).len(), 2);
}

/// Waits until the disruption controller gives up counting.
fn wait_uncounted(ns: &Ns<'_>, name: &str) {
    wait_for("SyncFailed", DEFAULT_TIMEOUT, || {
        let budget = ns.get("policy/v1/PodDisruptionBudget", name)?;
        let conditions = budget["status"]["conditions"].as_array()?.clone();
        conditions.iter().any(|c| c["reason"] == "SyncFailed").then_some(())
    });
}

#[test]
fn r04_a_budget_that_also_selects_a_finished_job() {
    let place = Place::new("r04");
    let shape = Shape::new().prefers(&place.node).label("tier", "app");
    place.ns.deployment("web", 2, &shape);
    place.ns.job("backup", 1, &shape.clone().ends("Succeeded", "0s"));
    place.ns.wait_pods_ready(2);
    let pod = wait_for("the Job to finish", DEFAULT_TIMEOUT, || {
        let pods = place.ns.pods();
        let done = pods.iter().find(|p| p["status"]["phase"] == "Succeeded")?;
        Some(done["metadata"]["name"].as_str()?.to_owned())
    });
    let tier = json!({"maxUnavailable": 1, "selector": {"matchLabels": {"tier": "app"}}});
    place.ns.create(
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "tier"}, "spec": tier}),
    );
    wait_uncounted(&place.ns, "tier");
    let ran = place.evacuate(&[]).expect(3);
    ran.says(&format!(
        "budget r04/tier (maxUnavailable 1) can never allow the eviction of these 2 pods: it also selects pods whose owner \
         has no number of replicas: {pod} of Job backup, finished (jobs.batch does not implement the scale subresource)"
    ));
    ran.says_line(
        "hint: narrow its selector so that it leaves these pods out, delete the finished Job backup, or state minAvailable \
         as a number; with --on-blocked=wait the run waits for that",
    );
    ran.says_nothing_of("--surge").says_nothing_of("run more replicas");
    place.assert_untouched();

    // The cure helps, also while a run waits for it.
    let mut live = place.start(&["--on-blocked=wait"]);
    live.wait_for("node/r04-a cordoned");
    let background = kube::api::DeleteParams::background();
    place
        .cluster()
        .delete_with("batch/v1/Job", "r04", "backup", &background);
    live.finish().expect(0);
    assert_eq!(place.ns.pods_on(&place.node), [""; 0]);
}

#[test]
fn r04_a_budget_over_a_daemon_set_and_a_deployment() {
    let place = Place::new("r04agent");
    let shape = Shape::new().label("tier", "app");
    place.ns.deployment("web", 1, &shape.clone().prefers(&place.node));
    place.ns.daemonset("agent", &shape);
    place.ns.wait_pods_ready(3);
    let tier = json!({"maxUnavailable": "50%", "selector": {"matchLabels": {"tier": "app"}}});
    place.ns.create(
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "tier"}, "spec": tier}),
    );
    wait_uncounted(&place.ns, "tier");
    let ran = place.evacuate(&[]).expect(3);
    ran.says("it also selects pods whose owner has no number of replicas: agent-");
    ran.says(" of DaemonSet agent (daemonsets.apps does not implement the scale subresource)");
    ran.says_line(
        "hint: narrow its selector so that it leaves these pods out, or state minAvailable as a number; with \
         --on-blocked=wait the run waits for that",
    );
    place.assert_untouched();
}
