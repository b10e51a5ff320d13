//! Plans in files: written from a diagnosis, bound to the object when they are applied.

use std::{io::ErrorKind, path::Path};

use upkeep::{
    Error, Result,
    backup::write_new,
    ui::{Ui, escape, plural},
};

use super::{Case, flags};
use crate::{
    diagnose::Diagnosis,
    facts::{Ask, Facts, Reply},
    ladder::plan::plan,
};

impl Case<'_> {
    /// A plan is for the object that it was made for.
    pub(super) fn bound(&self, facts: &Facts) -> Result<()> {
        let (Some(plan), Some(uid)) = (self.plan, self.uid(facts)) else {
            return Ok(());
        };
        if plan.uid == uid {
            return Ok(());
        }
        let text = format!(
            "{} is another object by now (the plan is for the UID {}); nothing was changed",
            self.target, plan.uid
        );
        Err(Error::refused(text))
    }

    pub(super) fn uid<'f>(&self, facts: &'f Facts) -> Option<&'f str> {
        match facts.answers.get(&Ask::Get(self.target.clone())) {
            Some(Ok(Reply::One(object))) => object["metadata"]["uid"].as_str(),
            _ => None,
        }
    }

    /// Writes down what may be done.
    pub(super) fn write_plan(&self, ui: &Ui, file: &Path, facts: &Facts, diagnosis: &Diagnosis) -> Result<()> {
        let uid = self.uid(facts).unwrap_or_default();
        let plan = plan(diagnosis, self.target, uid, &self.limits().cap(self.limits().rung()));
        let failed = |e: &dyn std::fmt::Display| Error::failed(format!("cannot write {}", file.display())).caused_by(e);
        let text = serde_json::to_string_pretty(&plan).map_err(|e| failed(&e))?;
        // Whatever is there already, a link of somebody else too, stays as it is.
        write_new(file, &(text + "\n")).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => failed(&e).hint("name a file that does not exist yet"),
            _ => failed(&e),
        })?;
        let steps = plural(plan.steps.len(), "step");
        let file = file.display().to_string();
        if plan.steps.is_empty() {
            let text = format!("{file} has no steps: nothing may be done with this force (--force-up-to)");
            ui.warning(&escape(&text));
            return Ok(());
        }
        let cli = self.look.cli;
        let force = flags::force(cli.force_up_to, &self.limits().cap(self.limits().rung()));
        let words = std::iter::once(format!("--apply={file}")).chain(force);
        let line = flags::line(words.chain(flags::place(cli, false)));
        let written = format!("{steps} written to {}", escape(&file));
        ui.status(&format!("{written}; to make these changes: kubectl finalize {line}"));
        Ok(())
    }
}
