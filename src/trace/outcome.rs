//! What is told of a message: that it is on its way, that it is done, that it failed.
//!
//! In: the message, how long it took, the error. Out: events, in its span. May touch: `tracing`.

use std::{fmt, time::Duration};

use tracing::Span;

/// Told before the service is called, if somebody subscribes to the span. A closure `FnMut(&R, &Span)` does.
pub trait OnRequest<R> {
    /// The message is about to be passed on.
    fn on_request(&mut self, request: &R, span: &Span);
}

impl<F: FnMut(&R, &Span), R> OnRequest<R> for F {
    fn on_request(&mut self, request: &R, span: &Span) {
        self(request, span);
    }
}

/// Told when it is done, if somebody subscribes to the span. A closure `FnOnce(Duration, &Span)` does.
pub trait OnResponse {
    /// It took this long from the call on.
    fn on_response(self, latency: Duration, span: &Span);
}

impl<F: FnOnce(Duration, &Span)> OnResponse for F {
    fn on_response(self, latency: Duration, span: &Span) {
        self(latency, span);
    }
}

/// Told when it failed. A closure `FnOnce(&E, Option<Duration>, &Span)` does.
pub trait OnFailure<E> {
    /// It failed this long after the call; `None` where nobody subscribes to the span.
    fn on_failure(self, error: &E, latency: Option<Duration>, span: &Span);
}

impl<F: FnOnce(&E, Option<Duration>, &Span), E> OnFailure<E> for F {
    fn on_failure(self, error: &E, latency: Option<Duration>, span: &Span) {
        self(error, latency, span);
    }
}

/// Tells nothing: the span tells that it has begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DefaultOnRequest;

impl<R> OnRequest<R> for DefaultOnRequest {
    fn on_request(&mut self, _: &R, _: &Span) {}
}

/// `done` at debug level, with the `latency`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DefaultOnResponse;

impl OnResponse for DefaultOnResponse {
    fn on_response(self, latency: Duration, _: &Span) {
        tracing::debug!(?latency, "done");
    }
}

/// `failed` at warn level, with the `error` and, where it is known, the `latency`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DefaultOnFailure;

impl<E: fmt::Display> OnFailure<E> for DefaultOnFailure {
    fn on_failure(self, error: &E, latency: Option<Duration>, _: &Span) {
        let latency = latency.map(tracing::field::debug);
        tracing::warn!(%error, latency, "failed");
    }
}
