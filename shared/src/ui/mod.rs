//! The only printer. Results go to stdout, everything else to stderr.
//!
//! Text from a cluster passes [`escape`] where it enters a sentence. Whatever is printed passes one more net here, which
//! lets through line breaks, tabs and the colours of [`Styles`], so that a forgotten `escape` cannot move a cursor, retitle
//! a window or hide a line.

mod live;
mod shell;
mod sink;
mod style;
mod text;
mod words;

pub use live::Live;
pub use shell::{command, quoted};
pub use style::Styles;
pub(crate) use text::is_hidden;
pub use text::{Escaped, broken, escape};
pub use words::{human_duration, plural};

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;

use crate::error::{Error, Result};
use sink::{Out, Sinks, WriteFault};

/// The printer. Clones share everything.
#[derive(Clone)]
pub struct Ui {
    inner: Arc<Inner>,
}

struct Inner {
    sinks: Sinks,
    out_styles: Styles,
    err_styles: Styles,
    env: Environment,
}

/// What is known about the terminal, found out once at the start.
#[derive(Debug, Clone)]
struct Environment {
    stdin_tty: bool,
    stdout_tty: bool,
    stderr_tty: bool,
    color: bool,
    /// Redrawing needs a terminal that can move its cursor.
    dumb: bool,
    unicode: bool,
    width: usize,
    /// `COLUMNS`.
    given_width: Option<usize>,
}

/// Columns and lines of the terminal on stderr.
fn size() -> Option<(usize, usize)> {
    let (columns, lines) = terminal_size::terminal_size_of(std::io::stderr())?;
    Some((usize::from(columns.0), usize::from(lines.0))).filter(|(columns, lines)| *columns > 0 && *lines > 0)
}

impl Ui {
    /// Looks at the terminal and at `NO_COLOR` (its presence, even empty), `TERM`, `LC_ALL`, `LC_CTYPE`, `LANG` and `COLUMNS`.
    pub fn from_env() -> Self {
        let var = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let ttys = [
            std::io::stdin().is_terminal(),
            std::io::stdout().is_terminal(),
            std::io::stderr().is_terminal(),
        ];
        let columns = size().map(|(columns, _)| columns);
        let env = Environment::decide(ttys, columns, cfg!(windows), var);
        Self::with(env, Sinks::real())
    }

    /// A printer without a terminal that keeps what is printed, for tests.
    pub fn captured() -> (Self, Captured) {
        let env = Environment::decide([false; 3], None, false, |_| None);
        let sinks = Sinks::memory();
        let captured = Captured(sinks.clone());
        (Self::with(env, sinks), captured)
    }

    fn with(env: Environment, sinks: Sinks) -> Self {
        let styles = |tty: bool| {
            if tty && env.color {
                Styles::colored()
            } else {
                Styles::default()
            }
        };
        let (out_styles, err_styles) = (styles(env.stdout_tty), styles(env.stderr_tty));
        Self {
            inner: Arc::new(Inner {
                sinks,
                out_styles,
                err_styles,
                env,
            }),
        }
    }

    /// Prints a result to stdout and ends the line. After the reader has gone away nothing is printed any more.
    pub fn data(&self, line: &str) {
        self.inner
            .sinks
            .print(Out::Data, &text::net(line, self.inner.out_styles.is_colored()));
    }

    /// Prints one document to stdout. [`crate::output::document`] has escaped what is hidden in the way of its format; what was
    /// forgotten stops at the net.
    pub fn document(&self, text: &str) {
        self.inner
            .sinks
            .print(Out::Data, &text::net(text.trim_end_matches('\n'), false));
    }

    /// Prints progress, a preview or any other talk to stderr and ends the line.
    pub fn status(&self, line: &str) {
        self.inner
            .sinks
            .print(Out::Talk, &text::net(line, self.inner.err_styles.is_colored()));
    }

    /// Prints `Warning: TEXT` to stderr.
    pub fn warning(&self, text: &str) {
        self.paragraph(&format!("{} {text}", self.styles().warn("Warning:")));
    }

    /// Prints `Note: TEXT` to stderr.
    pub fn note(&self, text: &str) {
        self.paragraph(&format!("{} {text}", self.styles().dim("Note:")));
    }

    /// Prints `  hint: TEXT` to stderr, below what it belongs to.
    pub fn hint(&self, text: &str) {
        self.paragraph(&format!("  {} {}", self.styles().accent("hint:"), escape(text)));
    }

    /// Prints an error: its sentence, then why, then what can be done.
    pub fn error(&self, error: &Error) {
        let styles = self.styles();
        let headline = error.headline();
        // Only the label is coloured, the sentence must be easy to read and to copy.
        let label = ["error:", "Error from server"]
            .into_iter()
            .find(|label| headline.starts_with(label))
            .unwrap_or("");
        self.paragraph(&format!("{}{}", styles.bad(label), escape(&headline[label.len()..])));
        for cause in error.causes() {
            self.paragraph(&format!("  {} {}", styles.dim("cause:"), escape(cause)));
        }
        error.hints().iter().for_each(|hint| self.hint(hint));
    }

    /// Prints a text that is to be read: [`Ui::status`], broken between words on a terminal.
    pub fn paragraph(&self, text: &str) {
        self.status(&self.broken(text));
    }

    fn broken(&self, text: &str) -> String {
        let env = &self.inner.env;
        if !env.stderr_tty {
            return text.to_owned();
        }
        text::broken(text, env.width)
    }

    /// Asks on stderr, `QUESTION (y/N): `, and reads one line from stdin. Only `y` and `yes` mean yes; the end of the input
    /// means no. Whether there is a terminal to ask on is the caller's question, see [`Ui::is_stdin_tty`].
    ///
    /// This blocks the thread.
    pub fn confirm(&self, question: &str) -> Result<bool> {
        let answer = self.ask(&format!("{question} (y/N):"))?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// The same for what a yes is too easily given: the name of what it is about has to be typed.
    ///
    /// This blocks the thread.
    pub fn confirm_by_name(&self, question: &str, name: &str) -> Result<bool> {
        Ok(self.ask(&format!("{question}:"))?.trim() == name)
    }

    fn ask(&self, question: &str) -> Result<String> {
        let question = format!("{} ", self.broken(question));
        self.inner
            .sinks
            .ask(&text::net(&question, self.inner.err_styles.is_colored()));
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.map_err(|error| Error::failed("cannot read the answer").caused_by(error))?;
        if !answer.ends_with('\n') {
            self.status("");
        }
        Ok(answer)
    }

    /// A block of lines at the bottom of the terminal that is drawn again and again. Prints nothing where stderr is no
    /// terminal that can do it.
    pub fn live(&self) -> Live {
        Live::new(
            self.can_redraw().then(|| self.inner.sinks.clone()),
            self.inner.env.given_width,
        )
    }

    /// Waits until everything up to now is printed, however long that takes.
    pub fn flush(&self) {
        self.inner.sinks.flush();
    }

    /// Ends when everything up to now is printed. A terminal that was stopped takes its time.
    pub async fn printed(&self) {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.inner.sinks.run(move || {
            let _ = done.send(());
        });
        let _ = wait.await;
    }

    /// Styles for stderr; plain where it has no colour.
    pub fn styles(&self) -> &Styles {
        &self.inner.err_styles
    }

    /// Styles for stdout; plain where it has no colour.
    pub fn out_styles(&self) -> &Styles {
        &self.inner.out_styles
    }

    /// Whether somebody can be asked.
    pub fn is_stdin_tty(&self) -> bool {
        self.inner.env.stdin_tty
    }

    /// Whether results go to a terminal.
    pub fn is_stdout_tty(&self) -> bool {
        self.inner.env.stdout_tty
    }

    /// Whether a block of lines can be drawn again and again.
    pub fn can_redraw(&self) -> bool {
        self.inner.env.stderr_tty && !self.inner.env.dumb
    }

    /// Columns of the terminal; 80 where there is none.
    pub fn width(&self) -> usize {
        self.inner.env.width
    }

    /// Whether characters beyond ASCII can be shown.
    pub fn unicode(&self) -> bool {
        self.inner.env.unicode
    }

    /// Whether the reader of stdout has gone away.
    pub fn stdout_is_gone(&self) -> bool {
        self.inner.sinks.fault() == Some(&WriteFault::ReaderGone)
    }

    /// Why results could not be written to stdout, where that is a fault: a full disk, not a reader that went away.
    pub fn stdout_error(&self) -> Option<Error> {
        match self.inner.sinks.fault() {
            Some(WriteFault::Other(why)) => Some(Error::failed("cannot write to standard output").caused_by(why)),
            _ => None,
        }
    }
}

/// What a printer of [`Ui::captured`] printed.
#[derive(Clone)]
pub struct Captured(Sinks);

impl Captured {
    /// Everything printed to stdout so far.
    pub fn stdout(&self) -> String {
        self.0.kept(Out::Data)
    }

    /// Everything printed to stderr so far.
    pub fn stderr(&self) -> String {
        self.0.kept(Out::Talk)
    }
}

impl Environment {
    fn decide(
        [stdin_tty, stdout_tty, stderr_tty]: [bool; 3],
        columns: Option<usize>,
        windows: bool,
        var: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let dumb = var("TERM").is_some_and(|term| term == "dumb");
        // A terminal of which nothing is known may not be able to move its cursor.
        let unknown = !windows && set("TERM").is_none();
        // kubectl's rule: the old Windows console shows escape sequences as text, Windows Terminal announces itself.
        let able = !windows || set("WT_SESSION").is_some();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(set)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        let given = set("COLUMNS")
            .and_then(|columns| columns.parse().ok())
            .filter(|columns| *columns > 0);
        Self {
            stdin_tty,
            stdout_tty,
            stderr_tty,
            color: able && !dumb && var("NO_COLOR").is_none(),
            dumb: dumb || unknown || !able,
            unicode: if windows { able } else { utf8 },
            width: given.or(columns).unwrap_or(80),
            given_width: given,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(vars: &[(&str, &str)]) -> Environment {
        let var = |name: &str| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Environment::decide([true; 3], Some(100), false, var)
    }

    #[test]
    fn the_environment_decides_about_colour_and_letters() {
        assert!(decide(&[]).color);
        assert!(!decide(&[("NO_COLOR", "")]).color);
        assert!(!decide(&[("TERM", "dumb")]).color);
        assert!(!decide(&[]).unicode);
        assert!(decide(&[("LANG", "de_DE.UTF-8")]).unicode);
        assert!(!decide(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]).unicode);
        assert!(decide(&[("LC_ALL", ""), ("LANG", "C.utf8")]).unicode);
        assert_eq!(decide(&[]).width, 100);
        assert_eq!(decide(&[("COLUMNS", "60")]).width, 60);
    }

    #[test]
    fn an_error_is_shown_with_cause_and_hint() {
        let (ui, captured) = Ui::captured();
        ui.error(&Error::failed("cannot \x1b[2Jread").caused_by("disk").hint("look"));
        assert_eq!(
            captured.stderr(),
            "error: cannot ^[[2Jread\n  cause: disk\n  hint: look\n"
        );
        assert_eq!(captured.stdout(), "");
    }

    #[test]
    fn data_and_talk_are_apart() {
        let (ui, captured) = Ui::captured();
        ui.data("node/a cordoned");
        ui.warning("deprecated");
        ui.live().set("never seen");
        assert_eq!(captured.stdout(), "node/a cordoned\n");
        assert_eq!(captured.stderr(), "Warning: deprecated\n");
    }
}
