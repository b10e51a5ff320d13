//! The live view on a terminal: one line per node, one row per pod that is not done.

use std::time::Duration;

use upkeep::{
    output::table,
    ui::{Live, Styles, Ui, escape, human_duration},
};

use super::{lines::talk, short};
use crate::{
    drive::Watcher,
    engine::{State, event::Note},
};

/// How many pods are shown at most; a terminal has so many lines.
const ROWS: usize = 12;
/// The shortest time between two drawings.
const PACE: Duration = Duration::from_millis(100);

/// Draws the state below the lines that stay.
pub struct View<'a> {
    ui: &'a Ui,
    live: Live,
    drawn: Option<std::time::Instant>,
}

impl<'a> View<'a> {
    /// A view at the bottom of the terminal.
    pub fn new(ui: &'a Ui) -> Self {
        Self {
            ui,
            live: ui.live(),
            drawn: None,
        }
    }
}

impl Watcher for View<'_> {
    fn note(&mut self, note: &Note) {
        match note {
            Note::Cordoned { node, already } => {
                let already = if *already { "already " } else { "" };
                self.ui.data(&format!("node/{node} {already}cordoned"));
            }
            Note::Uncordoned { node } => self.ui.data(&format!("node/{node} uncordoned")),
            Note::Drained { node } => self.ui.data(&format!("node/{node} drained")),
            Note::Going { .. } | Note::Gone { .. } | Note::Skipped { .. } => {}
            other => talk(self.ui, other),
        }
    }

    fn redraw(&mut self, state: &State) {
        if state.outcome().is_some() {
            self.live.clear();
            return;
        }
        if self.drawn.is_some_and(|at| at.elapsed() < PACE) {
            return;
        }
        self.drawn = Some(std::time::Instant::now());
        self.live.set(&block(state, self.ui.styles()));
    }
}

fn block(state: &State, styles: &Styles) -> String {
    let age = |since: i64| human_duration(Duration::from_millis(u64::try_from(state.now() - since).unwrap_or(0)));
    let mut text = String::new();
    for node in state.node_rows() {
        let total = node.gone + node.left;
        let since = node.began.map(age).unwrap_or_default();
        let name = styles.bold(&escape(&node.name));
        text += &match node.state {
            "Drained" => format!("{name}  {}  {} gone\n", styles.good("Drained"), node.gone),
            "NotDrained" => format!(
                "{name}  {}  {}\n",
                styles.bad("NotDrained"),
                escape(&node.why.unwrap_or_default())
            ),
            "Queued" | "Cordoning" => format!("{name}  {}\n", styles.dim(node.state)),
            "Detaching" => format!(
                "{name}  Detaching  volumes: {}  {since}\n",
                escape(&node.attached.join(", "))
            ),
            word => format!("{name}  {word}  {} of {total} gone  {since}\n", node.gone),
        };
    }
    let mut rows = state.pod_rows();
    // Those that hold everything up come first.
    rows.sort_by_key(|r| match r.state {
        "Failed" => 0,
        "Blocked" => 1,
        "Retrying" | "Checking" => 2,
        "Terminating" => 3,
        _ => 4,
    });
    let more = rows.len().saturating_sub(ROWS);
    if rows.is_empty() {
        return text.trim_end().to_owned();
    }
    let shown = rows.into_iter().take(ROWS).map(|row| {
        let state = match row.state {
            "Failed" => styles.bad(row.state),
            "Blocked" | "Retrying" | "Checking" => styles.warn(row.state),
            state => state.to_owned(),
        };
        vec![
            escape(&short(&row.pod)),
            state,
            row.since.map(age).unwrap_or_default(),
            escape(&row.reason),
        ]
    });
    text += &table(&["POD", "STATE", "AGE", "REASON"], shown.collect());
    if more > 0 {
        text += &format!("\n{}", styles.dim(&format!("... and {more} more")));
    }
    text
}
