//! The live view on a terminal: one line per node, one row per pod that is not done.

use std::time::Duration;

use upkeep::{
    output::table,
    ui::{Live, Styles, Ui, broken, escape, human_duration, plural},
};

use super::{lines::talk, short};
use crate::{
    drive::Watcher,
    engine::{
        State,
        event::{At, Note, Verb},
        view::NodeRow,
    },
};

/// How many pods are shown at most; a terminal has so many lines.
const ROWS: usize = 12;
/// With fewer columns than this a reason has no room beside its pod, and stands below it.
const WIDE: usize = 110;
/// The shortest time between two drawings.
const PACE: Duration = Duration::from_millis(100);

/// Draws the state below the lines that stay.
pub struct View<'a> {
    ui: &'a Ui,
    live: Live,
    /// Only talk, no results: stdout is one document, or names.
    quiet: bool,
    drawn: Option<std::time::Instant>,
}

impl<'a> View<'a> {
    /// A view at the bottom of the terminal.
    pub fn new(ui: &'a Ui, quiet: bool) -> Self {
        Self {
            ui,
            live: ui.live(),
            quiet,
            drawn: None,
        }
    }

    fn data(&self, line: &str) {
        if !self.quiet {
            self.ui.data(line);
        }
    }
}

impl Watcher for View<'_> {
    fn note(&mut self, note: &Note) {
        match note {
            Note::Cordoned { node, already } => {
                let already = if *already { "already " } else { "" };
                self.data(&format!("node/{node} {already}cordoned"));
            }
            Note::Uncordoned { node } => self.data(&format!("node/{node} uncordoned")),
            Note::Tainted { node } => self.data(&format!("node/{node} tainted")),
            Note::Untainted { node } => self.data(&format!("node/{node} untainted")),
            Note::Removed { node } => self.data(&format!("node {node:?} deleted")),
            Note::Drained { node } => self.data(&format!("node/{node} drained")),
            Note::Skipped { pod } => self.ui.status(&format!(
                "pod {} is passed over: its deletion is longer ago than --skip-wait-for-delete-timeout",
                short(pod)
            )),
            Note::Going {
                pod,
                verb: Verb::Delete,
            } => self.data(&format!("deleting pod {}", short(pod))),
            Note::Scaling { deployment, replicas } => {
                self.data(&format!("{}/{} scaled to {replicas}", deployment.kind, deployment.name));
            }
            // The table says so.
            Note::Going { .. } | Note::Gone { .. } | Note::Surge { .. } => {}
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
        self.live.set(&block(state, self.ui.styles(), self.live.size()));
    }
}

fn block(state: &State, styles: &Styles, (columns, lines): (usize, usize)) -> String {
    let nodes = state.node_rows();
    let several = nodes.len() > 1;
    let mut shown = Vec::new();
    if several {
        shown.push(total(state, &nodes, styles));
    }
    // The lines that stay need some room above the block, and pods need some below the nodes.
    let lines = lines.saturating_sub(2).max(4);
    shown.extend(node_lines(
        state,
        nodes,
        styles,
        if several { (lines / 2).max(1) } else { 1 },
    ));
    shown.extend(pod_lines(
        state,
        styles,
        several,
        columns,
        lines.saturating_sub(shown.len()),
    ));
    shown.join("\n")
}

fn age(state: &State, since: At) -> String {
    human_duration(Duration::from_millis(u64::try_from(state.now() - since).unwrap_or(0)))
}

/// Where a run over several nodes stands as a whole.
fn total(state: &State, nodes: &[NodeRow], styles: &Styles) -> String {
    let drained = nodes
        .iter()
        .filter(|n| matches!(n.state, "Drained" | "PartlyDrained" | "Removed"))
        .count();
    let gone: usize = nodes.iter().map(|n| n.gone).sum();
    let left: usize = nodes.iter().map(|n| n.left).sum();
    styles.bold(&format!(
        "{drained} of {} nodes drained, {gone} of {} pods gone, {}",
        nodes.len(),
        gone + left,
        age(state, state.started())
    ))
}

/// The nodes that are worked on first; what finds no room is counted.
fn node_lines(state: &State, mut nodes: Vec<NodeRow>, styles: &Styles, room: usize) -> Vec<String> {
    nodes.sort_by_key(|node| match node.state {
        "NotDrained" | "Unreplaced" | "Kept" => 0,
        "Drained" | "PartlyDrained" | "Removed" => 3,
        "Queued" => 2,
        _ => 1,
    });
    let kept = if nodes.len() > room {
        room.saturating_sub(1)
    } else {
        room
    };
    let hidden = nodes.len().saturating_sub(kept);
    nodes.truncate(kept);
    let width = nodes.iter().map(|n| escape(&n.name).chars().count()).max().unwrap_or(0);
    let mut shown: Vec<String> = nodes
        .into_iter()
        .map(|node| node_line(state, node, styles, width))
        .collect();
    if hidden > 0 {
        shown.push(styles.dim(&format!("... and {}", plural(hidden, "more node"))));
    }
    shown
}

fn node_line(state: &State, node: NodeRow, styles: &Styles, width: usize) -> String {
    let total = node.gone + node.left;
    let since = node.began.map(|began| age(state, began)).unwrap_or_default();
    let name = styles.bold(&format!("{:width$}", escape(&node.name)));
    let why = || escape(node.why.as_deref().unwrap_or_default());
    match node.state {
        "Drained" | "Removed" => format!("{name}  {}  {} gone", styles.good(node.state), node.gone),
        "PartlyDrained" => format!("{name}  {}  {} gone; {}", styles.warn(node.state), node.gone, why()),
        "NotDrained" | "Unreplaced" | "Kept" => format!("{name}  {}  {}", styles.bad(node.state), why()),
        "Queued" => format!("{name}  {}", styles.dim(node.state)),
        "Cordoning" => format!("{name}  {}  {}", styles.dim(node.state), why())
            .trim_end()
            .to_owned(),
        "Detaching" => {
            let volumes = escape(&node.attached.join(", "));
            format!("{name}  Detaching  volumes: {volumes}  {since}")
        }
        word => format!("{name}  {word}  {} of {total} gone  {since}", node.gone),
    }
}

/// The pods that are not done, those that hold everything up first.
fn pod_lines(state: &State, styles: &Styles, several: bool, columns: usize, room: usize) -> Vec<String> {
    let mut rows = state.pod_rows();
    rows.sort_by_key(|r| match r.state {
        "Failed" => 0,
        "Blocked" => 1,
        // Asked once more; it must not jump about.
        "Evicting" if r.blocked => 1,
        "Retrying" | "Checking" => 2,
        "Terminating" => 3,
        "WaitingForJob" => 5,
        _ => 4,
    });
    // The header, and the line that counts the rest.
    let room = room.saturating_sub(2).clamp(1, ROWS);
    let more = rows.len().saturating_sub(room);
    if rows.is_empty() {
        return Vec::new();
    }
    let widest = (columns * 2 / 5).max(20);
    let beside = columns >= WIDE;
    let reasons: Vec<String> = rows.iter().take(room).map(|row| escape(&row.reason)).collect();
    let shown = rows.into_iter().take(room).map(|row| {
        let word = match row.state {
            "Failed" => styles.bad(row.state),
            "Blocked" | "Retrying" | "Checking" => styles.warn(row.state),
            word => word.to_owned(),
        };
        let mut cells = vec![
            shorten(&escape(&short(&row.pod)), widest),
            word,
            row.since.map(|since| age(state, since)).unwrap_or_default(),
        ];
        if beside {
            cells.push(escape(&row.reason));
        }
        if several {
            cells.insert(0, shorten(&escape(&row.node), widest / 2));
        }
        cells
    });
    let headers = ["NODE", "POD", "STATE", "SINCE", "REASON"];
    let headers = &headers[usize::from(!several)..headers.len() - usize::from(!beside)];
    let text = table(headers, shown.collect());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if !beside {
        lines = with_reasons(lines, &reasons, columns, room + 1);
    }
    if more > 0 {
        lines.push(styles.dim(&format!("... and {more} more")));
    }
    lines
}

/// The same rows, each with its reason below it, as far as there is room for it: the first rows need it most. One that
/// stands there already is not said again.
fn with_reasons(table: Vec<String>, reasons: &[String], columns: usize, room: usize) -> Vec<String> {
    let mut spare = room.saturating_sub(table.len());
    let mut said = "";
    let mut lines = Vec::new();
    for (index, line) in table.into_iter().enumerate() {
        lines.push(line);
        let reason = index
            .checked_sub(1)
            .and_then(|row| reasons.get(row))
            .map_or("", String::as_str);
        if reason.is_empty() || reason == said {
            continue;
        }
        let broken = broken(reason, columns.saturating_sub(4).max(20));
        let taken = broken.lines().count();
        if taken <= spare {
            spare -= taken;
            said = reason;
            lines.extend(broken.lines().map(|part| format!("  {part}")));
        }
    }
    lines
}

/// A long name without its middle: the end is what tells pods of one workload apart.
fn shorten(name: &str, width: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= width || width < 8 {
        return name.to_owned();
    }
    let end = (width - 3) / 2;
    let begin = width - 3 - end;
    let part = |letters: &[char]| letters.iter().collect::<String>();
    format!(
        "{}...{}",
        part(&letters[..begin]),
        part(&letters[letters.len() - end..])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_below_where_there_is_no_room_beside() {
        let table = ["POD   STATE", "a     Blocked", "b     Blocked", "c     Failed"].map(str::to_owned);
        let reasons = ["one reason of many words", "one reason of many words", "another"].map(str::to_owned);
        let shown = with_reasons(table.to_vec(), &reasons, 25, 9);
        let wanted = [
            "POD   STATE",
            "a     Blocked",
            "  one reason of many",
            "  words",
            "b     Blocked",
            "c     Failed",
            "  another",
        ];
        assert_eq!(shown, wanted);
        let tight = with_reasons(table.to_vec(), &reasons, 25, 5);
        assert_eq!(tight.last().map(String::as_str), Some("  another"));
        assert_eq!(tight.len(), 5);
    }
}
