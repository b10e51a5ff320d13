//! Colours by meaning. Plain by default, so that text can be rendered in tests and files without a thought.

use owo_colors::{OwoColorize, Style};

/// One style per meaning.
#[derive(Debug, Clone, Default)]
pub struct Styles {
    bold: Style,
    dim: Style,
    good: Style,
    warn: Style,
    bad: Style,
    accent: Style,
    colored: bool,
}

impl Styles {
    pub(super) fn colored() -> Self {
        Self {
            bold: Style::new().bold(),
            dim: Style::new().dimmed(),
            good: Style::new().green(),
            warn: Style::new().yellow().bold(),
            bad: Style::new().red().bold(),
            accent: Style::new().cyan(),
            colored: true,
        }
    }

    /// Whether these styles do anything.
    pub fn is_colored(&self) -> bool {
        self.colored
    }

    /// The subject of a line.
    pub fn bold(&self, text: &str) -> String {
        paint(text, self.bold)
    }

    /// What may be overlooked.
    pub fn dim(&self, text: &str) -> String {
        paint(text, self.dim)
    }

    /// What went well.
    pub fn good(&self, text: &str) -> String {
        paint(text, self.good)
    }

    /// What needs attention.
    pub fn warn(&self, text: &str) -> String {
        paint(text, self.warn)
    }

    /// What went wrong.
    pub fn bad(&self, text: &str) -> String {
        paint(text, self.bad)
    }

    /// Hints, and words to be typed.
    pub fn accent(&self, text: &str) -> String {
        paint(text, self.accent)
    }
}

fn paint(text: &str, style: Style) -> String {
    if text.is_empty() {
        String::new()
    } else {
        text.style(style).to_string()
    }
}
