//! P3 to P5: budgets.

use serde_json::json;
use testsupport::Shape;

use crate::place::Place;

/// Two pods of which one may be missing: the second goes when the first is back, and nothing is asked in vain.
#[test]
fn p03_budget_that_allows() {
    let place = Place::new("p03");
    place
        .ns
        .statefulset("db", 2, &Shape::new().prefers(&place.node).stops_in("500ms"));
    place.ns.wait_pods_ready(2);
    place.ns.pdb("db", json!({"minAvailable": 1}));
    place.ns.wait_pdb_allows("db", 1);
    let ran = place.evacuate(&[]).expect(0);
    // A budget that has been shut for a second is asked in case news is late, and may say no.
    let moves: Vec<String> = place.moves().into_iter().filter(|m| !m.ends_with("429")).collect();
    assert_eq!(moves, ["evict db-0 201", "evict db-1 201"], "{}", ran.text());
    assert_eq!(place.ns.pods_on(&place.node), Vec::<String>::new());
}

#[test]
fn p04_budget_that_blocks_is_named() {
    let place = Place::new("p04");
    place.ns.statefulset("db", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    place.ns.pdb("db", json!({"maxUnavailable": 0}));
    let ran = place.evacuate(&[]).expect(3);
    assert_run!(ran, @r#"
    --- stderr
    error: refused to evacuate p04-a; nothing was changed
      cause: budget p04/db (maxUnavailable 0) can never allow the eviction of this pod: maxUnavailable 0 allows no eviction at all (p04/db-0)
      hint: change the budget, or say what to do with --on-blocked=wait or --on-blocked=delete-after=DURATION
    --- exit Some(3)
    "#);
    place.assert_untouched();

    let mut ran = place.evacuate(&["--on-blocked=wait", "--timeout=2s"]).expect(5);
    // Whether the budget was asked although it seems shut is a matter of time.
    ran.stdout = ran.stdout.replace("evicting pod p04/db-0\n", "");
    assert_run!(ran, @r#"
    node/p04-a cordoned
    --- stderr
    Warning: budget p04/db (maxUnavailable 0) can never allow the eviction of this pod: maxUnavailable 0 allows no eviction at all (p04/db-0)
      hint: change the budget; until then this waits
    p04-a: not drained in TIME; 0 pods gone; 1 pod left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate p04-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    p04-a   p04/db-0   Blocked   has 1, needs 1: budget db
    error: the time of --timeout is up
    --- exit Some(5)
    "#);
    assert_eq!(place.ns.pods_on(&place.node), ["db-0"]);
}

#[test]
fn p05_two_budgets_are_explained() {
    let place = Place::new("p05");
    place.ns.statefulset("db", 2, &Shape::new().prefers(&place.node));
    place.ns.statefulset("web", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(3);
    for name in ["one", "two"] {
        place.ns.pdb(
            name,
            json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "db"}}}),
        );
        place.ns.wait_pdb_allows(name, 1);
    }
    let ran = place.evacuate(&[]).expect(3);
    assert_run!(ran, @r#"
    --- stderr
    error: refused to evacuate p05-a; nothing was changed
      cause: 2 budgets match this pod (one, two), which the eviction API does not support: p05/db-0
      cause: 2 budgets match this pod (one, two), which the eviction API does not support: p05/db-1
      hint: make their selectors disjoint, or delete one of them
    --- exit Some(3)
    "#);
    place.assert_untouched();

    // Others go, and what cannot go is named in the end.
    let ran = place.evacuate(&["--on-blocked=wait", "--timeout=3s"]).expect(5);
    assert_run!(ran, @r#"
    node/p05-a cordoned
    evicting pod p05/web-0
    pod/web-0 evicted
    --- stderr
    Warning: 2 budgets match this pod (one, two), which the eviction API does not support: p05/db-0
      hint: make their selectors disjoint, or delete one of them
    Warning: 2 budgets match this pod (one, two), which the eviction API does not support: p05/db-1
      hint: make their selectors disjoint, or delete one of them
    p05-a: not drained in TIME; 1 pod gone: 1 to p05-b; 2 pods left
      hint: it stays cordoned; run again to go on, or 'kubectl evacuate p05-a --uncordon' to put it back
    NODE   POD LEFT   STATE   REASON
    p05-a   p05/db-0   Blocked   more than one budget matches it (one and two), which the eviction API does not support
    p05-a   p05/db-1   Blocked   more than one budget matches it (one and two), which the eviction API does not support
    error: the time of --timeout is up
    --- exit Some(5)
    "#);
    assert_eq!(place.moves(), ["evict web-0 201"]);
}
