//! The layer at the sender: it puts the present trace context into the envelope.
//!
//! In: a handle of a bus, or of one member; what says which trace context is the present one. Out: a service of the same
//! messages. Touches nothing else.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::TraceParent;

/// A service that sends messages whose envelopes have room for a trace context: [`Bus`](crate::Bus) and
/// [`BusMember`](crate::bus::BusMember).
pub trait CarriesTrace<M>: Service<M> {
    /// As `call`, with a trace context.
    fn call_in_trace(&mut self, message: M, trace: TraceParent) -> Self::Future;
}

/// Puts the present trace context, if there is one, into the envelope of each message. It goes directly around the handle,
/// below other layers. See the [module](crate::bus::trace).
#[derive(Debug, Clone)]
pub struct PutTraceLayer<F> {
    present: F,
}

impl<F: Fn() -> Option<TraceParent>> PutTraceLayer<F> {
    /// `present` is asked at each call.
    pub const fn new(present: F) -> Self {
        Self { present }
    }
}

impl<S, F: Clone> Layer<S> for PutTraceLayer<F> {
    type Service = PutTrace<S, F>;

    fn layer(&self, inner: S) -> PutTrace<S, F> {
        PutTrace {
            inner,
            present: self.present.clone(),
        }
    }
}

/// The service of [`PutTraceLayer`].
#[derive(Debug, Clone)]
pub struct PutTrace<S, F> {
    inner: S,
    present: F,
}

impl<M, S, F> Service<M> for PutTrace<S, F>
where
    S: CarriesTrace<M>,
    F: Fn() -> Option<TraceParent>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, message: M) -> S::Future {
        match (self.present)() {
            Some(trace) => self.inner.call_in_trace(message, trace),
            None => self.inner.call(message),
        }
    }
}
