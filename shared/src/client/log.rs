//! `-v`: which requests are sent, and how the connection is made. Never what is in them.
//!
//! kube-rs logs whole bodies that it cannot parse, Secrets among them, and at its most talkative level the headers of every
//! answer. So only what is listed here is shown, at any level.

use std::io::{self, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use crate::ui::{Ui, escape};

/// Targets that tell how a connection is made, and log neither headers nor bodies.
const CONNECTION: [&str; 4] = [
    "kube_client::client::builder",
    "hyper_util::client",
    "rustls::client",
    "tower",
];

/// Shows the requests on stderr from `-v 6` on, from `-v 8` on also what the libraries say about the connection, and more of that
/// from `-v 10` on. Below that nothing is logged. To be called once, first of all.
pub fn log_to_stderr(verbosity: u8, ui: &Ui) {
    let Some(shown) = shown(verbosity) else { return };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(Printer(ui.clone()))
        .with_ansi(false)
        .with_filter(shown);
    // A second call changes nothing, which is what a test that runs main twice wants.
    drop(tracing_subscriber::registry().with(layer).try_init());
}

fn shown(verbosity: u8) -> Option<Targets> {
    let ours = Targets::new().with_target("upkeep", LevelFilter::DEBUG);
    let connection = |level| ours.clone().with_targets(CONNECTION.map(|target| (target, level)));
    match verbosity {
        0..=5 => None,
        6..=7 => Some(ours),
        8..=9 => Some(connection(LevelFilter::DEBUG)),
        _ => Some(connection(LevelFilter::TRACE)),
    }
}

/// Hands lines to the only printer.
struct Printer(Ui);

impl<'a> MakeWriter<'a> for Printer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.0)
    }
}

/// One event: the layer writes each in one piece.
struct Line<'a>(&'a Ui);

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(text);
        self.0.status(&escape(line.trim_end_matches('\n')));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn r46_targets_that_log_bodies_or_headers_are_shown_at_no_level() {
        assert_eq!(shown(5), None);
        for verbosity in 6..=u8::MAX {
            let shown = shown(verbosity).unwrap();
            for target in [
                "kube_client::client",
                "kube_client::config",
                "hyper::proto::h1",
                "serde_json",
            ] {
                assert!(!shown.would_enable(target, &Level::ERROR), "{verbosity} {target}");
            }
            assert!(shown.would_enable("upkeep::client::session", &Level::DEBUG));
        }
    }

    #[test]
    fn r46_an_event_is_one_line_without_hidden_characters() {
        let (ui, captured) = Ui::captured();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(Printer(ui))
            .with_ansi(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!("GET /x\x1b[2J\nforged: line \u{202e}");
        });
        let text = captured.stderr();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("nforged: line \\u{202e}"), "{text}");
        assert!(!text.trim_end().chars().any(crate::ui::is_hidden), "{text}");
    }
}
