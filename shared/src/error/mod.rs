//! The one error type: what failed, why, what to do about it, and the exit code.
//!
//! An [`Error`] holds finished sentences. Whatever a library reported is put into words where it happened (see
//! [`api`] and [`transport`]), so that no `Debug` output can reach a user.

mod api;
mod exit;
mod tls;
mod transport;

pub(crate) use api::{DEFAULT_SERVER, not_kubernetes};
pub use api::{describe, from_kube, is_transient, status};
pub use exit::Exit;
pub(crate) use tls::CertificateFault;
pub(crate) use transport::ViaProxy;
pub use transport::{NoAnswer, TooLarge, Wait, is_too_large};

use std::fmt;

/// A result whose error can be shown to a user as it is.
pub type Result<T> = std::result::Result<T, Error>;

/// What is shown to a user when something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    exit: Exit,
    /// The complete first line, `error: ...` or one of kubectl's own beginnings.
    headline: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl Error {
    /// An error whose first line is `error: MESSAGE`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::verbatim(exit, format!("{PREFIX}{}", message.into()))
    }

    /// An error whose first line is given in full, for the sentences of kubectl that do not begin with `error:`.
    pub fn verbatim(exit: Exit, headline: impl Into<String>) -> Self {
        Self {
            exit,
            headline: headline.into(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Something did not work: exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command line does not make sense: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A safety rule said no and nothing was changed: exit code 3.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// Adds why it failed. Causes are kept in the order in which they are added, the nearest first; one that only repeats
    /// what was said before it is left out.
    pub fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        let said = self.causes.last().map_or(self.to_string(), Clone::clone);
        if !cause.is_empty() && !said.ends_with(&cause) {
            self.causes.push(cause);
        }
        self
    }

    /// Adds what a person can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !hint.is_empty() && !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
        self
    }

    /// Changes the exit code and keeps the words.
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The exit code that goes with this error.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The first line as it is printed: `Error from server (NotFound): ...` or `error: ...`.
    pub fn headline(&self) -> &str {
        &self.headline
    }

    /// Why it failed, nearest cause first.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// What a person can do about it.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

const PREFIX: &str = "error: ";

/// The sentence without `error: `, for use inside another message.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.headline.strip_prefix(PREFIX).unwrap_or(&self.headline))
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_has_a_beginning_and_the_sentence_has_none() {
        let error = Error::failed("cannot read nodes");
        assert_eq!(error.headline(), "error: cannot read nodes");
        assert_eq!(error.to_string(), "cannot read nodes");
        assert_eq!(error.exit(), Exit::Failed);
        let error = Error::verbatim(Exit::Failed, "Error from server (NotFound): x");
        assert_eq!(error.to_string(), "Error from server (NotFound): x");
    }

    #[test]
    fn repeated_causes_and_hints_are_said_once() {
        let error = Error::refused("no: disk full")
            .caused_by("disk full")
            .caused_by("quota")
            .caused_by("quota")
            .hint("a")
            .hint("a");
        assert_eq!(error.causes(), ["quota"]);
        assert_eq!(error.hints(), ["a"]);
    }
}
