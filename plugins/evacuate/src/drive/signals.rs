//! The signals that end a run, as exit codes.

use upkeep::Exit;

/// Waits for SIGINT, SIGTERM and SIGHUP.
pub struct Signals {
    #[cfg(unix)]
    term: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    /// Listens from now on. A signal that cannot be listened to keeps its default action.
    pub fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self {
            term: signal(SignalKind::terminate()).ok(),
            hangup: signal(SignalKind::hangup()).ok(),
        }
    }

    /// The next one.
    pub async fn next(&mut self) -> Exit {
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

#[cfg(not(unix))]
impl Signals {
    /// Listens from now on.
    pub fn new() -> Self {
        Self {}
    }

    /// The next one.
    pub async fn next(&mut self) -> Exit {
        let _ = tokio::signal::ctrl_c().await;
        Exit::Interrupted
    }
}
