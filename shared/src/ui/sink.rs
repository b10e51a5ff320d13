//! Where printed lines go: to the real streams, or into memory for tests.

use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use indicatif::{MultiProgress, ProgressDrawTarget};

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// stdout.
    Data,
    /// stderr.
    Talk,
}

/// Why stdout takes no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WriteFault {
    /// The program behind the pipe has ended.
    ReaderGone,
    /// A full disk, for example.
    Other(String),
}

#[derive(Clone)]
pub(super) struct Sinks {
    /// The redrawn area of the terminal; every line is printed above it.
    area: MultiProgress,
    failed: Arc<OnceLock<WriteFault>>,
    memory: Option<Arc<Mutex<[String; 2]>>>,
}

impl Sinks {
    pub(super) fn real() -> Self {
        Self {
            area: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            failed: Arc::default(),
            memory: None,
        }
    }

    pub(super) fn memory() -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self {
            area,
            failed: Arc::default(),
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

    pub(super) fn fault(&self) -> Option<&WriteFault> {
        self.failed.get()
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
            Out::Data if self.fault().is_some() => {}
            Out::Data => {
                let mut stdout = std::io::stdout().lock();
                if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                    let fault = match error.kind() {
                        ErrorKind::BrokenPipe => WriteFault::ReaderGone,
                        _ => WriteFault::Other(error.to_string()),
                    };
                    // Only the first one counts.
                    drop(self.failed.set(fault));
                }
            }
        });
    }
}
