//! One target from the first look to its end: gather, decide, confirm, act, and again, until it is gone.

mod plan;
mod step;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use kube::Api;
use upkeep::{
    Error, Exit, Result,
    backup::Backup,
    client::Connection,
    discovery::Discovery,
    output,
    signals::Signals,
    ui::{Ui, escape},
};

use self::step::{Chosen, Step};
use crate::{
    act::Hands,
    cli::Cli,
    diagnose::{Diagnosis, State, diagnose},
    facts::{Ask, Facts, Key, Reply},
    gather::Cluster,
    knowledge::Knowledge,
    ladder::{History, Mend, Tried, plan::Plan},
    orphans, render, wait,
};

/// What does not change while it is followed.
pub struct Case<'a> {
    /// The command line.
    pub cli: &'a Cli,
    /// The cluster.
    pub connection: &'a Connection,
    /// What it serves.
    pub discovery: &'a Discovery,
    /// What is known about finalizers.
    pub knowledge: &'a Knowledge,
    /// What will not go away.
    pub target: &'a Key,
    /// What may be done, and nothing else.
    pub plan: Option<&'a Plan>,
}

/// How many changes are made at the same time.
const AT_ONCE: usize = 8;
/// How many of them are told.
const SHOWN: usize = 10;
/// How long nothing may happen before it is looked again.
const QUIET: Duration = Duration::from_secs(5);

impl Case<'_> {
    /// Follows it to its end. Whatever happens on the way, what was neutralised is put back.
    ///
    /// # Errors
    /// Whatever keeps it from finding out what holds the target.
    pub async fn follow(&self, ui: &Ui, began: Instant) -> Result<Exit> {
        let hands = self.hands().await?;
        self.follow_with(ui, began, &hands).await
    }

    /// What changes are made with.
    ///
    /// # Errors
    /// No place for backups.
    pub async fn hands(&self) -> Result<Hands<'_>> {
        Ok(Hands {
            connection: self.connection,
            discovery: self.discovery,
            backup: Backup::new("finalize", &self.cluster_uid().await, Timestamp::now())?,
            target: self.target.to_string(),
        })
    }

    /// The same with a backup that something was saved in already.
    ///
    /// # Errors
    /// Whatever keeps it from finding out what holds the target.
    pub async fn follow_with(&self, ui: &Ui, began: Instant, hands: &Hands<'_>) -> Result<Exit> {
        let mut history = History::new();
        let ended = self.to_its_end(ui, began, hands, &mut history).await;
        let mut failed = false;
        if !self.cli.only_looks() {
            for put_back in hands.put_back().await {
                match put_back {
                    Ok(text) => ui.status(&escape(&text)),
                    Err(error) => {
                        ui.error(&error);
                        failed = true;
                    }
                }
            }
        }
        if hands.backup.is_used() {
            ui.status(&format!(
                "what was changed is saved in {}",
                hands.backup.folder().display()
            ));
        }
        let (diagnosis, exit) = ended?;
        let exit = if failed { Exit::Failed } else { exit };
        if diagnosis.state == State::Gone {
            self.left_behind(ui, &history).await;
        }
        let form = self.cli.output.unwrap_or_default();
        if form.is_document() {
            let document = render::document::of(&diagnosis, self.target, &history, exit);
            ui.document(&output::document(form, &document)?);
        }
        if diagnosis.state == State::Living && !self.cli.only_looks() {
            return Err(Error::refused("nobody has asked for its deletion; nothing was changed"));
        }
        Ok(exit)
    }

    async fn to_its_end(
        &self,
        ui: &Ui,
        began: Instant,
        hands: &Hands<'_>,
        history: &mut History,
    ) -> Result<(Diagnosis, Exit)> {
        let mut refused = BTreeMap::new();
        let mut shown = None;
        let mut signals = Signals::new();
        let mut last = None;
        loop {
            let looked = tokio::select! {
                looked = self.investigate(&refused) => looked?,
                exit = signals.next() => match last {
                    Some(diagnosis) => return Ok((diagnosis, exit)),
                    None => return Err(Error::new(exit, "interrupted; nothing was changed")),
                },
            };
            let (facts, diagnosis) = looked;
            if let State::Unseen(said) = &diagnosis.state {
                let name = escape(&self.target.name);
                return Err(Error::failed(format!("cannot read {name}")).caused_by(&said.message));
            }
            self.bound(&facts)?;
            self.show(ui, &diagnosis, &mut shown);
            if let Some(file) = &self.cli.plan_out {
                self.write_plan(ui, file, &facts, &diagnosis)?;
            }
            match self.step(ui, &diagnosis, history) {
                Step::End(exit) => return Ok((diagnosis, exit)),
                Step::Wait => {
                    let left = self.cli.patience().saturating_sub(began.elapsed());
                    if left.is_zero() {
                        return Ok((diagnosis, Exit::Deadline));
                    }
                    refused.clear();
                    tokio::select! {
                        () = self.news(&facts, QUIET.min(left)) => {}
                        exit = signals.next() => return Ok((diagnosis, exit)),
                    }
                }
                // A change that has begun is not cut off: it is one request, and what comes of it has to be known.
                Step::Apply(chosen) => self.apply(ui, chosen, hands, history, &mut refused).await,
                Step::Declined(chosen) => history.extend(chosen.into_iter().map(|chosen| Tried {
                    mend: chosen.mend,
                    text: chosen.text,
                    failed: Some("not wanted".into()),
                    declined: true,
                    at: Timestamp::now(),
                })),
            }
            last = Some(diagnosis);
        }
    }

    /// Several changes to different objects are made at the same time.
    async fn apply(
        &self,
        ui: &Ui,
        chosen: Vec<Chosen>,
        hands: &Hands<'_>,
        history: &mut History,
        refused: &mut BTreeMap<Key, String>,
    ) {
        for chosen in chosen.iter().take(SHOWN) {
            let rung = render::diagnosis::word(chosen.rung);
            ui.status(&format!("{rung}: {}", escape(&chosen.title())));
        }
        if chosen.len() > SHOWN {
            ui.status(&format!("... and {} like these", chosen.len() - SHOWN));
        }
        let each = chosen.into_iter().map(async |chosen| {
            let done = hands.apply(&chosen.mend, &chosen.says).await;
            (chosen, done)
        });
        let done: Vec<_> = futures::stream::iter(each).buffered(AT_ONCE).collect().await;
        let mut changed = false;
        for (Chosen { mend, text, .. }, done) in done {
            match &done {
                Err(error) => {
                    ui.warning(&escape(&error.to_string()));
                    if let Mend::Strip { key, .. } = &mend {
                        refused.insert(key.clone(), error.to_string());
                    }
                }
                Ok(()) => {
                    changed = true;
                    refused.remove(&mend.key());
                }
            }
            history.push(Tried {
                mend,
                text,
                failed: done.err().map(|error| error.headline().to_owned()),
                declined: false,
                at: Timestamp::now(),
            });
        }
        if changed && self.target.plural == "namespaces" {
            hands.nudge(&self.target.name).await;
        }
    }

    /// Directly after a namespace was taken out by force: what is in it all the same.
    async fn left_behind(&self, ui: &Ui, history: &History) {
        let abandoned = |t: &Tried| matches!(t.mend, Mend::Abandon { .. }) && t.failed.is_none();
        if !history.iter().any(abandoned) {
            return;
        }
        let cluster = Cluster::new(self.connection, self.discovery, self.cli.chunk_size);
        for finding in orphans::of(&cluster, self.discovery, &self.target.name).await {
            let subjects: Vec<_> = finding.subjects.iter().collect();
            let evidence = escape(&finding.evidence);
            ui.warning(&format!("{evidence}: {}", render::diagnosis::names(&subjects)));
            if let Some(hint) = &finding.hint {
                ui.status(&format!("  {} {}", ui.styles().accent("hint:"), escape(hint)));
            }
        }
    }

    /// Prints what is new.
    fn show(&self, ui: &Ui, diagnosis: &Diagnosis, shown: &mut Option<String>) {
        let told = render::diagnosis::text(diagnosis, self.target, ui.styles());
        // The age in its first line changes all the time.
        let news = |text: &str| {
            text.split_once('\n')
                .map(|(_, rest)| rest.to_owned())
                .unwrap_or_default()
        };
        if shown.as_deref().map(news) != Some(news(&told)) || diagnosis.state == State::Gone {
            if diagnosis.state == State::Gone && !self.cli.output.unwrap_or_default().is_document() {
                ui.data(&told);
            } else {
                ui.status(&told);
            }
            *shown = Some(told);
        }
    }

    async fn news(&self, facts: &Facts, patience: Duration) {
        let seen = facts.answers.get(&Ask::Get(self.target.clone()));
        let version = match seen {
            Some(Ok(Reply::One(object))) => object["metadata"]["resourceVersion"].as_str().unwrap_or("0"),
            _ => "0",
        };
        let kind = self.discovery.versions(&self.target.group, &self.target.plural).next();
        match kind {
            Some(kind) => wait::for_news(self.connection, kind, self.target, version, patience).await,
            None => tokio::time::sleep(patience).await,
        }
    }

    /// The UID of `kube-system`, which stands for the cluster.
    async fn cluster_uid(&self) -> String {
        let namespaces: Api<core::Namespace> = Api::all(self.connection.client.clone());
        let found = namespaces.get_metadata("kube-system").await;
        // Who may not read it gets a folder of their own.
        let uid = found.ok().and_then(|n| n.metadata.uid);
        uid.unwrap_or_else(|| "unknown".into())
    }

    async fn investigate(&self, refused: &BTreeMap<Key, String>) -> Result<(Facts, Diagnosis)> {
        let discovery = Discovery::ask(self.connection).await?;
        let facts = Facts {
            refused: refused.clone(),
            ..Facts::of(&discovery, self.target.clone())
        };
        let cluster = Cluster::new(self.connection, &discovery, self.cli.chunk_size);
        Ok(investigate(&cluster, facts, self.knowledge).await)
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
