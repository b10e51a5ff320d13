//! Everything that is not room.

use super::*;

#[test]
fn selectors_and_affinity() {
    let nodes = || vec![zoned("a", "a"), zoned("b", "b")];
    let select = |zone: &str| json!({"spec": {"nodeSelector": {ZONE: zone}}});
    assert_eq!(answer(select("b"), nodes(), vec![]), "fits on 1 node");
    assert_eq!(
        answer(select("c"), nodes(), vec![]),
        "proven impossible: 2 node affinity"
    );
    let pinned = |name: &str| {
        json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]}}}}})
    };
    assert_eq!(answer(pinned("a"), nodes(), vec![]), "fits on 1 node");
    assert_eq!(
        answer(pinned("t"), nodes(), vec![]),
        "proven impossible: 2 node affinity"
    );
}

#[test]
fn anti_affinity_with_pods_that_stay() {
    let nodes = || vec![zoned("a", "a"), zoned("b", "b")];
    let web = || labels(json!({"app": "web"}));
    let mine = |key| with(web(), anti(key, json!({"app": "web"})));
    let other = |name: &str, node: &str| pod(name, node, "web", web());
    assert_eq!(answer(mine(HOST), nodes(), vec![other("x", "a")]), "fits on 1 node");
    assert_eq!(
        answer(mine(HOST), nodes(), vec![other("x", "a"), other("y", "b")]),
        "proven impossible: 2 pod anti-affinity"
    );
    // The zone of the node that is emptied is shared with `a`; a pod there that goes as well does not count, one that
    // stays does.
    assert_eq!(
        answer(mine(ZONE), nodes(), vec![other("x", "t"), other("y", "b")]),
        "fits on 1 node"
    );
    let staying = facts(
        1,
        vec![zoned("t", "a"), zoned("a", "a")],
        vec![pod("p", "t", "web", mine(ZONE)), other("x", "t")],
    );
    assert_eq!(
        place(&staying, &[&staying.pods[0]])["p"].text(),
        "proven impossible: 1 pod anti-affinity"
    );
    // The other way round: who is there does not want it.
    let hermit = |node: &str| pod("x", node, "db", anti(HOST, json!({"app": "web"})));
    assert_eq!(
        answer(web(), vec![zoned("a", "a")], vec![hermit("a")]),
        "proven impossible: 1 pod anti-affinity"
    );
    assert_eq!(
        answer(labels(json!({"app": "api"})), vec![zoned("a", "a")], vec![hermit("a")]),
        "fits on 1 node"
    );
    // Another namespace, a Terminating pod, a term that cannot be judged.
    let elsewhere = pod(
        "x",
        "a",
        "web",
        with(web(), json!({"metadata": {"namespace": "other"}})),
    );
    assert_eq!(
        answer(mine(HOST), vec![zoned("a", "a")], vec![elsewhere]),
        "fits on 1 node"
    );
    let going = pod(
        "x",
        "a",
        "web",
        with(
            web(),
            json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}}),
        ),
    );
    assert_eq!(
        answer(mine(HOST), vec![zoned("a", "a")], vec![going]),
        "tight: 1 pod anti-affinity"
    );
    let mut vague = mine(HOST);
    vague["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]["namespaceSelector"] =
        json!({"matchLabels": {"team": "x"}});
    assert_eq!(
        answer(vague, vec![zoned("a", "a")], vec![other("x", "a")]),
        "unknown: the labels of namespaces could not be read"
    );
}

#[test]
fn anti_affinity_among_the_planned() {
    let hermit = with(labels(json!({"app": "web"})), anti(HOST, json!({"app": "web"})));
    let pods = (0..3)
        .map(|i| pod(&format!("p{i}"), "t", "web", hermit.clone()))
        .collect();
    let nodes = vec![node("t", json!({})), node("a", json!({})), node("b", json!({}))];
    let texts = texts(&facts(1, nodes, pods));
    let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        ["fits on 2 nodes", "fits on 2 nodes", "tight: 2 pod anti-affinity"]
    );
}

#[test]
fn affinity_to_other_pods() {
    let nodes = || vec![zoned("a", "a"), zoned("b", "b")];
    let seeks = || pro(ZONE, json!({"app": "db"}));
    let db = |name: &str, node: &str| pod(name, node, "db", labels(json!({"app": "db"})));
    assert_eq!(answer(seeks(), nodes(), vec![db("x", "b")]), "fits on 1 node");
    assert_eq!(answer(seeks(), nodes(), vec![]), "proven impossible: 2 pod affinity");
    // It is about to move, or waits for a node: it may turn up anywhere.
    let unknown = "unknown: it must run beside pods that are placed at the same time";
    assert_eq!(answer(seeks(), nodes(), vec![db("x", "t")]), unknown);
    assert_eq!(answer(seeks(), nodes(), vec![db("x", "")]), unknown);
    // Where company is that stays it fits whatever becomes of the other.
    assert_eq!(
        answer(seeks(), nodes(), vec![db("x", "t"), db("y", "b")]),
        "fits on 1 node"
    );
    // The first of a group that seeks its like.
    let like = with(labels(json!({"app": "db"})), seeks());
    assert_eq!(answer(like, nodes(), vec![]), "fits on 2 nodes");
    assert_eq!(
        answer(seeks(), vec![node("a", json!({}))], vec![db("x", "b")]),
        "proven impossible: 1 pod affinity"
    );
}

#[test]
fn topology_spread() {
    let web = |more: Value| {
        let constraint = json!({"maxSkew": 1, "topologyKey": HOST, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}}});
        with(
            labels(json!({"app": "web"})),
            json!({"spec": {"topologySpreadConstraints": [with(constraint, more)]}}),
        )
    };
    let nodes = || vec![node("a", json!({})), node("b", json!({}))];
    let other = |name: &str, node: &str| pod(name, node, "web", labels(json!({"app": "web"})));
    let both = || vec![other("x", "a"), other("y", "b")];
    // The node that is emptied still counts as a domain, with nobody in it.
    assert_eq!(
        answer(web(json!({})), nodes(), both()),
        "proven impossible: 2 topology spread"
    );
    assert_eq!(answer(web(json!({})), nodes(), vec![other("x", "a")]), "fits on 1 node");
    assert_eq!(answer(web(json!({"maxSkew": 2})), nodes(), both()), "fits on 2 nodes");
    for (more, expected) in [
        (json!({"whenUnsatisfiable": "ScheduleAnyway"}), "fits on 2 nodes"),
        // The cordon is a taint: the node that is emptied is no domain then.
        (json!({"nodeTaintsPolicy": "Honor"}), "fits on 2 nodes"),
        (
            json!({"nodeAffinityPolicy": "Ignore"}),
            "proven impossible: 2 topology spread",
        ),
        // A label that the pod does not have is passed over.
        (
            json!({"matchLabelKeys": ["pod-template-hash"]}),
            "proven impossible: 2 topology spread",
        ),
    ] {
        assert_eq!(answer(web(more.clone()), nodes(), both()), expected, "{more}");
    }
    assert_eq!(
        answer(web(json!({"topologyKey": ZONE})), nodes(), vec![]),
        "proven impossible: 2 topology spread"
    );
    // A pod that goes as well is still there for a while, so this is no proof; when it has left, there is no place.
    let all = [both(), vec![other("z", "t")]].concat();
    assert_eq!(answer(web(json!({})), nodes(), all), "tight: 2 topology spread");
    let lopsided = ["v", "w", "x"].map(|name| other(name, "b")).to_vec();
    let wide = json!({"topologyKey": ZONE, "maxSkew": 2});
    let zones = || vec![zoned("a", "a"), zoned("b", "b")];
    assert_eq!(
        answer(web(wide), zones(), [lopsided, vec![other("y", "t")]].concat()),
        "fits on 1 node"
    );
    // Pods that go as well may raise the minimum in the meantime, which is no promise.
    let staying = vec![other("x", "b"), other("y", "t")];
    assert_eq!(
        answer(web(json!({"topologyKey": ZONE})), zones(), staying),
        "fits on 1 node"
    );
}

#[test]
fn volumes_stay_where_they_are() {
    let volume = |name: &str, zone: &str| Volume {
        name: name.into(),
        node_affinity: serde_json::from_value(json!({"nodeSelectorTerms": [
            {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}]}))
        .unwrap(),
        labels: BTreeMap::new(),
        local: false,
        driver: None,
    };
    let claimed =
        |claim: &str| json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}});
    let ask = |claim: &str, seen: bool| {
        let nodes = vec![zoned("t", "a"), zoned("a", "a"), zoned("b", "b")];
        let mut facts = facts(1, nodes, vec![pod("p", "t", "web", claimed(claim))]);
        let claims = [
            ("here", "v-a"),
            ("far", "v-c"),
            ("open", ""),
            ("p-v", "v-c"),
            ("lost", "v-x"),
        ];
        facts.volumes = Seen::Known(Volumes {
            claims: claims
                .into_iter()
                .map(|(c, v)| (("default".into(), c.into()), v.into()))
                .collect(),
            volumes: [volume("v-a", "a"), volume("v-c", "c")]
                .into_iter()
                .map(|v| (v.name.clone(), v))
                .collect(),
        });
        if !seen {
            facts.volumes = unseen();
        }
        place(&facts, &on_targets(&facts))["p"].text()
    };
    assert_eq!(ask("here", true), "fits on 1 node");
    assert_eq!(ask("far", true), "proven impossible: 2 volume node affinity");
    assert_eq!(ask("open", true), "unknown: claim open is not bound to a volume");
    assert_eq!(ask("none", true), "unknown: claim none is not bound to a volume");
    // Its name is that of an ephemeral volume's claim; it is none.
    assert_eq!(ask("p-v", true), "proven impossible: 2 volume node affinity");
    assert_eq!(ask("lost", true), "unknown: its volumes could not be read");
    assert_eq!(ask("here", false), "unknown: its volumes could not be read");
}
