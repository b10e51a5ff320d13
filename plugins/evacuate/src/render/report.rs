//! The final report: what moved where, how long it took, what remains.

use std::{collections::BTreeMap, time::Duration};

use upkeep::{
    output::table,
    ui::{Ui, escape, plural},
};

use super::{moves::Move, short};
use crate::engine::{
    State,
    event::{Outcome, Verb},
};

/// Where the pods went.
pub struct Moved<'a> {
    /// Each pod that left.
    pub moves: &'a [Move<'a>],
    /// Whether their successors could be read.
    pub complete: bool,
    /// How pods were to go: what was deleted although budgets were to be asked is counted.
    pub asked: Verb,
}

/// Prints the report to stderr, and with `wide` every single move to stdout.
pub fn show(ui: &Ui, state: &State, outcome: Outcome, moved: &Moved<'_>, wide: bool) {
    let styles = ui.styles();
    let moves = moved.moves;
    if wide && !moves.is_empty() {
        ui.data(&table(
            &["NAMESPACE", "POD", "FROM", "TO", "SUCCESSOR", "READY"],
            moves.iter().map(row).collect(),
        ));
    }
    for node in state.node_rows() {
        let took = match (node.began, node.ended) {
            (Some(began), ended) => format!(" in {}", seconds(ended.unwrap_or(state.now()) - began)),
            (None, _) => String::new(),
        };
        let word = match node.state {
            "Drained" => styles.good("drained"),
            "PartlyDrained" => styles.warn("partly drained"),
            "Removed" => styles.good("drained and removed from the cluster"),
            "Kept" => styles.warn("drained, but not removed"),
            "Lifting" => styles.good("drained"),
            "Unreplaced" => styles.warn("drained, but not replaced"),
            "Detaching" => styles.warn("drained, but not detached"),
            "Queued" | "Cordoning" => styles.warn("not begun"),
            _ if node.began.is_none() => styles.warn("not begun"),
            _ => styles.warn("not drained"),
        };
        let name = styles.bold(&escape(&node.name));
        let gone: Vec<&Move<'_>> = moves.iter().filter(|m| m.departed.node == node.name).collect();
        let mut line = format!("{name}: {word}{took}; {} gone", plural(gone.len(), "pod"));
        let deleted = gone.iter().filter(|m| m.departed.verb == Some(Verb::Delete)).count();
        if deleted > 0 && moved.asked == Verb::Evict {
            line += &format!(" ({deleted} deleted without asking a budget)");
        }
        if moved.complete {
            line += &destinations(&gone);
        }
        if let ("Cordoning", Some(why)) = (node.state, &node.why) {
            line += &format!("; it could not be cordoned: {}", escape(why));
        }
        if node.left > 0 {
            line += &format!("; {} left", plural(node.left, "pod"));
        }
        if let ("PartlyDrained", Some(why)) = (node.state, &node.why) {
            line += &format!("; {}", escape(why));
        }
        if !node.attached.is_empty() && !matches!(node.state, "Drained" | "PartlyDrained" | "Removed") {
            line += &format!("; volumes still attached: {}", escape(&node.attached.join(", ")));
        }
        if let ("Unreplaced", Some(why)) = (node.state, &node.why) {
            line += &format!("; not Ready: {}", escape(why));
        }
        ui.paragraph(&line);
        if node.state == "Unreplaced" {
            ui.hint("it is empty and stays cordoned; a second run does not wait for these replacements");
        }
        let done = matches!(node.state, "Drained" | "PartlyDrained" | "Removed" | "Unreplaced");
        if node.deleting {
            ui.hint("find out who takes these finalizers off; the node goes by itself then");
            continue;
        }
        // Of a node that another run holds there is nothing to put back.
        let theirs = outcome == Outcome::Refused && !node.cordoned_by_us && !node.maybe_cordoned;
        if outcome != Outcome::Done && node.cordoned && !done && !theirs {
            let name = escape(&node.name);
            let ours = format!("kubectl evacuate {name} --uncordon");
            let (by, back) = if node.cordoned_by_us {
                ("stays cordoned", ours)
            } else if node.maybe_cordoned {
                ("may be cordoned, for the answer to that was lost", ours)
            } else {
                let back = if node.cordoned_by_evacuation {
                    ours
                } else {
                    format!("kubectl uncordon {name}")
                };
                ("was cordoned before and stays so", back)
            };
            ui.hint(&format!("it {by}; run again to go on, or '{back}' to put it back"));
        }
    }
    for deployment in state.surging() {
        ui.warning(&format!(
            "the surge of {deployment} is not ended; run again with --surge to go on, or with --uncordon to undo it"
        ));
    }
    for node in state.fenced() {
        let node = escape(node);
        ui.warning(&format!(
            "node/{node} may still be tainted as out of service, and when it comes back every pod there is thrown out: \
             'kubectl evacuate {node} --uncordon' takes that back"
        ));
    }
    let mut left = state.pod_rows();
    left.extend(state.staying_rows());
    if !left.is_empty() {
        const SHOWN: usize = 40;
        let more = left.len().saturating_sub(SHOWN);
        let rows = left.into_iter().take(SHOWN).map(|r| {
            vec![
                escape(&r.node),
                escape(&short(&r.pod)),
                r.state.to_owned(),
                escape(&r.reason),
            ]
        });
        ui.status(&table(&["NODE", "POD LEFT", "STATE", "REASON"], rows.collect()));
        if more > 0 {
            ui.status(&format!("... and {more} more"));
        }
    }
    match outcome {
        Outcome::Deadline => ui.status(&format!("{} the time of --timeout is up", styles.bad("error:"))),
        Outcome::Interrupted => ui.status(&format!("{} interrupted", styles.bad("error:"))),
        _ => {}
    }
}

fn row(one: &Move<'_>) -> Vec<String> {
    let (name, node, ready) = one.successor.clone().unwrap_or_default();
    vec![
        escape(one.departed.pod.namespace.as_deref().unwrap_or_default()),
        escape(&one.departed.pod.name),
        escape(&one.departed.node),
        if one.successor.is_some() && node.is_empty() {
            "<pending>".to_owned()
        } else {
            escape(&node)
        },
        escape(&name),
        if one.successor.is_some() {
            ready.to_string()
        } else {
            String::new()
        },
    ]
}

/// `: 3 to n2, 1 to n3, 1 Pending, 2 not replaced yet, 1 not replaced`.
fn destinations(moves: &[&Move<'_>]) -> String {
    let mut to = BTreeMap::<String, usize>::new();
    let (mut pending, mut late, mut none) = (0, 0, 0);
    for one in moves {
        match &one.successor {
            Some((_, node, _)) if node.is_empty() => pending += 1,
            Some((_, node, _)) => *to.entry(escape(node)).or_default() += 1,
            // What went by itself may have been replaced long ago.
            None if one.departed.owner.is_some() && one.departed.verb.is_none() => {}
            None if one.departed.owner.is_some() && !one.departed.finished => late += 1,
            None => none += 1,
        }
    }
    let mut to: Vec<(String, usize)> = to.into_iter().collect();
    to.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others: usize = to.iter().skip(5).map(|(_, count)| count).sum();
    let mut parts: Vec<String> = to
        .iter()
        .take(5)
        .map(|(node, count)| format!("{count} to {node}"))
        .collect();
    if others > 0 {
        parts.push(format!("{others} to other nodes"));
    }
    if pending > 0 {
        parts.push(format!("{pending} Pending"));
    }
    if late > 0 {
        parts.push(format!("{late} not replaced yet"));
    }
    if none > 0 {
        parts.push(format!("{none} not replaced"));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    }
}

/// Short times with a tenth of a second, longer ones as kubectl shows ages.
pub fn seconds(milliseconds: i64) -> String {
    let duration = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
    if duration < Duration::from_secs(60) {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        upkeep::ui::human_duration(duration)
    }
}
