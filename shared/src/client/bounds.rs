//! No request waits for ever: the whole answer has a deadline, and a watch may not be silent for too long.

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
use crate::error::{NoAnswer, Wait};

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

    /// Puts the rest of the time, or the idle limit of a watch, on the body.
    pub(super) fn body(self, body: Body) -> BoundedBody {
        let first = if self.watch {
            Some(Instant::now() + self.limits.idle)
        } else {
            self.limits.request.map(|limit| self.started + limit)
        };
        BoundedBody {
            body,
            sleep: first.map(|at| Box::pin(tokio::time::sleep_until(at))),
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

/// A body that ends with [`NoAnswer`] when its time is over.
pub(super) struct BoundedBody {
    body: Body,
    sleep: Option<Pin<Box<Sleep>>>,
    bound: Bound,
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
