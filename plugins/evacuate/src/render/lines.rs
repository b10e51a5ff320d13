//! kubectl's own lines: what a script that ran `kubectl drain` reads from stdout.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use upkeep::ui::{Ui, escape, human_duration};

use super::short;
use crate::{
    drive::Watcher,
    engine::{
        State,
        event::{Note, Verb},
    },
};

/// Prints each note as it comes.
pub struct Lines<'a> {
    /// The printer.
    pub ui: &'a Ui,
    /// `--skip-wait-for-delete-timeout`, for the line that names it.
    pub skip_after: i64,
    /// Only talk, no results: with `-o json` stdout is one document.
    pub quiet: bool,
    /// When something was last said.
    said: Instant,
}

/// After so much silence it is said what is waited for.
const SILENCE: Duration = Duration::from_secs(30);

impl<'a> Lines<'a> {
    /// Lines as they come.
    pub fn new(ui: &'a Ui, skip_after: i64, quiet: bool) -> Self {
        Self {
            ui,
            skip_after,
            quiet,
            said: Instant::now(),
        }
    }

    fn data(&self, line: &str) {
        if !self.quiet {
            self.ui.data(line);
        }
    }
}

impl Watcher for Lines<'_> {
    fn note(&mut self, note: &Note) {
        self.said = Instant::now();
        match note {
            Note::Cordoned { node, already: false } => self.data(&format!("node/{node} cordoned")),
            Note::Cordoned { node, already: true } => self.data(&format!("node/{node} already cordoned")),
            Note::Uncordoned { node } => self.data(&format!("node/{node} uncordoned")),
            Note::Going { pod, verb: Verb::Evict } => self.data(&format!("evicting pod {}", short(pod))),
            // Said when it is scaled.
            Note::Going { verb: Verb::Surge, .. } => {}
            Note::Going {
                pod,
                verb: Verb::Delete,
            } => self.data(&format!("deleting pod {}", short(pod))),
            Note::Gone { pod, verb: Verb::Evict } => self.data(&format!("pod/{} evicted", pod.name)),
            Note::Gone {
                pod,
                verb: Verb::Delete,
            } => self.data(&format!("pod/{} deleted", pod.name)),
            Note::Gone { pod, verb: Verb::Surge } => self.data(&format!("pod/{} surged", pod.name)),
            Note::Scaling { deployment, replicas } => {
                self.data(&format!("{}/{} scaled to {replicas}", deployment.kind, deployment.name));
            }
            Note::Skipped { pod } => self.data(&format!(
                "pod {:?} has DeletionTimestamp older than {} seconds, skipping",
                pod.name, self.skip_after
            )),
            Note::Tainted { node } => self.data(&format!("node/{node} tainted")),
            Note::Untainted { node } => self.data(&format!("node/{node} untainted")),
            Note::Removed { node } => self.data(&format!("node {node:?} deleted")),
            Note::Drained { node } => self.data(&format!("node/{node} drained")),
            other => talk(self.ui, other),
        }
    }

    fn redraw(&mut self, state: &State) {
        if state.outcome().is_some() || self.said.elapsed() < SILENCE {
            return;
        }
        self.said = Instant::now();
        let mut states = BTreeMap::<&str, usize>::new();
        for pod in state.pod_rows() {
            *states.entry(pod.state).or_default() += 1;
        }
        let states: Vec<String> = states.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let after = Duration::from_millis(u64::try_from(state.now() - state.started()).unwrap_or(0));
        let left = if states.is_empty() {
            "no pod left".to_owned()
        } else {
            states.join(", ")
        };
        let nodes: Vec<String> = state
            .node_rows()
            .into_iter()
            .filter(|node| {
                !matches!(
                    node.state,
                    "Drained" | "PartlyDrained" | "Removed" | "Kept" | "Unreplaced" | "NotDrained" | "Queued"
                )
            })
            .map(|node| format!("{} {}", escape(&node.name), node.state))
            .collect();
        self.ui.status(&format!(
            "after {}: {left} ({})",
            human_duration(after),
            nodes.join(", ")
        ));
    }
}

/// What goes to stderr, in every form of output.
pub fn talk(ui: &Ui, note: &Note) {
    match note {
        Note::Blocked {
            budget: Some(budget),
            pod,
            text,
        } => {
            ui.warning(&format!(
                "budget {} blocks the eviction of {}: {}",
                short(budget),
                short(pod),
                escape(text)
            ));
        }
        Note::Blocked {
            budget: None,
            pod,
            text,
        } => {
            ui.warning(&format!("the eviction of {} is blocked: {}", short(pod), escape(text)));
        }
        Note::StillBlocked {
            budget,
            pod,
            lasting,
            text,
        } => {
            let lasting = human_duration(Duration::from_millis(u64::try_from(*lasting).unwrap_or(0)));
            let text = escape(text);
            ui.warning(&match budget {
                Some(budget) => format!(
                    "budget {} has blocked the eviction of {} for {lasting}: {text}",
                    short(budget),
                    short(pod)
                ),
                None => format!("the eviction of {} has been blocked for {lasting}: {text}", short(pod)),
            });
        }
        Note::Surge { deployment, text } if !text.is_empty() => {
            ui.status(&format!("{deployment}: waiting for {}", escape(text)));
        }
        Note::Undoing { deployment } => {
            ui.status(&format!(
                "{deployment}: its surge is taken back, which takes a few seconds"
            ));
        }
        Note::WaitingForJobs { node, text } => ui.status(&format!("node/{}: {}", escape(node), escape(text))),
        Note::HeldByFinalizers { pod, text } => {
            ui.warning(&format!(
                "pod {} stays Terminating after its grace period, held by {}",
                escape(&short(pod)),
                escape(text)
            ));
            let namespace = pod.namespace.as_deref().unwrap_or("default");
            ui.hint(&format!("kubectl finalize pod {} -n {namespace}", pod.name));
        }
        Note::Trouble { pod, text } => ui.warning(&format!("pod {}: {}", short(pod), escape(text))),
        Note::Warning(text) => ui.warning(&escape(text)),
        Note::Failed { pod, text } => {
            ui.status(&format!(
                "{} cannot move pod {}: {}",
                ui.styles().bad("error:"),
                short(pod),
                escape(text)
            ));
        }
        Note::Unreplaced { node, text } => {
            ui.status(&format!(
                "{} node/{node} is empty, but replacements are not Ready: {}",
                ui.styles().bad("error:"),
                escape(text)
            ));
        }
        Note::Kept { node, text } => {
            ui.status(&format!(
                "{} node/{node} is empty, and is still there: {}",
                ui.styles().bad("error:"),
                escape(text)
            ));
        }
        Note::NotDrained { node, text } => {
            ui.status(&format!(
                "{} unable to drain node {node:?}: {}",
                ui.styles().bad("error:"),
                escape(text)
            ));
        }
        _ => {}
    }
}
