//! The course of the surges of a run: looks and answers that come back, and what becomes of the pods at the end.

use super::{
    machine::{End, Next},
    sight::{Act, Sight},
};
use crate::engine::{
    Asked, State,
    event::{At, Call, Command, Note, Reply},
    pods::{Key, Standing},
};

/// Between two looks because of news at least, and without any at most, in milliseconds.
const LOOKS: (At, At) = (150, 5_000);
/// How long the pods of a Deployment that is deleted have to follow it, in milliseconds.
const COLLECTED: At = 5_000;
/// A wait of this length is not worth a word, in milliseconds.
const BRIEF: At = 2_000;

impl State {
    pub(super) fn ask(&mut self, index: usize, act: Act) {
        self.surges[index].asked = true;
        let deployment = self.surges[index].plan.deployment.clone();
        let call = self.call(Asked::Surge {
            index,
            act: act.clone(),
        });
        self.out.push(Command::Surge { call, deployment, act });
    }

    /// Something of the Deployment has changed.
    pub(in crate::engine) fn surge_stirred(&mut self, deployment: &str) {
        let now = self.now;
        let stirred = self.surges.iter_mut().filter(|s| s.plan.deployment.uid == deployment);
        stirred.for_each(|surge| {
            surge.stirred = true;
            // Each of many pods tells of itself; one look sees them all.
            surge.look_at = surge.look_at.min(now.max(surge.looked.saturating_add(LOOKS.0)));
        });
    }

    /// A look has come back.
    pub(in crate::engine) fn sighted(&mut self, call: Call, sight: Option<&Sight>) {
        let Some(Asked::Surge { index, .. }) = self.calls.remove(&call) else {
            return;
        };
        let now = self.now;
        let surge = &mut self.surges[index];
        surge.asked = false;
        let Some(machine) = &mut surge.machine else { return };
        match machine.next(sight, now) {
            Next::Do(act) => {
                self.ask(index, act);
            }
            Next::Wait(until) => {
                let text = machine.waits_for().to_owned();
                let latest = now.saturating_add(LOOKS.1);
                // News that came while it looked may be newer than what it saw.
                let soon = surge.looked.saturating_add(LOOKS.0).max(now);
                surge.look_at = if surge.stirred { soon } else { until.clamp(now, latest) };
                // What is over in a moment needs no word.
                let news = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
                if news(&surge.told) != news(&text) && until.saturating_sub(now) > BRIEF {
                    surge.told.clone_from(&text);
                    let deployment = surge.plan.deployment.clone();
                    self.tell(Note::Surge { deployment, text });
                }
            }
            Next::Over(end) => self.surge_is_over(index, end),
        }
    }

    fn tell_of_surge(&mut self, index: usize, act: &Act) {
        if let Act::Scale { replicas, .. } = act {
            let deployment = self.surges[index].plan.deployment.clone();
            let replicas = *replicas;
            self.tell(Note::Scaling { deployment, replicas });
        }
    }

    /// An answer to one of its requests, or to a look that has failed.
    pub(in crate::engine) fn surge_answered(&mut self, index: usize, act: &Act, reply: Reply) {
        let lately = self.lately_failing();
        let now = self.now;
        let surge = &mut self.surges[index];
        surge.asked = false;
        surge.look_at = now;
        let Some(machine) = &mut surge.machine else { return };
        let reply = match reply {
            Reply::Forbidden(text) if lately => Reply::Unavailable(text),
            reply => reply,
        };
        if let (Act::Look, Reply::Forbidden(_) | Reply::Rejected(_)) = (act, &reply) {
            let end = End::Stopped(format!("it is not allowed to {}: {}", act.words(), reply.text()));
            self.surge_is_over(index, end);
            return;
        }
        machine.answered(act, &reply, now);
        if reply == Reply::Accepted {
            self.tell_of_surge(index, act);
            return;
        }
        if let (Act::Look, Some(at)) = (act, machine.asks_next()) {
            surge.look_at = at;
        }
        if matches!(reply, Reply::Lost(_) | Reply::Unavailable(_)) {
            self.last_failure = Some(now);
            self.complain(&reply.text());
        }
    }

    fn surge_is_over(&mut self, index: usize, end: End) {
        let now = self.now;
        let surge = &mut self.surges[index];
        let deployment = surge.plan.deployment.clone();
        surge.plan.unfinished = None;
        let Some(machine) = surge.machine.take() else { return };
        let gone = end == End::Gone;
        let stopped = match end {
            End::Moved => None,
            End::Gone => {
                surge.failed = Some("it was deleted".into());
                None
            }
            End::Stopped(why) => {
                surge.failed = Some(why.clone());
                Some(why)
            }
        };
        // Where not all of it could be undone an eviction might start one pod too many; otherwise the budget has its say.
        let left = !gone && (machine.is_denied() || machine.is_begun()) && stopped.is_some();
        let surge = &mut self.surges[index];
        surge.left = left;
        surge.orphaned = gone && machine.has_worked();
        // A Deployment can have pods on more nodes than a surge may fail.
        if stopped.is_none() && machine.old().iter().all(|uid| !machine.lives(uid)) {
            surge.tries = 0;
        }
        let stays = left && self.ending.is_none();
        let keys: Vec<Key> = self
            .pods
            .entries
            .iter()
            .filter(|(k, e)| machine.old().contains(&k.2) && matches!(e.standing, Standing::Surging { .. }))
            .map(|(k, _)| k.clone())
            .collect();
        for key in keys {
            let lives = machine.lives(&key.2);
            if let Some(entry) = self.pods.entries.get_mut(&key) {
                if lives && gone {
                    // The garbage collector takes a moment.
                    entry.standing = Standing::Waiting {
                        until: now.saturating_add(COLLECTED),
                    };
                    entry.verb = None;
                } else if lives {
                    entry.standing = Standing::Planned;
                    entry.verb = None;
                } else {
                    entry.standing = Standing::Terminating { since: now };
                    // Those that went another way are nobody's success.
                    entry.accepted = machine.has_moved();
                    entry.verb = entry.verb.filter(|_| machine.has_moved());
                }
            }
            if let (true, true, Some(why)) = (lives, stays, &stopped) {
                self.hold(&key, format!("the surge of {deployment} was given up: {why}"));
            }
        }
        if let Some(why) = stopped {
            self.tell(Note::Warning(format!("the surge of {deployment} was given up: {why}")));
        }
        self.out.push(Command::UnwatchSurge { deployment });
    }
}
