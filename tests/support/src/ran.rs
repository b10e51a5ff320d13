//! What a run of a plugin left behind, in one piece.

use std::{
    process::{Command, Output, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A run that has ended.
#[derive(Debug)]
pub struct Ran {
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
    /// Nothing where a signal ended it.
    pub code: Option<i32>,
    /// How long it took.
    pub took: Duration,
}

impl Ran {
    /// From the output of a process.
    pub fn of(output: &Output, took: Duration) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
            took,
        }
    }

    /// Runs it to its end; a run that hangs is killed, and fails the test by that.
    ///
    /// # Panics
    /// The program does not start.
    #[track_caller]
    pub fn to_the_end(mut command: Command, patience: Duration) -> Self {
        let began = Instant::now();
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the plugin starts");
        let id = child.id();
        let (done, finished) = channel::<()>();
        let guard = std::thread::spawn(move || {
            if finished.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
            }
        });
        let output = child.wait_with_output().expect("its output can be read");
        let _ = done.send(());
        let _ = guard.join();
        Self::of(&output, began.elapsed())
    }

    /// Stdout, stderr and exit code together, for snapshots.
    pub fn text(&self) -> String {
        format!("{}--- stderr\n{}--- exit {:?}\n", self.stdout, self.stderr, self.code)
    }

    /// The exit code is this one.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.text());
        self
    }

    /// The document on stdout, and nothing else is there.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// This is somewhere in what it printed or said.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.text().contains(text), "{text:?} is not in\n{}", self.text());
        self
    }

    /// Some line of stderr is this one; how far columns are apart does not matter.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn says_line(&self, line: &str) -> &Self {
        let words = |l: &str| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let wanted = words(line);
        let found = self.stderr.lines().any(|l| words(l) == wanted);
        assert!(found, "no line {line:?} in\n{}", self.text());
        self
    }

    /// This is nowhere in what it printed or said.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn says_nothing_of(&self, text: &str) -> &Self {
        assert!(!self.text().contains(text), "{text:?} is in\n{}", self.text());
        self
    }
}
