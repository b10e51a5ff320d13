//! `Warning:` headers (RFC 7234): the API server says so when something is deprecated or when a policy warns.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;

use crate::ui::{Ui, escape};

/// Shows each warning once per run, as kubectl does.
pub(super) struct Warnings {
    ui: Ui,
    seen: Mutex<HashSet<String>>,
}

impl Warnings {
    pub(super) fn new(ui: Ui) -> Self {
        Self {
            ui,
            seen: Mutex::default(),
        }
    }

    pub(super) fn show(&self, headers: &HeaderMap) {
        for value in headers.get_all(http::header::WARNING) {
            for text in parse(&String::from_utf8_lossy(value.as_bytes())) {
                self.say(&text);
            }
        }
    }

    /// Shows one, unless it was shown before.
    pub(super) fn say(&self, text: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.insert(text.to_owned()) {
            self.ui.warning(&escape(text));
        }
    }
}

/// The texts in one header: `299 - "text"`, maybe with a date, maybe several with commas between. Only code 299 is for people.
fn parse(header: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = header;
    while let Some(entry) = entry(rest) {
        let (code, text, tail) = entry;
        if code == "299" && !text.is_empty() {
            texts.push(text);
        }
        rest = tail;
    }
    texts
}

/// Code, text and what comes after the next comma. `None` at the end, and where the header is no warning.
fn entry(header: &str) -> Option<(&str, String, &str)> {
    let header = header.trim_start_matches([' ', '\t', ',']);
    let (code, rest) = header.split_once(' ')?;
    let (_agent, rest) = rest.trim_start().split_once(' ')?;
    let (text, tail) = quoted(rest.trim_start())?;
    // An optional date is a quoted string as well.
    let tail = quoted(tail.trim_start()).map_or(tail, |(_, tail)| tail);
    Some((code, text, tail))
}

/// A quoted string with backslashes before quotes and backslashes, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &body[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_as_the_standard_says() {
        let cases: [(&str, &[&str]); 7] = [
            ("299 - \"old\"", &["old"]),
            ("299 - \"a \\\"b\\\" \\\\c\"", &["a \"b\" \\c"]),
            ("299 - \"one\", 299 host:80 \"two, three\"", &["one", "two, three"]),
            (
                "299 - \"dated\" \"Sat, 25 Aug 2012 23:34:45 GMT\",299 - \"next\"",
                &["dated", "next"],
            ),
            ("214 - \"for machines\"", &[]),
            ("299 - \"open", &[]),
            ("", &[]),
        ];
        for (header, expected) in cases {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    #[test]
    fn each_is_shown_once_and_escaped() {
        let (ui, captured) = Ui::captured();
        let warnings = Warnings::new(ui);
        let mut headers = HeaderMap::new();
        headers.append(
            http::header::WARNING,
            "299 - \"v1 Endpoints is deprecated\"".parse().unwrap(),
        );
        headers.append(
            http::header::WARNING,
            http::HeaderValue::from_bytes(b"299 - \"\xc2\x9b2J\"").unwrap(),
        );
        warnings.show(&headers);
        warnings.show(&headers);
        assert_eq!(
            captured.stderr(),
            "Warning: v1 Endpoints is deprecated\nWarning: \\u{9b}2J\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_header_stops_the_reader(header in "(299 - |\"|\\\\|,| |a){0,20}", other in ".*") {
            parse(&header);
            parse(&other);
        }
    }
}
