//! R10: pods of Jobs that may finish. R8: pods that stay on purpose. R12: finalizers.

use super::*;
use crate::{facts::Phase, preflight::jobs::WaitJobs};

/// A running pod of the Job `ns/import`.
fn job_pod(uid: &str) -> Pod {
    let mut pod = pod(uid, NODE);
    pod.name = format!("import-{uid}");
    let owner = pod.owner.as_mut().unwrap();
    (owner.api_version, owner.kind) = ("batch/v1".into(), "Job".into());
    (owner.name, owner.uid) = ("import".into(), "import".into());
    pod
}

fn waiting_for_jobs(limit: WaitJobs) -> Settings {
    let mut settings = settings();
    settings.rules.allowed.wait_jobs = limit;
    settings
}

fn finished(uid: &str) -> Pod {
    let mut pod = job_pod(uid);
    pod.phase = Phase::Succeeded;
    pod
}

const WAITS: &str = "waiting: waiting for 1 Job to finish: ns/import";

#[test]
fn r10_a_job_finishes_and_the_rest_is_evicted_at_once() {
    let (mut script, asked) = Script::listed(
        waiting_for_jobs(WaitJobs::Forever),
        None,
        vec![job_pod("j"), pod("u1", NODE)],
    );
    assert_eq!(asked, [WAITS, "evict u1"]);
    script.reply("evict u1", Reply::Accepted);
    assert_eq!(script.news(Change::Gone(pod("u1", NODE))), ["gone by Evict: u1"]);
    // However long that takes.
    for _ in 0..100 {
        let mut asked = script.pass(600_000);
        asked.retain(|line| line != "list n0");
        assert_eq!(asked, NOTHING);
        script.list(vec![job_pod("j")]);
    }
    let rows = script.state.pod_rows();
    assert_eq!(
        (rows[0].state, rows[0].reason.as_str()),
        ("WaitingForJob", "Job ns/import is running")
    );
    // What has ended is moved as ever.
    assert_eq!(script.news(Change::Applied(finished("j"))), ["evict j"]);
    script.reply("evict j", Reply::Accepted);
    assert_eq!(script.news(Change::Gone(finished("j"))), ["gone by Evict: j"]);
    // That list was asked for before, because nothing had been heard for so long.
    assert_eq!(script.list(vec![]), ["list n0"]);
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
    assert!(script.state.departed().iter().any(|d| d.finished));
}

#[test]
fn r10_after_its_time_a_job_is_evicted_as_usual() {
    let (mut script, asked) = Script::listed(waiting_for_jobs(WaitJobs::For(3_600_000)), None, vec![job_pod("j")]);
    assert_eq!(asked, [format!("{WAITS}; pods that still run after 60m are evicted")]);
    let mut asked = script.pass(3_599_000);
    asked.retain(|line| line != "list n0");
    assert_eq!(asked, NOTHING);
    assert_eq!(
        script.state.pod_rows()[0].reason,
        "Job ns/import is running; evicted in 1s if it has not finished"
    );
    let mut asked = script.pass(1_000);
    asked.retain(|line| line != "list n0");
    assert_eq!(
        asked,
        [
            "waiting: 1 Job is still running after 60m, the limit of --wait-jobs: evicting the pods of ns/import",
            "evict j"
        ]
    );
}

/// One that has failed, was deleted by somebody else, or arrives late; and one of another kind that is called Job.
#[test]
fn r10_what_else_happens_to_a_job() {
    let (mut script, _) = Script::listed(waiting_for_jobs(WaitJobs::Forever), None, vec![job_pod("j")]);
    let mut failed = job_pod("j");
    failed.phase = Phase::Failed;
    assert_eq!(script.news(Change::Applied(failed)), ["evict j"]);

    let (mut script, _) = Script::listed(waiting_for_jobs(WaitJobs::Forever), None, vec![job_pod("j")]);
    let mut dying = job_pod("j");
    dying.deletion = Some(Timestamp::from_millisecond(START + 5_000).unwrap());
    assert_eq!(script.news(Change::Applied(dying)), NOTHING);
    assert_eq!(script.state.pod_rows()[0].state, "Terminating");
    assert_eq!(script.news(Change::Gone(job_pod("j"))), ["list n0"]);
    assert_eq!(script.news(Change::Applied(job_pod("late"))), NOTHING);
    assert_eq!(script.state.pod_rows()[0].state, "WaitingForJob");

    let mut foreign = job_pod("f");
    foreign.owner.as_mut().unwrap().api_version = "batch.volcano.sh/v1alpha1".into();
    let (_, asked) = Script::listed(waiting_for_jobs(WaitJobs::Forever), None, vec![foreign]);
    assert_eq!(asked, ["evict f"]);
}

/// A Job of low priority holds nothing up.
#[test]
fn r10_priorities_go_on_without_the_jobs() {
    let settings = Settings {
        by_priority: true,
        ..waiting_for_jobs(WaitJobs::Forever)
    };
    let mut important = pod("u1", NODE);
    important.priority = 1_000;
    let (_, asked) = Script::listed(settings, None, vec![job_pod("j"), important]);
    assert_eq!(asked, [WAITS, "evict u1"]);
}

#[test]
fn r10_the_end_of_the_run_names_what_still_runs() {
    let settings = Settings {
        deadline: Some(START + 5_000),
        ..waiting_for_jobs(WaitJobs::Forever)
    };
    let (mut script, _) = Script::listed(settings, None, vec![job_pod("j")]);
    let asked = script.pass(6_000);
    assert_eq!(asked.last().map(String::as_str), Some("Deadline"));
    assert_eq!(script.state.pod_rows()[0].state, "WaitingForJob");
}

#[test]
fn r09_the_job_is_saved_before_its_last_try_is_evicted() {
    let job = serde_json::from_value::<k8s_openapi::api::batch::v1::Job>(json!({
        "metadata": {"namespace": "ns", "name": "import", "uid": "import"},
        "spec": {"backoffLimit": 0, "template": {}},
    }));
    let job = crate::facts::Job::from(job.unwrap());
    let mut settings = settings();
    settings.rules.losses = Losses::new([&job], &[], Verb::Evict);
    settings.rules.allowed.force = true;
    let (_, asked) = Script::listed(settings.clone(), None, vec![job_pod("j")]);
    assert_eq!(asked, ["save its job and evict j"]);
    // Without --force such a pod that nobody has judged before ends the work on the node.
    settings.rules.allowed.force = false;
    let (mut script, _) = Script::listed(settings, None, vec![]);
    let asked = script.news(Change::Applied(job_pod("late")));
    assert!(asked[0].contains("whose Job fails without them"), "{asked:?}");
    assert_eq!(script.state.pod_rows()[0].state, "Failed");
}

#[test]
fn r08_what_is_passed_over_keeps_the_node_from_being_called_drained() {
    let mut settings = settings();
    settings.rules.allowed.skip_deleted_after = 10;
    let mut stuck = pod("u1", NODE);
    stuck.deletion = Some(Timestamp::from_millisecond(START - 60_000).unwrap());
    let (mut script, asked) = Script::listed(settings.clone(), None, vec![stuck.clone()]);
    assert_eq!(asked, ["list n0"]);
    assert_eq!(script.list(vec![stuck.clone()]), ["drained", "Done"]);
    let why = "still on it: 1 pod Terminating for longer than --skip-wait-for-delete-timeout";
    assert_eq!(
        script.published.last(),
        Some(&Stage::Partial {
            text: format!("0 pods gone; {why}")
        })
    );
    let row = &script.state.node_rows()[0];
    assert_eq!(
        (row.state, row.left, row.staying, row.why.as_deref()),
        ("PartlyDrained", 0, 1, Some(why))
    );
    assert_eq!(script.state.staying_rows()[0].state, "NotAsked");
    assert_eq!(script.state.pod_rows(), []);

    // One whose time comes while the run waits for it.
    stuck.deletion = Some(Timestamp::from_millisecond(START - 8_000).unwrap());
    let (mut script, _) = Script::listed(settings.clone(), None, vec![stuck.clone()]);
    let asked = script.pass(5_000);
    assert_eq!(asked.last().map(String::as_str), Some("list n0"));
    script.list(vec![stuck.clone()]);
    assert_eq!(script.state.node_rows()[0].state, "PartlyDrained");
    // One of a DaemonSet stays in any case.
    stuck.owner.as_mut().unwrap().kind = "DaemonSet".into();
    settings.rules.daemon_sets = Seen::Known(BTreeSet::from(["db".to_owned()]));
    stuck.deletion = Some(Timestamp::from_millisecond(START - 60_000).unwrap());
    let (mut script, _) = Script::listed(settings, None, vec![stuck.clone()]);
    script.list(vec![stuck]);
    assert_eq!(script.state.node_rows()[0].state, "Drained");
}

#[test]
fn r08_what_the_selector_leaves_out_is_counted_from_the_last_list() {
    let target = Target {
        name: NODE.into(),
        uid: NODE.into(),
        left_out: vec![pod("old", NODE).reference()],
        ..Target::default()
    };
    let (mut script, _) = Script::new(settings(), None, target);
    script.reply("cordon n0", Reply::Accepted);
    script.cordon_seen();
    script.news(Change::Listed(vec![]));
    assert_eq!(script.state.staying_rows().len(), 1);
    let mut mirror = pod("static", NODE);
    mirror.mirror = true;
    let pods = vec![pod("u1", NODE), pod("u2", NODE), mirror];
    script.feed(What::LeftOut {
        node: NODE.into(),
        pods,
    });
    assert_eq!(script.list(vec![]), ["drained", "Done"]);
    let why = "still on it: 2 pods left out by --pod-selector";
    assert_eq!(script.state.node_rows()[0].why.as_deref(), Some(why));

    // They have left meanwhile: the node is empty.
    let (mut script, _) = Script::listed(settings(), None, vec![]);
    script.feed(What::LeftOut {
        node: NODE.into(),
        pods: vec![],
    });
    script.list(vec![]);
    assert_eq!(script.state.node_rows()[0].state, "Drained");
}

#[test]
fn r12_after_its_grace_the_finalizer_is_named_once() {
    let mut held = pod("u1", NODE);
    held.finalizers = vec!["example.com/hold".into()];
    let (mut script, _) = Script::listed(settings(), None, vec![held.clone()]);
    script.reply("evict u1", Reply::Accepted);
    held.deletion = Some(Timestamp::from_millisecond(START + 7 * 86_400_000).unwrap());
    script.news(Change::Applied(held.clone()));
    assert_eq!(script.state.pod_rows()[0].reason, "7d of grace left");
    held.deletion = Some(Timestamp::from_millisecond(START + 10_000).unwrap());
    script.news(Change::Applied(held.clone()));
    script.pass(11_000);
    assert_eq!(
        script.state.pod_rows()[0].reason,
        "finalizer example.com/hold (owner unknown)"
    );
    let told = "held: u1 by finalizer example.com/hold (owner unknown)".to_owned();
    let asked = script.pass(2_000);
    assert_eq!(asked.iter().filter(|line| **line == told).count(), 1, "{asked:?}");
    let asked = script.pass(60_000);
    assert!(!asked.contains(&told), "{asked:?}");
    // Without a finalizer it is the kubelet that has not confirmed.
    held.finalizers.clear();
    script.news(Change::Applied(held));
    let reason = script.state.pod_rows()[0].reason.clone();
    assert_eq!(reason, "63s over its grace period: the kubelet has not confirmed");
}
