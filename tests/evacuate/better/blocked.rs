//! Evictions that the server does not let through at once.

use serde_json::json;
use testsupport::{Cluster, Live, Shape, wait_for};

use crate::{
    kit::{command, command_with, evacuate, run},
    scene::{evictions, filters, is_cordoned, lift, living, policy, rights, would_evict, writes},
};

#[test]
fn b02_a_pod_that_moved_by_itself_is_done_and_its_successor_is_not_touched() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b02");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.statefulset("db", 1, &Shape::new().prefers(&a));
    ns.pdb("db", json!({"maxUnavailable": 0}));
    ns.wait_pods_ready(1);
    let mut live = Live::start(command(cluster, &[&a, "--on-blocked=wait"]));
    live.wait_for("evicting pod b02/db-0");
    let mark = cluster.audit().mark();
    cluster.delete_with(
        "v1/Pod",
        ns.name(),
        "db-0",
        &kube::api::DeleteParams::default().grace_period(0),
    );
    let ran = live.finish().expect(0);
    assert!(ran.stdout.ends_with("node/b02-a drained\n"), "{}", ran.text());
    let successor = ns.wait_pods_ready(1).remove(0);
    assert_eq!(successor["spec"]["nodeName"], b);
    let sent = evictions(&ns, mark);
    assert!(sent.values().flatten().all(|code| *code == 429), "{sent:?}");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(
        ns.wait_pods_ready(1)[0]["metadata"]["uid"],
        successor["metadata"]["uid"]
    );
}

#[test]
fn b04_names_the_blocking_budget() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b04");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 2, &Shape::new().prefers(&a).label("tier", "web"));
    ns.wait_pods_ready(2);
    ns.statefulset("late", 1, &Shape::new().only(&b).never_ready().label("tier", "web"));
    ns.pdb(
        "web",
        json!({"minAvailable": 2, "selector": {"matchLabels": {"tier": "web"}}}),
    );
    ns.wait_phase("late-0", "Running");
    ns.wait_pdb_allows("web", 0);
    let mark = cluster.audit().mark();
    let mut live = Live::start(command(cluster, &[&a]));
    let said = "Warning: budget b04/web blocks the eviction of b04/web-0: it needs 2 healthy pods and has 2; \
                not Ready: late-0";
    live.wait_for(said);
    assert!(
        evictions(&ns, mark).len() <= 1,
        "a shut budget is asked at most by one pod at a time"
    );
    // One healthy pod more, and everything goes.
    ns.scale("apps/v1/StatefulSet", "web", 3);
    let ran = live.finish().expect(0);
    ran.says_line(
        "Warning: budget b04/web (minAvailable 2) does not allow the eviction of these 2 pods now: it needs 2 \
              healthy pods and has 2; not Ready: late-0 (b04/web-0, b04/web-1)",
    );
    assert_eq!(ran.stderr.matches(said).count(), 1, "{}", ran.text());
    assert_eq!(ns.pods_on(&a), [""; 0]);
}

#[test]
fn b04_without_the_right_to_read_budgets_the_server_names_them() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b04s");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 1, &Shape::new().prefers(&a));
    ns.pdb("web", json!({"minAvailable": 1}));
    ns.wait_pods_ready(1);
    let config = cluster.user_kubeconfig("b04s", &rights(&["list poddisruptionbudgets.policy"]));
    let ran = run(command_with(cluster, &config, &[&a, "--timeout=3s"])).expect(5);
    ran.says_line(
        "Warning: the eviction of b04s/web-0 is blocked: The disruption budget web needs 1 healthy pods and has 1 \
              currently",
    );
    ran.says_line("NODE    POD LEFT    STATE    REASON");
    ran.says_line("b04s-a  b04s/web-0  Blocked  The disruption budget web needs 1 healthy pods and has 1 currently");
    ran.says_line("error: the time of --timeout is up");
}

#[test]
fn b07_two_budgets_on_one_pod_are_explained_and_the_others_go_on() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b07");
    let [a, _b] = ns.nodes(["a", "b"]);
    for name in ["web", "free"] {
        ns.statefulset(name, 1, &Shape::new().prefers(&a));
    }
    ns.pdb("web", json!({"maxUnavailable": 1}));
    ns.pdb(
        "tier",
        json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}),
    );
    ns.wait_pods_ready(2);
    let (before, mark) = (living(&ns), cluster.audit().mark());
    let ran = evacuate(cluster, &[&a]).expect(3);
    insta::assert_snapshot!(ran.text(), @r#"
        --- stderr
        error: refused to evacuate b07-a; nothing was changed
          cause: 2 budgets match this pod (tier, web), which the eviction API does not support: b07/web-0
          hint: make their selectors disjoint, or delete one of them
        --- exit Some(3)
        "#);
    assert_eq!(
        (writes(&ns, mark), living(&ns), is_cordoned(cluster, &a)),
        (vec![], before, false)
    );

    let ran = evacuate(cluster, &[&a, "--on-blocked=wait", "--timeout=4s"]).expect(5);
    insta::with_settings!({filters => filters()}, { insta::assert_snapshot!(ran.text(), @r#"
        node/b07-a cordoned
        evicting pod b07/free-0
        pod/free-0 evicted
        --- stderr
        Warning: 2 budgets match this pod (tier, web), which the eviction API does not support: b07/web-0
          hint: make their selectors disjoint, or delete one of them
        b07-a: not drained in TIME; 1 pod gone: 1 to b07-b; 1 pod left
          hint: it stays cordoned; run again to go on, or 'kubectl evacuate b07-a --uncordon' to put it back
        NODE    POD LEFT    STATE     REASON
        b07-a   b07/web-0   Blocked   more than one budget matches it (tier and web), which the eviction API does not support
        error: the time of --timeout is up
        --- exit Some(5)
        "#); });
    assert_eq!(ns.pods_on(&a), ["web-0"]);
}

#[test]
fn b08_a_denied_eviction_is_tried_again_until_the_deadline() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b08");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("db", 1, &Shape::new().prefers(&a));
    ns.wait_pods_ready(1);
    policy(
        cluster,
        "b08",
        "CREATE",
        "pods/eviction",
        "request.namespace == 'b08'",
        "false",
    );
    wait_for("the policy", testsupport::DEFAULT_TIMEOUT, || {
        would_evict(&ns, "db-0").err()
    });

    let mark = cluster.audit().mark();
    let ran = evacuate(cluster, &[&a, "--timeout=4s"]).expect(5);
    let words =
        "pods \"db-0\" is forbidden: ValidatingAdmissionPolicy 'b08' with binding 'b08' denied request: b08 says no";
    assert_eq!(
        ran.stderr.matches(&format!("Warning: pod b08/db-0: {words}\n")).count(),
        1,
        "{}",
        ran.text()
    );
    ran.says_line(&format!("b08-a  b08/db-0  Retrying  {words}"));
    let tries = evictions(&ns, mark)["db-0"].len();
    assert!((2..=6).contains(&tries), "{tries} tries in 4 s");

    let mut live = Live::start(command(cluster, &[&a]));
    live.wait_for(words);
    lift(cluster, "b08");
    live.finish()
        .expect(0)
        .says_line(&format!("Warning: pod b08/db-0: {words}"));
    assert_eq!(ns.pods_on(&a), [""; 0]);
}
