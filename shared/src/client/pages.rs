//! Lists in pages, converted page by page, so that a large cluster needs no large memory.

use std::time::Duration;

use kube::api::{ListParams, ObjectList};

/// How often a page is asked for again that the server had no time for.
const PATIENCE: u32 = 5;

/// Follows the pages of a list. A list whose continue token has expired (410) is begun anew in one piece, as client-go
/// does. `read` is given each object with its place in the list, counted from 1, and keeps what it needs of it.
///
/// # Errors
/// The server's.
pub async fn pages<K: Clone, T>(
    fetch: impl AsyncFn(ListParams) -> kube::Result<ObjectList<K>>,
    params: ListParams,
    chunk: u32,
    mut read: impl FnMut(usize, K) -> Option<T>,
) -> kube::Result<Vec<T>> {
    let mut found = Vec::new();
    let mut place = 0;
    let mut shed = 0;
    let mut page = if chunk > 0 {
        params.clone().limit(chunk)
    } else {
        params.clone()
    };
    loop {
        let list = match fetch(page.clone()).await {
            // The server sheds load and says for how long; client-go waits as well.
            Err(kube::Error::Api(status)) if status.code == 429 && shed < PATIENCE => {
                shed += 1;
                let seconds = status.details.as_ref().map_or(1, |d| d.retry_after_seconds);
                tokio::time::sleep(Duration::from_secs(u64::from(seconds).clamp(1, 10))).await;
                continue;
            }
            Err(kube::Error::Api(status)) if status.code == 410 && page.continue_token.is_some() => {
                found.clear();
                place = 0;
                page = params.clone();
                continue;
            }
            list => list?,
        };
        found.extend(list.items.into_iter().filter_map(|item| {
            place += 1;
            read(place, item)
        }));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(found),
        }
    }
}
