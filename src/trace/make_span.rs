//! The span of a message.
//!
//! In: a message. Out: a span. May touch: `tracing`.

use kyneta_uds_core::ChannelMsg;
use tracing::{Level, Span};

use crate::connection::Incoming;

/// Makes the span of a message. Implemented by closures `FnMut(&R) -> Span`. While the span is disabled,
/// only failures are reported.
///
/// A message type of your own needs a closure:
///
/// ```
/// use kyneta_uds::trace::TraceLayer;
/// use tracing::info_span;
///
/// struct Tick(u64);
/// let layer = TraceLayer::new().make_span_with(|tick: &Tick| info_span!("tick", number = tick.0));
/// ```
pub trait MakeSpan<R> {
    /// The span for this message.
    fn make_span(&mut self, request: &R) -> Span;
}

impl<F: FnMut(&R) -> Span, R> MakeSpan<R> for F {
    fn make_span(&mut self, request: &R) -> Span {
        self(request)
    }
}

/// `send` for a [`ChannelMsg`] and `process` for an [`Incoming`], with its `kind`, its document (`doc`, if
/// it has one) and its sender (`peer`).
///
/// Ids are quoted: another process may have chosen them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultMakeSpan {
    level: Level,
}

impl DefaultMakeSpan {
    /// At debug level.
    pub const fn new() -> Self {
        Self {
            level: Level::DEBUG,
        }
    }

    /// At this level. Default: [`Level::DEBUG`].
    #[must_use]
    pub const fn level(self, level: Level) -> Self {
        Self { level }
    }
}

impl Default for DefaultMakeSpan {
    fn default() -> Self {
        Self::new()
    }
}

/// `tracing` takes a level that is a constant.
macro_rules! span {
    ($level:expr, $($rest:tt)*) => {
        match $level {
            Level::ERROR => tracing::error_span!($($rest)*),
            Level::WARN => tracing::warn_span!($($rest)*),
            Level::INFO => tracing::info_span!($($rest)*),
            Level::DEBUG => tracing::debug_span!($($rest)*),
            Level::TRACE => tracing::trace_span!($($rest)*),
        }
    };
}

impl MakeSpan<ChannelMsg> for DefaultMakeSpan {
    #[inline]
    fn make_span(&mut self, msg: &ChannelMsg) -> Span {
        span!(
            self.level,
            "send",
            kind = msg.kind(),
            doc = msg.doc().map(tracing::field::debug)
        )
    }
}

impl MakeSpan<Incoming> for DefaultMakeSpan {
    #[inline]
    fn make_span(&mut self, incoming: &Incoming) -> Span {
        span!(
            self.level,
            "process",
            kind = incoming.message.kind(),
            doc = incoming.message.doc().map(tracing::field::debug),
            peer = ?incoming.peer().identity().peer_id,
        )
    }
}
