//! Why a peer has no role, and since when.
//!
//! In: the results of the last attempts. Out: a value for events, logs and the status. May touch: tokio's
//! clock.

use std::{error::Error, fmt, time::Duration};

use kyneta_uds_core::{Chain, SharedError};
use tokio::time::Instant;

use crate::machine::WaitReason;

/// Why a peer has no role, or a listener has lost its path, and for how long. A missing role is reported after
/// one second, and again after pauses that grow to a minute: to
/// [`AcceptHandler::waiting`](crate::AcceptHandler::waiting), as a warning in the log, and by
/// [`RoleWatch::waiting`](crate::RoleWatch::waiting).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RoleWait {
    /// Result of the last attempt.
    pub why: WaitReason,
    /// How long there has been no role, or the path was not the listener's. Connections that ended at once do
    /// not count as a role.
    pub waited: Duration,
    /// Error of the last attempt; absent during the first one.
    pub error: Option<SharedError>,
    pub(crate) since: Instant,
}

impl RoleWait {
    pub(crate) fn new(why: WaitReason, since: Instant, error: Option<SharedError>) -> Self {
        Self {
            why,
            waited: since.elapsed(),
            error,
            since,
        }
    }

    /// The same, with the time as of now.
    pub(crate) fn now(self) -> Self {
        Self {
            waited: self.since.elapsed(),
            ..self
        }
    }
}

impl Error for RoleWait {}

/// The reason, and the error with its causes. Not the time.
impl fmt::Display for RoleWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)?;
        match &self.error {
            Some(error) => write!(f, ": {}", Chain(error)),
            None => Ok(()),
        }
    }
}
