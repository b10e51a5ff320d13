//! One target from the first look to its end: gather, decide, confirm, act, and again, until it is gone.

mod apply;
mod investigate;
mod plan;
mod step;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use kube::Api;
use upkeep::{Error, Exit, Result, backup::Backup, output, signals::Signals, ui::escape};

pub use self::investigate::investigate;
use self::{investigate::Unreachable, step::Step};
use crate::{
    act::Hands,
    diagnose::{Diagnosis, State},
    facts::Key,
    ladder::{History, Tried, plan::Plan},
    look::Look,
    render,
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
            backup: Backup::new("finalize", &self.cluster_uid().await, Timestamp::now())?,
            target: self.target.id(),
        })
    }

    /// The same with a backup that something was saved in already.
    ///
    /// # Errors
    /// Whatever keeps it from finding out what holds the target.
    pub async fn follow_with(&self, began: Instant, hands: &Hands<'_>) -> Result<Exit> {
        let ui = self.look.ui;
        let mut history = History::new();
        let ended = self.to_its_end(began, hands, &mut history).await;
        let mut failed = false;
        if !self.look.cli.only_looks() {
            for put_back in hands
                .put_back(history.iter().any(|tried| tried.mend.is_for_a_while()))
                .await
            {
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
        for tried in history.iter().filter(|t| t.failed.is_none() && !t.leaves.is_empty()) {
            let key = escape(&tried.mend.key().to_string()).to_string();
            let leaves = escape(&tried.leaves.join(", ")).to_string();
            ui.warning(&format!(
                "{key} is gone, and this is left outside of the cluster, where nobody removes it: {leaves}"
            ));
        }
        let (diagnosis, exit) = ended?;
        let exit = if failed { Exit::Failed } else { exit };
        if diagnosis.state == State::Gone {
            self.left_behind(ui, &history).await;
        }
        let form = self.look.cli.output.unwrap_or_default();
        if form.is_document() {
            let document = render::document::of(&diagnosis, self.target, &history, exit);
            ui.document(&output::document(form, &document)?);
        }
        if diagnosis.state == State::Living && !self.look.cli.only_looks() {
            return Err(Error::refused("nobody has asked for its deletion; nothing was changed"));
        }
        Ok(exit)
    }

    async fn to_its_end(&self, began: Instant, hands: &Hands<'_>, history: &mut History) -> Result<(Diagnosis, Exit)> {
        let ui = self.look.ui;
        let mut refused = BTreeMap::new();
        let mut shown = None;
        let mut signals = Signals::new();
        let mut last = None;
        let mut quiet = QUIET.0;
        let mut nudged = Instant::now();
        let mut unreachable = Unreachable::default();
        let mut silent = BTreeSet::new();
        loop {
            let looked = tokio::select! {
                looked = self.investigate(&refused) => looked,
                exit = signals.next() => match last {
                    Some(diagnosis) => return Ok((diagnosis, exit)),
                    None => return Err(Error::new(exit, "interrupted; nothing was changed")),
                },
            };
            let why = match &looked {
                Err(error) => Some(error.headline().to_owned()),
                Ok((facts, _)) => facts.unreachable(&silent).map(str::to_owned),
            };
            if let Ok((facts, _)) = &looked {
                silent = facts.silent();
            }
            // What was begun is not left alone because the server restarts.
            if let (Some(why), Some(_)) = (why, &last)
                && began.elapsed() < self.look.cli.patience()
            {
                unreachable.say(ui, &why);
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => continue,
                    exit = signals.next() => match last {
                        Some(diagnosis) => return Ok((diagnosis, exit)),
                        None => return Err(Error::new(exit, "interrupted")),
                    },
                }
            }
            unreachable = Unreachable::default();
            let (facts, diagnosis) = looked?;
            if let State::Unseen(said) = &diagnosis.state {
                let name = escape(&self.target.name);
                return Err(Error::failed(format!("cannot read {name}")).caused_by(&said.message));
            }
            self.bound(&facts)?;
            if self.show(ui, &diagnosis, &mut shown) {
                quiet = QUIET.0;
            }
            if let Some(file) = &self.look.cli.plan_out {
                self.write_plan(ui, file, &facts, &diagnosis)?;
            }
            match self.step(ui, &diagnosis, history) {
                Step::End(exit) => return Ok((diagnosis, exit)),
                Step::Try(chosen) => {
                    let exit = self.try_out(ui, &chosen, hands).await;
                    return Ok((diagnosis, exit));
                }
                Step::Wait => {
                    let left = self.look.cli.patience().saturating_sub(began.elapsed());
                    if left.is_zero() {
                        return Ok((diagnosis, Exit::Deadline));
                    }
                    refused.clear();
                    // Who has tried in vain tries less and less often.
                    if !self.look.cli.only_looks() && nudged.elapsed() > NUDGE {
                        hands.nudge(self.target).await;
                        nudged = Instant::now();
                    }
                    tokio::select! {
                        () = self.news(&facts, quiet.min(left)) => {}
                        exit = signals.next() => return Ok((diagnosis, exit)),
                    }
                    quiet = QUIET.1.min(quiet * 2);
                }
                // A change that has begun is not cut off: it is one request, and what comes of it has to be known.
                Step::Apply(chosen) => {
                    quiet = QUIET.0;
                    self.apply(ui, chosen, hands, history, &mut refused).await;
                }
                Step::Declined(chosen) => history.extend(chosen.into_iter().map(|chosen| Tried {
                    mend: chosen.mend,
                    text: chosen.text,
                    leaves: Vec::new(),
                    failed: Some("not wanted".into()),
                    declined: true,
                    at: Timestamp::now(),
                })),
            }
            last = Some(diagnosis);
        }
    }

    /// The UID of `kube-system`, which stands for the cluster.
    async fn cluster_uid(&self) -> String {
        let namespaces: Api<core::Namespace> = Api::all(self.look.connection.client.clone());
        let found = namespaces.get_metadata("kube-system").await;
        // Who may not read it gets a folder of their own.
        let uid = found.ok().and_then(|n| n.metadata.uid);
        uid.unwrap_or_else(|| "unknown".into())
    }
}
