//! A service whose calls are traced.
//!
//! In: messages. Out: the results of the service below. May touch: `tracing`, and the clock if there is a
//! subscriber.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use tower_service::Service;

use super::{
    future::{Seen, TraceFuture},
    layer::TraceLayer,
    make_span::{DefaultMakeSpan, MakeSpan},
    outcome::{
        DefaultOnFailure, DefaultOnRequest, DefaultOnResponse, OnFailure, OnRequest, OnResponse,
    },
};

/// The service that [`TraceLayer`] makes.
#[derive(Debug, Clone, Copy)]
pub struct Trace<
    S,
    M = DefaultMakeSpan,
    Q = DefaultOnRequest,
    P = DefaultOnResponse,
    F = DefaultOnFailure,
> {
    pub(super) inner: S,
    pub(super) how: TraceLayer<M, Q, P, F>,
}

impl<S, R, M, Q, P, F> Service<R> for Trace<S, M, Q, P, F>
where
    S: Service<R>,
    M: MakeSpan<R>,
    Q: OnRequest<R>,
    P: OnResponse + Clone,
    F: OnFailure<S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TraceFuture<S::Future, P, F>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let span = self.how.make_span.make_span(&request);
        let on_failure = Some(self.how.on_failure.clone());
        if span.is_disabled() {
            return TraceFuture {
                inner: self.inner.call(request),
                on_failure,
                seen: None,
            };
        }
        let began = Instant::now();
        let inner = {
            let _inside = span.enter();
            self.how.on_request.on_request(&request, &span);
            self.inner.call(request)
        };
        TraceFuture {
            inner,
            on_failure,
            seen: Some(Seen {
                span,
                began,
                on_response: self.how.on_response.clone(),
            }),
        }
    }
}
