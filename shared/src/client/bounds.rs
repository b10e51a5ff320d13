//! No request waits for ever, and no answer takes all memory: the whole answer has a deadline and a size, a watch may not be silent
//! for too long, and one event of it has a size.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use kube::client::Body;
use tokio::time::{Instant, Sleep};
use tower::BoxError;

use super::Limits;
use super::transport::Received;
use crate::error::{NoAnswer, TooLarge, Wait};

/// What any answer may have.
const SMALL: u64 = 64 << 20;
/// A larger answer may have this many times what came over the wire. JSON of an API server is compressed to a tenth, that of
/// many equal objects to a thirtieth; a bomb to a thousandth. A tenant can make objects of one repeated letter: their list is
/// read in smaller pages ([`super::pages()`]).
const RATIO: u64 = 50;
/// What no answer may have.
const LARGEST: u64 = 1 << 30;
/// What one event of a watch may have. An object in etcd has at most 1.5 MiB.
const EVENT: u64 = 16 << 20;

/// The time that one request has.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    watch: bool,
    limits: Limits,
    started: Instant,
    /// `GET /api/v1/nodes`, for the message.
    request: String,
}

impl Bound {
    pub(super) fn new<B>(request: &Request<B>, limits: Limits) -> Self {
        Self {
            watch: is_stream(request),
            limits,
            started: Instant::now(),
            request: format!("{} {}", request.method(), request.uri().path()),
        }
    }

    /// Waits for the beginning of the answer.
    pub(super) async fn wait<T>(&self, answer: impl Future<Output = T>) -> Result<T, NoAnswer> {
        match self.limits.request {
            None => Ok(answer.await),
            Some(limit) => tokio::time::timeout_at(self.started + limit, answer)
                .await
                .map_err(|_| self.no_answer(Wait::Answer, limit)),
        }
    }

    /// Puts the rest of the time, or the idle limit of a watch, on the body, and a limit on its size.
    pub(super) fn body(self, body: Body, received: Received) -> BoundedBody {
        let first = if self.watch {
            Some(Instant::now() + self.limits.idle)
        } else {
            self.limits.request.map(|limit| self.started + limit)
        };
        BoundedBody {
            body,
            sleep: first.map(|at| Box::pin(tokio::time::sleep_until(at))),
            size: 0,
            received,
            bound: self,
        }
    }

    fn no_answer(&self, wait: Wait, after: Duration) -> NoAnswer {
        NoAnswer {
            wait,
            after,
            request: self.request.clone(),
        }
    }
}

/// Answers without an end: watches and followed logs.
pub(super) fn is_stream<B>(request: &Request<B>) -> bool {
    let on = |value: Option<&str>| value.is_none_or(|value| matches!(value, "true" | "1" | ""));
    request
        .uri()
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .any(|pair| {
            let (key, value) = pair
                .split_once('=')
                .map_or((pair, None), |(key, value)| (key, Some(value)));
            matches!(key, "watch" | "follow") && on(value)
        })
}

/// A body that ends with [`NoAnswer`] when its time is over, and with an error when it is too large.
pub(super) struct BoundedBody {
    body: Body,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Bytes after decompression; of a watch those since its last line break.
    size: u64,
    received: Received,
    bound: Bound,
}

impl BoundedBody {
    /// Counts this part of the body; an error where it is one too many.
    fn too_large(&mut self, data: &[u8]) -> Option<TooLarge> {
        let request = &self.bound.request;
        if self.bound.watch {
            let event = data.rsplit(|byte| *byte == b'\n').next().unwrap_or_default().len() as u64;
            let new_line = event < data.len() as u64;
            self.size = if new_line { event } else { self.size + event };
            return (self.size > EVENT).then(|| TooLarge {
                what: format!("an event of {request}"),
                limit: EVENT,
                compressed: None,
            });
        }
        self.size += data.len() as u64;
        let received = self.received.bytes();
        let limit = allowed(received);
        (self.size > limit).then(|| TooLarge {
            what: format!("the answer to {request}"),
            limit,
            compressed: Some(received).filter(|received| *received < self.size),
        })
    }
}

/// The size of an answer of which this much came over the wire.
fn allowed(received: u64) -> u64 {
    received.saturating_mul(RATIO).clamp(SMALL, LARGEST)
}

impl http_body::Body for BoundedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if this.bound.watch
                && let Some(sleep) = &mut this.sleep
            {
                sleep.as_mut().reset(Instant::now() + this.bound.limits.idle);
            }
            if let Some(Ok(frame)) = &frame
                && let Some(data) = frame.data_ref()
                && let Some(error) = this.too_large(data)
            {
                return Poll::Ready(Some(Err(error.into())));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let over = this
            .sleep
            .as_mut()
            .is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if !over {
            return Poll::Pending;
        }
        let limits = this.bound.limits;
        let error = if this.bound.watch {
            this.bound.no_answer(Wait::Watch, limits.idle)
        } else {
            this.bound.no_answer(Wait::Body, limits.request.unwrap_or_default())
        };
        Poll::Ready(Some(Err(error.into())))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decompressed_is_bounded_by_what_was_received() {
        assert_eq!(allowed(0), SMALL);
        assert_eq!(allowed(306_000), SMALL);
        assert_eq!(allowed(10 << 20), 500 << 20);
        assert_eq!(allowed(u64::MAX), LARGEST);
    }

    #[test]
    fn a_watch_is_bounded_by_its_events() {
        let request = Request::get("/api/v1/pods?watch=1").body(()).unwrap();
        let bound = Bound::new(&request, Limits::DEFAULT);
        let mut body = BoundedBody {
            body: Body::empty(),
            sleep: None,
            size: 0,
            received: Received::default(),
            bound,
        };
        let mut event = vec![b'x'; 10 << 20];
        assert!(body.too_large(&event).is_none());
        event.push(b'\n');
        assert!(body.too_large(&event).is_none(), "the line is complete");
        event.pop();
        assert!(body.too_large(&event).is_none());
        let error = body.too_large(&event).unwrap();
        assert_eq!(
            error.to_string(),
            "an event of GET /api/v1/pods is too large: more than 16 MiB"
        );
    }

    #[test]
    fn only_answers_without_an_end_are_streams() {
        let stream = |uri: &str| is_stream(&Request::get(uri).body(()).unwrap());
        for uri in [
            "/api/v1/pods?watch=true",
            "/x?&watch=1&timeoutSeconds=60",
            "/log?follow=true",
            "/x?watch",
        ] {
            assert!(stream(uri), "{uri}");
        }
        for uri in ["/api/v1/pods", "/x?watch=false", "/x?fieldSelector=a%3Dwatch", "/watch"] {
            assert!(!stream(uri), "{uri}");
        }
    }
}
