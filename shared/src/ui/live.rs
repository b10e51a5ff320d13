//! The part of the terminal that is drawn again and again.

use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::sink::Sinks;
use super::{size, text};

/// A block of lines below everything that is printed. Dropping it takes it away.
pub struct Live {
    sinks: Option<Sinks>,
    /// Made by the thread that draws, when it first does.
    bar: Arc<Mutex<Option<ProgressBar>>>,
    /// What to go by where the terminal does not tell, or `COLUMNS` says otherwise.
    width: Option<usize>,
}

impl Live {
    pub(super) fn new(sinks: Option<Sinks>, width: Option<usize>) -> Self {
        Self {
            sinks,
            bar: Arc::default(),
            width,
        }
    }

    /// Whether anything is shown at all. Callers print plain lines where it is not.
    pub fn is_shown(&self) -> bool {
        self.sinks.is_some()
    }

    /// Columns and lines of the terminal as it is now.
    pub fn size(&self) -> (usize, usize) {
        let (columns, lines) = size().unwrap_or((80, 24));
        (self.width.unwrap_or(columns), lines)
    }

    /// Draws these lines in place of the former ones. Lines that are too long are cut, never wrapped. What the terminal has
    /// no time to show is left out.
    pub fn set(&self, block: &str) {
        let Some(sinks) = &self.sinks else { return };
        // Terminals differ in what they do behind the last column.
        let width = self.size().0.saturating_sub(1);
        let lines = block.lines().map(|line| text::cut(&text::net(line, true), width));
        let block = lines.collect::<Vec<_>>().join("\n");
        let bar = Arc::clone(&self.bar);
        sinks.draw(move |area| {
            let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
            let bar = bar.get_or_insert_with(|| new_bar(area));
            // After `clear` it begins anew.
            if bar.is_finished() {
                bar.reset();
            }
            bar.set_message(block);
            bar.tick();
        });
    }

    /// Takes the block away.
    pub fn clear(&self) {
        let Some(sinks) = &self.sinks else { return };
        let bar = Arc::clone(&self.bar);
        sinks.clear(move || {
            if let Some(bar) = &*bar.lock().unwrap_or_else(PoisonError::into_inner) {
                bar.finish_and_clear();
            }
        });
    }
}

fn new_bar(area: &MultiProgress) -> ProgressBar {
    let bar = area.add(ProgressBar::new_spinner());
    // The template is a constant, so this can only fail in a test.
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}
