//! Pods of Jobs: those whose Job fails without them (R9), and those that may finish first (R10).

use std::path::Path;

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Live, Shape, condition, wait_for};

use crate::{
    kit::{Ran, run},
    place::{Place, names},
};

/// A Job with one pod, which prefers the node that is emptied.
fn job(place: &Place, name: &str, shape: &Shape, spec: Value) -> String {
    let shape = shape
        .clone()
        .prefers(&place.node)
        .spec(json!({"restartPolicy": "Never"}));
    let mut whole = json!({"parallelism": 1, "completions": 1, "selector": null});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    place.ns.workload("batch/v1/Job", name, &shape, json!({"spec": whole}));
    wait_for(format!("the pod of Job {name}"), DEFAULT_TIMEOUT, || {
        let pods = place.ns.pods().into_iter();
        let mut of_job =
            pods.filter(|p| p["metadata"]["labels"]["app"] == name && condition(p, "Ready") == Some("True"));
        Some(names(&[of_job.next()?]).remove(0))
    })
}

/// `kubectl evacuate NODE ARGS`, with a place of its own for what is saved.
fn saving(place: &Place, state: &Path, args: &[&str]) -> Ran {
    let mut command = place.command(place.cluster().kubeconfig(), args);
    command.env("XDG_STATE_HOME", state);
    run(command)
}

fn wait_condition(place: &Place, job: &str, kind: &str) {
    wait_for(format!("Job {job} to be {kind}"), DEFAULT_TIMEOUT, || {
        let job = place.ns.get("batch/v1/Job", job)?;
        (condition(&job, kind) == Some("True")).then_some(())
    });
}

/// What a kubelet reports of a pod that it has ended: with a policy the Job controller waits for that. The kubelets of the test
/// bed remove pods without it.
fn ends_as_failed(place: &Place, pod: &str) {
    place.wait_terminating(pod);
    let failed = json!({"status": {"phase": "Failed"}});
    place.cluster().patch_status("v1/Pod", place.ns.name(), pod, failed);
}

fn disrupted(action: &str) -> Value {
    json!({"rules": [{"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]})
}

#[test]
fn r09_a_job_without_a_retry_is_refused_saved_and_comes_back() {
    let place = Place::new("r09");
    let pod = job(&place, "import", &Shape::new(), json!({"backoffLimit": 0}));
    let ran = place.evacuate(&[]).expect(3);
    ran.says_line(&format!(
        "cause: cannot delete Pods whose Job fails without them (use --force to override): r09/import (backoffLimit 0, failed 0) \
         (r09/{pod})"
    ));
    ran.says("hint: --wait-jobs without a duration lets them finish first; with --force each Job is saved first");
    place.assert_untouched();
    // A dry run says the same.
    let ran = place.evacuate(&["--dry-run=client"]).expect(3);
    ran.says_line("node/r09-a: 1 pod cannot leave now, 0 stay");

    let state = tempfile::tempdir().unwrap();
    let ran = saving(&place, state.path(), &["--force"]).expect(0);
    ran.says_line(&format!(
        "Warning: deleting Pods whose Job fails without them: r09/import (backoffLimit 0, failed 0) (r09/{pod})"
    ));
    ran.says_line("Warning: 1 Job fails, because pods of it were evicted: r09/import");
    wait_condition(&place, "import", "Failed");
    // The hint works as it is printed.
    let hint = ran
        .stderr
        .lines()
        .find(|line| line.contains("kubectl replace --force -f"))
        .unwrap();
    let file = hint.split('\'').nth(1).unwrap().rsplit(' ').next().unwrap();
    let mut kubectl = assert_cmd::Command::new(place.cluster().kubectl());
    let kubectl = kubectl.env_clear().envs(place.cluster().env());
    kubectl.args(["replace", "--force", "-f", file]).assert().success();
    wait_for("the Job to run again", DEFAULT_TIMEOUT, || {
        let job = place.ns.get("batch/v1/Job", "import")?;
        (condition(&job, "Failed").is_none() && job["status"]["active"] == 1).then_some(())
    });
    assert_eq!(place.ns.pods_on(&place.other).len(), 1);
}

/// The server has evicted it, and the Job goes on: a policy that ignores disruptions, or a retry that is left.
#[test]
fn r09_a_job_that_survives_is_evicted_as_ever() {
    let place = Place::new("r09s");
    let ignoring = json!({"backoffLimit": 0, "podFailurePolicy": disrupted("Ignore")});
    let tolerant = job(&place, "tolerant", &Shape::new(), ignoring);
    job(&place, "patient", &Shape::new(), json!({"backoffLimit": 1}));
    // A pod that is deleted instead of evicted has no condition DisruptionTarget, so the policy does not ignore it.
    let ran = place.evacuate(&["--disable-eviction"]).expect(3);
    ran.says("r09s/tolerant (backoffLimit 0, failed 0)")
        .says_nothing_of("r09s/patient");
    place.assert_untouched();
    let live = place.start(&[]);
    ends_as_failed(&place, &tolerant);
    live.finish().expect(0);
    for name in ["tolerant", "patient"] {
        wait_for(format!("Job {name} to run again"), DEFAULT_TIMEOUT, || {
            let job = place.ns.get("batch/v1/Job", name)?;
            (condition(&job, "Failed").is_none() && job["status"]["active"] == 1).then_some(())
        });
    }
}

/// Two pods in one run, an index, a policy that fails the Job, a pod that is replaced only when it has ended.
#[test]
fn r09_every_way_in_which_a_job_fails() {
    let place = Place::new("r09w");
    let shape = Shape::new();
    let two = json!({"parallelism": 2, "completions": 2, "backoffLimit": 1});
    job(&place, "two", &shape, two);
    let index = json!({"completionMode": "Indexed", "backoffLimitPerIndex": 0});
    job(&place, "index", &shape, index);
    let policy = json!({"backoffLimit": 9, "podFailurePolicy": disrupted("FailJob")});
    let policy = job(&place, "policy", &shape, policy);
    let late = json!({"backoffLimit": 0, "podReplacementPolicy": "Failed"});
    let late = job(&place, "late", &shape, late);
    place.ns.wait_pods_ready(5);
    let ran = place.evacuate(&["-o", "json"]).expect(3);
    let document = ran.json();
    let findings = document["findings"].as_array().unwrap().iter();
    let fails = findings.filter(|f| f["id"] == "job-fails");
    let fails: Vec<&str> = fails.map(|f| f["evidence"].as_str().unwrap()).collect();
    for part in [
        "Pods whose Job fails without them (use --force to override): r09w/late (backoffLimit 0, failed 0), r09w/two \
         (backoffLimit 1, failed 0, 2 pods evicted)",
        "Pods whose Job fails without them (use --force to override): r09w/policy (podFailurePolicy FailJob)",
        "Pods whose index of their Job fails without them (use --force to override): r09w/index (index 0: \
         backoffLimitPerIndex 0, failed 0)",
    ] {
        assert!(
            fails.iter().any(|evidence| evidence.ends_with(part)),
            "{part}\n{fails:#?}"
        );
    }
    place.assert_untouched();
    // It is as predicted.
    let state = tempfile::tempdir().unwrap();
    let mut command = place.command(place.cluster().kubeconfig(), &["--force"]);
    command.env("XDG_STATE_HOME", state.path());
    let live = Live::start(command);
    ends_as_failed(&place, &policy);
    ends_as_failed(&place, &late);
    let ran = live.finish().expect(0);
    ran.says("Warning: 4 Jobs fail, because pods of them were evicted: ");
    for name in ["two", "policy", "late"] {
        wait_condition(&place, name, "Failed");
    }
    wait_for("the index to fail", DEFAULT_TIMEOUT, || {
        (place.ns.get("batch/v1/Job", "index")?["status"]["failedIndexes"] == "0").then_some(())
    });
}

#[test]
fn r10_running_jobs_finish_and_the_rest_is_evicted_at_once() {
    let place = Place::new("r10");
    let shape = Shape::new().ends("Succeeded", "12s").empty_dir();
    let pod = job(&place, "import", &shape, json!({"backoffLimit": 0}));
    place.ns.statefulset("web", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(2);
    let shown = place.evacuate(&["--wait-jobs", "--dry-run=client"]).expect(0);
    shown.says_line("node/r10-a: 2 pods leave, 0 stay").says("wait for Job");
    shown
        .says("because Jobs finish first")
        .says("Note: node/r10-a would wait: Jobs of 1 pod on it finish first")
        .says_nothing_of("evicting pod r10/import")
        .says_nothing_of("drained");
    // Neither --force for the last try nor --delete-emptydir-data is needed: the pod is not evicted while it runs.
    let mut live = place.start(&["--wait-jobs"]);
    live.wait_for("node/r10-a: waiting for 1 Job to finish: r10/import");
    live.wait_for("pod/web-0 evicted");
    assert!(place.ns.pods_on(&place.node).contains(&pod), "{}", live.said());
    let ran = live.finish().expect(0);
    assert!(ran.stdout.ends_with("node/r10-a drained\n"), "{}", ran.text());
    wait_condition(&place, "import", "Complete");
    assert!(place.ns.get("batch/v1/Job", "import").unwrap()["status"]["failed"].is_null());
    // What has ended is removed as ever.
    assert_eq!(place.ns.pods_on(&place.node), Vec::<String>::new());
}

/// Its time is over: evicted as usual. The document names it before.
#[test]
fn r10_after_the_duration_as_usual() {
    let place = Place::new("r10d");
    let pod = job(&place, "endless", &Shape::new(), json!({"backoffLimit": 9}));
    let ran = place.evacuate(&["--wait-jobs", "--timeout=3s", "-o", "json"]).expect(5);
    let document = ran.json();
    let left = &document["remaining"][0];
    assert_eq!(
        (&left["name"], &left["state"]),
        (&json!(pod), &json!("WaitingForJob")),
        "{left}"
    );
    assert_eq!(document["nodes"][0]["left"], 1);
    assert_eq!(place.requests().len(), 0, "{}", ran.text());

    let ran = place.evacuate(&["--wait-jobs=3s"]).expect(0);
    ran.says("; pods that still run after ").says(" are evicted");
    ran.says_line(
        "node/r10d-a: 1 Job is still running after 3s, the limit of --wait-jobs: evicting the pods of r10d/endless",
    );
    assert_eq!(place.moves(), [format!("evict {pod} 201")]);
    // With a limit the last try may still be evicted.
    job(
        &place,
        "once",
        &Shape::new().only(&place.other),
        json!({"backoffLimit": 0}),
    );
    let other = crate::kit::evacuate(place.cluster(), &[&place.other, "--wait-jobs=3s"]).expect(3);
    other.says("r10d/once (backoffLimit 0, failed 0)");
}

/// Together with a selector, an order and the removal of the node.
#[test]
fn r10_composes_with_other_flags() {
    let place = Place::new("r10c");
    let shape = Shape::new().ends("Succeeded", "10s");
    job(&place, "import", &shape, json!({"backoffLimit": 0}));
    place.ns.statefulset(
        "web",
        1,
        &Shape::new().prefers(&place.node).priority_class("system-node-critical"),
    );
    place.ns.wait_pods_ready(2);
    let flags = ["--wait-jobs", "--order=priority", "--delete", "--yes"];
    let mut live = place.start(&flags);
    live.wait_for("pod/web-0 evicted");
    let ran = live.finish().expect(0);
    assert!(ran.stdout.ends_with("node \"r10c-a\" deleted\n"), "{}", ran.text());
    wait_condition(&place, "import", "Complete");
}

#[test]
fn r10_bad_values_are_usage_errors() {
    let place = Place::new("r10u");
    for (flags, text) in [
        (&["--wait-jobs=0"][..], "without a value there is no limit"),
        (&["--wait-jobs=soon"], "invalid duration"),
        (&["--wait-jobs", "--uncordon"], "cannot be used with"),
    ] {
        place.evacuate(flags).expect(2).says(text);
    }
}
