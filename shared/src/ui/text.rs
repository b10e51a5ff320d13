//! Text that comes from elsewhere must not control the terminal.

use std::fmt::{self, Write};

/// Makes text from the cluster safe to print inside a line: ESC becomes `^[` and CR `\r` as in kubectl, and every other
/// character that moves something, draws nothing or changes the direction of writing becomes visible.
pub fn escape(text: &str) -> String {
    Escaped(text).to_string()
}

/// [`escape`] for use in a format string: `format!("{}", Escaped(name))`.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| write_visible(f, c))
    }
}

fn write_visible(out: &mut impl Write, c: char) -> fmt::Result {
    match c {
        '\x1b' => out.write_str("^["),
        '\r' => out.write_str("\\r"),
        '\n' => out.write_str("\\n"),
        '\t' => out.write_str("\\t"),
        c if is_hidden(c) => write!(out, "\\u{{{:x}}}", u32::from(c)),
        c => out.write_char(c),
    }
}

/// Whether a character controls the terminal or the layout of text, or draws nothing, so that two names which look the same
/// can differ: Unicode's general categories Cc (U+009B alone starts a sequence on some terminals), Cf, Zl and Zp, and
/// its property `Default_Ignorable_Code_Point`.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The last net before the terminal: line breaks and tabs pass, and our own colours where there are any.
pub(super) fn net(text: &str, colors: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let color = if colors && c == '\x1b' { color_len(rest) } else { 0 };
        if color > 0 {
            safe.push_str(&rest[..color]);
            rest = &rest[color..];
            continue;
        }
        if matches!(c, '\n' | '\t') {
            safe.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write_visible(&mut safe, c);
        }
        rest = &rest[c.len_utf8()..];
    }
    safe
}

/// The length of the colour sequence at the start of `text`, 0 if there is none. Only the codes that [`super::Styles`] uses:
/// others could hide text.
fn color_len(text: &str) -> usize {
    const OURS: [&str; 8] = ["0", "1", "2", "31", "32", "33", "36", "39"];
    let Some(body) = text.strip_prefix("\x1b[") else {
        return 0;
    };
    match body.find('m') {
        Some(end) if body[..end].split(';').all(|code| OURS.contains(&code)) => 2 + end + 1,
        _ => 0,
    }
}

/// Breaks lines of prose between words; a word that is longer than a line, or has a hyphen, stays whole, and so does a command
/// in quotes, which somebody may want to copy. What goes on on the next line stands as far from the edge as the text of the first.
pub fn broken(text: &str, width: usize) -> String {
    let lines = text.split('\n').map(|line| {
        let indent = " ".repeat(indent(line));
        let options = textwrap::Options::new(width.saturating_sub(1).max(1))
            .break_words(false)
            .word_separator(textwrap::WordSeparator::Custom(words))
            .subsequent_indent(&indent)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        textwrap::fill(line, options)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What begins a command in quotes.
const COMMAND: &str = "'kubectl ";

/// The words of a line, a command in quotes as one of them.
fn words(line: &str) -> Box<dyn Iterator<Item = textwrap::core::Word<'_>> + '_> {
    let mut rest = line;
    Box::new(std::iter::from_fn(move || {
        let quoted = rest.strip_prefix(COMMAND).and_then(|command| command.find('\''));
        let from = quoted.map_or(0, |end| COMMAND.len() + end);
        // Up to the next word, with the blanks before that.
        let blank = from + rest.get(from..)?.find(' ').unwrap_or(rest.len() - from);
        let blanks = rest.get(blank..)?;
        let end = blank + blanks.len() - blanks.trim_start_matches(' ').len();
        let (word, next) = rest.split_at(end);
        rest = next;
        (!word.is_empty()).then(|| textwrap::core::Word::from(word))
    }))
}

/// How far into a line a label may reach.
const LABEL: usize = 20;

/// Where the text of a line begins: after its blanks, after the mark of an item, and after a label that stands in a column of
/// its own, two blanks or more before the text.
fn indent(line: &str) -> usize {
    let mut rest = line;
    let (mut column, mut blanks) = (0, 0);
    let mut text = None;
    while let Some(c) = rest.chars().next() {
        let color = color_len(rest);
        if color > 0 {
            rest = &rest[color..];
            continue;
        }
        match (c, text) {
            (' ', _) => blanks += 1,
            ('*', None) => {}
            (_, None) => {
                text = Some(column);
                blanks = 0;
            }
            (_, Some(_)) if blanks >= 2 && column <= LABEL => return column,
            (_, Some(_)) => blanks = 0,
        }
        column += 1;
        rest = &rest[c.len_utf8()..];
    }
    text.unwrap_or(0)
}

/// Cuts a line to so many characters and leaves its colours whole.
pub(super) fn cut(line: &str, width: usize) -> String {
    let dots = if letters(line) > width && width > DOTS.len() {
        DOTS
    } else {
        ""
    };
    let width = width - dots.len();
    let mut shown = 0;
    let mut short = String::new();
    let mut rest = line;
    let mut colored = false;
    while let Some(c) = rest.chars().next() {
        let color = color_len(rest);
        if color > 0 {
            short.push_str(&rest[..color]);
            rest = &rest[color..];
            colored = true;
            continue;
        }
        if shown == width {
            // A line that just fits goes on to its end, for its colours.
            if dots.is_empty() && letters(rest) == 0 {
                short.push_str(rest);
                break;
            }
            short.push_str(dots);
            if colored {
                short.push_str("\x1b[0m");
            }
            break;
        }
        short.push(c);
        shown += 1;
        rest = &rest[c.len_utf8()..];
    }
    short
}

/// Stands where a line was cut.
const DOTS: &str = "...";

/// What is seen of a line: not its colours.
fn letters(line: &str) -> usize {
    let mut count = 0;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let color = color_len(rest);
        count += usize::from(color == 0);
        rest = &rest[if color > 0 { color } else { c.len_utf8() }..];
    }
    count
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_broken_between_words() {
        assert_eq!(broken("is node/a-very-long off?", 12), "is\nnode/a-very-long\noff?");
        assert_eq!(broken("one two three", 9), "one two\nthree");
        // What follows a label goes on below the text, not below the label.
        assert_eq!(broken("  do  one two", 11), "  do  one\n      two");
        assert_eq!(broken("first\nsecond", 80), "first\nsecond");
        assert_eq!(broken("word", 0), "word");
        let command = "run 'kubectl evacuate a --uncordon', or wait";
        assert_eq!(broken(command, 16), "run\n'kubectl evacuate a --uncordon',\nor wait");
        assert_eq!(broken("a 'kubectl and no end", 9), "a\n'kubectl\nand no\nend");
        assert_eq!(broken("  one two three", 11), "  one two\n  three");
        assert_eq!(
            broken("\x1b[31m*\x1b[0m one two three", 11),
            "\x1b[31m*\x1b[0m one two\n  three"
        );
    }

    #[test]
    fn nothing_that_controls_a_terminal_survives() {
        let cases = [
            ("plain-name", "plain-name"),
            ("\x1b[31mred", "^[[31mred"),
            ("a\rb\nc\td", "a\\rb\\nc\\td"),
            ("bell\x07", "bell\\u{7}"),
            ("c1\u{9b}2J", "c1\\u{9b}2J"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
            ("größe 節点", "größe 節点"),
            (
                "a\u{200b}b\u{200f}c\u{61c}d\u{ad}e",
                "a\\u{200b}b\\u{200f}c\\u{61c}d\\u{ad}e",
            ),
            ("tag\u{e0041}", "tag\\u{e0041}"),
        ];
        for (text, expected) in cases {
            assert_eq!(escape(text), expected);
        }
    }

    #[test]
    fn the_net_lets_only_our_colours_through() {
        assert_eq!(net("\x1b[32mok\x1b[0m\n\tx", true), "\x1b[32mok\x1b[0m\n\tx");
        assert_eq!(net("\x1b[33;1mok\x1b[0m", true), "\x1b[33;1mok\x1b[0m");
        assert_eq!(net("\x1b[32mok", false), "^[[32mok");
        assert_eq!(
            net("\x1b[8mhidden\x1b[2Jgone\x1b]0;title\x07", true),
            "^[[8mhidden^[[2Jgone^[]0;title\\u{7}"
        );
        assert_eq!(net("\x1b[", true), "^[[");
    }

    #[test]
    fn lines_are_cut_between_colours() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("abcdef", 5), "ab...");
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("\x1b[32mabcdef\x1b[0m", 5), "\x1b[32mab...\x1b[0m");
        assert_eq!(cut("\x1b[32mabc\x1b[0m", 3), "\x1b[32mabc\x1b[0m");
        assert_eq!(cut("\x1b[32mabcdef\x1b[0m", 3), "\x1b[32mabc\x1b[0m");
        assert_eq!(cut("äöü", 3), "äöü");
    }

    /// The table of ranges against the Unicode data of another crate, character by character.
    #[test]
    fn r50_hidden_characters_are_those_of_unicode() {
        let hidden = regex::Regex::new(r"^[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]$").unwrap();
        let mut buffer = [0; 4];
        for c in '\0'..=char::MAX {
            assert_eq!(
                is_hidden(c),
                hidden.is_match(c.encode_utf8(&mut buffer)),
                "U+{:04X}",
                u32::from(c)
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn r50_no_hidden_character_gets_through(text in "\\PC*|.*|[\\x00-\\x9f]*|[\\p{Cc}\\p{Cf}a-z]*") {
            let harmless = |c: char| !is_hidden(c) || matches!(c, '\n' | '\t');
            proptest::prop_assert!(!escape(&text).chars().any(is_hidden));
            proptest::prop_assert!(net(&text, false).chars().all(harmless));
            let without_colours = net(&text, true).replace('\x1b', "");
            proptest::prop_assert!(without_colours.chars().all(harmless));
            proptest::prop_assert!(cut(&text, 10).len() <= text.len() + "\x1b[0m".len());
        }
    }
}
