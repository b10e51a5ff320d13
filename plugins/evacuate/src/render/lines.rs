//! kubectl's own lines: what a script that ran `kubectl drain` reads from stdout.

use upkeep::ui::{Ui, escape};

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
}

impl Lines<'_> {
    fn data(&self, line: &str) {
        if !self.quiet {
            self.ui.data(line);
        }
    }
}

impl Watcher for Lines<'_> {
    fn note(&mut self, note: &Note) {
        match note {
            Note::Cordoned { node, already: false } => self.data(&format!("node/{node} cordoned")),
            Note::Cordoned { node, already: true } => self.data(&format!("node/{node} already cordoned")),
            Note::Uncordoned { node } => self.data(&format!("node/{node} uncordoned")),
            Note::Going { pod, verb: Verb::Evict } => self.data(&format!("evicting pod {}", short(pod))),
            Note::Going { .. } => {}
            Note::Gone { pod, verb: Verb::Evict } => self.data(&format!("pod/{} evicted", pod.name)),
            Note::Gone {
                pod,
                verb: Verb::Delete,
            } => self.data(&format!("pod/{} deleted", pod.name)),
            Note::Skipped { pod } => self.data(&format!(
                "pod {:?} has DeletionTimestamp older than {} seconds, skipping",
                pod.name, self.skip_after
            )),
            Note::Drained { node } => self.data(&format!("node/{node} drained")),
            other => talk(self.ui, other),
        }
    }

    fn redraw(&mut self, _: &State) {}
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
