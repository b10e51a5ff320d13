//! One run from the first look to its end, with the decisions of the plugin and the server of the test.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::{prelude::*, test_runner::TestCaseResult};
use upkeep::{Exit, ui::Styles};

use super::{
    Seen,
    effects::{Failed, PAUSE, request},
    flags::{exit_word, word},
    gates::{Request, Review, Who},
    known::KNOWLEDGE,
    rules::{everything, exits, offers},
    world::{Twist, World},
};
use crate::{
    cli::Cli,
    diagnose::{Diagnosis, State, diagnose},
    facts::{Ask, Facts, Key, Said},
    follow::step::{Chosen, Limits, Step},
    ladder::{Answers, Mend, Tried, plan::Plan, plan::plan},
    render::{self, document::Document},
};

/// How often one look may ask for more.
const ASKS: usize = 24;
/// How often a run may look, and how often it waits before its time is over.
const LOOKS: usize = 120;
const WAITS: usize = 6;
/// How often one change may be tried: it may fail three times, and be made twice.
const TRIES: usize = 5;

/// One run.
pub struct Run<'s> {
    world: World,
    seen: &'s Seen,
    answers: Answers,
    clock: i64,
    twists: usize,
    yes: usize,
    /// Objects of which a change was denied when it was tried.
    denied: BTreeSet<Key>,
    /// Who has denied us what: the gate, the operation, the object.
    heard: BTreeSet<(usize, String, Key)>,
    tries: BTreeMap<Mend, usize>,
    writes: usize,
}

impl<'s> Run<'s> {
    pub fn new(world: World, seen: &'s Seen) -> Self {
        Self {
            seen,
            yes: world.flags.terminal.unwrap_or_default(),
            world,
            answers: Answers::default(),
            clock: 0,
            twists: 0,
            denied: BTreeSet::new(),
            heard: BTreeSet::new(),
            tries: BTreeMap::new(),
            writes: 0,
        }
    }

    fn saw(&self, what: &'static str) {
        *self.seen.borrow_mut().entry(what).or_default() += 1;
    }

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000 + self.clock)
    }

    /// Asks until nothing is missing.
    fn look(&mut self, cli: &Cli) -> Result<(Facts, Diagnosis), TestCaseError> {
        let now = self.now();
        let mut facts = Facts {
            now,
            refused: self.answers.refusals().clone(),
            opened: self.answers.opened(),
            powered_off: cli.powered_off.clone(),
            leave_behind: cli.leave_behind.clone(),
            match_conditions: self.world.match_conditions,
            ..Facts::of(&self.world.discovery(), self.world.target(), SignedDuration::ZERO)
        };
        for _ in 0..ASKS {
            let diagnosis = diagnose(&facts, &KNOWLEDGE);
            if diagnosis.asks.is_empty() {
                return Ok((facts, diagnosis));
            }
            for ask in &diagnosis.asks {
                let answer = self.world.answer(ask, now);
                if answer.as_ref().is_err_and(Said::is_denial) {
                    self.hear(ask);
                }
                facts.answers.insert(ask.clone(), answer);
            }
        }
        Err(TestCaseError::fail("the diagnosis asks for ever"))
    }

    /// Notes down who denies what is asked with a dry run.
    fn hear(&mut self, ask: &Ask) {
        let (operation, key) = match ask {
            Ask::DryDelete(key) => ("DELETE", key),
            Ask::DryTouch(key) | Ask::DryStrip { key, .. } => ("UPDATE", key),
            _ => return,
        };
        let request = Request {
            who: Who::Us,
            operation,
            key,
            subresource: "",
            dry_run: true,
        };
        if let Review::Refused(_, Some(gate)) = self.world.review(&request) {
            self.heard.insert((gate, operation.to_owned(), key.clone()));
        }
    }

    /// Until nothing is left to do, or the time is over.
    pub fn follow(mut self) -> TestCaseResult {
        let cli = self.world.cli();
        let (mut planned, mut waits) = (None::<Plan>, 0);
        for look in 0..LOOKS {
            let (facts, diagnosis) = self.look(&cli)?;
            let (target, now) = (self.world.target(), self.now());
            let text = render::diagnosis::text(&diagnosis, &target, self.writes > 0, &Styles::default());
            prop_assert!(text.len() < 100_000, "{} bytes", text.len());
            if matches!(diagnosis.state, State::Unseen(_)) {
                return Ok(());
            }
            offers(&self.world, &facts, &diagnosis, self.answers.history(), now)?;
            if look == 0 && diagnosis.is_refused() {
                return Ok(());
            }
            if look == 0 && self.world.flags.planned {
                planned = Some(plan(&diagnosis, &target, "u", &everything()));
            }
            let limits = Limits {
                cli: &cli,
                plan: planned.as_ref(),
            };
            let can_ask = self.world.flags.terminal.is_some();
            let denies = diagnosis.roots().any(|cause| cause.denies_change());
            if denies {
                self.saw("denied in a look");
            }
            let step = limits.step(can_ask, &diagnosis, self.answers.history(), now);
            let goes_on = matches!(step, Step::Wait | Step::End(_));
            prop_assert!(
                !denies || goes_on,
                "more is done although a change is denied: {:?}",
                diagnosis.causes
            );
            match step {
                Step::End(exit) => return self.ends(&limits, &diagnosis, exit),
                Step::Show(chosen) | Step::Try(chosen) => {
                    prop_assert!(cli.only_looks() && self.writes == 0 && !chosen.is_empty());
                    return Ok(());
                }
                Step::Wait if waits >= WAITS => return self.ends(&limits, &diagnosis, Exit::Deadline),
                Step::Wait => {
                    waits += 1;
                    self.wait()?;
                }
                Step::Apply(chosen) => self.apply(&limits, chosen)?,
                Step::Ask(chosen) if self.yes > 0 => {
                    self.yes -= 1;
                    self.apply(&limits, chosen)?;
                }
                Step::Ask(chosen) => self.answers.declined(chosen.into_iter().map(Chosen::declined)),
            }
        }
        Err(TestCaseError::fail("it does not end"))
    }

    fn wait(&mut self) -> TestCaseResult {
        self.answers.waited();
        self.clock += PAUSE;
        let left_out: Vec<usize> = (0..self.world.gates.len())
            .filter(|i| self.world.gates[*i].left_out)
            .collect();
        for key in self.world.pass_time() {
            let heard = |gate: &usize| self.heard.contains(&(*gate, "DELETE".to_owned(), key.clone()));
            prop_assert!(
                !left_out.iter().any(heard),
                "{key} is deleted past a denial that was heard"
            );
        }
        Ok(())
    }

    /// The server tries all of them, and they are made if it denies none.
    fn apply(&mut self, limits: &Limits<'_>, chosen: Vec<Chosen>) -> TestCaseResult {
        prop_assert!(!limits.cli.only_looks());
        let keys: BTreeSet<Key> = chosen.iter().map(|chosen| chosen.mend.key()).collect();
        prop_assert_eq!(keys.len(), chosen.len(), "one change at a time to each object");
        let mut tried = Vec::new();
        for chosen in chosen {
            let planned = limits
                .plan
                .is_none_or(|plan| plan.steps.iter().any(|step| step.change == chosen.mend));
            prop_assert!(planned, "{:?} is not in the plan", chosen.mend);
            let tries = self.tries.entry(chosen.mend.clone()).or_default();
            *tries += 1;
            prop_assert!(*tries <= TRIES, "{:?} is tried again and again", chosen.mend);
            let twist = self.world.twists.get(self.twists).copied().unwrap_or(Twist::None);
            self.twists += 1;
            let dry = self.send(&chosen.mend, twist, true)?;
            tried.push((chosen, twist, dry));
        }
        let refusals = tried.iter().filter_map(|(_, _, dry)| dry.as_ref().err()?.as_ref());
        let denied = refusals.clone().any(Said::is_denial);
        let lets_make = Answers::lets_make(refusals);
        prop_assert!(!denied || !lets_make, "changes are made although one of them is denied");
        for (chosen, twist, dry) in tried {
            let made = match dry {
                Ok(()) if !lets_make => continue,
                Ok(()) => self.send(&chosen.mend, twist, false)?,
                Err(said) => Err(said),
            };
            let at = self.now();
            let done = |failed: Option<&str>| Tried {
                at,
                ..chosen.tried(failed.map(str::to_owned))
            };
            match made {
                Ok(()) => self.answers.made(done(None)),
                Err(said) => self.answers.refused(done(Some("refused")), said),
            }
        }
        Ok(())
    }

    /// One request, or its dry run: nothing is written to an object once a change of it was denied, nor past one who would.
    fn send(&mut self, mend: &Mend, twist: Twist, dry_run: bool) -> Result<Result<(), Option<Said>>, TestCaseError> {
        let key = mend.key();
        prop_assert!(
            !self.denied.contains(&key),
            "{mend:?} after a denial of a change of that object"
        );
        let (operation, subresource) = request(mend);
        let direct = Request {
            who: Who::Us,
            operation,
            key: &key,
            subresource,
            dry_run: false,
        };
        let gates = self.world.gates.iter().enumerate();
        let guards = gates.filter(|(_, gate)| gate.is_asked(&self.world, &direct));
        let guards: Vec<usize> = guards.map(|(index, _)| index).collect();
        match self.world.change(mend, twist, dry_run) {
            Ok(()) => {
                prop_assert!(!twist.denies(dry_run), "{mend:?} is made another way after a denial");
                if !dry_run {
                    self.writes += 1;
                    self.saw(word(mend));
                }
                let heard = |gate: &&usize| self.heard.contains(&(**gate, operation.to_owned(), key.clone()));
                let past = guards.iter().find(heard);
                prop_assert!(dry_run || past.is_none(), "{mend:?} is made past a denial: {past:?}");
                Ok(Ok(()))
            }
            Err(Failed { said, by }) => {
                if said.as_ref().is_some_and(Said::is_denial) {
                    self.denied.insert(key.clone());
                    self.saw(if dry_run {
                        "denied when it is tried"
                    } else {
                        "denied when it is made"
                    });
                }
                if let Some(gate) = by {
                    self.heard.insert((gate, operation.to_owned(), key));
                }
                Ok(Err(said))
            }
        }
    }

    /// The exit code says what came of it.
    fn ends(&self, limits: &Limits<'_>, diagnosis: &Diagnosis, exit: Exit) -> TestCaseResult {
        let target = self.world.target();
        let document = Document::of(diagnosis, &target, self.answers.history(), exit);
        prop_assert!(serde_json::to_string(&document).is_ok());
        let dry = limits.cli.only_looks();
        prop_assert!(!dry || self.writes == 0, "a dry run writes");
        self.saw(exit_word(exit));
        let expected = exits(limits, diagnosis, self.answers.history(), self.now());
        prop_assert!(
            expected.contains(&exit),
            "{exit:?} where {expected:?} is right: {diagnosis:?}"
        );
        Ok(())
    }
}
