//! Why a peer has no role, and since when.
//!
//! In: what the last attempts came to. Out: a value for events, logs and the status. May touch:
//! tokio's clock.

use std::{error::Error, fmt, time::Duration};

use kyneta_uds_core::{Chain, SharedError};
use tokio::time::Instant;

use crate::machine::WaitReason;

/// Why a peer has no role, or a listener not its path, and for how long. Of no role it is told after one second, and again after pauses that
/// grow to a minute: to [`AcceptHandler::waiting`](crate::AcceptHandler::waiting), to the log as a warning, and by
/// [`RoleWatch::waiting`](crate::RoleWatch::waiting).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RoleWait {
    /// What the last attempt came to.
    pub why: WaitReason,
    /// How long there has been no role, or the path was not the listener's. A connection that ended at once was none.
    pub waited: Duration,
    /// What the last attempt failed with; absent during the first one.
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

    /// The same, as of now.
    pub(crate) fn now(self) -> Self {
        Self {
            waited: self.since.elapsed(),
            ..self
        }
    }
}

impl Error for RoleWait {}

/// What is waited for, and the error with its causes. Not the time.
impl fmt::Display for RoleWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)?;
        match &self.error {
            Some(error) => write!(f, ": {}", Chain(error)),
            None => Ok(()),
        }
    }
}
