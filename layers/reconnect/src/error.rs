//! The errors of this layer itself.

/// A message was called on a channel that was not ready, or whose connection has ended since. It was not
/// sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sent: there is no connection")]
pub struct NotConnected(pub(crate) ());

/// The target can be connected to, but not again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the target cannot be connected to again")]
pub struct NotRedialable(pub(crate) ());
