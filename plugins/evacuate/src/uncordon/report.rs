//! What is said of nodes that were brought back, or not.

use serde::Serialize;
use upkeep::{
    Exit, Result,
    output::{self, Format},
    ui::{Ui, escape},
};

use super::{
    Left,
    back::{Back, Cordon},
    surges::Undone,
};
use crate::cli::{Cli, DryRun};

/// The document of `-o json` and `-o yaml`.
///
/// # Errors
/// One that cannot be written.
pub fn document(ui: &Ui, cli: &Cli, exit: Exit, surges: Vec<Undone>, nodes: Vec<Row>) -> Result<()> {
    let form = cli.output.unwrap_or_default();
    if !form.is_document() {
        return Ok(());
    }
    let word = match cli.dry_run {
        DryRun::None => "none",
        DryRun::Server => "server",
        _ => "client",
    };
    let document = Document {
        kind: "Uncordon",
        version: 1,
        dry_run: word,
        exit_code: exit.code(),
        nodes,
        surges,
    };
    ui.document(&output::document(form, &document)?);
    Ok(())
}

/// kubectl's lines on stdout; what else was undone, and what was not, on stderr.
pub fn say(ui: &Ui, cli: &Cli, name: &str, back: &Back) {
    let form = cli.output.unwrap_or_default();
    let suffix = match cli.dry_run {
        DryRun::None => "",
        DryRun::Server => " (server dry run)",
        _ => " (dry run)",
    };
    let name = escape(name);
    match (form, back.cordon) {
        (Format::Name, Cordon::Ours | Cordon::None) => ui.data(&format!("node/{name}")),
        (Format::Table | Format::Wide, Cordon::Ours) => ui.data(&format!("node/{name} uncordoned{suffix}")),
        (Format::Table | Format::Wide, Cordon::None) => ui.data(&format!("node/{name} already uncordoned{suffix}")),
        _ => {}
    }
    if back.cordon == Cordon::Theirs {
        ui.warning(&format!(
            "node/{name} stays cordoned, because no annotation says that an evacuation has cordoned it; 'kubectl uncordon {name}' takes that back"
        ));
    }
    if back.tainted {
        ui.warning(&format!(
            "node/{name} stays tainted as out of service, because no evacuation has put that there: every pod is thrown out of \
             it; 'kubectl taint node {name} node.kubernetes.io/out-of-service-' takes that off"
        ));
    }
    if back.labelled {
        ui.status(&format!(
            "node/{name}: the label node.kubernetes.io/exclude-from-external-load-balancers stays, because no evacuation has set \
             it"
        ));
    }
    if !back.removed.is_empty() {
        ui.status(&format!("node/{name}: removed {}{suffix}", back.removed.join("; ")));
    }
}

/// `-o json` and `-o yaml`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    kind: &'static str,
    version: u8,
    dry_run: &'static str,
    exit_code: u8,
    nodes: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    surges: Vec<Undone>,
}

/// What became of a node.
#[derive(Serialize)]
pub struct Row {
    name: String,
    /// By this run.
    uncordoned: bool,
    /// It stays cordoned, for somebody else did that.
    cordoned: bool,
    /// It stays tainted as out of service, for somebody else did that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tainted: bool,
    /// It stays out of load balancers, for somebody else did that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    labelled: bool,
    removed: Vec<&'static str>,
    /// Why it stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Row {
    /// One that stays as it is.
    pub fn left(left: Left) -> Self {
        Self {
            name: left.name,
            uncordoned: false,
            cordoned: left.cordoned,
            tainted: false,
            labelled: false,
            removed: Vec::new(),
            reason: Some(left.why),
        }
    }

    /// One that was brought back, as far as it was an evacuation's.
    pub fn of(name: &str, back: Back) -> Self {
        Self {
            name: name.to_owned(),
            uncordoned: back.cordon == Cordon::Ours,
            cordoned: back.cordon == Cordon::Theirs,
            tainted: back.tainted,
            labelled: back.labelled,
            removed: back.removed,
            reason: (back.cordon == Cordon::Theirs)
                .then(|| "no annotation says that an evacuation has cordoned it".to_owned()),
        }
    }
}
