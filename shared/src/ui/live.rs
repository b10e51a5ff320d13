//! The part of the terminal that is drawn again and again.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::text;

/// A block of lines below everything that is printed. Dropping it takes it away.
pub struct Live {
    bar: Option<ProgressBar>,
    width: usize,
}

impl Live {
    pub(super) fn new(area: Option<MultiProgress>, width: usize) -> Self {
        let bar = area.map(|area| {
            let bar = area.add(ProgressBar::new_spinner());
            // The template is a constant, so this can only fail in a test.
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, width }
    }

    /// Whether anything is shown at all. Callers print plain lines where it is not.
    pub fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// Draws these lines in place of the former ones. Lines that are too long are cut, never wrapped.
    pub fn set(&self, block: &str) {
        if let Some(bar) = &self.bar {
            let lines = block
                .lines()
                .map(|line| text::cut(&text::net(line, true), self.width.saturating_sub(1)));
            // After `clear` it begins anew.
            if bar.is_finished() {
                bar.reset();
            }
            bar.set_message(lines.collect::<Vec<_>>().join("\n"));
            bar.tick();
        }
    }

    /// Prints a line above the block. Unlike [`super::Ui::status`] it prints nothing where the block is not shown.
    pub fn println(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.println(text::net(line, true));
        }
    }

    /// Takes the block away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}
