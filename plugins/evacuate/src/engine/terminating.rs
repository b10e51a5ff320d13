//! Pods that are Terminating: what each waits for, and what a person is told when it takes longer than it should.

use std::time::Duration;

use upkeep::ui::human_duration;

use super::{
    State,
    event::{Command, Note},
    pods::{Entry, Standing},
};
use crate::facts::finalizers;

/// How long after its grace period a pod is still given before a person is told, in milliseconds. Controllers need a moment
/// to remove their finalizers, kubelets to confirm.
const PATIENCE: i64 = 2_000;

impl State {
    /// What a terminating pod waits for: its grace period, a finalizer, or a kubelet that does not confirm.
    pub(super) fn termination(&self, entry: &Entry) -> String {
        let Some(deletion) = entry.pod.deletion else {
            return entry.told.clone().unwrap_or_default();
        };
        let off = self.is_off(&entry.node);
        if off && entry.pod.finalizers.is_empty() {
            return "machine off: waits for the pod garbage collector".into();
        }
        let overdue = self.now - deletion.as_millisecond();
        if overdue < 0 {
            // Rounded up, so that nothing is said to be over before it is.
            return format!("{} of grace left", human(999 - overdue));
        }
        if !entry.pod.finalizers.is_empty() {
            return finalizers::with_removers(&entry.pod.finalizers);
        }
        if overdue > PATIENCE {
            format!(
                "{} over its grace period: the kubelet has not confirmed",
                human(overdue)
            )
        } else {
            String::new()
        }
    }

    /// Says once per pod which finalizer holds it after its grace period.
    pub(super) fn mention_finalizers(&mut self) {
        if self.now < self.finalizers_due {
            self.wake_at(self.finalizers_due);
            return;
        }
        let mut notes = Vec::new();
        // What terminates from now on is due later than all that is looked at here.
        let mut next = self.now.saturating_add(PATIENCE);
        for entry in self.pods.entries.values_mut() {
            let terminating = matches!(entry.standing, Standing::Terminating { .. });
            let Some(deletion) = entry.pod.deletion.filter(|_| terminating) else {
                continue;
            };
            if entry.pod.finalizers.is_empty() || entry.held_told {
                continue;
            }
            let due = deletion.as_millisecond().saturating_add(PATIENCE);
            if self.now >= due {
                entry.held_told = true;
                notes.push(Note::HeldByFinalizers {
                    pod: entry.pod.reference(),
                    text: finalizers::with_removers(&entry.pod.finalizers),
                });
            } else {
                next = next.min(due);
            }
        }
        self.finalizers_due = next;
        self.wake_at(next);
        self.out.extend(notes.into_iter().map(Command::Tell));
    }
}

fn human(milliseconds: i64) -> String {
    human_duration(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)))
}
