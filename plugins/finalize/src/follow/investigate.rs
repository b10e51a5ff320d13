//! Looks at everything that may hold the target, says what is new, and waits for news.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use upkeep::{
    Result,
    discovery::Discovery,
    ui::{Ui, escape, human_duration},
};

use super::Case;
use crate::{
    diagnose::{CauseKey, Diagnosis, State, diagnose},
    facts::{Ask, Facts, Reply},
    gather::Cluster,
    knowledge::Knowledge,
    ladder::{Answers, History, Rung},
    render, wait,
};

/// What was printed.
#[derive(Default)]
pub(super) struct Shown {
    text: Option<String>,
    /// Whether the whole of it was, and not its first line only.
    whole: bool,
    causes: BTreeSet<CauseKey>,
}

/// How often it is said that it is waited.
const SECOND: Duration = Duration::from_secs(1);

impl Case<'_> {
    /// Prints what is new, and says whether anything was.
    pub(super) fn show(&self, ui: &Ui, diagnosis: &Diagnosis, history: &History, shown: &mut Shown) -> bool {
        let told = match (&diagnosis.state, &shown.text) {
            (State::Gone, None) => render::diagnosis::absent(self.target, ui.styles()),
            _ => {
                let acted = history.iter().any(|tried| tried.failed.is_none());
                render::diagnosis::text(diagnosis, self.target, acted, ui.styles())
            }
        };
        let before = shown.text.as_deref().map(render::diagnosis::ageless);
        let new = before.as_ref() != Some(&render::diagnosis::ageless(&told)) || diagnosis.state == State::Gone;
        if new {
            if diagnosis.state == State::Gone && !self.look.cli.output.unwrap_or_default().is_document() {
                ui.data(&told);
            } else {
                let keys: BTreeSet<CauseKey> = diagnosis.causes.iter().map(|cause| cause.key.clone()).collect();
                let stripped = history.last().is_some_and(|tried| tried.rung == Rung::Strip);
                // Of many finalizers that go one after the other the rest is not told each time.
                let only_fewer = stripped && !keys.is_empty() && keys.is_subset(&shown.causes);
                let part = if only_fewer {
                    told.lines().next().unwrap_or_default()
                } else {
                    &told
                };
                ui.paragraph(part);
                shown.whole = !only_fewer;
                shown.causes.extend(keys);
            }
            shown.text = Some(told);
        }
        new
    }

    /// What holds the target at the end, on stdout. A terminal that has just shown it does not show it again.
    pub(super) fn last_state(&self, diagnosis: &Diagnosis, history: &History, shown: &Shown) {
        let ui = self.look.ui;
        let is_there = shown.whole && ui.is_stdout_tty() && ui.can_redraw();
        if matches!(diagnosis.state, State::Going(_)) && !is_there {
            let acted = history.iter().any(|tried| tried.failed.is_none());
            ui.data(&render::diagnosis::text(diagnosis, self.target, acted, ui.out_styles()));
        }
    }

    /// Waits for news, and says so: on a terminal all the time, elsewhere the `first` time.
    pub(super) async fn wait(&self, facts: &Facts, patience: Duration, began: Instant, first: bool) {
        let live = self.look.ui.live();
        if !live.is_shown() && first {
            let until = match self.look.cli.patience() {
                Duration::MAX => "for as long as it takes".to_owned(),
                limit => format!("for up to {}", human_duration(limit)),
            };
            let text = format!("waiting for {} to go, {until}", self.target);
            self.look.ui.status(&escape(&text));
        }
        let mut news = std::pin::pin!(self.news(facts, patience));
        loop {
            tokio::select! {
                () = &mut news => return,
                () = tokio::time::sleep(SECOND) => {
                    let so_far = human_duration(began.elapsed());
                    let until = match self.look.cli.patience() {
                        Duration::MAX => String::new(),
                        limit => format!(" of {}", human_duration(limit)),
                    };
                    live.set(&format!("waiting for {} to go: {so_far}{until}", escape(&self.target.to_string())));
                }
            }
        }
    }

    /// Ends when the target has changed, or when it is time to look again.
    async fn news(&self, facts: &Facts, patience: Duration) {
        let seen = facts.answers.get(&Ask::Get(self.target.clone()));
        let version = match seen {
            Some(Ok(Reply::One(object))) => object["metadata"]["resourceVersion"].as_str().unwrap_or("0"),
            _ => "0",
        };
        let kind = self
            .look
            .discovery
            .versions(&self.target.group, &self.target.plural)
            .next();
        match kind {
            Some(kind) => wait::for_news(self.look.connection, kind, self.target, version, patience).await,
            None => tokio::time::sleep(patience).await,
        }
    }

    /// With what is served by now: that may have changed since the last time.
    pub(super) async fn investigate(&self, answers: &Answers) -> Result<(Facts, Diagnosis)> {
        let discovery = Discovery::ask(self.look.connection).await?;
        let facts = Facts {
            refused: answers.refusals().clone(),
            powered_off: self.look.cli.powered_off.clone(),
            opened: answers.opened(),
            match_conditions: self.look.match_conditions,
            leave_behind: self.look.cli.leave_behind.clone(),
            ..Facts::of(&discovery, self.target.clone(), self.look.skew)
        };
        let cluster = Cluster::new(self.look.connection, &discovery, self.look.cli.chunk_size);
        Ok(investigate(&cluster, facts, self.look.knowledge).await)
    }
}

/// Asks until the diagnosis needs to know nothing more.
pub async fn investigate(cluster: &Cluster<'_>, mut facts: Facts, knowledge: &Knowledge) -> (Facts, Diagnosis) {
    loop {
        let diagnosis;
        (facts, diagnosis) = decide(facts, knowledge.clone()).await;
        if diagnosis.asks.is_empty() {
            return (facts, diagnosis);
        }
        let answers = cluster.answer(diagnosis.asks).await;
        facts.learn(answers);
    }
}

/// On a thread of its own: however much there is to decide, signals and the time limit are heard meanwhile. It ends with the
/// program.
async fn decide(facts: Facts, knowledge: Knowledge) -> (Facts, Diagnosis) {
    let (ends, ended) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let diagnosis = diagnose(&facts, &knowledge);
        drop(ends);
        (facts, diagnosis)
    });
    // Its other end is dropped, by a panic, too.
    drop(ended.await);
    match thread.join() {
        Ok(decided) => decided,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A server that does not answer, said once.
#[derive(Default)]
pub(super) struct Unreachable {
    said: bool,
}

impl Unreachable {
    pub(super) fn say(&mut self, ui: &Ui, why: &str) {
        if !self.said {
            ui.warning(&format!(
                "the API server does not answer, and is waited for: {}",
                escape(why)
            ));
            self.said = true;
        }
    }
}
