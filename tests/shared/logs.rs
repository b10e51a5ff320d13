//! What `-v` shows, and what it never shows.

use crate::bench::{answer, probe, probe_with, server_that_says};

/// Each level with more than nothing.
const LEVELS: [&str; 3] = ["6", "8", "10"];

#[test]
fn r46_a_body_that_cannot_be_parsed_is_not_logged() {
    let body = r#"{"kind":"Secret","data":{"password":"aHVudGVyMg=="},"items":[{"metadata":7}]}"#;
    for (status, body) in [
        ("200 OK", body),
        ("500 Internal Server Error", body),
        ("403 Forbidden", "hunter2"),
    ] {
        let server = format!("http://{}", server_that_says(answer(status, "application/json", body)));
        for level in LEVELS {
            let ran = probe(&["-s", &server, "-v", level]);
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(
                ran.stderr.contains(&format!("{status} in ")),
                "the request is shown: {ran:?}"
            );
            let shown = ["aHVudGVyMg", "hunter2"]
                .iter()
                .find(|secret| ran.stderr.contains(**secret));
            // What the server says of a refusal is its message, and belongs to the error alone.
            let lines = ran
                .stderr
                .lines()
                .filter(|line| shown.is_some_and(|secret| line.contains(*secret)));
            assert_eq!(
                lines
                    .filter(|line| line.contains("upkeep") || line.contains("kube"))
                    .count(),
                0,
                "{ran:?}"
            );
            assert!(!ran.stderr.contains("aHVudGVyMg"), "{ran:?}");
        }
    }
}

#[test]
fn r46_credentials_and_headers_are_not_logged() {
    for level in LEVELS {
        let ran = probe(&["--token", "t0ken-of-the-test", "-v", level]);
        assert!(ran.stderr.contains("/api/v1/nodes"), "{ran:?}");
        assert!(!ran.stderr.contains("t0ken-of-the-test"), "{ran:?}");
        assert!(!ran.stderr.to_ascii_lowercase().contains("audit-id"), "{ran:?}");
    }
}

#[test]
fn r46_lines_of_the_log_go_through_the_printer() {
    // The path has a name from the command line, with a character that moves the cursor.
    let ran = probe_with(&["-v", "8", "a\u{9b}2J\u{202e}b"], &[]);
    assert!(ran.stderr.contains("/api/v1/nodes/a"), "{ran:?}");
    assert!(!ran.stderr.contains(['\u{9b}', '\u{202e}', '\x1b']), "{ran:?}");
}
