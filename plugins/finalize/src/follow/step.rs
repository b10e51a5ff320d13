//! What the run does next, within what was allowed and what a person says.

use k8s_openapi::jiff::Timestamp;
use tokio::sync::oneshot;
use upkeep::{
    Exit,
    ui::{Ui, escape},
};

use super::Case;
use crate::{
    cli::Cli,
    diagnose::{Cause, Diagnosis},
    ladder::{Cap, History, Mend, Next, Remedy, Rung, Tried, first, next, open, plan::Plan},
    render,
};

/// What the run does next.
pub(super) enum Step {
    /// It is over.
    End(Exit),
    /// Nothing, for a while.
    Wait,
    /// These.
    Apply(Vec<Chosen>),
    /// It is over: these would be made.
    Show(Vec<Chosen>),
    /// These, as far as the server says what it would do.
    Try(Vec<Chosen>),
    /// These, if somebody wants them.
    Ask(Vec<Chosen>),
}

/// One change, and what it is for.
pub(super) struct Chosen {
    pub says: String,
    pub rung: Rung,
    pub text: String,
    pub leaves: Vec<String>,
    pub mend: Mend,
}

impl Chosen {
    fn of(steps: &[(&Cause, &Remedy)]) -> Vec<Self> {
        let chosen = steps.iter().filter_map(|(cause, remedy)| {
            Some(Self {
                says: cause.says.clone(),
                rung: remedy.rung,
                text: remedy.text.clone(),
                leaves: remedy.leaves.clone(),
                mend: remedy.mend.clone()?,
            })
        });
        chosen.collect()
    }

    /// Nobody wanted it.
    pub(super) fn declined(self) -> Tried {
        Tried {
            leaves: Vec::new(),
            declined: true,
            ..self.tried(Some("not wanted".into()))
        }
    }

    /// What came of it.
    pub(super) fn tried(self, failed: Option<String>) -> Tried {
        Tried {
            mend: self.mend,
            rung: self.rung,
            text: self.text,
            leaves: self.leaves,
            failed,
            declined: false,
            at: Timestamp::now(),
        }
    }

    /// What is changed, and how.
    pub(super) fn title(&self) -> String {
        match &self.mend {
            Mend::Strip { key, finalizer, .. } => format!("{key}: remove {finalizer}"),
            _ => self.text.clone(),
        }
    }
}

/// What was allowed beforehand.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    pub cli: &'a Cli,
    /// What may be done, and nothing else.
    pub plan: Option<&'a Plan>,
}

impl<'a> Case<'a> {
    /// What was allowed beforehand.
    pub(super) fn limits(&self) -> Limits<'a> {
        Limits {
            cli: self.look.cli,
            plan: self.plan,
        }
    }

    pub(super) fn step(&self, ui: &Ui, diagnosis: &Diagnosis, history: &History) -> Step {
        self.limits()
            .step(ui.is_stdin_tty(), diagnosis, history, Timestamp::now())
    }
}

impl Limits<'_> {
    /// Whether it was said how much may be done: then nobody is asked for more.
    pub(super) fn is_told(&self) -> bool {
        self.cli.force_up_to.is_some() || self.cli.switches.yes
    }

    /// The highest rung that was allowed beforehand.
    pub(super) fn rung(&self) -> Rung {
        self.cli.force_up_to.unwrap_or(Rung::Wait)
    }

    /// Whether each change is asked for, however much force is allowed: somebody else may have written the plan.
    fn asks_always(&self) -> bool {
        self.plan.is_some() && !self.cli.switches.yes
    }

    /// How far it may go with this rung.
    pub(super) fn cap(&self, rung: Rung) -> Cap {
        let planned = self
            .plan
            .map(|plan| plan.steps.iter().map(|step| step.change.clone()).collect());
        Cap {
            rung,
            even_if_alive: self.cli.switches.even_if_alive,
            powered_off: self.cli.powered_off.clone(),
            leave_behind: self.cli.leave_behind.clone(),
            planned,
        }
    }

    /// Decides. `can_ask`: somebody sits at a terminal.
    pub(super) fn step(&self, can_ask: bool, diagnosis: &Diagnosis, history: &History, now: Timestamp) -> Step {
        let dry = self.cli.only_looks();
        match next(diagnosis, history, &self.cap(self.rung()), now) {
            Next::Gone => Step::End(Exit::Done),
            _ if self.cli.switches.watch => Step::Wait,
            Next::Living if dry && !self.is_told() => Step::End(Exit::Done),
            Next::Living => Step::End(Exit::Refused),
            _ if self.cli.plan_out.is_some() && !self.asks_server() => Step::End(Exit::Done),
            _ if dry => self.dry(diagnosis, history, now),
            Next::Apply(steps) if self.asks_always() && can_ask => Step::Ask(alike(steps)),
            Next::Apply(_) if self.asks_always() => Step::End(Exit::Refused),
            Next::Apply(steps) => Step::Apply(Chosen::of(&steps)),
            other => {
                let is_stuck = other == Next::Stuck;
                match self.asked(diagnosis, history, is_stuck, now).filter(|_| can_ask) {
                    Some(step) => step,
                    None if is_stuck => Step::End(Exit::Incomplete),
                    None => Step::Wait,
                }
            }
        }
    }

    /// Whether the server is asked what it would say to a change.
    fn asks_server(&self) -> bool {
        self.cli.dry_run == "server"
    }

    /// What would be done first, or all that a plan says. A dry run that was told how much may be done ends as the run would; one
    /// that was not explains, which is what it is for.
    fn dry(&self, diagnosis: &Diagnosis, history: &History, now: Timestamp) -> Step {
        let asks_server = self.asks_server();
        let rung = if (asks_server || self.plan.is_some()) && !self.is_told() {
            Rung::Finalize
        } else {
            self.rung()
        };
        let cap = self.cap(rung);
        let steps = match self.plan {
            Some(_) if !asks_server => open(diagnosis, history, &cap, now),
            _ => first(diagnosis, history, &cap, now),
        };
        if !steps.is_empty() {
            let chosen = Chosen::of(&steps);
            return if asks_server {
                Step::Try(chosen)
            } else {
                Step::Show(chosen)
            };
        }
        match next(diagnosis, history, &cap, now) {
            Next::Stuck if self.is_told() => Step::End(Exit::Incomplete),
            _ => Step::End(Exit::Done),
        }
    }

    /// Somebody can be asked: the gentlest step that was not allowed beforehand, and what is as gentle as that at once.
    fn asked(&self, diagnosis: &Diagnosis, history: &History, is_stuck: bool, now: Timestamp) -> Option<Step> {
        if self.is_told() {
            return None;
        }
        let Next::Apply(steps) = next(diagnosis, history, &self.cap(Rung::Finalize), now) else {
            return None;
        };
        let (_, first) = steps.first()?;
        let rung = first.rung;
        if !is_stuck && history.last().is_none_or(|last| rung > last.rung) {
            return None;
        }
        Some(Step::Ask(alike(steps)))
    }
}

/// A yes is for one kind of loss.
fn alike(mut steps: Vec<(&Cause, &Remedy)>) -> Vec<Chosen> {
    let risk = steps.first().and_then(|(_, remedy)| remedy.risk);
    steps.retain(|(_, remedy)| remedy.risk == risk);
    Chosen::of(&steps)
}

/// On a thread of its own: what reads from a terminal cannot be woken, and a signal has to be heard. It ends with the program.
pub(super) async fn ask(ui: &Ui, chosen: &[Chosen]) -> bool {
    let (tell, answer) = oneshot::channel();
    let (ui, question) = (ui.clone(), question(chosen));
    std::thread::spawn(move || drop(tell.send(ui.confirm(&question))));
    matches!(answer.await, Ok(Ok(true)))
}

/// How many changes a question names.
const NAMED: usize = 3;

/// One question for all that is done at the same time.
fn question(chosen: &[Chosen]) -> String {
    let Some(first) = chosen.first() else {
        return String::new();
    };
    let word = render::diagnosis::word(first.rung);
    let titles: Vec<String> = chosen
        .iter()
        .take(NAMED)
        .map(|c| escape(&c.title()).to_string())
        .collect();
    let titles = titles.join("; ");
    match chosen.len() {
        1 => format!("{word}: {titles}. Do it?"),
        count if count <= NAMED => format!("{word}: {titles}. Do all of it?"),
        count => format!("{word}: {titles}; and {} more. Do all of it?", count - NAMED),
    }
}
