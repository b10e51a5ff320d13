//! One target from the first look to its end: gather, decide, confirm, act, and again, until it is gone.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

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

use crate::{
    act::Hands,
    cli::Cli,
    diagnose::{Cause, Diagnosis, State, diagnose},
    facts::{Ask, Facts, Key, Reply},
    gather::Cluster,
    knowledge::Knowledge,
    ladder::{Cap, History, Mend, Next, Remedy, Rung, Tried, next},
    render, wait,
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
}

/// How long nothing may happen before it is looked again.
const QUIET: Duration = Duration::from_secs(5);

impl Case<'_> {
    /// Follows it to its end.
    ///
    /// # Errors
    /// Whatever keeps it from finding out what holds the target.
    pub async fn follow(&self, ui: &Ui, began: Instant) -> Result<Exit> {
        let form = self.cli.output.unwrap_or_default();
        let mut hands = Hands {
            connection: self.connection,
            discovery: self.discovery,
            backup: Backup::new("finalize", &self.cluster_uid().await?, Timestamp::now())?,
            target: self.target.to_string(),
        };
        let mut history = History::new();
        let mut refused = BTreeMap::new();
        let mut shown = None;
        let mut signals = Signals::new();
        let (diagnosis, mut exit) = loop {
            let (facts, diagnosis) = self.investigate(&refused).await?;
            if let State::Unseen(said) = &diagnosis.state {
                let name = escape(&self.target.name);
                return Err(Error::failed(format!("cannot read {name}")).caused_by(&said.message));
            }
            self.show(ui, &diagnosis, &mut shown);
            match self.step(ui, &diagnosis, &history) {
                Step::End(exit) => break (diagnosis, exit),
                Step::Wait => {
                    let left = self.cli.timeout.saturating_sub(began.elapsed());
                    if left.is_zero() {
                        break (diagnosis, Exit::Deadline);
                    }
                    refused.clear();
                    tokio::select! {
                        () = self.news(&facts, QUIET.min(left)) => {}
                        exit = signals.next() => break (diagnosis, exit),
                    }
                }
                Step::Apply(chosen) => {
                    let Chosen { says, remedy, mend } = *chosen;
                    let rung = render::diagnosis::word(remedy.rung);
                    ui.status(&format!("{rung}: {}", escape(&remedy.text)));
                    let done = hands.apply(&mend, &says).await;
                    match &done {
                        Err(error) => {
                            ui.warning(&escape(&error.to_string()));
                            if let Mend::Strip { key, .. } = &mend {
                                refused.insert(key.clone(), error.to_string());
                            }
                        }
                        Ok(()) => {
                            refused.clear();
                            if self.target.plural == "namespaces" {
                                hands.nudge(&self.target.name).await;
                            }
                        }
                    }
                    history.push(Tried {
                        mend,
                        text: remedy.text,
                        failed: done.err().map(|error| error.headline().to_owned()),
                        declined: false,
                    });
                }
                Step::Declined(chosen) => history.push(Tried {
                    mend: chosen.mend,
                    text: chosen.remedy.text,
                    failed: Some("not wanted".into()),
                    declined: true,
                }),
            }
        };
        if self.cli.dry_run == "none" {
            for put_back in hands.put_back().await {
                match put_back {
                    Ok(text) => ui.status(&escape(&text)),
                    Err(error) => {
                        ui.error(&error);
                        exit = Exit::Failed;
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
        if form.is_document() {
            let document = render::document::of(&diagnosis, self.target, &history, exit);
            ui.document(&output::document(form, &document)?);
        }
        if diagnosis.state == State::Living && self.cli.dry_run == "none" {
            return Err(Error::refused("nobody has asked for its deletion; nothing was changed"));
        }
        Ok(exit)
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

    fn step(&self, ui: &Ui, diagnosis: &Diagnosis, history: &History) -> Step {
        let rung = self.cli.force_up_to.unwrap_or(Rung::Wait);
        let cap = |rung: Rung| Cap {
            rung,
            even_if_alive: self.cli.even_if_alive,
            powered_off: self.cli.powered_off,
        };
        let dry = self.cli.dry_run != "none";
        match next(diagnosis, history, cap(rung)) {
            Next::Gone => Step::End(Exit::Done),
            Next::Living => Step::End(if dry { Exit::Done } else { Exit::Refused }),
            _ if dry => Step::End(Exit::Done),
            Next::Wait => Step::Wait,
            Next::Apply(cause, remedy) => Step::of(cause, remedy),
            Next::Stuck => {
                // Somebody can be asked: the gentlest step that was not allowed beforehand.
                let may_ask = self.cli.force_up_to.is_none() && ui.is_stdin_tty();
                match next(diagnosis, history, cap(Rung::Finalize)) {
                    Next::Apply(cause, remedy) if may_ask => {
                        let word = render::diagnosis::word(remedy.rung);
                        let question = format!("{word}: {} Do it?", escape(&remedy.text));
                        match (ui.confirm(&question), Step::of(cause, remedy)) {
                            (Ok(true), step) => step,
                            (_, Step::Apply(chosen)) => Step::Declined(chosen),
                            _ => Step::End(Exit::Incomplete),
                        }
                    }
                    _ => Step::End(Exit::Incomplete),
                }
            }
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
    async fn cluster_uid(&self) -> Result<String> {
        let namespaces: Api<core::Namespace> = Api::all(self.connection.client.clone());
        let found = namespaces.get_metadata("kube-system").await;
        // Who may not read it gets a folder of their own.
        Ok(found
            .ok()
            .and_then(|n| n.metadata.uid)
            .unwrap_or_else(|| "unknown".into()))
    }

    /// Asks until the diagnosis needs to know nothing more. What is served may have changed since the last time.
    async fn investigate(&self, refused: &BTreeMap<Key, String>) -> Result<(Facts, Diagnosis)> {
        let discovery = Discovery::ask(self.connection).await?;
        let cluster = Cluster::new(self.connection, &discovery, self.cli.chunk_size);
        let mut facts = Facts {
            now: Timestamp::now(),
            discovery: discovery.clone(),
            target: self.target.clone(),
            answers: BTreeMap::new(),
            refused: refused.clone(),
        };
        loop {
            let diagnosis = diagnose(&facts, self.knowledge);
            if diagnosis.asks.is_empty() {
                return Ok((facts, diagnosis));
            }
            facts.answers.extend(cluster.answer(diagnosis.asks).await);
            facts.now = Timestamp::now();
        }
    }
}

/// What the run does next.
enum Step {
    End(Exit),
    Wait,
    /// This.
    Apply(Box<Chosen>),
    /// Asked for, and not wanted.
    Declined(Box<Chosen>),
}

/// A remedy, and the cause that it is for.
struct Chosen {
    says: String,
    remedy: Remedy,
    mend: Mend,
}

impl Step {
    fn of(cause: &Cause, remedy: &Remedy) -> Self {
        match &remedy.mend {
            Some(mend) => Self::Apply(Box::new(Chosen {
                says: cause.says.clone(),
                remedy: remedy.clone(),
                mend: mend.clone(),
            })),
            None => Self::End(Exit::Incomplete),
        }
    }
}
