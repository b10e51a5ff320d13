//! Lists in pages, converted page by page, so that a large cluster needs no large memory.

use std::time::Duration;

use kube::api::{ListParams, ObjectList};

use crate::error::is_too_large;

/// The first smaller page of a list that was asked for in one piece.
const FEWER: u32 = 50;

/// How many objects to ask for where a page of so many was too large ([`is_too_large`]); nothing where one alone is.
pub fn fewer(limit: Option<u32>) -> Option<u32> {
    match limit {
        None | Some(0) => Some(FEWER),
        Some(1) => None,
        Some(limit) => Some((limit / 8).max(1)),
    }
}

/// How often a page is asked for again that the server had no time for.
const PATIENCE: u32 = 5;

/// Follows the pages of a list. A page that is larger than any answer may be is requested again in smaller ones. A list whose
/// continue token has expired (410) begins again in one piece, as in client-go. `read` gets each object with its place in the
/// list, counted from 1, and keeps what it needs of it.
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
            // Who may create objects may make them as large as the server takes them.
            Err(error) if is_too_large(&error) && fewer(page.limit).is_some() => {
                page.limit = fewer(page.limit);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;
    use crate::error::TooLarge;

    /// Names 0 to 99; a page of more than `most` of them is too large.
    async fn listed(most: u32, chunk: u32) -> (kube::Result<Vec<String>>, Vec<Option<u32>>) {
        let asked = RefCell::new(Vec::new());
        let fetch = async |params: ListParams| {
            asked.borrow_mut().push(params.limit);
            let limit = params.limit.unwrap_or(100);
            if limit > most {
                return Err(kube::Error::Service(Box::new(TooLarge {
                    what: "the answer to GET /api/v1/pods".into(),
                    limit: 64 << 20,
                    compressed: Some(100_000),
                })));
            }
            let from = params.continue_token.map_or(0, |token| token.parse().unwrap());
            let to = (from + limit).min(100);
            let names: Vec<String> = (from..to).map(|i| i.to_string()).collect();
            let next = if to < 100 { to.to_string() } else { String::new() };
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"continue": next}, "items": names});
            Ok(serde_json::from_value::<ObjectList<String>>(list).unwrap())
        };
        let found = pages(fetch, ListParams::default(), chunk, |_, name| Some(name)).await;
        (found, asked.into_inner())
    }

    #[tokio::test]
    async fn r53_large_objects_of_a_tenant_end_no_list() {
        let all: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        for (most, chunk) in [(500, 500), (70, 500), (10, 500), (1, 500), (60, 0), (7, 64)] {
            let (found, asked) = listed(most, chunk).await;
            assert_eq!(found.unwrap(), all, "{most} {chunk} {asked:?}");
        }
        let (found, asked) = listed(0, 500).await;
        assert!(is_too_large(&found.unwrap_err()));
        assert_eq!(asked, [Some(500), Some(62), Some(7), Some(1)]);
    }
}
