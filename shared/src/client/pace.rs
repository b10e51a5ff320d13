//! Watches that end at once are begun again, but not as fast as that goes.
//!
//! kube-rs begins a watch anew the moment it ends without an error. Behind a proxy that answers every watch with an empty
//! body, that is thousands of requests per second.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many beginnings of one watch are nothing special, within [`WINDOW`].
const BURST: usize = 6;
/// The time in which they are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// When each watch was begun lately.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<String, VecDeque<Instant>>>);

impl Pace {
    /// Waits until a watch with this path and query may begin.
    pub(super) async fn wait(&self, uri: &http::Uri) {
        let at = self.next(key(uri), Instant::now());
        tokio::time::sleep_until(at).await;
    }

    fn next(&self, key: String, now: Instant) -> Instant {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = all.entry(key).or_default();
        let at = match begun.len() {
            BURST.. => begun.pop_front().map_or(now, |first| (first + WINDOW).max(now)),
            _ => now,
        };
        begun.push_back(at);
        at
    }
}

/// What is watched, without from where on.
fn key(uri: &http::Uri) -> String {
    let query = uri.query().unwrap_or_default().split('&');
    let query: Vec<&str> = query.filter(|pair| !pair.starts_with("resourceVersion=")).collect();
    format!("{}?{}", uri.path(), query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_ends_at_once_is_slowed_down_and_others_are_not() {
        let pace = Pace::default();
        let now = Instant::now();
        let next = |name: &str| pace.next(name.to_owned(), now).duration_since(now);
        for _ in 0..BURST {
            assert_eq!(next("pods"), Duration::ZERO);
        }
        for _ in 0..BURST {
            assert_eq!(next("pods"), WINDOW);
        }
        assert_eq!(next("pods"), 2 * WINDOW);
        assert_eq!(next("nodes"), Duration::ZERO);
        let later = now + 60 * WINDOW;
        assert_eq!(pace.next("pods".into(), later), later);
    }

    #[test]
    fn from_where_on_does_not_count() {
        let key = |uri: &'static str| key(&http::Uri::from_static(uri));
        assert_eq!(
            key("/api/v1/pods?watch=true&resourceVersion=7&limit=1"),
            key("/api/v1/pods?watch=true&resourceVersion=9&limit=1")
        );
        assert_ne!(key("/api/v1/pods?watch=true"), key("/api/v1/nodes?watch=true"));
    }
}
