//! The three stages of a surge: more pods are started, it goes back to its own number, or it is undone.

use upkeep::ui::plural;

use super::{
    changes::{MARK, RESTORE, SCALE, UNMARK, scale, together},
    machine::{Crowd, End, Machine, Next},
    record::{Record, Stage},
    sight::{Act, Member, Sight},
};
use crate::engine::event::At;

/// How old a mark must be before the Deployment is scaled back, in milliseconds: the ReplicaSet controller may not have
/// seen a younger one (kubernetes#126138, seen 0.6 s after marking).
const MARK_AGE: At = 2_000;
/// How long the answers to the dry runs are good for, in milliseconds for each pod that is asked about: they are asked one
/// after another.
const CONSENT_AGE: At = 10_000;
/// How long the ReplicaSet controller has to delete pods after a scale-back, in milliseconds.
const SCALE_BACK: At = 30_000;

impl Machine {
    /// More pods are being started.
    pub(super) fn out(&mut self, sight: &Sight, record: &Record, crowd: &Crowd, now: At) -> Next {
        if let Some(why) = self.cannot_go_on(sight, record, crowd) {
            self.stop(&why);
        }
        if crowd.old.is_empty() && self.stop.is_none() {
            // They went by themselves; only the number is put back.
            self.end = Some(End::Moved);
            return self.turn(sight, record, Stage::Undo);
        }
        if self.stop.is_some() {
            return self.turn(sight, record, Stage::Undo);
        }
        let unmarked = crowd.old.iter().filter(|p| !p.marked());
        if let Some(mark) = together(unmarked.map(|p| self.mark(p))) {
            return Next::Do(mark);
        }
        if let Some(raise) = sight.autoscaler.as_ref().and_then(|a| self.raise(a, record.target)) {
            return Next::Do(raise);
        }
        if sight.replicas == record.replicas {
            return scale(sight, record.target);
        }
        if let Some(next) = self.not_ready(sight, record, crowd, now) {
            return next;
        }
        let count = At::try_from(crowd.old.len()).unwrap_or(At::MAX);
        let good_for = CONSENT_AGE.saturating_mul(count);
        let asked = |p: &&&Member| {
            let at = self.consent.get(&p.uid);
            at.is_none_or(|at| now.saturating_sub(*at) > good_for)
        };
        if let Some(pod) = crowd.old.iter().find(asked) {
            if let Some(refusal) = self.refusal.take() {
                let next = self.wait(sight, now, refusal, now);
                if self.stop.is_some() {
                    return next;
                }
            }
            return Next::Do(Act::Ask { pod: pod.subject() });
        }
        self.turn(sight, record, Stage::Back)
    }

    /// Back to its own number, and the marked pods with it.
    pub(super) fn back(&mut self, sight: &Sight, record: &Record, crowd: &Crowd, now: At) -> Next {
        if sight.replicas == record.target && !self.scaled_back {
            let unready = self.not_ready(sight, record, crowd, now);
            // An autoscaler that has its own limits again scales back by itself: there is no way back from here.
            let committed = sight.autoscaler.as_ref().is_some_and(|a| a.max < record.target);
            let broken = crowd.old.is_empty() || crowd.old.iter().any(|p| !p.marked()) || crowd.sets() > 1;
            match unready {
                _ if self.stop.is_some() && !committed => {
                    return self.turn(sight, record, Stage::Undo);
                }
                Some(wait) if committed && !broken => return wait,
                None if !broken => {}
                _ => {
                    return self.turn(sight, record, Stage::Out);
                }
            }
            if let Some(restore) = self.restore(sight) {
                return Next::Do(restore);
            }
            return scale(sight, record.replicas);
        }
        if let Some(restore) = self.restore(sight) {
            return Next::Do(restore);
        }
        if crowd.old.is_empty() {
            return self.forget(sight, crowd, End::Moved);
        }
        if sight.replicas == record.replicas
            && crowd.count() > usize::try_from(record.replicas).unwrap_or(0)
            && let Some(next) = self.still_deleting(sight, now, "the marked pods to be deleted")
        {
            return next;
        }
        let why = if sight.replicas == record.replicas {
            let pod = crowd.old.first().map(|p| p.name.clone()).unwrap_or_default();
            format!("pod {pod} is still there after the scale-back: others went, or none")
        } else {
            changed(sight.replicas)
        };
        self.forget(sight, crowd, End::Stopped(why))
    }

    /// Back to its own number, and the new pods with it.
    pub(super) fn undo(&mut self, sight: &Sight, record: &Record, crowd: &Crowd, now: At) -> Next {
        let wanted = usize::try_from(record.replicas).unwrap_or(0);
        let extra = crowd.count().saturating_sub(wanted);
        let more = sight.replicas == record.target && !self.scaled_back;
        // What cannot be undone ends it here; the record stays, for somebody who may.
        if let Some(why) = self.cannot_undo(sight, crowd, more) {
            return Next::Over(End::Stopped(why));
        }
        // The old pods must be the last to go, whoever scales back: between two looks the autoscaler may scale up with the
        // raised limits, and down again as soon as it has its own.
        let raised = sight.autoscaler.as_ref().is_some_and(|a| a.raised.this().is_some());
        let guards = (more || raised) && !self.denied.contains_key(MARK);
        let unsafe_yet = if guards {
            together(crowd.old.iter().filter(|p| !p.guarded()).map(|p| self.guard(p)))
        } else {
            together(crowd.old.iter().filter(|p| p.marked()).filter_map(|p| self.unmark(p)))
        };
        if let Some(act) = unsafe_yet {
            self.safe_since = None;
            return Next::Do(act);
        }
        let safe = self.safe_since.get_or_insert(now).saturating_add(MARK_AGE);
        if more {
            let mut newest = crowd.others.clone();
            newest.sort_by_key(|p| std::cmp::Reverse((p.created, p.name.clone())));
            let victims = &newest[..extra.min(newest.len())];
            let unmarked = victims.iter().filter(|p| !p.marked());
            let mark = together(unmarked.map(|p| self.mark(p)));
            if let Some(mark) = mark.filter(|_| !self.denied.contains_key(MARK)) {
                return Next::Do(mark);
            }
            if let Some(until) = self.young_mark(victims, now) {
                self.waits_for = "its own number of pods again".into();
                return Next::Wait(until);
            }
        }
        if (more || raised) && safe > now {
            return Next::Wait(safe);
        }
        if let Some(restore) = self.restore(sight) {
            return Next::Do(restore);
        }
        if more {
            return scale(sight, record.replicas);
        }
        if sight.replicas == record.replicas
            && extra > 0
            && let Some(next) = self.still_deleting(sight, now, "its own number of pods again")
        {
            return next;
        }
        let end = self.stop.clone().map_or(End::Moved, End::Stopped);
        self.forget(sight, crowd, end)
    }

    /// It has its own number again, and too many pods: its controllers have to act. As long as they have not even looked,
    /// marks and record stay, also when this run waits no longer: a silent controller acts on them when it is back.
    fn still_deleting(&mut self, sight: &Sight, now: At, text: &str) -> Option<Next> {
        if sight.observed {
            self.unheard_since = None;
            let until = self.back_since.get_or_insert(now).saturating_add(SCALE_BACK);
            self.waits_for = text.to_owned();
            return (now < until).then_some(Next::Wait(until));
        }
        self.back_since = None;
        let patience = match self.stop {
            Some(_) => SCALE_BACK,
            None => SCALE_BACK.max(sight.patience),
        };
        let until = self.unheard_since.get_or_insert(now).saturating_add(patience);
        self.waits_for = "the Deployment controller, which has not looked at the scale-back yet".into();
        Some(if now < until {
            Next::Wait(until)
        } else {
            let text = format!(
                "the Deployment controller has not looked at the scale-back for {} seconds; is kube-controller-manager alive?",
                patience / 1_000
            );
            Next::Over(End::Stopped(text))
        })
    }

    /// What is left and may not be changed by this user: marks on the pods that stay, limits of the autoscaler, the number.
    fn cannot_undo(&self, sight: &Sight, crowd: &Crowd, more: bool) -> Option<String> {
        let marked = crowd.old.iter().any(|p| p.mark.this().is_some());
        let raised = sight.autoscaler.as_ref().is_some_and(|a| a.raised.this().is_some());
        let left = [(UNMARK, marked), (RESTORE, raised), (SCALE, more)];
        left.into_iter().filter(|(_, left)| *left).find_map(|(what, _)| {
            let text = self.denied.get(what)?;
            Some(format!("it is not allowed to {what}: {text}"))
        })
    }

    /// What makes it senseless or dangerous to go on.
    pub(super) fn cannot_go_on(&self, sight: &Sight, record: &Record, crowd: &Crowd) -> Option<String> {
        if sight.replicas != record.target && sight.replicas != record.replicas {
            return Some(changed(sight.replicas));
        }
        if self.reached && sight.replicas == record.replicas {
            let text = "somebody has set its replicas back, as GitOps controllers do";
            return Some(text.into());
        }
        if crowd.sets() > 1 {
            return Some("a rollout has begun".into());
        }
        let autoscaler = sight.autoscaler.as_ref();
        let ours = autoscaler.and_then(|a| a.raised.this().filter(|r| r.run == self.intent.run).map(|r| (a, r)));
        if ours.is_some_and(|(a, r)| a.min != r.raised_min || a.max != r.raised_max) {
            return Some("somebody else has set other limits for its autoscaler".into());
        }
        let failure = sight.failure.as_ref().filter(|_| self.reached);
        failure.map(|text| format!("its new pods cannot be created: {text}"))
    }

    /// What must be true directly before the scale-back, and is not: everything else is Ready, the marks are old enough.
    pub(super) fn not_ready(&mut self, sight: &Sight, record: &Record, crowd: &Crowd, now: At) -> Option<Next> {
        let wanted = usize::try_from(record.replicas).unwrap_or(0);
        let due = |p: &Member| self.ready.get(&p.uid).map(|at| at.saturating_add(sight.min_ready));
        let ready = crowd
            .others
            .iter()
            .filter(|p| due(p).is_some_and(|at| at <= now))
            .count();
        let complete = usize::try_from(record.target).is_ok_and(|target| crowd.count() == target);
        let away = crowd
            .others
            .iter()
            .filter(|p| !self.intent.nodes.contains(&p.node))
            .count();
        let moved = i32::try_from(away).is_ok_and(|away| away >= record.target - record.replicas);
        if ready < wanted || ready < crowd.others.len() || !complete || !moved {
            let soonest = crowd.others.iter().filter_map(|p| due(p)).filter(|at| *at > now).min();
            let trouble = crowd.others.iter().find_map(|p| Some((&p.name, p.trouble.as_ref()?)));
            let trouble = trouble.map_or(String::new(), |(name, text)| format!("; {name}: {text}"));
            let long = match sight.min_ready / 1_000 {
                0 => String::new(),
                seconds => format!(
                    " for {}",
                    upkeep::ui::human_duration(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
                ),
            };
            let text = format!(
                "{} elsewhere to be Ready{long}, {ready} now{trouble}",
                plural(wanted, "pod")
            );
            return Some(self.wait(sight, now, text, soonest.unwrap_or(At::MAX)));
        }
        let until = self.young_mark(&crowd.old, now)?;
        self.waits_for = "the marks to be seen".into();
        Some(Next::Wait(until))
    }

    /// Until when the youngest of these marks is too young.
    pub(super) fn young_mark(&self, pods: &[&Member], now: At) -> Option<At> {
        let due = pods.iter().filter_map(|p| self.marked.get(&p.uid));
        due.map(|at| at.saturating_add(MARK_AGE)).max().filter(|at| *at > now)
    }

    /// Waits, but not longer than the owner of the Deployment would.
    pub(super) fn wait(&mut self, sight: &Sight, now: At, text: String, until: At) -> Next {
        let since = *self.waiting_since.get_or_insert(now);
        let limit = since.saturating_add(sight.patience);
        if now >= limit {
            self.stop(&format!(
                "given up after {} seconds of waiting for {text}",
                sight.patience / 1_000
            ));
            self.waits_for = text;
            return Next::Wait(now);
        }
        self.waits_for = text;
        Next::Wait(until.min(limit))
    }
}

fn changed(replicas: i32) -> String {
    format!("somebody else has set its replicas to {replicas}")
}
