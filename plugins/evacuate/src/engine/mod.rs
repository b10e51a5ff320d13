//! The heart: a pure state machine that is fed what happens and says what to do next.
//!
//! No clock, no network, no printing. One driver translates commands into requests and answers into events, so that the
//! same code runs against a real cluster and, in tests, against a hundred thousand random orders of events.
//!
//! The parts, in the order in which a run passes through them:
//! [`plan`] is what it starts from; [`cordon`] closes the nodes; [`nodes`] walks each of them on until it is empty;
//! [`hearing`] sees to it that news about their pods come, [`ingest`] takes them in; [`send`] decides who is asked to go next, [`budgets`] how many at a time, [`jobs`] which may finish first; [`answer`] reads the replies; [`blocked`]
//! deals with budgets that let nothing through, [`surge`] moves pods that they will never let go, [`fence`] gets rid of those of
//! machines that are off; [`settling`] waits for volumes and replacements, [`removal`] removes the node;
//! [`terminating`] says what Terminating pods wait for; [`partial`] counts what stays on purpose; [`publish`] tells others; [`ending`] leaves nothing half done.

mod answer;
mod blocked;
mod budgets;
mod clock;
mod cordon;
mod ending;
pub mod event;
pub mod fence;
mod hearing;
mod ingest;
mod jobs;
mod next;
mod nodes;
mod note;
mod partial;
mod plan;
mod pods;
mod publish;
mod removal;
#[cfg(test)]
mod scripted;
mod send;
mod settling;
#[cfg(test)]
mod sim;
pub mod surge;
mod terminating;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};

use upkeep::lock;

pub use self::plan::{OnBlocked, Plan, Settings, Target};
use self::{
    budgets::Ledgers,
    clock::Dice,
    ending::Ending,
    event::{At, Call, Change, Command, Event, Note, Outcome, Reply, Verb, What},
    nodes::Node,
    pods::{Key, Pods},
    surge::{Surge, sight::Act},
};
use crate::facts::{Pod, Uid, Workloads};

/// What a call number stands for.
#[derive(Debug, Clone)]
enum Asked {
    Cordon(String),
    Uncordon(String),
    Publish(String),
    Remove(String),
    List { node: String, epoch: u64 },
    Move { key: Key, verb: Verb, budget: Option<Uid> },
    Surge { index: usize, act: Act },
    Fence { index: usize, act: fence::machine::Act },
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
    workloads: Workloads,
    surges: Vec<Surge>,
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
    /// Budgets and pods of which it was said before the run that they hold it up.
    warned: BTreeSet<Uid>,
    /// What was said about writes that were refused and the work does without.
    unpublished: BTreeSet<String>,
    /// Set once the run is to end: nothing new is asked for but to take back cordons.
    ending: Option<Ending>,
    /// Whether the end of the run takes back its own cordons.
    undo: bool,
    finished: Option<Outcome>,
    evicting_started: bool,
    /// When it is next looked through for pods that were accepted and do not terminate.
    doubts_due: At,
    /// When pods are next looked through for finalizers that hold them.
    finalizers_due: At,
    wake: Option<At>,
    dice: Dice,
    out: Vec<Command>,
}

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
            workloads: plan.workloads,
            surges: plan.surges.into_iter().map(Surge::new).collect(),
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
            warned: plan.warned,
            unpublished: BTreeSet::new(),
            ending: None,
            undo: false,
            finished: None,
            evicting_started: false,
            doubts_due: At::MIN,
            finalizers_due: At::MIN,
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
            What::LeftOut { node, pods } => self.left_out(&node, &pods),
            What::Budgets(Change::Listed(budgets)) => {
                budgets.iter().for_each(|budget| self.budget_news(budget));
                self.ledgers.replace(budgets);
            }
            What::Budgets(Change::Applied(budget)) => {
                self.budget_news(&budget);
                self.ledgers.apply(budget);
            }
            What::Budgets(Change::Gone(budget)) => {
                self.ask_now(&budget.namespace);
                self.ledgers.remove(&budget.uid);
            }
            What::Node(change) => self.node_changed(change),
            What::Attachments { node, volumes } => self.attachments_seen(&node, volumes),
            What::Elsewhere(change) => self.elsewhere_changed(change),
            What::Reply { call, reply } => self.answered(call, reply),
            What::BudgetPods { budget, found } => self.inspected(&budget, found),
            What::Stirred { deployment } => self.surge_stirred(&deployment),
            What::Sight { call, sight } => self.sighted(call, sight.as_deref()),
            What::FenceSight { call, sight } => self.fence_sighted(call, sight.as_ref()),
            // Said already: a run that was frozen has many heartbeats to make up for.
            What::LockLost { node, .. } if self.has_let_go(&node) => {}
            What::LockLost {
                node,
                holder: Some(holder),
            } => {
                self.leave_fence(&node);
                self.tell(Note::Warning(format!(
                    "node/{node} has been taken over by {holder}; leaving it to them"
                )));
                self.end_node(&node, "another run has taken it over".into());
            }
            What::LockLost { node, holder: None } => {
                self.end_node(&node, "somebody has removed the claim of this run".into());
            }
            What::LockDoubted { node, holder } => {
                let seconds = lock::WATCHED_FOR.as_secs();
                self.tell(Note::Warning(format!(
                    "node/{node} is claimed by {holder}; waiting {seconds}s to see whether that run is alive"
                )));
            }
            What::LockReplaced { node, holder } => {
                self.tell(Note::Warning(format!("node/{node}: taking over from {holder}")));
            }
            What::Degraded { text } => {
                if self.unpublished.insert(text.clone()) {
                    self.tell(Note::Warning(text));
                }
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
        self.walk_surges();
        self.walk_fences();
        self.conclude();
        if self.finished.is_some() {
            self.wake = None;
        }
        std::mem::take(&mut self.out)
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
            Asked::Publish(node) => self.published(&node, &reply),
            Asked::Remove(node) => self.removal_answered(&node, &reply),
            Asked::List { node, .. } => self.list_failed(&node, &reply),
            Asked::Move { key, verb, budget } => self.move_answered(call, &key, verb, budget, reply),
            Asked::Surge { index, act } => self.surge_answered(index, &act, reply),
            Asked::Fence { index, act } => self.fence_answered(index, &act, reply),
        }
    }
}
