//! Where printed lines go: to the real streams, or into memory for tests.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressDrawTarget};

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// stdout.
    Data,
    /// stderr.
    Talk,
}

#[derive(Clone)]
pub(super) struct Sinks {
    /// The redrawn area of the terminal; every line is printed above it.
    area: MultiProgress,
    gone: Arc<AtomicBool>,
    memory: Option<Arc<Mutex<[String; 2]>>>,
}

impl Sinks {
    pub(super) fn real() -> Self {
        Self {
            area: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            gone: Arc::default(),
            memory: None,
        }
    }

    pub(super) fn memory() -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self {
            area,
            gone: Arc::default(),
            memory: Some(Arc::default()),
        }
    }

    pub(super) fn print(&self, out: Out, line: &str) {
        self.write(out, &format!("{line}\n"));
    }

    /// Prints a question and leaves the cursor behind it.
    pub(super) fn ask(&self, question: &str) {
        self.write(Out::Talk, question);
    }

    pub(super) fn area(&self) -> MultiProgress {
        self.area.clone()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub(super) fn kept(&self, out: Out) -> String {
        let Some(memory) = &self.memory else {
            return String::new();
        };
        memory.lock().unwrap_or_else(PoisonError::into_inner)[out as usize].clone()
    }

    fn write(&self, out: Out, text: &str) {
        if let Some(memory) = &self.memory {
            memory.lock().unwrap_or_else(PoisonError::into_inner)[out as usize].push_str(text);
            return;
        }
        self.area.suspend(|| match out {
            // A closed stderr is nobody's fault and nobody could be told.
            Out::Talk => drop(std::io::stderr().lock().write_all(text.as_bytes())),
            Out::Data if self.is_gone() => {}
            Out::Data => {
                let mut stdout = std::io::stdout().lock();
                if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
                    self.gone.store(true, Ordering::Relaxed);
                }
            }
        });
    }
}
