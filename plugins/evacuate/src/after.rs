//! When a run has ended: what took the place of the pods, what is left of removed nodes, and the report of it all.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1 as core;
use upkeep::{
    Exit, Result,
    client::Connection,
    output::{self, Format},
    report::{Finding, Severity},
    ui::Ui,
};

use crate::{
    cli::Cli,
    drive::{Ended, saving::Saving},
    engine::{
        State,
        event::{Outcome, Verb},
    },
    facts::Uid,
    gather::Lists,
    leftovers::leftovers,
    preflight::preview::Preview,
    render::{self, document, moves::Candidate},
};

/// What the report looks at besides the state.
pub struct After<'a> {
    /// How it was asked.
    pub cli: &'a Cli,
    /// Where to say it.
    pub ui: &'a Ui,
    /// The cluster.
    pub connection: &'a Connection,
    /// What was planned.
    pub preview: &'a Preview,
    /// Pods that are no successors of any that went.
    pub before: &'a BTreeSet<Uid>,
    /// What was saved before it went.
    pub saving: &'a Saving,
    /// How pods were to go.
    pub verb: Verb,
}

impl After<'_> {
    /// Looks once more, and says how it ended.
    ///
    /// # Errors
    /// A document that cannot be written.
    pub async fn show(&self, state: &State, ended: &Ended, left: Duration) -> Result<Exit> {
        let Self { cli, ui, preview, .. } = self;
        let form = cli.output.unwrap_or_default();
        let exit = ended.signal.unwrap_or_else(|| exit_of(ended.outcome));
        // Somebody waits for the end of a run that was to end; a healthy server needs no time for this.
        let patience = match (ended.signal, ended.outcome) {
            (Some(_), _) => Duration::ZERO,
            (None, Outcome::Deadline) => Duration::from_millis(500),
            (None, _) => left.min(Duration::from_secs(10)),
        };
        let rows = state.node_rows();
        let removed = rows.iter().filter(|n| n.state == "Removed").map(|n| n.name.clone());
        let removed: Vec<String> = removed.collect();
        let (after, left) = futures::join!(
            successors(self.connection, state, cli.chunk_size, patience),
            // A server that has fallen silent must not hold up the end.
            tokio::time::timeout(patience, leftovers(self.connection, &removed, patience / 2)),
        );
        let mut left = left.unwrap_or_default();
        left.extend(self.saving.findings(|object| state.fate(object)));
        let moved = render::moves::moves(state.departed(), self.before, after.as_deref().unwrap_or_default());
        let show_report = |wide: bool| {
            let moved = render::report::Moved {
                moves: &moved,
                complete: after.is_some(),
                asked: self.verb,
            };
            render::report::show(ui, state, ended.outcome, &moved, wide);
            render::preview::findings(ui, &left, Severity::Info);
        };
        match form {
            Format::Json | Format::Yaml => {
                let findings: Vec<Finding> = preview.findings.iter().chain(&left).cloned().collect();
                let shown = document::of_run(preview, state, ended.outcome, exit, &moved).with_findings(&findings);
                ui.document(&output::document(form, &shown)?);
                show_report(false);
            }
            Format::Name => {
                for node in rows.iter().filter(|n| matches!(n.state, "Drained" | "Removed")) {
                    ui.data(&format!("node/{}", node.name));
                }
                if ended.outcome != Outcome::Done || !left.is_empty() {
                    show_report(false);
                }
            }
            Format::Table | Format::Wide => {
                show_report(form == Format::Wide);
            }
        }
        Ok(exit)
    }
}

fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Done => Exit::Done,
        Outcome::Incomplete => Exit::Incomplete,
        Outcome::Refused => Exit::Refused,
        Outcome::Failed => Exit::Failed,
        Outcome::Deadline => Exit::Deadline,
        Outcome::Interrupted => Exit::Interrupted,
    }
}

/// The pods of the namespaces that pods have left, to tell what took their place. Only for the report: where they cannot
/// be read in time, nothing is said about successors.
async fn successors(connection: &Connection, state: &State, chunk: u32, patience: Duration) -> Option<Vec<Candidate>> {
    let namespaces: BTreeSet<&str> = state
        .departed()
        .iter()
        .filter_map(|d| d.pod.namespace.as_deref())
        .collect();
    if namespaces.is_empty() {
        return Some(Vec::new());
    }
    let lists = Lists::new(connection, chunk);
    let reading = lists.within::<core::Pod, Candidate>(&namespaces);
    tokio::time::timeout(patience, reading).await.ok()?.ok()
}
