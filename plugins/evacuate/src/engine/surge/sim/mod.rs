//! Surges in a hundred thousand random orders of events: requests and their answers get lost, controllers come late, the
//! run is interrupted, killed and begun anew, others write in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

pub mod cluster;

use proptest::{prelude::*, test_runner::TestCaseError};

use self::cluster::Cluster;
use super::{
    machine::{End, Intent, Machine, Next},
    record::{HIGHEST, LOWEST, Written},
    sight::{Act, Autoscaler, Sight},
};
use crate::engine::{
    event::{At, Reply},
    sim::in_every_order,
};

#[derive(Debug, Clone)]
struct Shape {
    seed: u64,
    old: usize,
    others: usize,
    /// No autoscaler, one without metrics, one whose metrics want what there is.
    scaler: u8,
    costs: bool,
    faults: bool,
    crashes: u8,
    interrupted: bool,
    /// New pods do not get Ready.
    sick: bool,
    /// Somebody else sets the replicas once.
    meddled: bool,
    /// The budget stays shut.
    shut: bool,
    /// The controllers are silent for a while.
    silent: bool,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let often = || prop_oneof![3 => Just(false), 1 => Just(true)];
    let counts = (1..4_usize, 0..3_usize, 0..3_u8, 0..3_u8);
    let flags = (
        any::<bool>(),
        any::<bool>(),
        often(),
        often(),
        often(),
        often(),
        often(),
    );
    (any::<u64>(), counts, flags).prop_map(|(seed, counts, flags)| Shape {
        seed,
        old: counts.0,
        others: counts.1,
        scaler: counts.2,
        crashes: counts.3,
        costs: flags.0,
        faults: flags.1,
        interrupted: flags.2,
        sick: flags.3,
        meddled: flags.4,
        shut: flags.5,
        silent: flags.6,
    })
}

enum Open {
    Look(Option<Box<Sight>>),
    Act(Act),
}

struct World {
    shape: Shape,
    dice: u64,
    cluster: Cluster,
    machine: Machine,
    old: Vec<String>,
    open: Option<Open>,
    run: u64,
    crashes: u8,
    stopped: bool,
    meddled: bool,
    /// Until when its controllers are silent.
    silent_until: Option<At>,
    ended: Option<End>,
    /// When the last answer came.
    asked: At,
}

fn fail<T>(text: String) -> Result<T, TestCaseError> {
    Err(TestCaseError::fail(text))
}

impl World {
    fn new(shape: Shape) -> Self {
        let mut cluster = Cluster::new(shape.old, shape.others, shape.costs, 1_000_000);
        let replicas = cluster.replicas;
        if shape.scaler > 0 {
            cluster.sight.autoscaler = Some(Autoscaler {
                name: "hpa".into(),
                uid: "hpa".into(),
                version: "1".into(),
                min: 1,
                max: replicas,
                raised: Written::Nothing,
            });
        }
        cluster.wants = (shape.scaler == 2).then_some(replicas);
        (cluster.opens, cluster.healthy) = (!shape.shut, !shape.sick);
        let old: Vec<String> = cluster.pods[..shape.old].iter().map(|p| p.member.uid.clone()).collect();
        let mut world = Self {
            dice: shape.seed | 1,
            machine: Machine::new(Intent::default()),
            old,
            open: None,
            run: 0,
            crashes: 0,
            stopped: false,
            meddled: false,
            silent_until: None,
            ended: None,
            asked: 1_000_000,
            cluster,
            shape,
        };
        world.begin();
        world
    }

    /// A run begins, and finds what there is.
    fn begin(&mut self) {
        self.run += 1;
        let intent = Intent {
            run: format!("run{}", self.run),
            old: self.old.iter().cloned().collect(),
            nodes: ["here".to_owned()].into(),
            force: false,
            takes_over: self.cluster.sight.record.this().map(|r| r.run.clone()),
        };
        self.machine = Machine::new(intent);
        self.open = Some(Open::Look(None));
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides.max(1)
    }

    fn run(mut self) -> Result<(), TestCaseError> {
        for step in 0..3_000 {
            if step < 250 {
                self.chaos()
            } else {
                self.fair(step)
            }
            self.check()?;
            if let Some(end) = self.ended.clone() {
                return self.check_end(&end);
            }
        }
        fail(format!("no end: {:?} {:?}", self.machine, self.cluster))
    }

    fn chaos(&mut self) {
        self.cluster.now += i64::try_from(self.roll(300)).unwrap();
        if self.is_silent() {
            // What waits for them waits long.
            self.cluster.now += i64::try_from(self.roll(3_000)).unwrap();
            return self.answer(self.shape.faults);
        }
        if self.cluster.now - self.cluster.reconciled >= 700 {
            return self.cluster.reconcile();
        }
        if self.cluster.now - self.asked >= 700 {
            return self.answer(self.shape.faults);
        }
        match self.roll(16) {
            0..=2 => self.cluster.reconcile(),
            3..=4 => self.cluster.kubelets(),
            5 => self.cluster.autoscale(),
            6 if self.shape.interrupted && self.roll(20) == 0 => {
                self.stopped = true;
                self.machine.stop("interrupted");
            }
            7 if self.crashes < self.shape.crashes && self.roll(6) == 0 => {
                // A request on its way may be carried out all the same.
                if let Some(Open::Act(act)) = self.open.take()
                    && self.roll(2) == 0
                {
                    self.cluster.perform(&act);
                }
                self.crashes += 1;
                self.begin();
            }
            8 if self.shape.meddled && !self.meddled && self.roll(10) == 0 => {
                self.meddled = true;
                self.cluster.replicas = i32::try_from(self.roll(6)).unwrap();
                self.cluster.touch();
            }
            9 => self.cluster.catch_up(true),
            10 if self.shape.silent && self.silent_until.is_none() && self.roll(12) == 0 => {
                let long = i64::try_from(self.roll(90_000)).unwrap();
                self.silent_until = Some(self.cluster.now + long);
            }
            _ => self.answer(self.shape.faults),
        }
    }

    fn is_silent(&self) -> bool {
        self.silent_until.is_some_and(|until| self.cluster.now < until)
    }

    /// At first in small steps; what still waits then waits for its time to be up.
    fn fair(&mut self, step: usize) {
        self.cluster.now += if step < 400 { 100 } else { 2_000 };
        self.cluster.catch_up(false);
        self.cluster.reconcile();
        self.cluster.kubelets();
        self.cluster.autoscale();
        self.answer(false);
    }

    fn answer(&mut self, faults: bool) {
        let fault = if faults { self.roll(5) } else { 9 };
        let now = self.cluster.now;
        self.asked = now;
        match self.open.take() {
            None => self.open = Some(Open::Look(None)),
            Some(Open::Look(_)) if fault == 0 => {
                self.machine.answered(&Act::Look, &Reply::Lost("cut".into()), now);
            }
            Some(Open::Look(None)) => self.open = Some(Open::Look(Some(Box::new(self.cluster.first_half())))),
            Some(Open::Look(Some(half))) => {
                let sight = self.cluster.second_half(*half);
                match self.machine.next(Some(&sight), now) {
                    Next::Do(act) => self.open = Some(Open::Act(act)),
                    Next::Wait(_) => {}
                    // A surge of an earlier run was undone; now comes the own.
                    Next::Over(End::Moved) if self.cluster.living().any(|p| self.old.contains(&p.member.uid)) => {
                        self.begin();
                    }
                    // The next run ends it, once the controllers are back.
                    Next::Over(_) if self.silent_until.is_some() && self.cluster.sight.record != Written::Nothing => {
                        self.begin();
                    }
                    Next::Over(end) => self.ended = Some(end),
                }
            }
            Some(Open::Act(act)) => {
                let reply = match fault {
                    0 => Reply::Lost("before".into()),
                    1 => {
                        self.cluster.perform(&act);
                        Reply::Lost("after".into())
                    }
                    2 => Reply::Unavailable("busy".into()),
                    _ => self.cluster.perform(&act),
                };
                self.machine.answered(&act, &reply, now);
            }
        }
    }

    fn wanted(&self) -> usize {
        self.shape.old + self.shape.others
    }

    /// Never a third instance, never an outage.
    fn check(&self) -> Result<(), TestCaseError> {
        if self.meddled {
            return Ok(());
        }
        let living = self.cluster.living().count();
        if living > self.wanted() + self.shape.old {
            return fail(format!("{living} pods live"));
        }
        let ready = self.cluster.living().filter(|p| p.member.ready).count();
        if ready < self.wanted() {
            return fail(format!("only {ready} pods are Ready: {:?}", self.cluster));
        }
        let undone = self.stopped || self.shape.sick || self.shape.shut || self.silent_until.is_some();
        if !undone && self.cluster.started > self.shape.old {
            return fail(format!("{} pods were started", self.cluster.started));
        }
        Ok(())
    }

    fn check_end(mut self, end: &End) -> Result<(), TestCaseError> {
        for _ in 0..50 {
            self.cluster.reconcile();
            self.cluster.kubelets();
            self.cluster.autoscale();
            self.check()?;
        }
        let cluster = &self.cluster;
        let wrong = |text: &str| fail(format!("{end:?}: {text}: {cluster:?}"));
        if cluster.sight.record != Written::Nothing || cluster.copied {
            return wrong("a record is left");
        }
        let marked = |p: &&cluster::SimPod| {
            p.member.mark != Written::Nothing || matches!(p.member.cost.as_deref(), Some(LOWEST | HIGHEST))
        };
        if cluster.living().any(|p| marked(&p)) {
            return wrong("a mark is left");
        }
        let replicas = i32::try_from(self.wanted()).unwrap();
        if let Some(scaler) = &cluster.sight.autoscaler
            && (scaler.raised != Written::Nothing || (scaler.min, scaler.max) != (1, replicas))
        {
            return wrong("the autoscaler is not as it was");
        }
        if self.meddled {
            return Ok(());
        }
        if cluster.replicas != replicas || cluster.living().count() != self.wanted() {
            return wrong("not as many pods as before");
        }
        let left = || cluster.living().filter(|p| self.old.contains(&p.member.uid));
        match end {
            End::Moved if left().count() > 0 => wrong("old pods are left"),
            End::Stopped(_) if !self.stopped && !self.shape.sick && !self.shape.shut && self.silent_until.is_none() => {
                wrong("stopped by nothing")
            }
            End::Stopped(_) => {
                let old: Vec<_> = left().collect();
                let costs = |i: usize| (self.shape.costs && i.is_multiple_of(2)).then(|| "7".to_owned());
                if old.len() != self.old.len() {
                    return wrong("old pods have gone");
                }
                if old.iter().enumerate().any(|(i, p)| p.member.cost != costs(i)) {
                    return wrong("costs are not as they were");
                }
                Ok(())
            }
            End::Moved | End::Gone => Ok(()),
        }
    }
}

#[test]
fn surges_keep_their_invariants_in_every_order() {
    in_every_order("surge", shapes(), |shape| World::new(shape).run());
}
