//! Why a connection ended.
//!
//! One cause may concern many waiting futures, so errors are shared here, with their text complete. Pure.

use std::{error::Error, fmt, sync::Arc};

use crate::chain::Chain;

/// Any error of a layer or service, boxed as in tower.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An error with several owners: all futures that waited for the connection get the same cause.
///
/// Its text contains the error and its sources ([`Chain`]), so it has no `source()` itself. To look for a
/// cause, start at [`get_ref`](Self::get_ref).
///
/// ```
/// use kyneta_uds_core::SharedError;
/// let error = SharedError::new(std::io::Error::other("gone"));
/// assert!(error.get_ref().is::<std::io::Error>());
/// assert_eq!(error.clone().to_string(), "gone");
/// ```
#[derive(Clone)]
pub struct SharedError(Arc<dyn Error + Send + Sync>);

impl SharedError {
    /// Shares an error.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(Arc::from(error.into()))
    }

    /// The error itself, to downcast it or to follow its sources.
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Chain(self.get_ref()).fmt(f)
    }
}

impl Error for SharedError {}

/// Why a connection ended (wire section 7 names the reasons).
///
/// ```
/// use kyneta_uds_core::DisconnectReason;
/// assert_eq!(DisconnectReason::Closed.kind(), "closed");
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// This side ended it.
    #[error("disconnected on purpose")]
    Intentional,
    /// The other side ended it.
    #[error("closed by the peer")]
    Closed,
    /// It failed, or exceeded a limit. The text contains all causes, so the reason has no `source()`; to look
    /// for one, start at [`SharedError::get_ref`].
    #[error("{0}")]
    Error(SharedError),
    /// Every attempt that the reconnection policy allows has failed.
    #[error("gave up after {attempts} attempt{}", if *attempts == 1 { "" } else { "s" })]
    MaxRetriesExceeded {
        /// The number of attempts.
        attempts: u32,
    },
}

impl DisconnectReason {
    /// Wraps an error. An error that is a `DisconnectReason` already is returned unchanged.
    pub fn error(error: impl Into<BoxError>) -> Self {
        match error.into().downcast() {
            Ok(reason) => *reason,
            Err(error) => Self::Error(SharedError::new(error)),
        }
    }

    /// The reason's name in events.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Intentional => "intentional",
            Self::Closed => "closed",
            Self::Error(_) => "error",
            Self::MaxRetriesExceeded { .. } => "max-retries-exceeded",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the stream failed")]
    struct Failed(#[source] io::Error);

    #[test]
    fn one_attempt_is_no_attempts() {
        let gave_up = |attempts| DisconnectReason::MaxRetriesExceeded { attempts }.to_string();
        assert_eq!(gave_up(1), "gave up after 1 attempt");
        assert_eq!(gave_up(2), "gave up after 2 attempts");
    }

    #[test]
    fn a_reason_contains_each_cause_once_and_has_no_source() {
        let reason = DisconnectReason::error(Failed(io::Error::other("gone")));
        assert_eq!(reason.to_string(), "the stream failed: gone");
        assert!(reason.source().is_none());
        let DisconnectReason::Error(error) = &reason else {
            panic!("{reason:?}")
        };
        assert!(error.get_ref().is::<Failed>());
        assert_eq!(Chain(&reason).to_string(), reason.to_string());
    }
}
