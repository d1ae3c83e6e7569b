//! What is reported of a message: that it begins, that it is done, that it has failed.
//!
//! In: the message, how long it took, the error. Out: events, in its span. May touch: `tracing`.

use std::{fmt, time::Duration};

use tracing::Span;

/// Called before the service, if there is a subscriber to the span. Implemented by closures `FnMut(&R, &Span)`.
pub trait OnRequest<R> {
    /// The service is about to be called.
    fn on_request(&mut self, request: &R, span: &Span);
}

impl<F: FnMut(&R, &Span), R> OnRequest<R> for F {
    fn on_request(&mut self, request: &R, span: &Span) {
        self(request, span);
    }
}

/// Called when a message is done, if there is a subscriber to the span. Implemented by closures
/// `FnOnce(Duration, &Span)`.
pub trait OnResponse {
    /// It took this long from the call.
    fn on_response(self, latency: Duration, span: &Span);
}

impl<F: FnOnce(Duration, &Span)> OnResponse for F {
    fn on_response(self, latency: Duration, span: &Span) {
        self(latency, span);
    }
}

/// Called when a message has failed. Implemented by closures `FnOnce(&E, Option<Duration>, &Span)`.
pub trait OnFailure<E> {
    /// It failed this long after the call; `None` without a subscriber to the span.
    fn on_failure(self, error: &E, latency: Option<Duration>, span: &Span);
}

impl<F: FnOnce(&E, Option<Duration>, &Span), E> OnFailure<E> for F {
    fn on_failure(self, error: &E, latency: Option<Duration>, span: &Span) {
        self(error, latency, span);
    }
}

/// Reports nothing: the span reports the begin.
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

/// `failed` at warn level, with the `error` and, if known, the `latency`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DefaultOnFailure;

impl<E: fmt::Display> OnFailure<E> for DefaultOnFailure {
    fn on_failure(self, error: &E, latency: Option<Duration>, _: &Span) {
        let latency = latency.map(tracing::field::debug);
        tracing::warn!(%error, latency, "failed");
    }
}
