//! R1, R2: budgets that an operator changes, and those whose controllers want more pods than there are.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::*;
use crate::facts::Workloads;

/// A pod of the custom resource `pg`, the primary or a replica.
fn postgres(uid: &str, role: &str) -> Pod {
    let object = json!({
        "metadata": {"namespace": "ns", "name": uid, "uid": uid, "labels": {"app": "db", "role": role}, "ownerReferences": [
            {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "pg", "uid": "pg", "controller": true},
        ]},
        "spec": {"nodeName": NODE, "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    serde_json::from_value::<api::Pod>(object).unwrap().into()
}

/// The budget of the operator over its primary.
fn primary(uid: &str) -> Budget {
    let object = json!({
        "metadata": {"namespace": "ns", "name": uid, "uid": uid, "generation": 1, "ownerReferences": [
            {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "pg", "uid": "pg", "controller": true},
        ]},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"role": "primary"}}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
    });
    serde_json::from_value::<PodDisruptionBudget>(object).unwrap().into()
}

impl Script {
    /// Answers each look at the pods of a budget.
    fn inspect(&mut self, pods: &[Pod], workloads: Option<&Workloads>) -> Vec<String> {
        let mut asked = Vec::new();
        while let Some((budget, controllers)) = self.inspections.pop() {
            let found = Some((pods.to_vec(), workloads.cloned().filter(|_| controllers)));
            asked.extend(self.feed(What::BudgetPods { budget, found }));
        }
        asked
    }
}

#[test]
fn r01_an_operator_is_waited_for_and_its_news_are_taken_at_once() {
    let moved = |script: &mut Script| script.news(Change::Applied(postgres("u1", "replica")));
    let deleted = |script: &mut Script| script.feed(What::Budgets(Change::Gone(primary("b"))));
    let opened = |script: &mut Script| {
        let mut open = primary("b");
        (open.allowed, open.current) = (1, 2);
        script.feed(What::Budgets(Change::Applied(open)))
    };
    let news: [fn(&mut Script) -> Vec<String>; 3] = [moved, deleted, opened];
    for news in news {
        let (mut script, asked) = Script::listed(settings(), Some(primary("b")), vec![postgres("u1", "primary")]);
        assert_eq!(asked, NOTHING);
        assert_eq!(script.inspect(&[postgres("u1", "primary")], None), ["blocked: u1"]);
        assert_eq!(news(&mut script), ["evict u1"]);
    }
}

#[test]
fn r01_how_long_it_lasts_is_said_with_growing_spacing() {
    let (mut script, _) = Script::listed(settings(), Some(primary("b")), vec![postgres("u1", "primary")]);
    script.inspect(&[postgres("u1", "primary")], None);
    let mut said = Vec::new();
    while script.now < START + 200_000 {
        let mut asked = script.pass(1_000);
        asked.extend(script.inspect(&[postgres("u1", "primary")], None));
        if script.calls.contains_key("evict u1") {
            asked.extend(script.reply("evict u1", over_budget()));
        }
        let reminders = asked.iter().filter(|line| line.starts_with("StillBlocked")).count();
        said.extend((0..reminders).map(|_| (script.now - START) / 1_000));
    }
    assert_eq!(said, [20, 40, 80, 160]);
}

#[test]
fn r01_on_blocked_fail_gives_the_pod_up() {
    let failing = Settings {
        on_blocked: OnBlocked::Fail,
        ..settings()
    };
    let (mut script, _) = Script::listed(failing, Some(primary("b")), vec![postgres("u1", "primary")]);
    let asked = script.inspect(&[postgres("u1", "primary")], None);
    assert!(asked[0].starts_with("Failed"), "{asked:?}");
}

/// Rook makes the new budgets before it deletes the old one.
#[test]
fn r01_two_budgets_of_an_operator_at_the_same_time() {
    let (mut script, asked) = Script::listed(settings(), Some(primary("b")), vec![postgres("u1", "primary")]);
    assert_eq!(asked, NOTHING);
    script.inspect(&[postgres("u1", "primary")], None);
    assert_eq!(
        script.feed(What::Budgets(Change::Applied(primary("b2")))),
        ["blocked: u1"]
    );
    // The server may be the first to know.
    script.feed(What::Budgets(Change::Gone(primary("b"))));
    script.pass(2_000);
    let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    script.reply("evict u1", Reply::Overlap(text.into()));
    assert_eq!(
        script.feed(What::Budgets(Change::Gone(primary("b2")))),
        ["evict u1"],
        "without waiting for the next try"
    );
    // Those of a user are for the user.
    let mut other = shut();
    (other.uid, other.name) = ("other".into(), "other".into());
    let (mut script, _) = Script::listed(settings(), Some(shut()), vec![pod("u1", NODE)]);
    let asked = script.feed(What::Budgets(Change::Applied(other)));
    assert!(asked[0].starts_with("Failed"), "{asked:?}");
}

/// What the controllers want is read before "never" is said.
#[test]
fn r02_a_set_that_lacks_a_pod_is_waited_for() {
    let set = |replicas: i32| {
        let object = json!({"metadata": {"namespace": "ns", "name": "db", "uid": "db"},
            "spec": {"replicas": replicas, "serviceName": "db", "selector": {}, "template": {}}});
        let mut workloads = Workloads::default();
        let set = serde_json::from_value::<StatefulSet>(object).unwrap();
        workloads.add("StatefulSet", vec![set.into()]);
        workloads
    };
    let (mut script, _) = Script::listed(settings(), Some(shut()), vec![pod("u1", NODE)]);
    assert_eq!(
        script.inspect(&[pod("u1", NODE)], Some(&set(2))),
        ["blocked: u1"],
        "one of two is there"
    );
    assert_eq!(script.state.outcome(), None);
    let (mut script, _) = Script::listed(settings(), Some(shut()), vec![pod("u1", NODE)]);
    let asked = script.inspect(&[pod("u1", NODE)], Some(&set(1)));
    assert!(asked[0].starts_with("Failed"), "{asked:?}");
    assert_eq!(script.inspections, [], "each was answered");
}
