//! The end of a run: what was taken out of the way is put back, and it is said what stays, what holds the target still, and
//! what would allow more.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use upkeep::{
    Error, Exit, Result,
    report::Severity,
    signals::Signals,
    ui::{command, escape, human_duration},
};

use super::{Case, Ended, flags};
use crate::{
    act::Hands,
    diagnose::{Diagnosis, State},
    facts::Key,
    ladder::{Cap, History, Mend, Rung, open},
};

/// How long it is looked for what a run before this one has left, where this one has changed nothing.
const BRIEF: Duration = Duration::from_secs(10);

/// What came of putting things back.
#[derive(Clone, Copy, Default)]
pub(super) struct PutBack {
    /// Whether there was anything.
    pub any: bool,
    /// Whether some of it is not as it was.
    pub failed: bool,
}

impl Case<'_> {
    /// Puts everything back. A second signal ends that, too.
    pub(super) async fn put_back(
        &self,
        hands: &Hands<'_>,
        history: &History,
        ended: &Result<Ended>,
        signals: &mut Signals,
    ) -> PutBack {
        // A request whose answer was lost may have been heard.
        let opened = history.iter().filter(|t| t.mend.is_for_a_while() && !t.declined);
        let ours: Vec<Key> = opened.map(|t| t.mend.key()).collect();
        let exit = ended.as_ref().map_or_else(Error::exit, |ended| ended.exit);
        let cut_off = is_cut_off(exit);
        if self.look.cli.only_looks() || (ours.is_empty() && ended.is_err() && !cut_off) {
            return PutBack::default();
        }
        let gone = matches!(ended, Ok(ended) if ended.diagnosis.state == State::Gone);
        let patience = match (ours.is_empty(), cut_off || exit == Exit::Deadline) {
            (true, true) => BRIEF / 5,
            (true, false) => BRIEF,
            (false, _) => Duration::MAX,
        };
        let done = tokio::select! {
            done = hands.put_back(&ours, gone) => done,
            () = tokio::time::sleep(patience) => {
                self.unchecked();
                return PutBack::default();
            }
            _ = signals.next() => {
                if ours.is_empty() {
                    self.unchecked();
                    return PutBack::default();
                }
                let error = Error::failed("what was taken out of the way was not put back");
                vec![Err(error.hint("run the same command again"))]
            }
        };
        let mut all = PutBack {
            any: !done.is_empty(),
            failed: false,
        };
        for put_back in done {
            match put_back {
                Ok(text) => self.look.ui.status(&escape(&text)),
                Err(error) => {
                    self.look.ui.error(&error);
                    all.failed = true;
                }
            }
        }
        all
    }

    /// A run before this one for the same target may have been killed.
    fn unchecked(&self) {
        let ui = self.look.ui;
        ui.warning("not checked: whether an earlier run has left a webhook, a conversion or a node changed");
        ui.hint("'kubectl finalize scan' names what was left; run the same command again to restore it");
    }

    /// Where the backup is, what is left outside of the cluster, what was started.
    pub(super) fn what_stays(&self, hands: &Hands<'_>, history: &History) {
        let ui = self.look.ui;
        if hands.backup.is_used() {
            let folder = hands.backup.folder().display();
            ui.status(&format!("what was changed is saved in {folder}"));
            let restore = command("kubectl finalize restore", [folder.to_string().as_str()]);
            ui.hint(&format!("'{restore}' brings it back"));
        }
        for tried in history.iter().filter(|t| t.failed.is_none()) {
            let key = escape(&tried.mend.key().to_string());
            if !tried.leaves.is_empty() {
                let leaves = escape(&tried.leaves.join(", "));
                ui.warning(&format!(
                    "{key} is gone, and this is left outside of the cluster, where nobody removes it: {leaves}"
                ));
            }
            if let Mend::ScaleUp { replicas, .. } = tried.mend {
                ui.status(&format!("{key} stays scaled to {replicas}"));
            }
        }
    }

    /// The last words.
    pub(super) fn closing(&self, ended: &Ended, history: &History, changed: bool, began: Instant) -> Result<Exit> {
        let Ended { diagnosis, exit, .. } = ended;
        let cli = self.look.cli;
        let target = self.target;
        let explains = cli.only_looks() && !cli.switches.watch && cli.plan_out.is_none();
        let unchanged = if changed { "" } else { "; nothing was changed" };
        match (exit, &diagnosis.state) {
            (Exit::Refused, State::Going(_)) if history.iter().any(|tried| tried.declined) => {
                let error = Error::refused(format!("{target} is still held: you answered no{unchanged}"));
                Err(self.advised(error, diagnosis, history))
            }
            (Exit::Refused, State::Going(_)) => Err(self.not_allowed(diagnosis, changed)),
            (Exit::Refused, State::Living) => {
                let error = Error::refused(format!("nobody has asked for the deletion of {target}{unchanged}"));
                Err(match &target.namespace {
                    Some(namespace) => error.hint(format!(
                        "if it is its namespace that is not deleted: {}",
                        command("kubectl finalize ns", [namespace.as_str()])
                    )),
                    None if self.target.plural == "namespaces" => error.hint(format!(
                        "what would hold it if it were deleted: {}",
                        command("kubectl finalize preflight ns", [target.name.as_str()])
                    )),
                    None => error,
                })
            }
            (exit, State::Going(_)) if is_cut_off(*exit) && !cli.switches.watch => {
                let error = Error::new(*exit, format!("interrupted: {target} is still there{unchanged}"));
                // Nobody is waited for any more who does not read what was printed.
                self.look.ui.error(&error);
                Ok(*exit)
            }
            (Exit::Incomplete, State::Going(_)) => {
                let error = Error::new(*exit, format!("{target} is still held{unchanged}"));
                Err(self.advised(error, diagnosis, history))
            }
            (Exit::Deadline, State::Going(_)) => {
                let time = human_duration(began.elapsed());
                let error = Error::new(*exit, format!("{target} is still there after {time}{unchanged}"));
                Err(self.advised(error, diagnosis, history))
            }
            (Exit::Done, State::Going(_))
                if explains && (ended.would.is_empty() || (self.plan.is_some() && !self.limits().is_told())) =>
            {
                let advised = self.advised(Error::failed(""), diagnosis, history);
                advised.hints().iter().for_each(|hint| self.look.ui.hint(hint));
                Ok(*exit)
            }
            _ => Ok(*exit),
        }
    }

    /// A node that must not be tainted; a plan that nobody can be asked about.
    fn not_allowed(&self, diagnosis: &Diagnosis, changed: bool) -> Error {
        let unchanged = if changed { "" } else { "; nothing was changed" };
        let mut refusals = diagnosis.notes.iter().filter(|note| note.severity == Severity::Refusal);
        let Some(first) = refusals.next() else {
            let text = format!("the changes of the plan have to be confirmed{unchanged}");
            return Error::refused(text).hint("--yes confirms them where nobody can be asked");
        };
        let error =
            Error::refused(format!("{}{unchanged}", first.evidence)).hint(first.hint.clone().unwrap_or_default());
        refusals.fold(error, |error, more| error.caused_by(&more.evidence))
    }

    /// What would allow the next steps.
    fn advised(&self, error: Error, diagnosis: &Diagnosis, history: &History) -> Error {
        let mine = self.limits().cap(self.limits().rung());
        let declined = history.iter().any(|tried| tried.declined);
        // What nobody wanted a moment ago may be wanted by the next who reads this.
        let history: History = history.iter().filter(|t| !t.declined).cloned().collect();
        let now = Timestamp::now();
        let least = |cap: Cap| {
            let steps = open(diagnosis, &history, &cap, now);
            let rung = steps.iter().map(|(_, remedy)| remedy.rung).min()?;
            Some((rung, cap))
        };
        if let Some((rung, cap)) = with_more(&mine, diagnosis).into_iter().find_map(least) {
            let more = Cap {
                rung: mine.rung,
                ..cap.clone()
            };
            if rung <= mine.rung && more == mine && declined {
                return error;
            }
            if rung <= mine.rung && more == mine {
                return error.hint("re-run with more time (--timeout)");
            }
            let force = flags::force(Some(rung), &cap);
            if cap.even_if_alive && !mine.even_if_alive {
                return last_resort(error, diagnosis, &flags::line(force));
            }
            let flags = flags::line(force.into_iter().chain(flags::place(self.look.cli, true)));
            return error.hint(format!("re-run with {flags} to try the next step"));
        }
        let remedies: Vec<_> = diagnosis.roots().flat_map(|cause| &cause.remedies).collect();
        if let Some(right) = remedies.iter().find_map(|remedy| remedy.missing.as_ref()) {
            return error.hint(format!("what is missing is the right to {right}"));
        }
        if self.plan.is_some() {
            return error.hint("the plan names nothing that would help; without --apply it is shown what would");
        }
        match remedies.iter().any(|remedy| remedy.mend.is_none()) {
            true => error.hint("what is to be done by hand is said above; nothing else would help"),
            false => error,
        }
    }
}

/// Whether a signal has ended the run.
fn is_cut_off(exit: Exit) -> bool {
    matches!(exit, Exit::Interrupted | Exit::Terminated)
}

/// Nodes that have stopped reporting and hold pods.
fn stopped(diagnosis: &Diagnosis) -> Vec<String> {
    let remedies = diagnosis.roots().flat_map(|cause| &cause.remedies);
    let nodes = remedies.filter_map(|remedy| match &remedy.mend {
        Some(Mend::OutOfService { node, .. }) => Some(node.clone()),
        _ => None,
    });
    let nodes: BTreeSet<String> = nodes.collect();
    nodes.into_iter().collect()
}

/// Force against a controller that may be alive is the last thing that is said, with what it loses.
fn last_resort(error: Error, diagnosis: &Diagnosis, flags: &str) -> Error {
    let remedies = || diagnosis.roots().flat_map(|cause| &cause.remedies);
    let error = match remedies().any(|remedy| remedy.mend.is_none()) {
        true => error.hint("what is said above as 'by hand' comes first"),
        false => error,
    };
    let lost = remedies().filter(|remedy| matches!(remedy.mend, Some(Mend::Strip { .. })));
    let lost: BTreeSet<&str> = lost
        .filter_map(|remedy| remedy.text.split_once("; "))
        .map(|(_, lost)| lost)
        .collect();
    let lost = match lost.len() {
        0 => String::new(),
        _ => format!(": {}", lost.into_iter().collect::<Vec<_>>().join("; ")),
    };
    error.hint(format!("the last resort is {flags}{lost}"))
}

/// What else could be allowed, the least first.
fn with_more(mine: &Cap, diagnosis: &Diagnosis) -> Vec<Cap> {
    let whole = Cap {
        rung: Rung::Finalize,
        ..mine.clone()
    };
    let nodes: BTreeSet<String> = stopped(diagnosis).into_iter().chain(mine.powered_off.clone()).collect();
    let off = |cap: &Cap| Cap {
        powered_off: nodes.iter().cloned().collect(),
        ..cap.clone()
    };
    let alive = |cap: &Cap| Cap {
        even_if_alive: true,
        ..cap.clone()
    };
    let unseen = diagnosis
        .roots()
        .flat_map(|cause| &cause.remedies)
        .find_map(|remedy| match &remedy.mend {
            Some(Mend::Abandon { unseen, .. }) => Some(unseen.clone()),
            _ => None,
        });
    let leaving = unseen.map(|unseen| Cap {
        leave_behind: unseen,
        ..whole.clone()
    });
    let mut more = vec![whole.clone(), off(&whole), alive(&whole), alive(&off(&whole))];
    more.extend(leaving);
    more
}
