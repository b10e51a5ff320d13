//! The heart: a pure state machine that is fed what happens and says what to do next.
//!
//! No clock, no network, no printing. One driver translates commands into requests and answers into events, so that the
//! same code runs against a real cluster and, in tests, against a hundred thousand random orders of events.
//!
//! The parts, in the order in which a run passes through them:
//! [`cordon`] closes the nodes; [`nodes`] walks each of them on until it is empty; [`ingest`] takes in news about pods;
//! [`send`] decides who is asked to go next, [`budgets`] how many at a time; [`answer`] reads the replies; [`blocked`]
//! deals with budgets that let nothing through; [`settling`] waits for volumes and replacements.

mod answer;
mod blocked;
mod budgets;
mod clock;
mod cordon;
pub mod event;
mod ingest;
mod nodes;
mod pods;
#[cfg(test)]
mod scripted;
mod send;
mod settling;
#[cfg(test)]
mod sim;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};

use upkeep::lock;

use self::{
    budgets::Ledgers,
    clock::Dice,
    event::{At, Call, Change, Command, Event, Note, Outcome, Reply, Verb, What},
    nodes::{Node, Phase},
    pods::{Key, Pods},
};
use crate::{
    facts::{Budget, Pod, Uid},
    preflight::filters::Rules,
};

/// What to do with pods whose budget lets nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBlocked {
    /// Wait for a budget that can recover; give up on one that never can.
    Patient,
    /// `wait`: wait in any case, as kubectl's drain does.
    Wait,
    /// `fail`: give up unless the budget is only recovering from this run's own evictions.
    Fail,
    /// `delete-after`: delete, without asking the budget, after this many milliseconds without progress.
    DeleteAfter(i64),
}

/// How the run was asked to behave.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which pods go.
    pub rules: Rules,
    /// Through the eviction API, or by deletion.
    pub verb: Verb,
    /// `--grace-period` in seconds, where given.
    pub grace: Option<i64>,
    /// When the run ends whatever remains.
    pub deadline: Option<At>,
    /// What to do with pods whose budget lets nothing through.
    pub on_blocked: OnBlocked,
    /// Lower priorities go first, and are gone before higher ones are asked.
    pub by_priority: bool,
    /// How many nodes are emptied at the same time.
    pub parallel: usize,
    /// How many requests are in flight at the same time.
    pub in_flight: usize,
    /// Wait until the volumes of moved pods are detached.
    pub wait_detach: bool,
    /// Wait this many milliseconds for replacements to be Ready.
    pub wait_replacements: Option<i64>,
    /// Take back the own cordon when the run ends without having emptied the node.
    pub uncordon_on_abort: bool,
    /// Seed of the jitter.
    pub seed: u64,
}

/// One node of the plan.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Name of the node.
    pub name: String,
    /// Its UID.
    pub uid: Uid,
    /// Whether it was unschedulable before.
    pub cordoned: bool,
    /// Pods that preflight has judged; others that forbid the work make the run take its cordon back.
    pub judged: BTreeSet<Uid>,
    /// PersistentVolumes by the pod that uses them.
    pub volumes: BTreeMap<Uid, Vec<String>>,
}

/// What preflight hands over.
#[derive(Debug, Default)]
pub struct Plan {
    /// The nodes, in the order in which they are emptied.
    pub targets: Vec<Target>,
    /// All budgets, or `None` where they cannot be read.
    pub budgets: Option<Vec<Budget>>,
    /// Living pods per budget before anything was evicted.
    pub baseline: BTreeMap<Uid, usize>,
    /// UIDs of all pods that existed before: what is not among them is a replacement.
    pub before: BTreeSet<Uid>,
    /// Namespaces of the planned pods.
    pub namespaces: Vec<String>,
}

/// What a call number stands for.
#[derive(Debug, Clone)]
enum Asked {
    Cordon(String),
    Uncordon(String),
    List { node: String, epoch: u64 },
    Move { key: Key, verb: Verb, budget: Option<Uid> },
}

/// The state of a run.
#[derive(Debug)]
pub struct State {
    settings: Settings,
    now: At,
    started: At,
    nodes: Vec<Node>,
    pods: Pods,
    ledgers: Ledgers,
    elsewhere: BTreeMap<Uid, Pod>,
    before: BTreeSet<Uid>,
    namespaces: Vec<String>,
    calls: BTreeMap<Call, Asked>,
    next_call: Call,
    epoch: u64,
    in_flight: usize,
    paused_until: At,
    failures: u32,
    last_failure: Option<At>,
    /// When a person was last told that the server does not answer well.
    complained: Option<At>,
    /// What was said not to be watchable.
    unwatched: BTreeSet<&'static str>,
    /// Set once the run is to end: nothing new is asked for but to take back cordons.
    ending: Option<Ending>,
    /// Whether the end of the run takes back its own cordons.
    undo: bool,
    finished: Option<Outcome>,
    evicting_started: bool,
    wake: Option<At>,
    dice: Dice,
    out: Vec<Command>,
}

/// The end of a run, under way.
#[derive(Debug, Clone, Copy)]
struct Ending {
    outcome: Outcome,
    since: At,
    /// Somebody has asked a second time: nothing is waited for.
    hurried: bool,
}

/// How long the end of a run waits for its own cordons to be taken back, in milliseconds.
const UNDO_PATIENCE: i64 = 10_000;
/// The same where the end was promised to be on time.
const UNDO_PATIENCE_AT_DEADLINE: i64 = 3_000;
/// How long it waits for the answers to evictions that were asked for, in milliseconds. Those that wait for each other at
/// one budget take steps of half a second.
const ANSWER_PATIENCE: i64 = 3_000;
/// The same where the end was promised to be on time.
const ANSWER_PATIENCE_AT_DEADLINE: i64 = 700;

impl State {
    /// A run that has not begun. `now` is the time of the first event.
    pub fn new(plan: Plan, settings: Settings, now: At) -> Self {
        let dice = Dice::new(settings.seed);
        Self {
            now,
            started: now,
            nodes: plan.targets.into_iter().map(Node::new).collect(),
            pods: Pods::default(),
            ledgers: Ledgers::new(plan.budgets, &plan.baseline),
            elsewhere: BTreeMap::new(),
            before: plan.before,
            namespaces: plan.namespaces,
            calls: BTreeMap::new(),
            next_call: 1,
            epoch: 1,
            in_flight: 0,
            paused_until: At::MIN,
            failures: 0,
            last_failure: None,
            complained: None,
            unwatched: BTreeSet::new(),
            ending: None,
            undo: false,
            finished: None,
            evicting_started: false,
            wake: None,
            dice,
            settings,
            out: Vec::new(),
        }
    }

    /// The first commands: every node is cordoned before any pod moves, so that no pod is sent to a node that is next.
    pub fn start(&mut self) -> Vec<Command> {
        if self.settings.wait_replacements.is_some() && !self.namespaces.is_empty() {
            self.out.push(Command::WatchElsewhere {
                namespaces: self.namespaces.clone(),
            });
        }
        for index in 0..self.nodes.len() {
            self.cordon(index);
        }
        self.settle()
    }

    /// Takes in one event and says what to do next.
    pub fn step(&mut self, event: Event) -> Vec<Command> {
        if self.finished.is_some() {
            return Vec::new();
        }
        self.now = self.now.max(event.at);
        match event.what {
            What::Tick => {}
            What::Pods { node, change, call } => self.pods_changed(&node, change, call),
            What::WatchUnavailable { node } => self.poll_node(&node),
            What::WatchFailing { node } => self.want_list(&node),
            What::Unwatchable { resource, consequence } => self.cannot_watch(resource, consequence),
            What::Unwell(text) => self.complain(&text),
            What::Budgets(Change::Listed(budgets)) => self.ledgers.replace(budgets),
            What::Budgets(Change::Applied(budget)) => drop(self.ledgers.apply(budget)),
            What::Budgets(Change::Gone(budget)) => self.ledgers.remove(&budget.uid),
            What::Node(change) => self.node_changed(change),
            What::Attachments { node, volumes } => self.attachments_seen(&node, volumes),
            What::Elsewhere(change) => self.elsewhere_changed(change),
            What::Reply { call, reply } => self.answered(call, reply),
            What::BudgetPods { budget, pods } => self.inspected(&budget, pods),
            What::LockLost { node, holder } => {
                self.tell(Note::Warning(format!(
                    "node/{node} has been taken over by {holder}; leaving it to them"
                )));
                self.end_node(&node, "another run has taken it over".into());
            }
            What::LockDoubted { node, holder } => {
                let seconds = lock::WATCHED_FOR.as_secs();
                self.tell(Note::Warning(format!(
                    "node/{node} is claimed by {holder}; waiting {seconds}s to see whether that run is alive"
                )));
            }
            What::LockReplaced { node, holder } => {
                self.tell(Note::Warning(format!(
                    "node/{node}: taking over from {holder}, which has ended"
                )));
            }
            What::Interrupt => self.end(Outcome::Interrupted),
        }
        self.settle()
    }

    /// When the next [`What::Tick`] is due at the latest.
    pub fn wake(&self) -> Option<At> {
        self.wake
    }

    /// How the run ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.finished
    }

    /// Follows up on what has changed until nothing more follows, and hands the commands out.
    fn settle(&mut self) -> Vec<Command> {
        self.wake = None;
        if let Some(deadline) = self.settings.deadline {
            if self.now >= deadline && self.ending.is_none() {
                self.end(Outcome::Deadline);
            }
            self.wake_at(deadline);
        }
        if self.ending.is_none() {
            self.walk_nodes();
            self.pump();
        } else {
            self.undo_again();
        }
        self.conclude();
        if self.finished.is_some() {
            self.wake = None;
        }
        std::mem::take(&mut self.out)
    }

    /// Ends the run: stops asking, and takes back own cordons where that was asked for.
    fn end(&mut self, outcome: Outcome) {
        if let Some(ending) = &mut self.ending {
            // A second interrupt while cordons are being taken back: leave at once.
            (ending.outcome, ending.hurried) = (outcome, true);
            return;
        }
        self.undo = match outcome {
            Outcome::Refused | Outcome::Failed => !self.evicting_started || self.settings.uncordon_on_abort,
            Outcome::Done => false,
            _ => self.settings.uncordon_on_abort,
        };
        self.ending = Some(Ending {
            outcome,
            since: self.now,
            hurried: false,
        });
        for index in 0..self.nodes.len() {
            if self.undo && !matches!(self.nodes[index].phase, Phase::Done) {
                self.uncordon(index);
            }
        }
    }

    /// Finishes once nothing is left to do.
    fn conclude(&mut self) {
        if self.ending.is_none() && self.nodes.iter().all(Node::over) {
            let outcome = if self.nodes.iter().all(|n| n.phase == Phase::Done) {
                Outcome::Done
            } else if self.evicting_started || self.nodes.iter().any(|n| n.phase == Phase::Done) {
                Outcome::Incomplete
            } else {
                self.nodes
                    .iter()
                    .find_map(|n| n.ended_as())
                    .unwrap_or(Outcome::Incomplete)
            };
            self.end(outcome);
        }
        let Some(ending) = self.ending else { return };
        let outcome = ending.outcome;
        let (undo_patience, answer_patience) = match outcome {
            Outcome::Deadline => (UNDO_PATIENCE_AT_DEADLINE, ANSWER_PATIENCE_AT_DEADLINE),
            _ => (UNDO_PATIENCE, ANSWER_PATIENCE),
        };
        let until = ending.since.saturating_add(undo_patience);
        // A cordon whose answer is still to come has to be taken back as well.
        let undoing = self.calls.values().any(|asked| match asked {
            Asked::Uncordon(_) => true,
            Asked::Cordon(_) => self.undo,
            _ => false,
        }) || self.nodes.iter().any(|n| n.undo_at.is_some());
        if undoing && !ending.hurried && self.now < until {
            self.wake_at(until);
            return;
        }
        // An eviction that is cut off in the middle may have been counted by its budget without taking effect; the
        // budget then stays short of it for two minutes.
        let answered = ending.since.saturating_add(answer_patience);
        if self.in_flight > 0 && !ending.hurried && self.now < answered {
            self.wake_at(answered);
            return;
        }
        for index in 0..self.nodes.len() {
            if let (Some(_), Some(text)) = (self.nodes[index].undo_at, self.nodes[index].trouble.clone()) {
                let name = &self.nodes[index].target.name;
                let note = Note::Warning(format!("the cordon of node/{name} could not be taken back: {text}"));
                self.tell(note);
            }
        }
        self.finished = Some(outcome);
        self.out.push(Command::Finish(outcome));
    }

    fn call(&mut self, asked: Asked) -> Call {
        let call = self.next_call;
        self.next_call += 1;
        self.calls.insert(call, asked);
        call
    }

    fn tell(&mut self, note: Note) {
        self.out.push(Command::Tell(note));
    }

    fn wake_at(&mut self, at: At) {
        if at > self.now {
            self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
        }
    }

    /// A server that does not answer is asked less and less often, by all together.
    fn back_off(&mut self) {
        self.last_failure = Some(self.now);
        let until = self.dice.retry(self.now, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.paused_until = self.paused_until.max(until);
    }

    fn answered(&mut self, call: Call, reply: Reply) {
        let Some(asked) = self.calls.remove(&call) else { return };
        if !matches!(reply, Reply::Lost(_) | Reply::Unavailable(_) | Reply::Throttled { .. }) {
            self.failures = 0;
        }
        match asked {
            Asked::Cordon(node) => self.cordon_answered(&node, reply),
            Asked::Uncordon(node) => self.uncordon_answered(&node, &reply),
            Asked::List { node, .. } => self.list_failed(&node, &reply),
            Asked::Move { key, verb, budget } => self.move_answered(call, &key, verb, budget, reply),
        }
    }
}
