//! README.md and README.zh-CN.md say the same.

use crate::read;

/// What must be equal in both: how deep the headings are, the commands, the links, and how long the tables are.
#[derive(Debug, PartialEq, Eq)]
struct Outline {
    headings: Vec<usize>,
    commands: Vec<String>,
    links: Vec<String>,
    rows: usize,
}

fn outline(text: &str) -> Outline {
    let depth = |line: &str| {
        line.find(|c| c != '#')
            .filter(|depth| *depth > 0 && line[*depth..].starts_with(' '))
    };
    // A block of commands is indented; what stands behind `#` is for the reader.
    let command = |line: &str| {
        let command = line.strip_prefix("    ")?.split(" # ").next()?.trim_end();
        (!command.is_empty() && !command.starts_with('#')).then(|| command.trim().to_owned())
    };
    let link = regex::Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut links: Vec<String> = link.captures_iter(text).map(|found| found[1].to_owned()).collect();
    // Each leads to the other.
    links.retain(|link| !link.starts_with("README"));
    links.sort();
    Outline {
        headings: text.lines().filter_map(depth).collect(),
        commands: text.lines().filter_map(command).collect(),
        links,
        rows: text.lines().filter(|line| line.starts_with('|')).count(),
    }
}

#[test]
fn both_readmes_are_in_step() {
    let (english, chinese) = (read("README.md"), read("README.zh-CN.md"));
    let expected = outline(&english);
    assert!(
        expected.headings.len() > 3 && expected.commands.len() > 10,
        "{expected:?}"
    );
    assert_eq!(expected, outline(&chinese));
    assert!(english.contains("](README.zh-CN.md)") && chinese.contains("](README.md)"));
}

#[test]
fn what_differs_is_seen() {
    let text = "# a\n\n    make x  # why\n\n[b](c)\n| d |\n";
    for other in [
        text.replace("# a", "## a"),
        text.replace("make x", "make y"),
        text.replace("(c)", "(d)"),
        text.replace("| d |", ""),
    ] {
        assert_ne!(outline(text), outline(&other), "{other}");
    }
    assert_eq!(
        outline(text),
        outline(&text.replace("why", "warum").replace("# a", "# \u{7532}"))
    );
}
