//! R7: what is promised was checked, what is not checked is unknown.

use super::*;

const HASH: &str = "pod-template-hash";

fn spread(more: Value, own: Value) -> Value {
    let constraint = json!({"maxSkew": 1, "topologyKey": HOST, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}});
    with(
        labels(with(json!({"app": "web"}), own)),
        json!({"spec": {"topologySpreadConstraints": [with(constraint, more)]}}),
    )
}

fn web(name: &str, node: &str, own: Value) -> Pod {
    pod(name, node, "web", labels(with(json!({"app": "web"}), own)))
}

#[test]
fn r07_match_label_keys_of_a_spread_constraint() {
    let nodes = || vec![node("a", json!({})), node("b", json!({}))];
    let keys = json!({"matchLabelKeys": [HASH]});
    let of = |hash: &str| json!({HASH: hash});
    // Pods of the old template do not count: each node has room for one of the new.
    let old = || vec![web("x", "a", of("1")), web("y", "b", of("1"))];
    assert_eq!(answer(spread(keys.clone(), of("2")), nodes(), old()), "fits on 2 nodes");
    let new = vec![web("x", "a", of("2")), web("y", "b", of("2"))];
    assert_eq!(
        answer(spread(keys.clone(), of("2")), nodes(), new),
        "proven impossible: 2 topology spread"
    );
    let mixed = vec![web("x", "a", of("2")), web("y", "b", of("1"))];
    assert_eq!(answer(spread(keys, of("2")), nodes(), mixed), "fits on 1 node");
}

#[test]
fn r07_which_nodes_a_spread_constraint_counts() {
    let tainted = node(
        "c",
        json!({"spec": {"taints": [{"key": "db", "effect": "NoSchedule"}]}}),
    );
    let nodes = || vec![node("a", json!({})), node("b", json!({})), tainted.clone()];
    let one_each = || vec![web("x", "a", json!({})), web("y", "b", json!({}))];
    // Empty nodes that the pod cannot enter hold the minimum down unless taints are honored.
    let ask = |more| answer(spread(more, json!({})), nodes(), one_each());
    assert_eq!(ask(json!({})), "proven impossible: 2 topology spread, 1 taint");
    assert_eq!(ask(json!({"nodeTaintsPolicy": "Honor"})), "fits on 2 nodes");
    // Fewer domains than wanted: the minimum is 0.
    let ask = |domains: i32| {
        let more = json!({"nodeTaintsPolicy": "Honor", "minDomains": domains});
        answer(spread(more, json!({})), nodes(), one_each())
    };
    assert_eq!(ask(2), "fits on 2 nodes");
    assert_eq!(ask(3), "proven impossible: 2 topology spread, 1 taint");
    // A selector of another release, and an empty one, which counts no pod.
    let odd = json!({"labelSelector": {"matchExpressions": [{"key": "app", "operator": "Like", "values": ["w"]}]}});
    assert_eq!(ask_with(odd), "unknown: a topology spread constraint cannot be read");
    assert_eq!(
        ask_with(json!({"labelSelector": {"matchLabels": null}})),
        "fits on 2 nodes"
    );
}

fn ask_with(more: Value) -> String {
    let nodes = vec![node("a", json!({})), node("b", json!({}))];
    let pods = vec![web("x", "a", json!({})), web("y", "b", json!({}))];
    answer(spread(more, json!({})), nodes, pods)
}

/// No domain is promised twice.
#[test]
fn r07_planned_pods_are_spread_among_themselves() {
    let nodes = vec![zoned("t", "a"), zoned("a", "a"), zoned("b", "b"), zoned("c", "c")];
    let pods = (0..4).map(|i| {
        pod(
            &format!("p{i}"),
            "t",
            "web",
            spread(json!({"topologyKey": ZONE}), json!({})),
        )
    });
    let staying = vec![web("x", "b", json!({})), web("y", "c", json!({}))];
    let facts = facts(1, nodes, pods.chain(staying).collect());
    let texts = texts(&facts);
    // Zone a takes two before b and c may have their second, and all of them are the only ones there.
    let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["fits on 1 node"; 4]);
}

#[test]
fn r07_label_keys_and_namespaces_of_affinity() {
    let nodes = || vec![zoned("a", "a"), zoned("b", "b")];
    let term = |more: Value| {
        let term = json!({"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": "web"}}});
        json!([with(term, more)])
    };
    let hermit = |more: Value, own: Value| {
        let own = labels(with(json!({"app": "web"}), own));
        let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term(more)}});
        with(own, json!({"spec": {"affinity": affinity}}))
    };
    let of = |hash: &str| json!({HASH: hash});
    let others = || vec![web("x", "a", of("1")), web("y", "b", of("2"))];
    for (more, expected) in [
        (json!({}), "proven impossible: 2 pod anti-affinity"),
        (json!({"matchLabelKeys": [HASH]}), "fits on 1 node"),
        (json!({"mismatchLabelKeys": [HASH]}), "fits on 1 node"),
    ] {
        let text = more.to_string();
        assert_eq!(answer(hermit(more, of("1")), nodes(), others()), expected, "{text}");
    }
    let selected = json!({"namespaceSelector": {"matchLabels": {"team": "x"}}});
    for (team, expected) in [
        ("x", "proven impossible: 2 pod anti-affinity"),
        ("y", "fits on 2 nodes"),
    ] {
        let mut all = vec![pod("p", "t", "web", hermit(selected.clone(), json!({})))];
        all.extend(others());
        let mut facts = facts(1, [vec![node("t", json!({}))], nodes()].concat(), all);
        let labels = BTreeMap::from([("team".to_owned(), team.to_owned())]);
        facts.namespaces = Seen::Known(BTreeMap::from([("default".to_owned(), labels)]));
        assert_eq!(place(&facts, &on_targets(&facts))["p"].text(), expected, "{team}");
    }
}

#[test]
fn r07_a_pod_that_is_resized_holds_what_it_has() {
    let one = || vec![node("a", json!({}))];
    let has = |asked: &str, has: &str, given: &str| {
        with(
            cpu(asked),
            json!({"status": {"containerStatuses": [{"name": "c", "ready": true, "restartCount": 0, "image": "", "imageID": "",
            "resources": {"requests": {"cpu": has}}, "allocatedResources": {"cpu": given}}]}}),
        )
    };
    let table = [
        (has("1", "1", "1"), "fits on 1 node"),
        (has("1", "3", "1"), "proven impossible: 1 insufficient cpu"),
        (has("1", "1", "3"), "proven impossible: 1 insufficient cpu"),
        (has("3", "1", "1"), "proven impossible: 1 insufficient cpu"),
        // A resize that will never be given does not count.
        (
            with(
                has("3", "1", "1"),
                json!({"status": {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]}}),
            ),
            "fits on 1 node",
        ),
    ];
    for (patch, expected) in table {
        let text = patch.to_string();
        assert_eq!(
            answer(cpu("2"), one(), vec![pod("x", "a", "db", patch)]),
            expected,
            "{text}"
        );
    }
    assert_eq!(
        answer(has("1", "3", "1"), one(), vec![]),
        "unknown: it is being resized in place"
    );
    // One of its pods was resized: what the next one asks for is not known.
    assert_eq!(
        answer(cpu("1"), one(), vec![pod("x", "a", "web", cpu("2"))]),
        "unknown: pods of its ReplicaSet ask for different amounts"
    );
    let whole = json!({"spec": {"resources": {"requests": {"cpu": "1"}}},
        "status": {"conditions": [{"type": "PodResizeInProgress", "status": "True"}]}});
    assert_eq!(
        answer(cpu("1"), one(), vec![pod("x", "a", "db", whole)]),
        "unknown: a pod there is being resized in place"
    );
}

#[test]
fn r07_host_ports_of_sidecars() {
    let sidecar = json!({"spec": {"initContainers": [{"name": "s", "restartPolicy": "Always", "ports": [{"containerPort": 80, "hostPort": 80}]}]}});
    let port = json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}});
    assert_eq!(
        answer(port, vec![node("a", json!({}))], vec![pod("x", "a", "db", sidecar)]),
        "proven impossible: 1 host port"
    );
}

#[test]
fn r07_volume_limits_and_volumes_that_are_made_anew() {
    let volume = |name: &str| Volume {
        name: name.into(),
        node_affinity: None,
        labels: BTreeMap::new(),
        local: false,
        driver: Some("disk.example.com".into()),
    };
    let claimed =
        |claim: &str| json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}});
    let ask = |limit: Option<i64>| {
        let nodes = vec![node("t", json!({})), node("a", json!({}))];
        let pods = vec![
            pod("p", "t", "web", claimed("p")),
            pod("q", "t", "web", claimed("q")),
            pod("x", "a", "db", claimed("x")),
        ];
        let mut facts = facts(1, nodes, pods);
        let names = ["p", "q", "x"];
        facts.volumes = Seen::Known(Volumes {
            claims: names
                .iter()
                .map(|n| (("default".into(), (*n).into()), format!("v-{n}")))
                .collect(),
            volumes: names
                .iter()
                .map(|n| (format!("v-{n}"), volume(&format!("v-{n}"))))
                .collect(),
        });
        facts.volume_limits = match limit {
            None => unseen(),
            Some(limit) => Seen::Known([("a".to_owned(), [("disk.example.com".to_owned(), limit)].into())].into()),
        };
        let fits = place(&facts, &on_targets(&facts));
        [fits["p"].text(), fits["q"].text()]
    };
    assert_eq!(ask(Some(3)), ["fits on 1 node", "fits on 1 node"]);
    assert_eq!(ask(Some(2)), ["fits on 1 node", "tight: 1 volume limit"]);
    assert_eq!(ask(Some(1)), ["tight: 1 volume limit", "tight: 1 volume limit"]);
    assert_eq!(ask(None), ["unknown: the volume limits of nodes could not be read"; 2]);
    let ephemeral = json!({"spec": {"volumes": [{"name": "v", "ephemeral": {}}]}});
    assert_eq!(
        answer(ephemeral, vec![node("a", json!({}))], vec![]),
        "unknown: a volume for claim p-v is made anew when it is placed"
    );
    let inline = json!({"spec": {"volumes": [{"name": "v", "rbd": {"image": "i", "monitors": []}}]}});
    assert_eq!(
        answer(inline, vec![node("a", json!({}))], vec![]),
        "unknown: it mounts a disk without a claim"
    );
}

#[test]
fn r07_operators_of_a_later_release_promise_nothing() {
    let tainted = || {
        vec![node(
            "a",
            json!({"spec": {"taints": [{"key": "level", "value": "3", "effect": "NoSchedule"}]}}),
        )]
    };
    let unknown = "unknown: a toleration or node affinity has an operator that this version does not know";
    let tolerates = json!({"spec": {"tolerations": [{"key": "level", "operator": "Gt", "value": "1"}]}});
    assert_eq!(answer(tolerates, tainted(), vec![]), unknown);
    let chooses = json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": HOST, "operator": "Like", "values": ["a"]}]}]}}}}});
    assert_eq!(answer(chooses, vec![node("a", json!({}))], vec![]), unknown);
}
