//! The end of a run: what was taken out of the way is put back, and it is said what stays, what holds the target still, and
//! what would allow more.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use upkeep::{
    Error, Exit, Result,
    signals::Signals,
    ui::{escape, human_duration, plural},
};

use super::{Case, Ended};
use crate::{
    act::Hands,
    diagnose::{Diagnosis, State},
    facts::Key,
    ladder::{Cap, History, Mend, Rung, open},
    render,
};

/// How long it is looked for what a run before this one has left, where this one has changed nothing.
const BRIEF: Duration = Duration::from_secs(10);

impl Case<'_> {
    /// Whether everything is as it was. A second signal ends that, too.
    pub(super) async fn put_back(
        &self,
        hands: &Hands<'_>,
        history: &History,
        ended: &Result<Ended>,
        signals: &mut Signals,
    ) -> bool {
        // A request whose answer was lost may have been heard.
        let opened = history.iter().filter(|t| t.mend.is_for_a_while() && !t.declined);
        let ours: Vec<Key> = opened.map(|t| t.mend.key()).collect();
        let cut_off = match ended {
            Ok(ended) => matches!(ended.exit, Exit::Interrupted | Exit::Terminated),
            Err(_) => true,
        };
        if self.look.cli.only_looks() || (ours.is_empty() && cut_off) {
            return true;
        }
        let gone = matches!(ended, Ok(ended) if ended.diagnosis.state == State::Gone);
        let patience = if ours.is_empty() { BRIEF } else { Duration::MAX };
        let done = tokio::select! {
            done = hands.put_back(&ours, gone) => done,
            () = tokio::time::sleep(patience) => return true,
            _ = signals.next() => {
                let error = Error::failed("what was taken out of the way was not put back");
                vec![Err(error.hint("run the same command again"))]
            }
        };
        let mut all = true;
        for put_back in done {
            match put_back {
                Ok(text) => self.look.ui.status(&escape(&text)),
                Err(error) => {
                    self.look.ui.error(&error);
                    all = false;
                }
            }
        }
        all
    }

    /// Where the backup is, what is left outside of the cluster, what was started.
    pub(super) fn what_stays(&self, hands: &Hands<'_>, history: &History) {
        let ui = self.look.ui;
        if hands.backup.is_used() {
            let folder = hands.backup.folder().display();
            ui.status(&format!("what was changed is saved in {folder}"));
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
    pub(super) fn closing(&self, ended: &Ended, history: &History, began: Instant) -> Result<Exit> {
        let Ended { diagnosis, exit, .. } = ended;
        let cli = self.look.cli;
        let target = self.target;
        let unchanged = if history.iter().any(|t| t.failed.is_none()) {
            ""
        } else {
            "; nothing was changed"
        };
        match (exit, &diagnosis.state) {
            (Exit::Refused, State::Living) => {
                let error = Error::refused(format!("nobody has asked for the deletion of {target}{unchanged}"));
                Err(match &target.namespace {
                    Some(namespace) => error.hint(format!(
                        "if it is its namespace that does not go away: kubectl finalize ns {namespace}"
                    )),
                    None => error,
                })
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
            (Exit::Done, State::Going(_)) if cli.only_looks() && !cli.switches.watch && cli.plan_out.is_none() => {
                let advised = self.advised(Error::failed(""), diagnosis, history);
                for hint in advised.hints() {
                    let label = self.look.ui.styles().accent("hint:");
                    self.look.ui.status(&format!("{label} {}", escape(hint)));
                }
                Ok(*exit)
            }
            _ => Ok(*exit),
        }
    }

    /// What would allow the next steps.
    fn advised(&self, error: Error, diagnosis: &Diagnosis, history: &History) -> Error {
        if self.plan.is_some() {
            return error;
        }
        let whole = Cap {
            powered_off: true,
            even_if_alive: true,
            ..self.cap(Rung::Finalize)
        };
        let mine = self.cap(self.look.cli.force_up_to.unwrap_or(Rung::Wait));
        // What nobody wanted a moment ago may be wanted by the next who reads this.
        let history: History = history.iter().filter(|t| !t.declined).cloned().collect();
        let now = Timestamp::now();
        let steps = |cap: &Cap| open(diagnosis, &history, cap, now);
        let first_of_each = |cap: &Cap| {
            let steps = steps(cap);
            let roots = diagnosis.roots().map(|cause| {
                let own = steps.iter().filter(|(of, _)| of.key == cause.key);
                own.map(|(_, remedy)| remedy.rung).min()
            });
            roots.flatten().max()
        };
        let gentle = Cap {
            rung: Rung::Finalize,
            ..mine.clone()
        };
        let (cap, flags) = [
            (gentle.clone(), String::new()),
            (
                Cap {
                    powered_off: true,
                    ..gentle.clone()
                },
                " --powered-off".to_owned(),
            ),
            (
                Cap {
                    even_if_alive: true,
                    ..gentle.clone()
                },
                " --even-if-alive".to_owned(),
            ),
            (whole.clone(), " --powered-off --even-if-alive".to_owned()),
        ]
        .into_iter()
        .find(|(cap, _)| first_of_each(cap).is_some())
        .unwrap_or((gentle, String::new()));
        let Some(rung) = first_of_each(&cap) else {
            let mut remedies = diagnosis.roots().flat_map(|cause| &cause.remedies);
            return match remedies.next() {
                Some(_) => error.hint("what is to be done by hand is said above; nothing else would help"),
                None => error,
            };
        };
        let namespace = self.target.namespace.iter().map(|n| format!(" -n {n}"));
        let namespace: String = namespace.collect();
        let Key { group, name, .. } = self.target;
        let dot = if group.is_empty() { "" } else { "." };
        let kind = format!("{}{dot}{group}", self.target.one());
        let count = plural(
            steps(&cap).iter().filter(|(_, remedy)| remedy.rung <= rung).count(),
            "step",
        );
        error.hint(format!(
            "'kubectl finalize {kind} {name}{namespace} --force-up-to={}{flags}' would go on ({count})",
            render::diagnosis::word(rung)
        ))
    }
}
