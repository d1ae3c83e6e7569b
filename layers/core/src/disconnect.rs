//! Why a connection ended.

use std::{error::Error, fmt, sync::Arc};

/// Any error of a layer or service, as tower boxes them.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An error that several owners report: everyone who waited on the connection gets the same cause.
#[derive(Clone)]
pub struct SharedError(Arc<dyn Error + Send + Sync>);

impl SharedError {
    /// Shares an error.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(Arc::from(error.into()))
    }

    /// The error itself, to downcast or to walk its sources.
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
        self.0.fmt(f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

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
    /// It broke, or one of its limits was met.
    #[error("{0}")]
    Error(#[source] SharedError),
    /// Every attempt that the reconnection policy allows has failed.
    #[error("gave up after {attempts} attempts")]
    MaxRetriesExceeded {
        /// How many there were.
        attempts: u32,
    },
}

impl DisconnectReason {
    /// Wraps an error. One that is a reason already stays what it is.
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
