//! Looks at everything that may hold the target, says what is new, and waits for news.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;
use upkeep::{
    Result,
    discovery::Discovery,
    ui::{Ui, escape},
};

use super::Case;
use crate::{
    diagnose::{Diagnosis, State, diagnose},
    facts::{Ask, Facts, Key, Reply},
    gather::Cluster,
    knowledge::Knowledge,
    render, wait,
};

impl Case<'_> {
    /// Prints what is new, and says whether anything was.
    pub(super) fn show(&self, ui: &Ui, diagnosis: &Diagnosis, shown: &mut Option<String>) -> bool {
        let told = match (&diagnosis.state, &shown) {
            (State::Gone, None) => render::diagnosis::absent(self.target, ui.styles()),
            _ => render::diagnosis::text(diagnosis, self.target, ui.styles()),
        };
        let before = shown.as_deref().map(render::diagnosis::ageless);
        let new = before.as_ref() != Some(&render::diagnosis::ageless(&told)) || diagnosis.state == State::Gone;
        if new {
            if diagnosis.state == State::Gone && !self.look.cli.output.unwrap_or_default().is_document() {
                ui.data(&told);
            } else {
                ui.paragraph(&told);
            }
            *shown = Some(told);
        }
        new
    }

    /// Ends when the target has changed, or when it is time to look again.
    pub(super) async fn news(&self, facts: &Facts, patience: Duration) {
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
    pub(super) async fn investigate(&self, refused: &BTreeMap<Key, String>) -> Result<(Facts, Diagnosis)> {
        let discovery = Discovery::ask(self.look.connection).await?;
        let facts = Facts {
            refused: refused.clone(),
            ..Facts::of(&discovery, self.target.clone())
        };
        let cluster = Cluster::new(self.look.connection, &discovery, self.look.cli.chunk_size);
        Ok(investigate(&cluster, facts, self.look.knowledge).await)
    }
}

/// Asks until the diagnosis needs to know nothing more.
pub async fn investigate(cluster: &Cluster<'_>, mut facts: Facts, knowledge: &Knowledge) -> (Facts, Diagnosis) {
    loop {
        let diagnosis = diagnose(&facts, knowledge);
        if diagnosis.asks.is_empty() {
            return (facts, diagnosis);
        }
        facts.answers.extend(cluster.answer(diagnosis.asks).await);
        facts.now = Timestamp::now();
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
