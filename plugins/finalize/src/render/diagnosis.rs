//! The verdict, the causes with what waits for them, and what can be done about each.

use upkeep::{
    report::{ObjRef, Severity},
    ui::{Styles, escape, human_duration, plural},
};

use super::group::groups;
use crate::{
    diagnose::{CONTROLLER_SAYS, Cause, Diagnosis, Life, SOMEBODY, State},
    facts::Key,
    knowledge::Risk,
    ladder::{Mend, Remedy, Rung},
};

/// So many seconds after it was asked for, a deletion has just begun.
const BEGINS: i64 = 10;
/// How many objects are named.
const SHOWN: usize = 5;

/// What would hold a target that nobody deletes yet.
pub fn beforehand(diagnosis: &Diagnosis, target: &Key, styles: &Styles) -> String {
    let name = name(target, styles);
    let count = groups(diagnosis.roots()).len();
    let first = match (&diagnosis.state, count, diagnosis.notes.is_empty()) {
        (State::Living, 0, true) => format!("nothing would hold {name} if it were deleted now"),
        (State::Living, 0, false) => format!("nothing holds {name} now, but"),
        (State::Living, 1, _) => format!("if {name} were deleted now, 1 cause would hold it"),
        (State::Living, count, _) => format!("if {name} were deleted now, {count} causes would hold it"),
        _ => verdict(diagnosis, target, false, styles),
    };
    below(first, diagnosis, false, styles)
}

/// The same without ages, which change all the time: `46s`, `2m10s`.
pub fn ageless(text: &str) -> String {
    let is_age = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let unit = |c: char| matches!(c, 's' | 'm' | 'h' | 'd' | 'y');
        word.starts_with(|c: char| c.is_ascii_digit())
            && word.ends_with(unit)
            && word.chars().all(|c| c.is_ascii_digit() || unit(c))
    };
    let words = text.split(' ').filter(|word| !is_age(word));
    words.collect::<Vec<_>>().join(" ")
}

/// The whole diagnosis. `acted`: this run has changed something, so that what was written before is old.
pub fn text(diagnosis: &Diagnosis, target: &Key, acted: bool, styles: &Styles) -> String {
    below(verdict(diagnosis, target, acted, styles), diagnosis, acted, styles)
}

fn below(first: String, diagnosis: &Diagnosis, acted: bool, styles: &Styles) -> String {
    let mut lines = vec![first];
    for note in diagnosis
        .notes
        .iter()
        .filter(|note| !acted || note.id != CONTROLLER_SAYS)
    {
        let word = if note.severity >= Severity::Warning {
            styles.warn("Warning:")
        } else {
            styles.dim("Note:")
        };
        lines.push(format!("{word} {}", escape(&note.evidence)));
    }
    let (roots, behind): (Vec<&Cause>, Vec<&Cause>) = diagnosis.causes.iter().partition(|c| c.behind.is_empty());
    for group in groups(roots.into_iter()) {
        lines.extend(of_group(&group, diagnosis, styles));
    }
    let more = behind.len().saturating_sub(SHOWN);
    for cause in behind.into_iter().take(SHOWN) {
        lines.push(format!("  {} {}", styles.dim("behind it:"), escape(&cause.says)));
    }
    if more > 0 {
        lines.push(format!("  {} {more} more", styles.dim("behind it:")));
    }
    for (object, why) in diagnosis.in_time.iter().take(SHOWN) {
        lines.push(format!(
            "{} {}: {}",
            styles.dim("in time:"),
            escape(&object.to_string()),
            escape(why)
        ));
    }
    if diagnosis.untouched > 0 {
        lines.push(format!(
            "{} {} not been asked to go yet",
            plural(diagnosis.untouched, "object"),
            if diagnosis.untouched == 1 { "has" } else { "have" }
        ));
    }
    lines.join("\n")
}

/// What nobody has seen: gone before, or mistyped.
pub fn absent(target: &Key, styles: &Styles) -> String {
    format!("there is no {}: nothing to do", name(target, styles))
}

fn name(target: &Key, styles: &Styles) -> String {
    styles.bold(&escape(&target.to_string()))
}

fn verdict(diagnosis: &Diagnosis, target: &Key, acted: bool, styles: &Styles) -> String {
    let name = name(target, styles);
    let age = |seconds: i64| human_duration(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    match &diagnosis.state {
        State::Gone => format!("{name} is gone"),
        State::Living => format!("{name} is not being deleted"),
        State::Unknown | State::Unseen(_) => format!("{name} cannot be seen"),
        State::Going(seconds) => {
            let count = groups(diagnosis.roots()).len();
            let why = match count {
                0 if !diagnosis.in_time.is_empty() => "it takes its time".to_owned(),
                0 if *seconds < BEGINS => "its deletion has just begun".to_owned(),
                0 if acted => "nothing holds it any more that could be found".to_owned(),
                0 => "nothing holds it that could be found".to_owned(),
                count => format!(
                    "{} it",
                    if count == 1 {
                        "1 cause holds".into()
                    } else {
                        format!("{count} causes hold")
                    }
                ),
            };
            format!("{name} has been Terminating for {}: {why}", age(*seconds))
        }
    }
}

/// One cause, or many that are alike.
fn of_group(group: &[&Cause], diagnosis: &Diagnosis, styles: &Styles) -> Vec<String> {
    let Some(cause) = group.first() else {
        return Vec::new();
    };
    let says = match (group.len(), &cause.actor) {
        (many @ 2.., Some(actor)) => {
            let subjects: Vec<&ObjRef> = group.iter().map(|c| &c.key.subject).collect();
            format!(
                "{} wait for {} to remove their finalizer {}: {}",
                plural(many, "object"),
                escape(&actor.who),
                escape(&cause.key.detail),
                names(&subjects)
            )
        }
        _ => escape(&cause.says),
    };
    let mut lines = vec![format!("{} {says}", styles.bad("*"))];
    if let Some(actor) = &cause.actor {
        let life = match actor.life {
            Life::Alive => styles.good("alive"),
            Life::Stalled => styles.warn("alive, but stalled"),
            Life::Dead => styles.bad("dead"),
            Life::Perhaps => styles.warn("may be alive"),
            Life::Unknown => styles.warn("not known"),
            Life::Unread => styles.warn("could not be looked at"),
        };
        let why = if actor.evidence.is_empty() {
            String::new()
        } else {
            format!(" ({})", escape(&actor.evidence))
        };
        lines.push(match (actor.who.as_str(), actor.life) {
            (SOMEBODY, Life::Unknown) => format!("    {}{why}", styles.warn("owner unknown")),
            (SOMEBODY, _) => format!("    owner unknown: {life}{why}"),
            (who, _) => format!("    {}: {life}{why}", escape(who)),
        });
    }
    lines.extend(cause.evidence.iter().map(|e| format!("    {}", escape(e))));
    let waiting = cause.holds.iter().filter(|o| **o != cause.key.subject);
    let waiting: Vec<&ObjRef> = waiting.collect();
    if !waiting.is_empty() {
        lines.push(format!("    {} {}", styles.dim("holds"), names(&waiting)));
    }
    let behind = diagnosis
        .causes
        .iter()
        .filter(|c| c.behind.contains(&cause.key))
        .count();
    if behind > 0 {
        lines.push(format!(
            "    {} {}",
            styles.dim("and with it"),
            plural(behind, "more cause")
        ));
    }
    lines.extend(cause.remedies.iter().map(|remedy| {
        // Bringing a controller back is one thing for all of them.
        let each = group.len() > 1 && matches!(remedy.mend, Some(Mend::Strip { .. }));
        let each = if each { styles.dim(" (each)") } else { String::new() };
        format!("{}{each}", of_remedy(remedy, styles))
    }));
    lines
}

/// The first few of them.
pub fn names(objects: &[&ObjRef]) -> String {
    let shown: Vec<String> = objects.iter().take(SHOWN).map(|o| escape(&o.to_string())).collect();
    match objects.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn of_remedy(remedy: &Remedy, styles: &Styles) -> String {
    // What only a person can do is not done whatever is allowed.
    let rung = if remedy.mend.is_some() {
        word(remedy.rung)
    } else {
        "by hand"
    };
    let risk = match remedy.risk {
        None | Some(Risk::Bookkeeping) => String::new(),
        Some(Risk::Orphans) => styles.warn(" [leaves objects behind]"),
        Some(Risk::External) => styles.warn(" [leaves something outside of the cluster]"),
        Some(Risk::Data) => styles.bad(" [loses data]"),
    };
    let leaves = match remedy.leaves.as_slice() {
        [] => String::new(),
        leaves => format!("; leaves {}", escape(&leaves.join(", "))),
    };
    let stays = match remedy.stays.as_slice() {
        [] => String::new(),
        stays => format!("; {} in the cluster", escape(&format!("{} stays", stays.join(", ")))),
    };
    let missing = match &remedy.missing {
        None => String::new(),
        Some(right) => styles.warn(&format!(" (you may not {})", escape(right))),
    };
    format!(
        "    {}{risk} {}{leaves}{stays}{missing}",
        styles.accent(&format!("{rung:<11}")),
        escape(&remedy.text)
    )
}

/// As `--force-up-to` spells it.
pub fn word(rung: Rung) -> &'static str {
    match rung {
        Rung::Wait => "wait",
        Rung::Repair => "repair",
        Rung::EvictUser => "evict-user",
        Rung::Narrow => "narrow",
        Rung::Neutralise => "neutralise",
        Rung::Strip => "strip",
        Rung::Finalize => "finalize",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_no_news() {
        let text =
            |age: &str| format!("ns has been Terminating for {age}: 3 causes hold it\n    renewed {age} ago; 5 pods");
        assert_eq!(ageless(&text("46s")), ageless(&text("2m10s")));
        assert_ne!(ageless("5 pods"), ageless("6 pods"));
    }
}
