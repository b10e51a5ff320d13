//! The signals that end a run, as exit codes.

#[cfg(unix)]
use std::time::{Duration, Instant};

use crate::Exit;

/// Waits for SIGINT, SIGTERM and SIGHUP, or what comes closest to them.
pub struct Signals {
    #[cfg(unix)]
    term: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    last: Option<Instant>,
}

/// A terminal's Ctrl-C reaches this process, and once more through a wrapper that hands it on: that is one wish.
#[cfg(unix)]
const ONE_WISH: Duration = Duration::from_millis(200);

#[cfg(unix)]
impl Signals {
    /// Listens from now on. A signal that cannot be listened to keeps its default action.
    pub fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self {
            term: signal(SignalKind::terminate()).ok(),
            // Under nohup nobody wants to hear of it.
            hangup: Some(SignalKind::hangup())
                .filter(|_| !hangup_is_ignored())
                .and_then(|kind| signal(kind).ok()),
            last: None,
        }
    }

    /// The next one. Those that come together count as one.
    pub async fn next(&mut self) -> Exit {
        loop {
            let exit = self.any().await;
            if self.last.is_none_or(|at| at.elapsed() > ONE_WISH) {
                self.last = Some(Instant::now());
                return exit;
            }
        }
    }

    async fn any(&mut self) -> Exit {
        async fn of(signal: &mut Option<tokio::signal::unix::Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Exit::Interrupted,
            () = of(&mut self.term) => Exit::Terminated,
            () = of(&mut self.hangup) => Exit::Terminated,
        }
    }
}

/// Whether this program was started with SIGHUP ignored, as nohup does. Linux tells; elsewhere it counts as not ignored.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal n is bit n - 1; SIGHUP is 1.
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

/// Windows has no signals: Ctrl-C and Ctrl-Break interrupt, and closing the window terminates.
#[cfg(not(unix))]
impl Signals {
    /// Listens from now on.
    pub fn new() -> Self {
        Self {}
    }

    /// The next one.
    pub async fn next(&mut self) -> Exit {
        use tokio::signal::windows;
        let (Ok(mut broken), Ok(mut closed)) = (windows::ctrl_break(), windows::ctrl_close()) else {
            let _ = tokio::signal::ctrl_c().await;
            return Exit::Interrupted;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Exit::Interrupted,
            _ = broken.recv() => Exit::Interrupted,
            _ = closed.recv() => Exit::Terminated,
        }
    }
}
