//! `explain FINALIZER`: what is known about it.

use serde::Serialize;
use upkeep::{
    Error, Exit, Result,
    output::{self, Format},
    ui::{Ui, escape},
};

use crate::knowledge::{Entry, Field, Knowledge, Part, Risk};

/// The document. Its entries are as those that `--knowledge` reads.
#[derive(Serialize)]
struct Document<'a> {
    kind: &'static str,
    version: u8,
    finalizer: &'a str,
    entries: &'a [&'a Entry],
}

/// Prints all entries for a finalizer, one per kind of object.
///
/// # Errors
/// A finalizer that nobody has written down.
pub fn show(ui: &Ui, form: Format, knowledge: &Knowledge, finalizer: &str) -> Result<Exit> {
    let found = knowledge.all_of(finalizer);
    if found.is_empty() {
        return Err(
            Error::failed(format!("nothing is known about the finalizer {finalizer:?}"))
                .hint("name the object instead, 'kubectl finalize KIND NAME': who has put it on is looked for there")
                .hint("or tell it what you know with --knowledge FILE"),
        );
    }
    if form.is_document() {
        let document = Document {
            kind: "Explanation",
            version: 1,
            finalizer,
            entries: &found,
        };
        ui.document(&output::document(form, &document)?);
        return Ok(Exit::Done);
    }
    for entry in found {
        ui.data(&text(ui, finalizer, entry));
    }
    Ok(Exit::Done)
}

fn text(ui: &Ui, finalizer: &str, entry: &Entry) -> String {
    let styles = ui.out_styles();
    let on = match (entry.kinds.is_empty(), entry.field) {
        (true, _) => "any kind".to_owned(),
        (false, Field::Metadata) => entry.kinds.join(", "),
        (false, Field::Spec) => format!("spec.finalizers of {}", entry.kinds.join(", ")),
    };
    let removed = match entry.part_of {
        Some(Part::KubeControllerManager) => format!("{} (in kube-controller-manager)", entry.remover),
        Some(Part::KubeApiserver) => format!("{} (in kube-apiserver)", entry.remover),
        Some(Part::CloudControllerManager) => format!("{} (in cloud-controller-manager)", entry.remover),
        Some(Part::Outside) => format!("{} (outside of the cluster)", entry.remover),
        None if entry.namespaces.is_empty() => entry.remover.clone(),
        None => format!("{} (usually in {})", entry.remover, entry.namespaces.join(", ")),
    };
    let risk = match entry.risk {
        Risk::Bookkeeping => "small: only a note or a count is off",
        Risk::Orphans => "objects in the cluster are left behind",
        Risk::External => "something outside of the cluster is left behind",
        Risk::Data => "data are lost or damaged",
    };
    let mut lines = vec![styles.bold(&escape(finalizer))];
    let mut line = |label: &str, text: &str| lines.push(format!("  {label:<13}{}", escape(text)));
    line("on", &on);
    line("removed by", &removed);
    line("ensures", &entry.protects);
    line("if stripped", &entry.stripped);
    line("risk", risk);
    line("right way", &entry.right);
    line("source", &entry.source);
    if !entry.checked {
        line("", "(not checked in its source)");
    }
    lines.join("\n")
}
