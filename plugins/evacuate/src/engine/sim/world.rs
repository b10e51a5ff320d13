//! The world that the engine is let loose on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use k8s_openapi::api::core::v1 as api;
use proptest::test_runner::TestCaseError;
use serde_json::json;
use upkeep::report::Seen;

use super::under::Under;
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
    pub by_priority: bool,
    pub hostile: bool,
    pub one_by_one: bool,
    pub uncordon: bool,
    pub deadline: Option<At>,
}

const MAX_STEPS: usize = 3_000;
const CHAOS: usize = 150;

#[derive(Debug, Clone)]
struct SimPod {
    pod: Pod,
    budget: Option<usize>,
    movable: bool,
    born: usize,
}

#[derive(Debug)]
struct SimBudget {
    allowed: i32,
    changed: bool,
}

/// A request that the world has not answered yet.
#[derive(Debug)]
struct Open {
    call: Call,
    command: Command,
}

pub struct World {
    shape: Shape,
    state: State,
    dice: u64,
    now: At,
    steps: usize,
    pods: BTreeMap<String, SimPod>,
    budgets: Vec<SimBudget>,
    news: BTreeMap<String, VecDeque<Change<Pod>>>,
    open: Vec<Open>,
    cordoned: BTreeSet<String>,
    /// Nodes that the engine has seen as cordoned since it watches them.
    watched: BTreeSet<String>,
    accepted: BTreeSet<String>,
    asked_without_answer: BTreeSet<String>,
    under: Vec<Under>,
    last_list: BTreeMap<String, usize>,
    finished: Option<Outcome>,
    interrupted: bool,
    next_uid: usize,
}

fn fail<T>(text: String) -> Result<T, TestCaseError> {
    Err(TestCaseError::fail(text))
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
        let plan = world.plan();
        world.state = State::new(plan, settings(&world.shape, world.now), world.now);
        world
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    fn spawn(&mut self, node: &str) {
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

    fn tell(&mut self, node: &str, change: Change<Pod>) {
        if let Some(queue) = self.news.get_mut(node) {
            queue.push_back(change);
        }
    }

    fn plan(&self) -> Plan {
        let targets = (0..self.shape.nodes).map(|i| Target {
            name: format!("n{i}"),
            uid: format!("n{i}"),
            judged: self.pods.keys().cloned().collect(),
            ..Target::default()
        });
        Plan {
            targets: targets.collect(),
            budgets: Some(self.budget_list()),
            ..Plan::default()
        }
    }

    fn budget(&self, i: usize) -> Budget {
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

    fn feed(&mut self, what: What) -> Result<(), TestCaseError> {
        let commands = self.state.step(Event { at: self.now, what });
        self.take(commands)
    }

    fn chaos(&mut self) -> Result<(), TestCaseError> {
        match self.roll(20) {
            0..=5 => self.answer_one(true),
            6..=10 => self.deliver_one(),
            11..=12 => {
                self.now += i64::try_from(self.roll(3_000)).unwrap();
                self.feed(What::Tick)
            }
            13 => self.terminate_one(),
            14 => self.budget_moves(),
            15 => {
                let node = format!("n{}", self.roll(u64::try_from(self.shape.nodes).unwrap()));
                if self.one_in(3) {
                    self.spawn(&node);
                }
                Ok(())
            }
            16 => self.relist(),
            17 if self.shape.hostile && self.one_in(40) => {
                self.interrupted = true;
                self.feed(What::Interrupt)
            }
            18 if self.shape.hostile && self.one_in(30) => {
                self.cordoned.insert("n0".into());
                let change = match self.roll(3) {
                    0 => Change::Applied(node("n0", "n0", false)),
                    1 => Change::Applied(node("n0", "another", true)),
                    _ => Change::Gone(node("n0", "n0", false)),
                };
                self.feed(What::Node(change))
            }
            _ => self.answer_one(false),
        }
    }

    /// Everything is answered and delivered in time, budgets recover, pods stop.
    fn fair(&mut self) -> Result<(), TestCaseError> {
        for i in 0..self.budgets.len() {
            if self.budgets[i].allowed == 0 {
                self.budgets[i].allowed = 1;
                self.budgets[i].changed = true;
            }
        }
        if !self.open.is_empty() {
            return self.answer_one(false);
        }
        if self.news.values().any(|q| !q.is_empty()) {
            return self.deliver_one();
        }
        if let Some(i) = self.budgets.iter().position(|b| b.changed) {
            self.budgets[i].changed = false;
            self.under[i].told(self.budgets[i].allowed);
            return self.feed(What::Budgets(Change::Applied(self.budget(i))));
        }
        if self.pods.values().any(|p| p.pod.deletion.is_some()) {
            return self.terminate_one();
        }
        self.now = self.state.wake().unwrap_or(self.now + 1_000).max(self.now + 1);
        self.feed(What::Tick)
    }

    fn deliver_one(&mut self) -> Result<(), TestCaseError> {
        let nodes: Vec<String> = self
            .news
            .iter()
            .filter(|(_, q)| !q.is_empty())
            .map(|(n, _)| n.clone())
            .collect();
        if nodes.is_empty() {
            return Ok(());
        }
        let node = nodes[usize::try_from(self.roll(8)).unwrap() % nodes.len()].clone();
        let change = self.news.get_mut(&node).and_then(VecDeque::pop_front).unwrap();
        self.feed(What::Pods {
            node,
            change,
            call: None,
        })
    }

    /// The watch breaks: what was not delivered is lost, and a fresh list comes instead.
    fn relist(&mut self) -> Result<(), TestCaseError> {
        let node = format!("n{}", self.roll(u64::try_from(self.shape.nodes).unwrap()));
        if !self.news.contains_key(&node) {
            return Ok(());
        }
        let list = self.on(&node);
        self.news.insert(node, VecDeque::from([Change::Listed(list)]));
        Ok(())
    }

    fn on(&self, node: &str) -> Vec<Pod> {
        self.pods
            .values()
            .filter(|p| p.pod.node == node)
            .map(|p| p.pod.clone())
            .collect()
    }

    fn terminate_one(&mut self) -> Result<(), TestCaseError> {
        let dying: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, p)| p.pod.deletion.is_some())
            .map(|(u, _)| u.clone())
            .collect();
        let Some(uid) = dying.first() else { return Ok(()) };
        let gone = self.pods.remove(uid).unwrap();
        self.tell(&gone.pod.node.clone(), Change::Gone(gone.pod));
        Ok(())
    }

    fn budget_moves(&mut self) -> Result<(), TestCaseError> {
        if self.budgets.is_empty() {
            return Ok(());
        }
        let i = usize::try_from(self.roll(8)).unwrap() % self.budgets.len();
        if self.one_in(2) {
            self.budgets[i].allowed = i32::try_from(self.roll(4)).unwrap();
        }
        self.under[i].told(self.budgets[i].allowed);
        self.budgets[i].changed = false;
        self.feed(What::Budgets(Change::Applied(self.budget(i))))
    }

    /// Lets one pod go, as the API server would.
    fn perform(&mut self, uid: &str, node_at_command: bool, counted: bool) -> Reply {
        let Some(sim) = self.pods.get_mut(uid) else {
            return Reply::NotFound;
        };
        assert!(node_at_command);
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
        Reply::Accepted
    }

    fn answer_one(&mut self, with_faults: bool) -> Result<(), TestCaseError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let i = usize::try_from(self.roll(64)).unwrap() % self.open.len();
        let Open { call, command } = self.open.swap_remove(i);
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
            Command::List { node, .. } => {
                if fault {
                    return self.feed(What::Reply {
                        call,
                        reply: Reply::Lost("cut".into()),
                    });
                }
                self.last_list.insert(node.clone(), self.steps);
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
            Command::Evict { pod, .. } | Command::Delete { pod, .. } => {
                let budget = self.pods.get(&pod.uid).and_then(|p| p.budget);
                self.asked_without_answer.remove(&pod.uid);
                let reply = match self.roll(9) {
                    0 if fault => Reply::Throttled { retry_after: Some(1) },
                    1 if fault => Reply::Unavailable("busy".into()),
                    2 if fault => Reply::Denied("webhook".into()),
                    3 if fault => Reply::Contended("conflict".into()),
                    4 if fault => Reply::Lost("before".into()),
                    5 if fault => {
                        self.perform(&pod.uid, true, true);
                        Reply::Lost("after".into())
                    }
                    _ => self.perform(&pod.uid, true, true),
                };
                if let Some(b) = budget {
                    self.under[b].answered(&pod.uid, &reply);
                }
                if reply == Reply::Accepted {
                    self.accepted.insert(pod.uid);
                }
                self.feed(What::Reply { call, reply })
            }
            _ => Ok(()),
        }
    }

    /// Holds every command against what must never happen, and remembers what is to be answered.
    fn take(&mut self, commands: Vec<Command>) -> Result<(), TestCaseError> {
        for command in commands {
            if self.finished.is_some() {
                return fail(format!("asked for {command:?} after the end"));
            }
            let call = match &command {
                Command::Cordon { call, .. }
                | Command::Uncordon { call, .. }
                | Command::List { call, .. }
                | Command::Evict { call, .. }
                | Command::Delete { call, .. } => *call,
                Command::Watch { node } => {
                    let list = self.on(node);
                    self.news.insert(node.clone(), VecDeque::from([Change::Listed(list)]));
                    // The two watches begin in any order.
                    self.open.push(Open { call: 0, command });
                    continue;
                }
                Command::Unwatch { node } => {
                    self.news.remove(node);
                    continue;
                }
                Command::Inspect { budget, .. } => {
                    let mut pods: Vec<Pod> = self.pods.values().map(|p| p.pod.clone()).collect();
                    pods.iter_mut().for_each(|p| p.ready = false);
                    let budget = budget.clone();
                    self.feed(What::BudgetPods {
                        budget,
                        pods: Some(pods),
                    })?;
                    continue;
                }
                Command::Finish(outcome) => {
                    self.finished = Some(*outcome);
                    continue;
                }
                _ => continue,
            };
            if let Command::Evict { pod, .. } | Command::Delete { pod, .. } = &command {
                self.check_move(&pod.uid)?;
            }
            self.open.push(Open { call, command });
        }
        Ok(())
    }

    fn check_move(&mut self, uid: &str) -> Result<(), TestCaseError> {
        if self.accepted.contains(uid) {
            return fail(format!("{uid} asked again after it was accepted"));
        }
        if !self.asked_without_answer.insert(uid.to_owned()) {
            return fail(format!("{uid} asked twice at the same time"));
        }
        let ours = |node: &str| (0..self.shape.nodes).any(|i| format!("n{i}") == node);
        if let Some(sim) = self.pods.get(uid) {
            if !sim.movable || !ours(&sim.pod.node) {
                return fail(format!("{uid} is not ours to move"));
            }
            if let Some(b) = sim.budget {
                let broken = self.under[b].sent(uid, self.now);
                if let Some(text) = broken.filter(|_| self.shape.on_blocked != 3) {
                    return fail(text);
                }
            }
        }
        if self
            .pods
            .get(uid)
            .is_some_and(|sim| !self.watched.contains(&sim.pod.node))
        {
            return fail(format!("{uid} was moved before its node was seen to be cordoned"));
        }
        if self.cordoned.len() < self.shape.nodes {
            return fail("a pod was moved before every node was cordoned".into());
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), TestCaseError> {
        let left = |p: &&SimPod| p.movable && self.last_list.get(&p.pod.node).is_none_or(|listed| p.born < *listed);
        let mut remaining = self.pods.values().filter(left);
        match self.finished {
            Some(Outcome::Done) => match remaining.next() {
                Some(pod) => fail(format!("done, but {} is still there", pod.pod.uid)),
                None => Ok(()),
            },
            Some(Outcome::Deadline) => {
                let deadline = 1_000_000 + self.shape.deadline.unwrap_or(At::MAX / 2);
                if self.now < deadline {
                    fail("ended before its time".into())
                } else {
                    Ok(())
                }
            }
            Some(Outcome::Interrupted) if !self.interrupted => fail("interrupted by nobody".into()),
            _ if self.shape.deadline.is_some_and(|d| self.now > 1_000_000 + d + 200_000) => fail("too late".into()),
            _ => Ok(()),
        }
    }
}

fn node(name: &str, uid: &str, cordoned: bool) -> facts::Node {
    let object = json!({"metadata": {"name": name, "uid": uid}, "spec": {"unschedulable": cordoned}});
    serde_json::from_value::<api::Node>(object).unwrap().into()
}

fn settings(shape: &Shape, now: At) -> Settings {
    Settings {
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
        uncordon_on_abort: shape.uncordon,
        seed: shape.seed,
    }
}
