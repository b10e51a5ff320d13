//! A run that is still under way: what it has said so far, signals to it, its end.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::Ran;

/// A run in the background. Dropping it kills it.
#[derive(Debug)]
pub struct Live {
    child: Child,
    out: Stream,
    err: Stream,
    began: Instant,
}

#[derive(Debug)]
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                sink.lock().unwrap().append(&mut line);
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn all(&mut self) -> Vec<u8> {
        let _ = self.reader.take().map(JoinHandle::join);
        std::mem::take(&mut *self.text.lock().unwrap())
    }
}

impl Live {
    /// Starts it.
    ///
    /// # Panics
    /// The program does not start.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().expect("the plugin starts");
        let out = Stream::of(child.stdout.take().unwrap());
        let err = Stream::of(child.stderr.take().unwrap());
        Self { child, out, err, began }
    }

    /// Everything so far, stdout first.
    pub fn said(&self) -> String {
        format!("{}--- stderr\n{}", self.out.so_far(), self.err.so_far())
    }

    /// Waits until a line holds this text.
    ///
    /// # Panics
    /// It ends before that, or does not say it in 40 s.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let began = Instant::now();
        loop {
            let ended = !self.is_running();
            if self.said().lines().any(|line| line.contains(text)) {
                return;
            }
            assert!(!ended, "the run ended without saying {text:?}:\n{}", self.said());
            assert!(
                began.elapsed() < Duration::from_secs(40),
                "the run did not say {text:?}:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// It has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends `INT`, `TERM`, `KILL`, `STOP` or `CONT`.
    ///
    /// # Panics
    /// There is no such process any more.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.is_ok_and(|s| s.success()), "cannot send SIG{name}");
    }

    /// Of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; a run that hangs for four minutes fails the test. For two minutes the servers themselves may
    /// count a pod as disrupted whose eviction they were cut off in (`DeletionTimeout` of the disruption controller).
    ///
    /// # Panics
    /// It hangs.
    #[track_caller]
    pub fn finish(mut self) -> Ran {
        let began = Instant::now();
        while self.is_running() {
            assert!(
                began.elapsed() < Duration::from_secs(240),
                "the run does not end:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let took = self.began.elapsed();
        let status = self.child.wait().unwrap();
        let output = Output {
            status,
            stdout: self.out.all(),
            stderr: self.err.all(),
        };
        Ran::of(&output, took)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
