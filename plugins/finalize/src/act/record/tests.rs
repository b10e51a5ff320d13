#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use super::*;

fn run() -> Identity {
    static RUN: OnceLock<Identity> = OnceLock::new();
    RUN.get_or_init(Identity::current).clone()
}

fn patched(object: &Value, operations: &[Value]) -> Value {
    let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).unwrap();
    object["metadata"]["resourceVersion"] = json!(format!("{}+", object["metadata"]["resourceVersion"]));
    object
}

/// Without what changes with every write.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    let meta = object["metadata"].as_object_mut().unwrap();
    meta.remove("resourceVersion");
    if meta.get("annotations") == Some(&json!({})) {
        meta.remove("annotations");
    }
    object
}

fn configuration(selector: Value) -> Value {
    json!({"metadata": {"name": "w", "resourceVersion": "1"}, "webhooks": [
        {"name": "a.example.com", "namespaceSelector": {}, "failurePolicy": "Fail"},
        {"name": "b.example.com", "namespaceSelector": selector, "failurePolicy": "Fail"}]})
}

fn opened(object: &Value, namespace: &str) -> Value {
    let place = Place::NamespaceSelector {
        webhook: "b.example.com".into(),
    };
    let need = Need {
        namespace: Some(namespace.to_owned()),
        ..need(&format!("namespaces/{namespace}"), &run(), Timestamp::UNIX_EPOCH)
    };
    patched(object, &open(object, place, need).unwrap())
}

fn closed(object: &Value, namespace: &str) -> (Value, Back) {
    let target = format!("namespaces/{namespace}");
    let back = back(object, |need| need.target == target).unwrap();
    (patched(object, &back.operations), back)
}

#[test]
fn what_is_changed_can_be_put_back_wherever_it_is_by_then() {
    let whole = configuration(json!({"matchLabels": {"a": "b"}}));
    let mut changed = opened(&whole, "s");
    assert_eq!(
        changed["webhooks"][1]["namespaceSelector"]["matchExpressions"][0]["values"],
        json!(["s"])
    );
    assert_eq!(changed["webhooks"][0], whole["webhooks"][0]);
    changed["webhooks"].as_array_mut().unwrap().swap(0, 1);
    let (mut again, back) = closed(&changed, "s");
    assert!(back.theirs.is_empty() && back.needed.is_empty());
    again["webhooks"].as_array_mut().unwrap().swap(0, 1);
    assert_eq!(content(&again), content(&whole));
}

#[test]
fn it_is_as_it_was_when_nobody_needs_it_any_more() {
    let whole = configuration(json!({}));
    for (first, second) in [("s", "t"), ("t", "s")] {
        let both = opened(&opened(&whole, "s"), "t");
        let (one, back) = closed(&both, first);
        assert_eq!(back.needed, [format!("namespaces/{second}")]);
        let left_out = &one["webhooks"][1]["namespaceSelector"]["matchExpressions"][0]["values"];
        assert_eq!(*left_out, json!([second]));
        assert_eq!(content(&closed(&one, second).0), content(&whole));
    }
}

#[test]
fn a_second_run_for_the_same_target_adds_nothing() {
    let whole = configuration(json!({}));
    let twice = opened(&opened(&whole, "s"), "s");
    assert_eq!(twice["webhooks"], opened(&whole, "s")["webhooks"]);
    assert_eq!(content(&closed(&twice, "s").0), content(&whole));
}

#[test]
fn what_somebody_else_has_changed_since_stays() {
    let place = Place::FailurePolicy {
        webhook: "b.example.com".into(),
    };
    let whole = configuration(json!({}));
    let mut changed = patched(
        &whole,
        &open(&whole, place, need("namespaces/s", &run(), Timestamp::UNIX_EPOCH)).unwrap(),
    );
    assert_eq!(changed["webhooks"][1]["failurePolicy"], "Ignore");
    changed["webhooks"][1]["failurePolicy"] = json!("Other");
    let (again, back) = closed(&changed, "s");
    assert_eq!(back.theirs, ["failurePolicy of b.example.com"]);
    assert_eq!(again["webhooks"][1]["failurePolicy"], "Other");
    // A selector that has got more of them loses only what was set.
    let theirs = json!({"key": "team", "operator": "Exists"});
    let mut changed = opened(&whole, "s");
    let expressions = &mut changed["webhooks"][1]["namespaceSelector"]["matchExpressions"];
    expressions.as_array_mut().unwrap().push(theirs.clone());
    let (again, back) = closed(&changed, "s");
    assert!(back.theirs.is_empty());
    assert_eq!(
        again["webhooks"][1]["namespaceSelector"]["matchExpressions"],
        json!([theirs])
    );
}

#[test]
fn conversions() {
    let webhook = json!({"strategy": "Webhook", "webhook": {}});
    let whole = json!({"metadata": {"name": "d", "resourceVersion": "1"}, "spec": {"conversion": webhook}});
    let operations = open(
        &whole,
        Place::Conversion,
        need("namespaces/s", &run(), Timestamp::UNIX_EPOCH),
    )
    .unwrap();
    let changed = patched(&whole, &operations);
    assert_eq!(changed["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(content(&closed(&changed, "s").0), content(&whole));
}

/// For one user of one namespace, on a webhook with conditions of its own and on one without.
#[test]
fn match_conditions_are_as_they_were() {
    let own = json!([{"name": "own", "expression": "true"}]);
    for was in [json!(null), own] {
        let mut whole = configuration(json!({}));
        if !was.is_null() {
            whole["webhooks"][1]["matchConditions"] = was.clone();
        }
        let place = Place::MatchConditions {
            webhook: "b.example.com".into(),
        };
        let opened = |object: &Value, namespace: &str| {
            let need = Need {
                namespace: Some(namespace.to_owned()),
                users: vec!["admin".into()],
                ..need(&format!("namespaces/{namespace}"), &run(), Timestamp::UNIX_EPOCH)
            };
            patched(object, &open(object, place.clone(), need).unwrap())
        };
        let both = opened(&opened(&whole, "s"), "t");
        let conditions = both["webhooks"][1]["matchConditions"].as_array().unwrap();
        assert_eq!(conditions.len(), was.as_array().map_or(0, Vec::len) + 1);
        assert_eq!(both["webhooks"][1]["failurePolicy"], "Fail");
        let (one, left) = closed(&both, "s");
        assert_eq!(left.needed, ["namespaces/t"]);
        let (none, _) = closed(&one, "t");
        assert_eq!(content(&none), content(&whole));
        let mut saved = super::closed(&both);
        saved["metadata"].as_object_mut().unwrap().remove("annotations");
        assert_eq!(saved["webhooks"], whole["webhooks"]);
        // Somebody has added a condition meanwhile: that stays.
        let mut changed = opened(&whole, "s");
        let theirs = json!({"name": "theirs", "expression": "false"});
        let all = changed["webhooks"][1]["matchConditions"].as_array_mut().unwrap();
        all.push(theirs.clone());
        let (again, back) = closed(&changed, "s");
        assert!(back.theirs.is_empty());
        let mut expected = was.as_array().cloned().unwrap_or_default();
        expected.push(theirs);
        assert_eq!(again["webhooks"][1]["matchConditions"], json!(expected));
    }
}

/// The clock is the server's: that of this machine may be far off.
#[test]
fn a_need_is_over_by_the_clock_of_the_server() {
    let now = Timestamp::UNIX_EPOCH;
    let other = Identity {
        run: "another".into(),
        ..run()
    };
    let need = need("namespaces/s", &other, now);
    assert!(!need.is_over("namespaces/t", &run(), false, now + SignedDuration::from_mins(14)));
    assert!(need.is_over("namespaces/t", &run(), false, now + SignedDuration::from_mins(16)));
}
