#![allow(clippy::unwrap_used)]

use k8s_openapi::api::batch::v1 as api;
use serde_json::{Value, json};

use super::*;
use crate::preflight::testkit::{merge, pod, told};

/// A Job `default/j` with `backoffLimit: 0`.
fn job(patch: Value) -> Job {
    let mut object = json!({
        "metadata": {"namespace": "default", "name": "j", "uid": "j"},
        "spec": {"backoffLimit": 0, "template": {"spec": {"containers": []}}},
        "status": {"active": 1},
    });
    merge(&mut object, patch);
    serde_json::from_value::<api::Job>(object).unwrap().into()
}

/// A running pod of that Job.
fn pod_of(name: &str, patch: Value) -> Pod {
    let mut pod = pod(name, "n", "j", patch);
    let owner = pod.owner.as_mut().unwrap();
    (owner.api_version, owner.kind) = ("batch/v1".into(), "Job".into());
    pod
}

fn loss(job: Value, pods: &[Pod], verb: Verb) -> Option<Loss> {
    let job = self::job(job);
    let leaving: Vec<&Pod> = pods.iter().collect();
    Losses::new([&job], &leaving, verb).of(&pods[0]).map(|(loss, _)| loss)
}

#[test]
fn r09_a_job_fails_with_its_last_try() {
    let one = [pod_of("a", json!({}))];
    let two = [pod_of("a", json!({})), pod_of("b", json!({}))];
    let table = [
        (json!({}), &one[..], Some(Loss::Retries)),
        (json!({"spec": {"backoffLimit": 1}}), &one, None),
        // Two of its pods leave in the same run.
        (json!({"spec": {"backoffLimit": 1}}), &two, Some(Loss::Retries)),
        (json!({"spec": {"backoffLimit": 2}}), &two, None),
        (
            json!({"spec": {"backoffLimit": 3}, "status": {"failed": 3}}),
            &one,
            Some(Loss::Retries),
        ),
        (
            json!({"spec": {"backoffLimit": 3}, "status": {"failed": 2}}),
            &one,
            None,
        ),
        (
            json!({"spec": {"backoffLimit": 3}, "status": {"failed": 2, "uncountedTerminatedPods": {"failed": ["x"]}}}),
            &one,
            Some(Loss::Retries),
        ),
        // It is 6 where nothing is said.
        (
            json!({"spec": {"backoffLimit": null}, "status": {"failed": 5}}),
            &one,
            None,
        ),
        (
            json!({"spec": {"backoffLimit": null}, "status": {"failed": 6}}),
            &one,
            Some(Loss::Retries),
        ),
        // Replaced only when it has ended, and counted all the same.
        (
            json!({"spec": {"podReplacementPolicy": "Failed"}}),
            &one,
            Some(Loss::Retries),
        ),
        // Restarts in place are another count.
        (
            json!({"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}),
            &one,
            Some(Loss::Retries),
        ),
        // Nothing is lost of a Job that has ended, is being deleted, or is run by another controller.
        (
            json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}),
            &one,
            None,
        ),
        (
            json!({"status": {"conditions": [{"type": "FailureTarget", "status": "True"}]}}),
            &one,
            None,
        ),
        (
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            &one,
            None,
        ),
        (json!({"spec": {"managedBy": "kueue.x-k8s.io/multikueue"}}), &one, None),
    ];
    for (patch, pods, expected) in table {
        assert_eq!(
            loss(patch.clone(), pods, Verb::Evict),
            expected,
            "{patch} {}",
            pods.len()
        );
    }
}

#[test]
fn r09_what_has_ended_or_ends_anyway_is_no_loss() {
    let finished = pod_of("a", json!({"status": {"phase": "Succeeded"}}));
    let deleted = pod_of("a", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    let mut foreign = pod_of("a", json!({}));
    foreign.owner.as_mut().unwrap().api_version = "batch.volcano.sh/v1alpha1".into();
    for pod in [finished, deleted, foreign] {
        assert_eq!(loss(json!({}), &[pod], Verb::Evict), None);
    }
}

#[test]
fn r09_the_first_rule_of_the_policy_that_matches_decides() {
    let disrupted =
        |action: &str| json!({"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
    let code = |action: &str, operator: &str, values: &[i32]| json!({"action": action, "onExitCodes": {"operator": operator, "values": values}});
    let spec = |rules: Vec<Value>| json!({"spec": {"backoffLimit": 0, "podFailurePolicy": {"rules": rules}}});
    let table = [
        (vec![disrupted("Ignore")], None),
        (vec![disrupted("Count")], Some(Loss::Retries)),
        (vec![disrupted("FailJob")], Some(Loss::Policy)),
        // The example of the documentation: a bug of the program fails the Job, a disruption does not.
        (vec![code("FailJob", "In", &[42]), disrupted("Ignore")], None),
        // A container that SIGTERM ends has 143, and this rule comes first.
        (
            vec![code("FailJob", "NotIn", &[0, 1]), disrupted("Ignore")],
            Some(Loss::Policy),
        ),
        (
            vec![code("FailJob", "In", &[137]), disrupted("Ignore")],
            Some(Loss::Policy),
        ),
        (vec![disrupted("Ignore"), code("FailJob", "NotIn", &[0])], None),
        (vec![code("Ignore", "In", &[137, 143])], None),
        (vec![code("Ignore", "In", &[143])], Some(Loss::Retries)),
        // Another condition.
        (
            vec![json!({"action": "Ignore", "onPodConditions": [{"type": "ConfigIssue", "status": "True"}]})],
            Some(Loss::Retries),
        ),
    ];
    let pods = [pod_of("a", json!({}))];
    for (rules, expected) in table {
        assert_eq!(loss(spec(rules.clone()), &pods, Verb::Evict), expected, "{rules:?}");
    }
    // A pod that is deleted instead of evicted has no condition DisruptionTarget.
    assert_eq!(
        loss(spec(vec![disrupted("Ignore")]), &pods, Verb::Delete),
        Some(Loss::Retries)
    );
}

#[test]
fn r09_an_index_fails_with_its_last_try() {
    let pods = |failures: &str| {
        let key = INDEX_FAILURES;
        [pod_of(
            "a",
            json!({"metadata": {"annotations": {INDEX: "3", key: failures}}}),
        )]
    };
    // The API server sets backoffLimit to the largest number then.
    let spec = |limit: i32| json!({"spec": {"backoffLimit": i32::MAX, "backoffLimitPerIndex": limit, "completionMode": "Indexed"}});
    let table = [
        (0, "0", Some(Loss::Index)),
        (1, "0", None),
        (1, "1", Some(Loss::Index)),
        (2, "x", None),
    ];
    for (limit, failures, expected) in table {
        assert_eq!(
            loss(spec(limit), &pods(failures), Verb::Evict),
            expected,
            "{limit} {failures}"
        );
    }
    let mut policy = spec(5);
    let rule = json!({"action": "FailIndex", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
    merge(&mut policy, json!({"spec": {"podFailurePolicy": {"rules": [rule]}}}));
    assert_eq!(loss(policy, &pods("0"), Verb::Evict), Some(Loss::Index));
}

#[test]
fn r09_the_sentences_name_job_and_reason() {
    let pods = [pod_of("a", json!({})), pod_of("b", json!({}))];
    let leaving: Vec<&Pod> = pods.iter().collect();
    let job = job(json!({"spec": {"backoffLimit": 1}}));
    let losses = Losses::new([&job], &leaving, Verb::Evict);
    assert_eq!(
        told(&findings(&leaving, &losses, false)),
        [(
            "job-fails",
            "cannot delete Pods whose Job fails without them (use --force to override): default/j (backoffLimit 1, failed 0, \
             2 pods evicted)"
        )]
    );
    let forced = findings(&leaving, &losses, true);
    assert_eq!(forced[0].severity, Severity::Warning);
    assert!(
        forced[0]
            .evidence
            .starts_with("deleting Pods whose Job fails without them: default/j")
    );
    assert_eq!(forced[0].subjects.len(), 2);
    assert_eq!(findings(&[], &losses, false), []);
}
