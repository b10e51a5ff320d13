//! Drives the engine: commands become requests, answers and watches become events. It decides nothing.
//!
//! Everything runs on one thread; requests and watches are tasks that report into one channel.

mod begin;
pub mod claim;
pub mod cordon;
pub mod fence;
pub mod lock;
pub mod moves;
pub mod probe;
pub mod publish;
mod removal;
pub mod reply;
pub mod runs;
pub mod saving;
pub mod surge;
mod watch;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use upkeep::{
    Exit,
    client::Connection,
    lock::{HEARTBEAT, Identity},
    signals::Signals,
};

use self::{
    claim::Held,
    lock::{Locks, Unrenewed},
    moves::Moves,
    publish::Wish,
    saving::Saving,
};
use crate::{
    engine::{
        State,
        event::{At, Command, Event, Note, Outcome, What},
    },
    preflight::filters::Rules,
};

/// How often the live view is drawn again while nothing happens.
const REDRAW: Duration = Duration::from_millis(500);

/// What the driver needs besides the state.
pub struct Driver<'a> {
    /// The cluster.
    pub connection: &'a Connection,
    /// How pods are asked to go.
    pub moves: Moves,
    /// Where that is saved which nothing would bring back.
    pub saving: Rc<Saving>,
    /// What tells what that is.
    pub rules: Rc<Rules>,
    /// `--pod-selector`.
    pub pod_selector: Option<String>,
    /// `--chunk-size`.
    pub chunk: u32,
    /// Who this run is, and which runs it takes over from.
    pub locks: Locks,
    /// What others are to be told.
    pub wish: Wish,
    /// Whether budgets can be watched.
    pub watch_budgets: bool,
}

/// Who wants to see what happens.
pub trait Watcher {
    /// Something happened.
    fn note(&mut self, note: &Note);
    /// The state has changed, or some time has passed.
    fn redraw(&mut self, state: &State);
}

type Claims = Rc<RefCell<BTreeMap<String, Held>>>;

/// A run in progress.
struct Run<'a> {
    driver: &'a Driver<'a>,
    me: Identity,
    locks: Locks,
    claims: Claims,
    bare: fence::Bare,
    to: mpsc::UnboundedSender<What>,
    watches: BTreeMap<String, JoinHandle<()>>,
    tasks: JoinSet<()>,
}

/// How a run ended.
pub struct Ended {
    /// As the engine sees it.
    pub outcome: Outcome,
    /// The signal that ended it, as an exit code.
    pub signal: Option<Exit>,
}

/// The run's clock: it starts at the wall clock's time and never jumps.
fn now(base: At, began: Instant) -> At {
    base.saturating_add(i64::try_from(began.elapsed().as_millis()).unwrap_or(At::MAX))
}

impl Driver<'_> {
    /// Runs the state machine to its end. `began` is when the run's time began to count.
    pub async fn drive(&self, state: &mut State, began: Instant, base: At, watcher: &mut dyn Watcher) -> Ended {
        let local = tokio::task::LocalSet::new();
        local.run_until(self.run(state, began, base, watcher)).await
    }

    async fn run(&self, state: &mut State, began: Instant, base: At, watcher: &mut dyn Watcher) -> Ended {
        let (to, mut from) = mpsc::unbounded_channel();
        let mut run = Run {
            driver: self,
            me: self.locks.me().clone(),
            locks: self.locks.clone(),
            claims: Claims::default(),
            bare: fence::Bare::default(),
            to,
            watches: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        let mut signals = Signals::new();
        let mut signal = None;
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut redraw = tokio::time::interval(REDRAW);
        let mut commands = state.start();
        loop {
            run.carry_out(commands, watcher);
            watcher.redraw(state);
            if let Some(outcome) = state.outcome() {
                run.close(outcome).await;
                return Ended { outcome, signal };
            }
            let wake = state
                .wake()
                .map(|at| began + Duration::from_millis(u64::try_from(at - base).unwrap_or(0)));
            let what = tokio::select! {
                biased;
                exit = signals.next() => {
                    if signal.replace(exit).is_some() {
                        // The second one: leave at once.
                        return Ended { outcome: Outcome::Interrupted, signal };
                    }
                    What::Interrupt
                }
                () = sleep_until(wake) => What::Tick,
                what = from.recv() => what.unwrap_or(What::Tick),
                _ = heartbeat.tick() => { run.renew_claims(); commands = Vec::new(); continue }
                // Ages and what is left of a grace period move on as well.
                _ = redraw.tick() => What::Tick,
            };
            commands = state.step(Event {
                at: now(base, began),
                what,
            });
            // What has arrived meanwhile is taken in before anything is drawn or sent twice.
            while state.outcome().is_none() {
                let Ok(what) = from.try_recv() else { break };
                run.carry_out(std::mem::take(&mut commands), watcher);
                commands = state.step(Event {
                    at: now(base, began),
                    what,
                });
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Run<'_> {
    fn carry_out(&mut self, commands: Vec<Command>, watcher: &mut dyn Watcher) {
        // A task that has ended keeps its memory until somebody asks for it.
        while self.tasks.try_join_next().is_some() {}
        for command in commands {
            match command {
                Command::Tell(note) => watcher.note(&note),
                Command::Finish(_) => {}
                command => self.begin(command),
            }
        }
    }

    /// Says that this run is alive.
    fn renew_claims(&mut self) {
        let held: Vec<(String, Held)> = self
            .claims
            .borrow()
            .iter()
            .map(|(n, c)| (n.clone(), c.clone()))
            .collect();
        for (name, held) in held {
            let (locks, claims, to) = (self.locks.clone(), self.claims.clone(), self.to.clone());
            self.tasks.spawn_local(async move {
                match locks.renew(&name, &held.lock).await {
                    Ok(renewed) => {
                        if let Some(held) = claims.borrow_mut().get_mut(&name) {
                            held.lock = renewed;
                        }
                    }
                    Err(Unrenewed::Lost(holder)) => {
                        claims.borrow_mut().remove(&name);
                        drop(to.send(What::LockLost { node: name, holder }));
                    }
                    Err(Unrenewed::NoAnswer) => {}
                }
            });
        }
    }

    /// Ends everything that is still under way and gives the nodes back.
    async fn close(&mut self, outcome: Outcome) {
        self.watches.values().for_each(JoinHandle::abort);
        self.tasks.abort_all();
        let held: Vec<(String, Held)> = std::mem::take(&mut *self.claims.borrow_mut()).into_iter().collect();
        let releases = held.iter().map(|(name, held)| self.locks.release(name, &held.lock));
        // What is not given back now becomes stale by itself; and somebody waits for the end of a run that was to end.
        let patience = Duration::from_millis(if outcome == Outcome::Deadline { 500 } else { 3_000 });
        let _ = tokio::time::timeout(patience, futures::future::join_all(releases)).await;
    }
}

/// The time at which a run begins, on the wall clock.
pub fn base() -> At {
    Timestamp::now().as_millisecond()
}
