//! The world that the engine is let loose on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use k8s_openapi::api::core::v1 as api;
use proptest::test_runner::TestCaseError;
use serde_json::json;

use super::{
    off::Off,
    rules::fail,
    shape::Shape,
    surged::{HOME, Surged},
    under::Under,
};
use crate::{
    engine::{
        Plan, State, Target,
        event::{At, Call, Change, Command, Event, Outcome, What},
    },
    facts::{self, Budget, Pod},
};

const MAX_STEPS: usize = 3_000;
const CHAOS: usize = 150;

#[derive(Debug, Clone)]
pub struct SimPod {
    pub pod: Pod,
    pub budget: Option<usize>,
    pub movable: bool,
    pub born: usize,
}

#[derive(Debug)]
pub struct SimBudget {
    pub allowed: i32,
    pub changed: bool,
}

/// A request that the world has not answered yet.
#[derive(Debug)]
pub struct Open {
    pub call: Call,
    pub command: Command,
}

pub struct World {
    pub shape: Shape,
    pub state: State,
    pub dice: u64,
    pub now: At,
    pub steps: usize,
    pub pods: BTreeMap<String, SimPod>,
    pub budgets: Vec<SimBudget>,
    pub news: BTreeMap<String, VecDeque<Change<Pod>>>,
    pub open: Vec<Open>,
    pub cordoned: BTreeSet<String>,
    /// Nodes that the engine has seen as cordoned since it watches them.
    pub watched: BTreeSet<String>,
    pub accepted: BTreeSet<String>,
    pub asked_without_answer: BTreeSet<String>,
    pub under: Vec<Under>,
    pub last_list: BTreeMap<String, usize>,
    pub off: BTreeMap<String, Off>,
    pub surged: Option<Surged>,
    /// Nodes that were removed.
    pub removed: BTreeSet<String>,
    pub finished: Option<Outcome>,
    pub interrupted: bool,
    pub next_uid: usize,
}

impl World {
    pub fn new(shape: Shape) -> Self {
        let mut world = Self {
            dice: shape.seed | 1,
            now: 1_000_000,
            steps: 0,
            pods: BTreeMap::new(),
            budgets: (0..shape.budgets)
                .map(|_| SimBudget {
                    allowed: 1,
                    changed: false,
                })
                .collect(),
            news: BTreeMap::new(),
            open: Vec::new(),
            cordoned: BTreeSet::new(),
            watched: BTreeSet::new(),
            accepted: BTreeSet::new(),
            asked_without_answer: BTreeSet::new(),
            under: (0..shape.budgets).map(|_| Under::new()).collect(),
            last_list: BTreeMap::new(),
            off: shape.off(),
            surged: None,
            removed: BTreeSet::new(),
            finished: None,
            interrupted: false,
            next_uid: 0,
            state: State::new(Plan::default(), shape.settings(1_000_000), 1_000_000),
            shape,
        };
        for i in 0..world.shape.pods {
            let node = format!("n{}", i % world.shape.nodes);
            world.spawn(&node);
        }
        // Where a machine is off nothing is surged.
        if world.shape.surged > 0 && !world.off.contains_key(HOME) {
            let surged = Surged::new(world.shape.surged, world.now);
            world
                .pods
                .extend(surged.pods().into_iter().map(|p| (p.pod.uid.clone(), p)));
            world.surged = Some(surged);
        }
        let plan = world.plan();
        world.state = State::new(plan, world.shape.settings(world.now), world.now);
        world
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    pub fn spawn(&mut self, node: &str) {
        let n = self.next_uid;
        self.next_uid += 1;
        let kind = self.roll(12);
        let budget =
            (self.shape.budgets > 0 && kind < 7).then(|| usize::try_from(self.roll(8)).unwrap() % self.shape.budgets);
        let (owner, movable) = match kind {
            11 => (
                json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ds", "uid": "ds", "controller": true}]),
                false,
            ),
            _ => (
                json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": true}]),
                true,
            ),
        };
        let pod: api::Pod = serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": format!("p{}", n % 7), "uid": format!("u{n}"), "ownerReferences": owner,
                "labels": {"budget": budget.map_or("none".to_owned(), |b| b.to_string())}},
            "spec": {"nodeName": node, "containers": [], "priority": self.roll(3)},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        let pod = Pod::from(pod);
        self.tell(node, Change::Applied(pod.clone()));
        self.pods.insert(
            pod.uid.clone(),
            SimPod {
                pod,
                budget,
                movable,
                born: self.steps,
            },
        );
    }

    pub fn tell(&mut self, node: &str, change: Change<Pod>) {
        if let Some(queue) = self.news.get_mut(node) {
            queue.push_back(change);
        }
    }

    fn plan(&self) -> Plan {
        let targets = (0..self.shape.nodes).map(|i| Target {
            name: format!("n{i}"),
            uid: format!("n{i}"),
            judged: self.pods.keys().cloned().collect(),
            fence: self.off.get(&format!("n{i}")).map(Off::planned),
            ..Target::default()
        });
        Plan {
            targets: targets.collect(),
            budgets: Some(self.budget_list()),
            surges: self.surged.iter().map(Surged::planned).collect(),
            ..Plan::default()
        }
    }

    pub fn budget(&self, i: usize) -> Budget {
        let allowed = self.budgets[i].allowed;
        let object = json!({
            "metadata": {"namespace": "ns", "name": format!("b{i}"), "uid": format!("b{i}"), "generation": 1},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"budget": i.to_string()}}},
            "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1 + allowed,
                "desiredHealthy": 1, "expectedPods": 3},
        });
        serde_json::from_value::<k8s_openapi::api::policy::v1::PodDisruptionBudget>(object)
            .unwrap()
            .into()
    }

    fn budget_list(&self) -> Vec<Budget> {
        (0..self.budgets.len()).map(|i| self.budget(i)).collect()
    }

    pub fn run(mut self) -> Result<(), TestCaseError> {
        let commands = self.state.start();
        self.take(commands)?;
        while self.finished.is_none() {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return fail(format!(
                    "no end in a fair world: {:?} {:?}",
                    self.state.pod_rows(),
                    self.state.node_rows()
                ));
            }
            if self.steps < CHAOS {
                self.chaos()?
            } else {
                self.fair()?
            }
        }
        self.check_end()
    }

    pub fn feed(&mut self, what: What) -> Result<(), TestCaseError> {
        let commands = self.state.step(Event { at: self.now, what });
        self.take(commands)
    }

    pub fn on(&self, node: &str) -> Vec<Pod> {
        self.pods
            .values()
            .filter(|p| p.pod.node == node)
            .map(|p| p.pod.clone())
            .collect()
    }
}

pub fn node(name: &str, uid: &str, cordoned: bool) -> facts::Node {
    let object = json!({"metadata": {"name": name, "uid": uid}, "spec": {"unschedulable": cordoned}});
    serde_json::from_value::<api::Node>(object).unwrap().into()
}
