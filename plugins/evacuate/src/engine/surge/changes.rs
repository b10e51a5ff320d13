//! The requests of a surge, each made from what was just looked at.

use super::{
    machine::{Crowd, End, Machine, Next},
    record::{HIGHEST, LOWEST, Mark, Raised, Record, Stage},
    sight::{Act, Autoscaler, Member, Sight},
};

/// How many pods are marked at the same time.
const AT_ONCE: usize = 16;

impl Machine {
    pub(super) fn write(&mut self, sight: &Sight, record: Record) -> Next {
        if let Some(text) = self.denied.get(WRITE) {
            return Next::Over(End::Stopped(format!("its record cannot be written: {text}")));
        }
        Next::Do(Act::Write {
            version: sight.version.clone(),
            record: Some(record),
        })
    }

    /// From one stage to another.
    pub(super) fn turn(&mut self, sight: &Sight, record: &Record, stage: Stage) -> Next {
        let record = record.clone();
        self.write(sight, Record { stage, ..record })
    }

    /// Removes what is left on the pods and then the record.
    pub(super) fn forget(&mut self, sight: &Sight, crowd: &Crowd, end: End) -> Next {
        if let Some(unmark) = together(crowd.all().filter_map(|p| self.unmark(p))) {
            return Next::Do(unmark);
        }
        let end = self.end.take().filter(|_| end == End::Moved).unwrap_or(end);
        if self.denied.contains_key(WRITE) {
            return Next::Over(end);
        }
        self.end = Some(end);
        Next::Do(Act::Write {
            version: sight.version.clone(),
            record: None,
        })
    }

    /// A cost that was there before is kept for later, also that from before an earlier mark.
    pub(super) fn mark(&self, pod: &Member) -> Act {
        self.set_cost(pod, LOWEST)
    }

    /// A pod that is to stay, whoever scales back.
    pub(super) fn guard(&self, pod: &Member) -> Act {
        self.set_cost(pod, HIGHEST)
    }

    fn set_cost(&self, pod: &Member, cost: &'static str) -> Act {
        let previous = match pod.mark.this() {
            Some(mark) => mark.previous.clone(),
            None => pod.cost.clone(),
        };
        let run = self.intent.run.clone();
        Act::Mark {
            pod: pod.subject(),
            cost,
            mark: Mark { run, previous },
        }
    }

    pub(super) fn unmark(&self, pod: &Member) -> Option<Act> {
        let mark = pod.mark.this().filter(|_| !self.denied.contains_key(UNMARK))?;
        // A cost that somebody else has set meanwhile is theirs.
        let ours = matches!(pod.cost.as_deref(), Some(LOWEST | HIGHEST));
        let cost = if ours { mark.previous.clone() } else { pod.cost.clone() };
        Some(Act::Unmark {
            pod: pod.subject(),
            cost,
        })
    }

    /// An autoscaler would take the new pods away at its next look.
    pub(super) fn raise(&self, autoscaler: &Autoscaler, target: i32) -> Option<Act> {
        if autoscaler.min >= target && autoscaler.max >= target {
            return None;
        }
        let before = autoscaler.raised.this().map(|r| (r.min, r.max));
        let (min, max) = before.unwrap_or((autoscaler.min, autoscaler.max));
        let raised = Raised {
            run: self.intent.run.clone(),
            min,
            max,
            raised_min: autoscaler.min.max(target),
            raised_max: autoscaler.max.max(target),
        };
        Some(Act::Raise {
            autoscaler: autoscaler.subject(),
            raised,
        })
    }

    pub(super) fn restore(&self, sight: &Sight) -> Option<Act> {
        let autoscaler = sight
            .autoscaler
            .as_ref()
            .filter(|_| !self.denied.contains_key(RESTORE))?;
        let raised = autoscaler.raised.this()?;
        // A limit that somebody else has set meanwhile is theirs.
        let min = (autoscaler.min == raised.raised_min).then_some(raised.min);
        let max = (autoscaler.max == raised.raised_max).then_some(raised.max);
        Some(Act::Restore {
            autoscaler: autoscaler.subject(),
            limits: (min, max),
        })
    }
}

impl Member {
    /// It is among those that a surge wants to go first.
    pub fn marked(&self) -> bool {
        self.mark.this().is_some() && self.cost.as_deref() == Some(LOWEST)
    }

    /// It is among those that are to stay while a surge is undone.
    pub fn guarded(&self) -> bool {
        self.mark.this().is_some() && self.cost.as_deref() == Some(HIGHEST)
    }
}

/// Some of these, as one step. A Deployment may have hundreds of pods on a node.
pub(super) fn together(acts: impl Iterator<Item = Act>) -> Option<Act> {
    let mut acts: Vec<Act> = acts.take(AT_ONCE).collect();
    if acts.len() > 1 {
        return Some(Act::All(acts));
    }
    acts.pop()
}

pub(super) fn scale(sight: &Sight, replicas: i32) -> Next {
    Next::Do(Act::Scale {
        version: sight.version.clone(),
        replicas,
    })
}

pub(super) const WRITE: &str = "annotate it";
pub(super) const MARK: &str = "annotate its pods";
pub(super) const UNMARK: &str = "remove annotations of its pods";
pub(super) const RESTORE: &str = "put its autoscaler back";
pub(super) const SCALE: &str = "scale it";
pub(super) const FORGET: &str = "annotate its ReplicaSet";

impl Act {
    /// What it does, for a sentence.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Look => "read it, its pods and its autoscalers",
            Self::Write { .. } => WRITE,
            Self::Mark { .. } => MARK,
            Self::Unmark { .. } => UNMARK,
            Self::Raise { .. } => "raise the limits of its autoscaler",
            Self::Restore { .. } => RESTORE,
            Self::Scale { .. } => SCALE,
            Self::Ask { .. } => "evict its pods",
            Self::ForgetCopy { .. } => FORGET,
            Self::All(acts) => acts.first().map_or("change it", Self::words),
        }
    }
}
