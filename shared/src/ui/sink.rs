//! Where printed lines go: to the real streams, or into memory for tests.
//!
//! The real streams have a thread of their own. A terminal that was stopped (Ctrl-S, a pager) must not stop the work.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

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
    /// The thread that writes. Without it the caller's does.
    printer: Option<mpsc::Sender<Job>>,
    /// A drawing waits to be done; until then further ones are left out.
    drawing: Arc<AtomicBool>,
    /// A drawing is on the screen.
    drawn: Arc<AtomicBool>,
}

type Job = Box<dyn FnOnce() + Send>;

fn printer() -> Option<mpsc::Sender<Job>> {
    let (to, jobs) = mpsc::channel::<Job>();
    let thread = std::thread::Builder::new().name("printer".into());
    let started = thread.spawn(move || jobs.into_iter().for_each(|job| job()));
    started.is_ok().then_some(to)
}

impl Sinks {
    pub(super) fn real() -> Self {
        Self {
            area: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            failed: Arc::default(),
            memory: None,
            printer: printer(),
            drawing: Arc::default(),
            drawn: Arc::default(),
        }
    }

    pub(super) fn memory() -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self {
            area,
            failed: Arc::default(),
            memory: Some(Arc::default()),
            printer: None,
            drawing: Arc::default(),
            drawn: Arc::default(),
        }
    }

    pub(super) fn print(&self, out: Out, line: &str) {
        self.write(out, &format!("{line}\n"));
    }

    /// Prints a question, leaves the cursor behind it and waits until it is there.
    pub(super) fn ask(&self, question: &str) {
        self.write(Out::Talk, question);
        self.flush();
    }

    /// Waits until everything up to now is printed.
    pub(super) fn flush(&self) {
        let (done, wait) = mpsc::channel();
        self.run(move || {
            let _ = done.send(());
        });
        let _ = wait.recv();
    }

    /// Draws below the lines. While one drawing waits to be done, further ones are left out.
    pub(super) fn draw(&self, draw: impl FnOnce(&MultiProgress) + Send + 'static) {
        if self.drawing.swap(true, Ordering::Relaxed) {
            return;
        }
        let (area, drawing, drawn) = (self.area.clone(), Arc::clone(&self.drawing), Arc::clone(&self.drawn));
        self.run(move || {
            drawing.store(false, Ordering::Relaxed);
            draw(&area);
            drawn.store(true, Ordering::Relaxed);
            home();
        });
    }

    /// Takes away what is drawn.
    pub(super) fn clear(&self, clear: impl FnOnce() + Send + 'static) {
        let drawn = Arc::clone(&self.drawn);
        self.run(move || {
            clear();
            drawn.store(false, Ordering::Relaxed);
        });
    }

    /// Does this when everything up to now is printed.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        match &self.printer {
            Some(printer) => drop(printer.send(Box::new(job))),
            None => job(),
        }
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
        let (area, failed, text) = (self.area.clone(), Arc::clone(&self.failed), text.to_owned());
        let drawn = Arc::clone(&self.drawn);
        self.run(move || {
            area.suspend(|| put(out, &text, &failed));
            if drawn.load(Ordering::Relaxed) {
                home();
            }
        });
    }
}

/// The last line of a drawing is filled up to the last column: what a terminal shows there next, the `^C` of its user, would begin
/// a line, and one of the drawing would not be taken away.
fn home() {
    drop(std::io::stderr().lock().write_all(b"\r"));
}

fn put(out: Out, text: &str, failed: &OnceLock<WriteFault>) {
    match out {
        // A closed stderr is nobody's fault and nobody could be told.
        Out::Talk => drop(std::io::stderr().lock().write_all(text.as_bytes())),
        Out::Data if failed.get().is_some() => {}
        Out::Data => {
            let mut stdout = std::io::stdout().lock();
            if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                let fault = match error.kind() {
                    ErrorKind::BrokenPipe => WriteFault::ReaderGone,
                    _ => WriteFault::Other(error.to_string()),
                };
                // Only the first one counts.
                drop(failed.set(fault));
            }
        }
    }
}
