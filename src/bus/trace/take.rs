//! The layer at the receiver: it handles each message in a span, whose parent may be that of the envelope.
//!
//! In: a handler; what makes a span of a message. Out: a handler. May touch: `tracing`.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;
use tracing::{Instrument as _, Span, instrument::Instrumented};

use crate::bus::BusIncoming;

/// Handles each message in a span of its own, which `make_span` makes: from the message's
/// [`trace`](BusIncoming::trace), say. See the [module](crate::bus::trace).
#[derive(Debug, Clone)]
pub struct TakeTraceLayer<F> {
    make_span: F,
}

impl<F> TakeTraceLayer<F> {
    /// `make_span` is called with each message: `FnMut(&BusIncoming<M>) -> Span`.
    pub const fn new(make_span: F) -> Self {
        Self { make_span }
    }
}

impl<H, F: Clone> Layer<H> for TakeTraceLayer<F> {
    type Service = TakeTrace<H, F>;

    fn layer(&self, inner: H) -> TakeTrace<H, F> {
        TakeTrace {
            inner,
            make_span: self.make_span.clone(),
        }
    }
}

/// The handler of [`TakeTraceLayer`].
#[derive(Debug, Clone)]
pub struct TakeTrace<H, F> {
    inner: H,
    make_span: F,
}

impl<M, H, F> Service<BusIncoming<M>> for TakeTrace<H, F>
where
    H: Service<BusIncoming<M>>,
    F: FnMut(&BusIncoming<M>) -> Span,
{
    type Response = H::Response;
    type Error = H::Error;
    type Future = Instrumented<H::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, incoming: BusIncoming<M>) -> Self::Future {
        let span = (self.make_span)(&incoming);
        let called = span.in_scope(|| self.inner.call(incoming));
        called.instrument(span)
    }
}
