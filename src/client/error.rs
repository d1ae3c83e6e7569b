//! Why a client did not connect. No code but its text.
//!
//! In: the last attempt. Out: an error with the path, that says each cause once.

use std::fmt;

use kyneta_uds_core::{DisconnectReason, SharedError, SocketPath, SocketPathError};
use kyneta_uds_unix::ConnectError;

use crate::{counts::chain, subject::Subject};

/// Why a client did not connect.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// No connection or handshake succeeded in as many attempts as the policy allows.
    #[error("{} could not be connected to{}", Subject(path, last.as_ref()), Tries(reason))]
    NotConnected {
        /// The path.
        path: SocketPath,
        /// Why it is not tried again: the limit of attempts, or the error in `last`.
        reason: DisconnectReason,
        /// The error of the last attempt; absent when the connection was closed.
        #[source]
        last: Option<SharedError>,
    },
}

impl ClientError {
    /// The connector's last error, if the connector failed.
    pub fn connect_error(&self) -> Option<&ConnectError> {
        match self {
            Self::NotConnected { last, .. } => {
                chain(last.as_ref()?.get_ref()).find_map(|error| error.downcast_ref())
            }
            Self::Path(_) => None,
        }
    }
}

/// The part of the text that the source does not have: the attempts, or that there is no source.
struct Tries<'a>(&'a DisconnectReason);

impl fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DisconnectReason::Error(_) => Ok(()),
            reason => write!(f, ": {reason}"),
        }
    }
}
