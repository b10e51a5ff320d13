//! PEM as Go's `encoding/pem` reads it: text around the blocks is skipped, and so is a block that is damaged.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Go does not look at the bits behind the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// `CERTIFICATE`, `EC PRIVATE KEY`.
    pub label: String,
    /// Whether it has headers (`Proc-Type: 4,ENCRYPTED`).
    pub headers: bool,
    pub der: Vec<u8>,
}

/// All blocks, in their order.
pub(super) fn blocks(mut data: &[u8]) -> Vec<Block> {
    let mut found = Vec::new();
    // Up to the first END line, and from the last BEGIN line before it.
    while let Some(end) = position(data, END) {
        let after = end + END.len();
        match block(data, end) {
            Some((block, length)) => {
                found.push(block);
                data = &data[after + length..];
            }
            None => data = &data[after..],
        }
    }
    found
}

/// The certificates: blocks of that label without headers, as Go's `AppendCertsFromPEM` takes them.
pub(super) fn certificates(data: &[u8]) -> Vec<Vec<u8>> {
    let plain = |block: &Block| block.label == "CERTIFICATE" && !block.headers;
    let found = blocks(data).into_iter().filter(plain);
    found.map(|block| block.der).collect()
}

/// The block whose END line begins at `end`, and how long the rest of that line is.
fn block(data: &[u8], end: usize) -> Option<(Block, usize)> {
    let begin = last_position(&data[..end], BEGIN)?;
    if begin > 0 && data[begin - 1] != b'\n' {
        return None;
    }
    let (first, mut body) = line(&data[begin + BEGIN.len()..]);
    let label = first.strip_suffix(DASHES)?;
    let body_end = |body: &[u8]| (end + body.len()).checked_sub(data.len());
    let mut headers = false;
    while !body.is_empty() {
        let (header, rest) = line(body);
        if !header.contains(&b':') {
            break;
        }
        headers = true;
        body = rest;
    }
    // An empty block ends where its first line does, which is before the body.
    let length = match body_end(body) {
        Some(length) => length,
        None if headers => return None,
        None => 0,
    };
    let tail = data[end + END.len()..].strip_prefix(label)?.strip_prefix(DASHES)?;
    let (nothing, rest) = line(tail);
    if !nothing.is_empty() {
        return None;
    }
    let text: Vec<u8> = body[..length]
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .collect();
    let block = Block {
        label: String::from_utf8_lossy(label).into_owned(),
        headers,
        der: BASE64.decode(text).ok()?,
    };
    Some((block, data.len() - rest.len() - end - END.len()))
}

/// The first line without the blanks at its end, and what comes after it.
fn line(data: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let length = line
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .map_or(0, |at| at + 1);
    (&line[..length], rest)
}

fn position(data: &[u8], part: &[u8]) -> Option<usize> {
    data.windows(part.len()).position(|window| window == part)
}

fn last_position(data: &[u8], part: &[u8]) -> Option<usize> {
    data.windows(part.len()).rposition(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        let found = blocks(text.as_bytes()).into_iter();
        found
            .map(|block| format!("{}:{}", block.label, String::from_utf8_lossy(&block.der)))
            .collect()
    }

    #[test]
    fn blocks_are_found_as_go_finds_them() {
        let a = "-----BEGIN A-----\nb25l\n-----END A-----\n";
        let b = "-----BEGIN B-----\ndHdv\n-----END B-----\n";
        let cases: [(String, &[&str]); 16] = [
            (format!("{a}{b}"), &["A:one", "B:two"]),
            (
                format!("Bag Attributes\n    friendlyName: x\n{a}# text\n{b}garbage"),
                &["A:one", "B:two"],
            ),
            (format!("{a}{b}").replace('\n', "\r\n"), &["A:one", "B:two"]),
            (a.trim_end().to_owned(), &["A:one"]),
            (a.replace("b25l", "b2\n 5l\t"), &["A:one"]),
            // Not at the beginning of a line.
            (format!(" {a}{b}"), &["B:two"]),
            (format!("\u{feff}{a}{b}"), &["B:two"]),
            // No end, or another one: only the next is found.
            (format!("-----BEGIN A-----\nb25l\n{b}"), &["B:two"]),
            (a.replace("END A", "END C") + b, &["B:two"]),
            (a.replace("END A-----", "END A----- x") + b, &["B:two"]),
            (a.replace("b25l", "b25") + b, &["B:two"]),
            (a.replace("BEGIN A-----", "BEGIN A") + b, &["B:two"]),
            (format!("{a}-----BEGIN C-----\nb25l"), &["A:one"]),
            ("-----BEGIN E-----\n-----END E-----\n".to_owned(), &["E:"]),
            ("-----BEGIN H-----\nX: y\n-----END H-----\n".to_owned(), &[]),
            (String::new(), &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(labels(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_certificate_has_no_headers() {
        let text = "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n\nb25l\n-----END CERTIFICATE-----\n\
                    -----BEGIN CERTIFICATE-----\ndHdv\n-----END CERTIFICATE-----\n";
        assert_eq!(labels(text), ["CERTIFICATE:one", "CERTIFICATE:two"]);
        assert_eq!(certificates(text.as_bytes()), [b"two".to_vec()]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_stops_the_reader(text in "(-----BEGIN |-----END |A-----|\n|\r|:| |b25l|.){0,30}") {
            blocks(text.as_bytes());
        }
    }
}
