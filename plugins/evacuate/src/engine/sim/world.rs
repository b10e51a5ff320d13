//! The world that the engine is let loose on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use k8s_openapi::api::core::v1 as api;
use proptest::test_runner::TestCaseError;
use serde_json::json;
use upkeep::report::Seen;

use super::{
    off::Off,
    rules::fail,
    surged::{HOME, Surged},
    under::Under,
};
use crate::{
    engine::{
        OnBlocked, Plan, Settings, State, Target,
        event::{At, Call, Change, Command, Event, Outcome, Reply, Verb, What},
    },
    facts::{self, Budget, Pod},
    preflight::filters::{Allowed, Rules},
};

/// What a case looks like.
#[derive(Debug, Clone)]
pub struct Shape {
    pub seed: u64,
    pub nodes: usize,
    pub pods: usize,
    pub budgets: usize,
    pub on_blocked: u8,
    /// Which nodes are off: the first, the last, all, none.
    pub off: u8,
    /// How many pods on the first node only a surge can move.
    pub surged: usize,
    pub by_priority: bool,
    pub hostile: bool,
    pub one_by_one: bool,
    pub uncordon: bool,
    pub delete: bool,
    pub deadline: Option<At>,
}

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
            off: off(&shape),
            surged: None,
            removed: BTreeSet::new(),
            finished: None,
            interrupted: false,
            next_uid: 0,
            state: State::new(Plan::default(), settings(&shape, 1_000_000), 1_000_000),
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
        world.state = State::new(plan, settings(&world.shape, world.now), world.now);
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

    /// Lets one pod go, as the API server would.
    fn perform(&mut self, uid: &str, at_once: bool, counted: bool) -> Reply {
        if at_once && let Some(gone) = self.pods.remove(uid) {
            self.tell(&gone.pod.node.clone(), Change::Gone(gone.pod));
            return Reply::Accepted;
        }
        let Some(sim) = self.pods.get_mut(uid) else {
            return Reply::NotFound;
        };
        if let Some(b) = sim.budget.filter(|_| counted && sim.pod.deletion.is_none()) {
            if self.budgets[b].allowed <= 0 {
                return Reply::OverBudget {
                    message: "no".into(),
                    retry_after: Some(0),
                };
            }
            self.budgets[b].allowed -= 1;
            self.budgets[b].changed = true;
        }
        sim.pod.deletion = Some(k8s_openapi::jiff::Timestamp::from_millisecond(self.now + 30_000).unwrap());
        let pod = sim.pod.clone();
        self.tell(&pod.node.clone(), Change::Applied(pod));
        self.evicted_from(uid);
        Reply::Accepted
    }

    pub fn answer_one(&mut self, with_faults: bool) -> Result<(), TestCaseError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let i = usize::try_from(self.roll(64)).unwrap() % self.open.len();
        self.answer_at(i, with_faults)
    }

    pub fn answer_at(&mut self, index: usize, with_faults: bool) -> Result<(), TestCaseError> {
        let Open { call, command } = self.open.swap_remove(index);
        let fault = with_faults && self.one_in(3);
        match command {
            Command::Cordon { node, .. } => {
                let reply = match self.roll(12) {
                    0 if fault => Reply::Denied("no".into()),
                    1..=4 if fault => Reply::Unavailable("busy".into()),
                    _ => Reply::Accepted,
                };
                if reply == Reply::Accepted {
                    self.cordoned.insert(node);
                }
                self.feed(What::Reply { call, reply })
            }
            Command::Uncordon { .. } => self.feed(What::Reply {
                call,
                reply: Reply::Accepted,
            }),
            Command::Remove { node, .. } => {
                let reply = match self.roll(8) {
                    0 if fault => Reply::Unavailable("busy".into()),
                    1 if fault => Reply::Rejected("volumes are attached".into()),
                    2 if fault => Reply::Lost("before".into()),
                    _ if !self.removed.insert(node) => Reply::NotFound,
                    3 if fault => Reply::Lost("after".into()),
                    _ => Reply::Accepted,
                };
                self.feed(What::Reply { call, reply })
            }
            Command::Publish { .. } => {
                let reply = if fault {
                    Reply::Forbidden("no".into())
                } else {
                    Reply::Accepted
                };
                self.feed(What::Reply { call, reply })
            }
            Command::List { node, .. } => {
                if fault {
                    return self.feed(What::Reply {
                        call,
                        reply: Reply::Lost("cut".into()),
                    });
                }
                // What was asked for before the node was empty may come after that.
                if self.news.contains_key(&node) {
                    self.last_list.insert(node.clone(), self.steps);
                }
                let change = Change::Listed(self.on(&node));
                self.feed(What::Pods {
                    node,
                    change,
                    call: Some(call),
                })
            }
            Command::Watch { node: name } => {
                self.watched.insert(name.clone());
                self.feed(What::Node(Change::Listed(vec![node(&name, &name, true)])))
            }
            Command::Fence { node, act, .. } => self.answer_fence(call, &node, &act, fault),
            Command::Surge { act, .. } => self.answer_surge(call, &act, fault),
            Command::Evict { ref pod, .. } | Command::Delete { ref pod, .. } => {
                let counted = matches!(command, Command::Evict { .. });
                let at_once = matches!(command, Command::Delete { grace: Some(0), .. });
                let budget = self.pods.get(&pod.uid).and_then(|p| p.budget);
                self.asked_without_answer.remove(&pod.uid);
                let reply = match self.roll(9) {
                    0 if fault => Reply::Throttled { retry_after: Some(1) },
                    1 if fault => Reply::Unavailable("busy".into()),
                    2 if fault => Reply::Denied("webhook".into()),
                    3 if fault => Reply::Contended("conflict".into()),
                    4 if fault => Reply::Lost("before".into()),
                    5 if fault => {
                        self.perform(&pod.uid, at_once, counted);
                        Reply::Lost("after".into())
                    }
                    _ => self.perform(&pod.uid, at_once, counted),
                };
                if let Some(b) = budget {
                    self.under[b].answered(&pod.uid, &reply);
                }
                if reply == Reply::Accepted {
                    self.accepted.insert(pod.uid.clone());
                }
                self.feed(What::Reply { call, reply })
            }
            _ => Ok(()),
        }
    }
}

fn off(shape: &Shape) -> BTreeMap<String, Off> {
    let (by_taint, which) = match shape.off {
        0 => (true, 0..1),
        1 => (false, shape.nodes - 1..shape.nodes),
        2 => (true, 0..shape.nodes),
        _ => return BTreeMap::new(),
    };
    which.map(|i| (format!("n{i}"), Off::new(by_taint))).collect()
}

pub fn node(name: &str, uid: &str, cordoned: bool) -> facts::Node {
    let object = json!({"metadata": {"name": name, "uid": uid}, "spec": {"unschedulable": cordoned}});
    serde_json::from_value::<api::Node>(object).unwrap().into()
}

fn settings(shape: &Shape, now: At) -> Settings {
    Settings {
        run: "run".into(),
        rules: Rules {
            allowed: Allowed::default(),
            daemon_sets: Seen::Known(BTreeSet::from(["ds".to_owned()])),
        },
        verb: Verb::Evict,
        grace: None,
        deadline: shape.deadline.map(|d| now + d),
        on_blocked: match shape.on_blocked {
            0 => OnBlocked::Patient,
            1 => OnBlocked::Wait,
            2 => OnBlocked::Fail,
            _ => OnBlocked::DeleteAfter(5_000),
        },
        by_priority: shape.by_priority,
        parallel: if shape.one_by_one { 1 } else { 4 },
        in_flight: 32,
        wait_detach: false,
        wait_replacements: None,
        delete: shape.delete,
        uncordon_on_abort: shape.uncordon,
        seed: shape.seed,
    }
}
