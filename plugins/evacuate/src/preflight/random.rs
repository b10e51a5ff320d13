//! Random clusters against the preview: it never panics, and what it says agrees with the facts.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};

use serde_json::{Value, json};
use upkeep::report::{Seen, Severity};

use super::{
    capacity::Fit,
    duration::Pace,
    fence::PoweredOff,
    filters::{Allowed, Rules},
    jobs::{Losses, WaitJobs},
    plan::plan,
    preview::{Asked, preview},
    surge::Mode,
    testkit::{facts, node, pod},
};
use crate::{
    engine::{OnBlocked, event::Verb},
    facts::{Facts, Node, Pod, Uid},
};

/// A small generator (xorshift64*): the same seed gives the same clusters everywhere.
struct Random(u64);

impl Random {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(n).unwrap()).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// Amounts as people, tools and enemies write them.
const AMOUNTS: [&str; 14] = [
    "0",
    "1",
    "100m",
    "500m",
    "2",
    "4",
    "1e3",
    "0.5",
    "1n",
    "-1",
    "1Gi",
    "9223372036854775807",
    "9223372036854775807E",
    "x",
];
const DATES: [&str; 4] = [
    "2027-01-01T00:00:00Z",
    "2020-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-30T22:00:00Z",
];
const APPS: [&str; 3] = ["web", "db", "api"];

fn a_node(random: &mut Random, name: &str) -> Node {
    let taints = [
        json!([]),
        json!([{"key": "db", "value": "1", "effect": "NoSchedule"}]),
        json!([{"key": "db", "effect": "NoExecute"}, {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]),
    ];
    let zone = random.pick(&["a", "b", "c"]);
    let ready = random.pick(&["True", "True", "True", "False", "Unknown"]);
    let mut patch = json!({
        "metadata": {"labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {"unschedulable": random.one_in(8), "taints": random.pick(&taints)},
        "status": {
            "allocatable": {"cpu": random.pick(&AMOUNTS), "memory": random.pick(&["1Gi", "8Gi", "0"]), "pods": random.pick(&["2", "10", "x"])},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    });
    if random.one_in(12) {
        patch["metadata"]["deletionTimestamp"] = json!(random.pick(&DATES));
    }
    node(name, patch)
}

fn a_term(random: &mut Random) -> Value {
    let mut term = json!({"topologyKey": random.pick(&["kubernetes.io/hostname", "topology.kubernetes.io/zone", "none"]),
        "labelSelector": {"matchLabels": {"app": random.pick(&APPS)}}});
    match random.below(6) {
        0 => term["namespaceSelector"] = json!({"matchLabels": {"team": "x"}}),
        1 => term["matchLabelKeys"] = json!(["hash"]),
        2 => term["mismatchLabelKeys"] = json!(["hash"]),
        3 => term["labelSelector"] = json!({"matchExpressions": [{"key": "app", "operator": "Like"}]}),
        _ => {}
    }
    term
}

fn a_constraint(random: &mut Random) -> Value {
    json!({"maxSkew": random.pick(&[1, 2, i32::MAX]), "minDomains": random.pick(&[1, 2, 9]),
        "topologyKey": random.pick(&["kubernetes.io/hostname", "topology.kubernetes.io/zone"]),
        "whenUnsatisfiable": random.pick(&["DoNotSchedule", "ScheduleAnyway"]),
        "nodeTaintsPolicy": random.pick(&["Honor", "Ignore"]), "nodeAffinityPolicy": random.pick(&["Honor", "Ignore"]),
        "matchLabelKeys": random.pick(&[json!([]), json!(["hash"])]),
        "labelSelector": random.pick(&[json!({}), json!({"matchLabels": {"app": "web"}})])})
}

fn a_pod(random: &mut Random, index: usize, nodes: usize) -> Pod {
    let owner = random.pick(&["", "web", "db", "api", "lost"]);
    let home = if random.one_in(10) {
        String::new()
    } else {
        format!("n{}", random.below(nodes))
    };
    let requests = json!({"cpu": random.pick(&AMOUNTS), "memory": random.pick(&["0", "1Gi", "64Mi"])});
    let affinity = match random.below(5) {
        0 => {
            json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [a_term(random), a_term(random)]}})
        }
        1 | 2 => json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [a_term(random)]}}),
        _ => Value::Null,
    };
    let spread: Vec<Value> = (0..random.below(3)).map(|_| a_constraint(random)).collect();
    let tolerations = [
        json!([]),
        json!([{"operator": "Exists"}]),
        json!([{"key": "db", "operator": "Gt", "value": "0"}]),
    ];
    let volumes = [
        json!([]),
        json!([{"name": "v", "emptyDir": {}}]),
        json!([{"name": "v", "ephemeral": {}}]),
    ];
    let ready = random.pick(&["True", "True", "False"]);
    let mut patch = json!({
        "metadata": {"labels": {"app": random.pick(&APPS), "hash": random.pick(&["1", "2"])}},
        "spec": {
            "priority": random.pick(&[0, 1, -1, i32::MAX, i32::MIN]),
            "terminationGracePeriodSeconds": random.pick(&[0, 30, i64::MAX, 604_800]),
            "affinity": affinity, "topologySpreadConstraints": spread,
            "tolerations": random.pick(&tolerations), "volumes": random.pick(&volumes),
            "containers": [{"name": "c", "resources": {"requests": requests}}],
        },
        "status": {"phase": random.pick(&["Running", "Running", "Pending", "Failed", "Succeeded"]),
            "conditions": [{"type": "Ready", "status": ready}]},
    });
    if random.one_in(5) {
        patch["metadata"]["deletionTimestamp"] = json!(random.pick(&DATES));
        patch["metadata"]["deletionGracePeriodSeconds"] = json!(random.pick(&[0, 30, i64::MAX, i64::MIN]));
    }
    if random.one_in(12) {
        patch["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    }
    let mut pod = pod(&format!("p{index}"), &home, owner, patch);
    let kind = random.pick(&["ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Cluster"]);
    pod.owner.iter_mut().for_each(|owner| owner.kind = kind.into());
    pod
}

fn a_budget(random: &mut Random, index: usize) -> crate::facts::Budget {
    let amount = random.pick(&[
        json!(0),
        json!(1),
        json!(i32::MAX),
        json!("50%"),
        json!("100%"),
        json!("x%"),
        json!(-1),
    ]);
    let how = random.pick(&["minAvailable", "maxUnavailable"]);
    let counts = [0, 1, -1, i32::MAX, i32::MIN];
    let object = json!({
        "metadata": {"namespace": "default", "name": format!("b{index}"), "uid": format!("b{index}"), "generation": 1},
        "spec": {how: amount, "selector": random.pick(&[json!({}), json!({"matchLabels": {"app": "web"}})])},
        "status": {"observedGeneration": random.below(3), "disruptionsAllowed": random.pick(&counts), "currentHealthy": random.pick(&counts),
            "desiredHealthy": random.pick(&counts), "expectedPods": random.pick(&counts)},
    });
    serde_json::from_value::<k8s_openapi::api::policy::v1::PodDisruptionBudget>(object)
        .unwrap()
        .into()
}

fn a_cluster(random: &mut Random) -> Facts {
    let count = 1 + random.below(6);
    let nodes: Vec<Node> = (0..count).map(|i| a_node(random, &format!("n{i}"))).collect();
    let pods = (0..random.below(20)).map(|i| a_pod(random, i, count)).collect();
    let mut facts = facts(1 + random.below(count), nodes, pods);
    facts.budgets = Seen::Known((0..random.below(4)).map(|i| a_budget(random, i)).collect());
    if random.one_in(3) {
        let known: BTreeSet<Uid> = ["web", "db", "api"].map(str::to_owned).into();
        facts.controllers.insert("ReplicaSet", Seen::Known(known));
    }
    if random.one_in(3) {
        facts.namespaces = Seen::Known(BTreeMap::new());
    }
    facts
}

fn asked(random: &mut Random) -> Asked {
    Asked {
        rules: Rules {
            allowed: Allowed {
                force: random.one_in(2),
                delete_empty_dir: random.one_in(2),
                skip_deleted_after: random.pick(&[0, 1, i64::MAX]),
                wait_jobs: WaitJobs::default(),
            },
            daemon_sets: Seen::Known(BTreeSet::new()),
            gone: BTreeSet::new(),
            losses: Losses::default(),
        },
        verb: random.pick(&[Verb::Evict, Verb::Delete]),
        on_blocked: random.pick(&[
            OnBlocked::Patient,
            OnBlocked::Wait,
            OnBlocked::Fail,
            OnBlocked::DeleteAfter(1),
        ]),
        grace: None,
        surge: Mode::Off,
        powered_off: random.pick(&[PoweredOff::Ask, PoweredOff::No]),
        delete: false,
        pace: Pace {
            by_priority: random.one_in(2),
            parallel: 1,
            timeout: None,
            jobs: None,
        },
    }
}

/// Whether a node has room for the pod beside the pods that stay there: counted a second time, without the simulation.
fn has_room(facts: &Facts, going: &BTreeSet<&str>, node: &Node, pod: &Pod) -> bool {
    let there = facts
        .pods
        .iter()
        .filter(|p| p.node == node.name && !p.finished() && !going.contains(p.uid.as_str()));
    let there: Vec<&Pod> = there.collect();
    pod.scheduling.requests.0.iter().all(|(name, amount)| {
        let taken: i128 = there.iter().map(|p| p.scheduling.requests.get(name)).sum();
        *amount <= 0 || taken + amount <= node.allocatable.get(name)
    })
}

fn check(facts: &Facts, asked: &Asked) {
    let shown = preview(facts, asked);
    let targets: BTreeSet<&str> = facts.targets.iter().map(|n| n.name.as_str()).collect();
    let on_targets = facts.pods.iter().filter(|p| targets.contains(p.node.as_str()));
    let expected: BTreeSet<&str> = on_targets.map(|p| p.uid.as_str()).collect();
    let listed: Vec<&str> = shown.pods.iter().map(|p| p.pod.uid.as_str()).collect();
    let once: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(listed.len(), once.len(), "a pod is listed twice");
    assert_eq!(once, expected, "every pod of the nodes is listed, and no other");
    let planned = plan(facts, asked, &shown);
    for target in &planned.targets {
        for pod in &target.planned {
            let at = facts.pods.iter().find(|p| p.uid == pod.uid).map(|p| p.node.as_str());
            assert_eq!(at, Some(target.name.as_str()), "a pod of another node is planned");
        }
    }
    for finding in &shown.findings {
        assert!(!finding.evidence.is_empty(), "{finding:?}");
        if finding.severity == Severity::Refusal
            && matches!(finding.id, "local-data" | "no-controller" | "daemonset-missing")
        {
            assert!(!finding.subjects.is_empty(), "{finding:?}");
            assert!(
                finding.subjects.iter().all(|s| expected.contains(s.uid.as_str())),
                "{finding:?}"
            );
        }
    }
    let going: BTreeSet<&str> = shown.going().map(|p| p.pod.uid.as_str()).collect();
    for plan in &shown.pods {
        let pod = facts.pods.iter().find(|p| p.uid == plan.pod.uid).unwrap();
        if let Some(Fit::Fits { nodes }) = plan.fit {
            let open = facts.nodes.known().unwrap().iter().filter(|n| {
                !targets.contains(n.name.as_str()) && !n.unschedulable && !n.deleting && has_room(facts, &going, n, pod)
            });
            assert!(nodes <= open.count(), "{plan:?} is promised {nodes} nodes");
        }
    }
}

/// `UPKEEP_SEED=n` repeats a run; `UPKEEP_CASES=n` makes it longer or shorter.
#[test]
fn previews_of_random_clusters() {
    let from_env = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = from_env("UPKEEP_SEED").unwrap_or(u64::from(now.subsec_nanos()) ^ now.as_secs());
    let cases = from_env("UPKEEP_CASES").unwrap_or(2_000);
    // Past the capture of the test harness: a green run names its seed too.
    writeln!(
        std::io::stderr(),
        "preview: {cases} random clusters, UPKEEP_SEED={seed}"
    )
    .unwrap();
    for case in 0..cases {
        let this = seed.wrapping_add(case);
        let run = std::panic::catch_unwind(|| {
            let mut random = Random(this | 1);
            for _ in 0..8 {
                random.roll();
            }
            let facts = a_cluster(&mut random);
            check(&facts, &asked(&mut random));
        });
        assert!(run.is_ok(), "UPKEEP_SEED={this} UPKEEP_CASES=1");
    }
}
