//! What this layer itself has to complain of.

/// A message was given to a channel that had not said it was ready, or whose connection has ended
/// since. It was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sent: there is no connection")]
pub struct NotConnected(pub(crate) ());

/// The target says that it connects, but not for another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the target cannot be connected to again")]
pub struct NotRedialable(pub(crate) ());
