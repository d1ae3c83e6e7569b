//! The layer: how messages are traced.
//!
//! In: a service. Out: the same, traced. Touches nothing.

use tower_layer::Layer;

use super::{
    make_span::DefaultMakeSpan,
    outcome::{DefaultOnFailure, DefaultOnRequest, DefaultOnResponse},
    service::Trace,
};

/// Traces each message of a service; see the [module](crate::trace).
#[derive(Debug, Clone, Copy)]
pub struct TraceLayer<
    M = DefaultMakeSpan,
    Q = DefaultOnRequest,
    P = DefaultOnResponse,
    F = DefaultOnFailure,
> {
    pub(super) make_span: M,
    pub(super) on_request: Q,
    pub(super) on_response: P,
    pub(super) on_failure: F,
}

impl TraceLayer {
    /// The default of each part: a span at debug level, an event at its end.
    pub const fn new() -> Self {
        Self {
            make_span: DefaultMakeSpan::new(),
            on_request: DefaultOnRequest,
            on_response: DefaultOnResponse,
            on_failure: DefaultOnFailure,
        }
    }
}

impl Default for TraceLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<M, Q, P, F> TraceLayer<M, Q, P, F> {
    /// The span: a [`DefaultMakeSpan`] with another level, or `|msg: &R| -> Span`.
    #[must_use]
    pub fn make_span_with<N>(self, make_span: N) -> TraceLayer<N, Q, P, F> {
        TraceLayer {
            make_span,
            on_request: self.on_request,
            on_response: self.on_response,
            on_failure: self.on_failure,
        }
    }

    /// Called with each message before the service, in its span: `|msg: &R, span: &Span|`.
    #[must_use]
    pub fn on_request<N>(self, on_request: N) -> TraceLayer<M, N, P, F> {
        TraceLayer {
            make_span: self.make_span,
            on_request,
            on_response: self.on_response,
            on_failure: self.on_failure,
        }
    }

    /// Called when a message is done, in its span: `|latency: Duration, span: &Span|`.
    #[must_use]
    pub fn on_response<N>(self, on_response: N) -> TraceLayer<M, Q, N, F> {
        TraceLayer {
            make_span: self.make_span,
            on_request: self.on_request,
            on_response,
            on_failure: self.on_failure,
        }
    }

    /// Called when a message has failed, in its span: `|error: &E, latency: Option<Duration>, span: &Span|`.
    #[must_use]
    pub fn on_failure<N>(self, on_failure: N) -> TraceLayer<M, Q, P, N> {
        TraceLayer {
            make_span: self.make_span,
            on_request: self.on_request,
            on_response: self.on_response,
            on_failure,
        }
    }
}

impl<S, M: Clone, Q: Clone, P: Clone, F: Clone> Layer<S> for TraceLayer<M, Q, P, F> {
    type Service = Trace<S, M, Q, P, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Trace {
            inner,
            how: self.clone(),
        }
    }
}
