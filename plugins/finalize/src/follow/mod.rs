//! One target from the first look to its end: gather, decide, confirm, act, and again, until it is gone.

mod apply;
mod closing;
mod flags;
mod guard;
mod investigate;
mod plan;
#[cfg(test)]
mod sim;
mod step;

use std::{
    collections::BTreeSet,
    sync::OnceLock,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use upkeep::{Error, Exit, Result, backup::Backup, lock::Identity, output, signals::Signals};

pub use self::investigate::investigate;
use self::{
    investigate::{Shown, Unreachable},
    step::Step,
};
use crate::{
    act::{Fences, Hands},
    diagnose::{Diagnosis, State},
    facts::Key,
    ladder::{Answers, History, plan::Plan},
    look::Look,
    render::document::Document,
};

/// What does not change while it is followed.
pub struct Case<'a> {
    /// The command line, the cluster, and what is known.
    pub look: &'a Look<'a>,
    /// What will not go away.
    pub target: &'a Key,
    /// What may be done, and nothing else.
    pub plan: Option<&'a Plan>,
}

/// What it came to.
struct Ended {
    diagnosis: Diagnosis,
    exit: Exit,
    /// Whether the target was there at all.
    seen: bool,
    /// What a dry run would do first, and what the server says to that.
    would: History,
}

/// Cut off, with what was seen last.
fn ended(last: Option<Ended>, exit: Exit, otherwise: &str) -> Result<Ended> {
    match last {
        Some(last) => Ok(Ended { exit, ..last }),
        None => Err(Error::new(exit, otherwise)),
    }
}

/// How long the first look may take whatever the time limit is.
const FIRST: Duration = Duration::from_secs(30);
/// How long the namespace controller takes to try a namespace again that was written to, and how often that is waited for
/// before what it has written is believed: it waits 5 s, and then asks for the deletion of everything.
const TRIED: Duration = Duration::from_secs(5);
const DOUBTS: u32 = 3;
/// How long a controller is left alone before it is made to look again.
const NUDGE: Duration = Duration::from_secs(10);
/// A server that does not answer is asked again after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// How long nothing may happen before it is looked again: at first, and when nothing was new for long. Everything in a
/// namespace is listed each time; a change of the target itself is heard at once.
const QUIET: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

impl<'a> Case<'a> {
    /// One target; with a plan nothing is done but what that says.
    pub fn new(look: &'a Look<'a>, target: &'a Key, plan: Option<&'a Plan>) -> Self {
        Self { look, target, plan }
    }

    /// Follows it to its end. Whatever happens on the way, what was neutralised is put back.
    ///
    /// # Errors
    /// Whatever keeps it from finding out what holds the target.
    pub async fn follow(&self, began: Instant) -> Result<Exit> {
        let hands = self.hands().await?;
        self.follow_with(began, &hands).await
    }

    /// What changes are made with.
    ///
    /// # Errors
    /// No place for backups.
    pub async fn hands(&self) -> Result<Hands<'a>> {
        Ok(Hands {
            connection: self.look.connection,
            discovery: self.look.discovery,
            backup: Backup::new("finalize", &self.look.connection.cluster_uid().await, Timestamp::now())?,
            target: self.target.id(),
            run: Identity::current(),
            fences: Fences::default(),
            skew: self.look.skew,
            user: OnceLock::new(),
        })
    }

    /// The same with a backup that something was saved in already.
    ///
    /// # Errors
    /// Whatever keeps it from finding out what holds the target.
    pub async fn follow_with(&self, began: Instant, hands: &Hands<'_>) -> Result<Exit> {
        let mut answers = Answers::default();
        let mut signals = Signals::new();
        let mut shown = Shown::default();
        let ended = {
            let run = self.to_its_end(began, hands, &mut answers, &mut signals, &mut shown);
            tokio::select! {
                ended = run => ended,
                never = self.guard(hands) => match never {},
            }
        };
        let history = answers.history();
        let put_back = self.put_back(hands, history, &ended, &mut signals).await;
        self.what_stays(hands, history);
        let mut ended = ended?;
        let mut exit = ended.exit;
        if ended.diagnosis.state == State::Gone {
            let (left, is_news) = self.left_behind(history, ended.seen).await;
            ended.diagnosis.notes.extend(left);
            if is_news {
                exit = Exit::Incomplete;
            }
        }
        if put_back.failed {
            exit = Exit::Failed;
        }
        let form = self.look.cli.output.unwrap_or_default();
        if form.is_document() {
            let steps = if ended.would.is_empty() { history } else { &ended.would };
            let saved = hands.backup.is_used().then(|| hands.backup.folder());
            let document = Document::of(&ended.diagnosis, self.target, steps, exit);
            let document = document.of_run(&self.look.cli.dry_run, saved);
            self.look.ui.document(&output::document(form, &document)?);
        } else if matches!(exit, Exit::Incomplete | Exit::Deadline) {
            self.last_state(&ended.diagnosis, history, &shown);
        }
        let changed = hands.backup.is_used() || put_back.any || history.iter().any(|tried| tried.failed.is_none());
        self.closing(&Ended { exit, ..ended }, history, changed, began)
    }

    async fn to_its_end(
        &self,
        began: Instant,
        hands: &Hands<'_>,
        answers: &mut Answers,
        signals: &mut Signals,
        shown: &mut Shown,
    ) -> Result<Ended> {
        let ui = self.look.ui;
        let patience = self.look.cli.patience();
        let (mut first, mut waited, mut doubted) = (None, false, 0);
        let mut last: Option<Ended> = None;
        let mut quiet = QUIET.0;
        let mut nudged = Instant::now();
        let mut unreachable = Unreachable::default();
        let mut silent = BTreeSet::new();
        loop {
            let left = patience.saturating_sub(began.elapsed());
            // The first look is not given up for being slow.
            let enough = if last.is_none() { left.max(FIRST) } else { left };
            let looked = tokio::select! {
                looked = self.investigate(answers) => looked,
                exit = signals.next() => return ended(last, exit, "interrupted before anything was changed"),
                () = tokio::time::sleep(enough) => {
                    return ended(last, Exit::Deadline, "the API server did not answer in time; nothing was changed");
                }
            };
            let why = match &looked {
                Err(error) => Some(error.headline().to_owned()),
                Ok((_, diagnosis)) if matches!(diagnosis.state, State::Unseen(_)) => diagnosis.state.why(),
                Ok((facts, _)) => facts.unreachable(&silent).map(str::to_owned),
            };
            if let Ok((facts, _)) = &looked {
                silent = facts.silent();
            }
            // What was begun is not left alone because the server restarts.
            if let (Some(why), Some(_)) = (why, &last)
                && began.elapsed() < patience
            {
                unreachable.say(ui, &why);
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => continue,
                    exit = signals.next() => return ended(last, exit, "interrupted"),
                }
            }
            unreachable = Unreachable::default();
            let (facts, mut diagnosis) = looked?;
            if let State::Unseen(said) = &diagnosis.state {
                return Err(Error::failed(format!("cannot read {}", self.target)).caused_by(&said.message));
            }
            self.bound(&facts)?;
            // What has its name by now is another object, and nobody has asked for that one to be mended.
            let uid = self.uid(&facts).map(str::to_owned);
            if first.is_some() && uid.is_some() && uid != first {
                diagnosis = Diagnosis::gone();
            }
            first = first.or(uid);
            let seen = first.is_some();
            if self.show(ui, &diagnosis, answers.history(), shown) {
                quiet = QUIET.0;
            }
            if let Some(file) = &self.look.cli.plan_out {
                self.write_plan(ui, file, &facts, &diagnosis)?;
            }
            let end = |diagnosis, exit| {
                Ok(Ended {
                    diagnosis,
                    exit,
                    seen,
                    would: History::new(),
                })
            };
            // Who has confirmed what is not so is told before anything is done.
            if last.is_none() && diagnosis.is_refused() {
                return end(diagnosis, Exit::Refused);
            }
            // Its controller may be let to by now: it has to try once more.
            if doubted < DOUBTS && diagnosis.rests_on_old_words() && !self.look.cli.only_looks() {
                if doubted == 0 {
                    hands.nudge(self.target).await;
                }
                doubted += 1;
                tokio::select! {
                    () = tokio::time::sleep(TRIED.min(patience)) => {}
                    exit = signals.next() => return end(diagnosis, exit),
                }
                last = Some(Ended {
                    diagnosis,
                    exit: Exit::Done,
                    seen,
                    would: History::new(),
                });
                continue;
            }
            match self.step(ui, &diagnosis, answers.history()) {
                Step::End(exit) => return end(diagnosis, exit),
                Step::Try(chosen) => {
                    let (exit, would) = self.try_out(ui, chosen, hands).await;
                    return end(diagnosis, exit).map(|ended| Ended { would, ..ended });
                }
                Step::Show(chosen) => {
                    apply::announce(ui, &chosen, " (dry run)");
                    let would = chosen.into_iter().map(|chosen| chosen.tried(None)).collect();
                    return end(diagnosis, Exit::Done).map(|ended| Ended { would, ..ended });
                }
                Step::Wait => {
                    let left = patience.saturating_sub(began.elapsed());
                    if left.is_zero() {
                        return end(diagnosis, Exit::Deadline);
                    }
                    answers.waited();
                    // Who has tried in vain tries less and less often.
                    let denied = diagnosis.is_denied();
                    if !self.look.cli.only_looks() && !denied && nudged.elapsed() > NUDGE {
                        hands.nudge(self.target).await;
                        nudged = Instant::now();
                    }
                    tokio::select! {
                        () = self.wait(&facts, quiet.min(left), began, !waited) => {}
                        exit = signals.next() => return end(diagnosis, exit),
                    }
                    waited = true;
                    quiet = QUIET.1.min(quiet * 2);
                }
                Step::Apply(_) if began.elapsed() >= patience => return end(diagnosis, Exit::Deadline),
                // A change that has begun is not cut off: it is one request, and what comes of it has to be known.
                Step::Apply(chosen) => {
                    tokio::select! {
                        () = self.watch_leases(&chosen, hands) => {}
                        exit = signals.next() => return end(diagnosis, exit),
                    }
                    quiet = QUIET.0;
                    self.apply(ui, chosen, hands, answers).await;
                }
                Step::Ask(chosen) => {
                    quiet = QUIET.0;
                    let left = patience.saturating_sub(began.elapsed());
                    let answer = tokio::select! {
                        answer = step::ask(ui, &chosen) => Some(answer),
                        exit = signals.next() => {
                            ui.status("");
                            return end(diagnosis, exit);
                        }
                        () = tokio::time::sleep(left) => None,
                    };
                    match answer {
                        Some(true) => {
                            tokio::select! {
                                () = self.watch_leases(&chosen, hands) => {}
                                exit = signals.next() => return end(diagnosis, exit),
                            }
                            self.apply(ui, chosen, hands, answers).await;
                        }
                        Some(false) => {
                            answers.declined(chosen.into_iter().map(step::Chosen::declined));
                            // What was done before is named.
                            let changed =
                                hands.backup.is_used() || answers.history().iter().any(|t| t.failed.is_none());
                            return end(diagnosis, if changed { Exit::Incomplete } else { Exit::Refused });
                        }
                        None => {
                            ui.status("");
                            return end(diagnosis, Exit::Deadline);
                        }
                    }
                }
            }
            last = Some(Ended {
                diagnosis,
                exit: Exit::Done,
                seen,
                would: History::new(),
            });
        }
    }
}
