//! The future of a traced call.
//!
//! In: the future of the service below. Out: the same result. May touch: `tracing`, and the clock if there
//! is a subscriber.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project::pin_project;
use tracing::Span;

use super::outcome::{OnFailure, OnResponse};

/// The future of a traced call. As cancel safe as the future below; dropped before its end, it closes its
/// span and reports nothing.
#[must_use = "futures do nothing unless they are awaited"]
#[pin_project]
#[derive(Debug)]
pub struct TraceFuture<T, P, F> {
    #[pin]
    pub(super) inner: T,
    /// Until its end.
    pub(super) on_failure: Option<F>,
    /// With a subscriber, until its end.
    pub(super) seen: Option<Seen<P>>,
}

#[derive(Debug)]
pub(super) struct Seen<P> {
    pub(super) span: Span,
    pub(super) began: Instant,
    pub(super) on_response: P,
}

impl<T, A, E, P, F> Future for TraceFuture<T, P, F>
where
    T: Future<Output = Result<A, E>>,
    P: OnResponse,
    F: OnFailure<E>,
{
    type Output = Result<A, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<A, E>> {
        let this = self.project();
        let result = match this.seen {
            None => ready!(this.inner.poll(cx)),
            Some(seen) => ready!(seen.span.in_scope(|| this.inner.poll(cx))),
        };
        let on_failure = this.on_failure.take();
        match (&result, this.seen.take()) {
            (Ok(_), None) => {}
            (Ok(_), Some(seen)) => seen.done(),
            (Err(error), seen) => failed(error, seen, on_failure),
        }
        Poll::Ready(result)
    }
}

impl<P: OnResponse> Seen<P> {
    fn done(self) {
        let latency = self.began.elapsed();
        let _inside = self.span.enter();
        self.on_response.on_response(latency, &self.span);
    }
}

#[cold]
fn failed<E, P>(error: &E, seen: Option<Seen<P>>, on_failure: Option<impl OnFailure<E>>) {
    let latency = seen.as_ref().map(|seen| seen.began.elapsed());
    let span = seen.map_or_else(Span::none, |seen| seen.span);
    let _inside = span.enter();
    if let Some(on_failure) = on_failure {
        on_failure.on_failure(error, latency, &span);
    }
}
