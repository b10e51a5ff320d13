//! Waiting for a condition, with an end.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Long enough for a busy machine; a test that has to wait this long has failed.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls `condition` until it answers `Some`, and returns what is in it.
///
/// # Panics
/// After `timeout`, naming `what`.
pub fn wait_for<T>(what: impl Display, timeout: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            started.elapsed() < timeout,
            "timed out after {timeout:?} waiting for {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
