//! Makes the changes that were chosen, and looks at what a namespace has left behind.

use futures::StreamExt as _;
use upkeep::{
    Error, Exit,
    report::Finding,
    ui::{Ui, escape},
};

use super::{Case, step::Chosen};
use crate::{
    act::{Hands, Trouble},
    ladder::{Answers, History, Mend, Tried},
    orphans, render,
};

/// How many changes are made at the same time.
const AT_ONCE: usize = 8;
/// How many of them are told.
const SHOWN: usize = 10;

/// Says what is done, or would be.
pub(super) fn announce(ui: &Ui, chosen: &[Chosen], how: &str) {
    for chosen in chosen.iter().take(SHOWN) {
        let rung = render::diagnosis::word(chosen.rung);
        ui.paragraph(&format!("{rung}: {}{how}", escape(&chosen.title())));
    }
    if chosen.len() > SHOWN {
        ui.status(&format!("... and {} like these", chosen.len() - SHOWN));
    }
}

fn failed(ui: &Ui, chosen: Chosen, trouble: Trouble, answers: &mut Answers) {
    ui.warning(&escape(&trouble.error.to_string()));
    let tried = chosen.tried(Some(trouble.error.headline().to_owned()));
    answers.refused(tried, trouble.said);
}

impl Case<'_> {
    /// Several changes to different objects are made at the same time, once the server has tried all of them: where one is
    /// denied, none is made.
    pub(super) async fn apply(&self, ui: &Ui, chosen: Vec<Chosen>, hands: &Hands<'_>, answers: &mut Answers) {
        announce(ui, &chosen, "");
        let each = chosen.into_iter().map(async |chosen| {
            let tried = hands.try_out(&chosen.mend).await;
            (chosen, tried)
        });
        let tried: Vec<_> = futures::stream::iter(each).buffered(AT_ONCE).collect().await;
        let refusals = tried
            .iter()
            .filter_map(|(_, tried)| tried.as_ref().err()?.said.as_ref());
        if !Answers::lets_make(refusals) {
            for (chosen, tried) in tried {
                if let Err(trouble) = tried {
                    failed(ui, chosen, trouble, answers);
                }
            }
            return;
        }
        let each = tried.into_iter().map(async |(chosen, tried)| {
            let done = match tried {
                Ok(original) => hands.apply(&chosen.mend, &original, &chosen.says).await,
                Err(trouble) => Err(trouble),
            };
            (chosen, done)
        });
        let done: Vec<_> = futures::stream::iter(each).buffered(AT_ONCE).collect().await;
        let mut changed = false;
        let mut denied = false;
        for (chosen, done) in done {
            match done {
                Err(trouble) => {
                    denied |= trouble.is_denial();
                    failed(ui, chosen, trouble, answers);
                }
                Ok(()) => {
                    changed = true;
                    answers.made(chosen.tried(None));
                }
            }
        }
        if changed && !denied {
            hands.nudge(self.target).await;
        }
    }

    /// Has the server try the changes, and says what it would do.
    pub(super) async fn try_out(&self, ui: &Ui, chosen: Vec<Chosen>, hands: &Hands<'_>) -> (Exit, History) {
        let each = chosen.into_iter().map(async |chosen| {
            let tried = hands.try_out(&chosen.mend).await;
            (chosen, tried)
        });
        let tried: Vec<_> = futures::stream::iter(each).buffered(AT_ONCE).collect().await;
        let mut exit = Exit::Done;
        let mut all = History::new();
        for (chosen, tried) in tried {
            let (rung, title) = (render::diagnosis::word(chosen.rung), chosen.title());
            match &tried {
                Ok(_) => ui.status(&format!(
                    "{rung}: {} (server dry run: it would be done)",
                    escape(&title)
                )),
                Err(trouble) => {
                    exit = Exit::Failed;
                    let refused = Error::failed(format!("the server would refuse: {title}"));
                    ui.error(&refused.caused_by(trouble.error.headline()));
                }
            }
            all.push(chosen.tried(tried.err().map(|trouble| trouble.error.headline().to_owned())));
        }
        (exit, all)
    }

    /// What is in a namespace that is not there: directly after it was taken out by force, or, which is news, where it was gone
    /// before.
    pub(super) async fn left_behind(&self, history: &History, seen: bool) -> (Vec<Finding>, bool) {
        let ui = self.look.ui;
        let abandoned = |t: &Tried| matches!(t.mend, Mend::Abandon { .. }) && t.failed.is_none();
        let is_namespace = self.target.group.is_empty() && self.target.plural == "namespaces";
        let abandoned = history.iter().any(abandoned);
        if !is_namespace || (seen && !abandoned) {
            return (Vec::new(), false);
        }
        let findings = orphans::of(&self.look.cluster(), self.look.discovery, &self.target.name).await;
        for finding in &findings {
            let subjects: Vec<_> = finding.subjects.iter().collect();
            let evidence = escape(&finding.evidence);
            ui.warning(&format!("{evidence}: {}", render::diagnosis::names(&subjects)));
            if let Some(hint) = &finding.hint {
                ui.hint(hint);
            }
        }
        let is_news = !findings.is_empty() && !abandoned;
        (findings, is_news)
    }
}
