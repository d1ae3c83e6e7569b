//! Why a path could not be joined.
//!
//! In: the obstacle, or the last reason of a wait. Out: an error with the path. Pure.

use std::time::Duration;

use kyneta_uds_core::{DisconnectReason, SharedError, SocketPath, SocketPathError};

use crate::{subject::Subject, waiting::Waiting};

/// Why a path could not be joined.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// There is an obstacle at the path that needs an operator: not permitted, not a socket, no
    /// directory. The source is a [`BindError`](crate::BindError), or holds a
    /// [`ConnectError`](crate::ConnectError).
    #[error("{} cannot be joined", Subject(path, Some(source)))]
    InTheWay {
        /// The path.
        path: SocketPath,
        /// The obstacle.
        source: SharedError,
    },
    /// There was no role within the [`join_timeout`](crate::PeerBuilder::join_timeout): a process listens and
    /// does not answer, or closes our connections at once, or another one holds the lock.
    #[error(
        "{} could not be joined within {waited:?}{}",
        Subject(path, why.as_ref().map(Waiting::why)),
        because(why.as_ref())
    )]
    TimedOut {
        /// The path.
        path: SocketPath,
        /// How long it was tried.
        waited: Duration,
        /// The last reason; absent when the time was less than a second.
        why: Option<Waiting>,
    },
    /// It ended before it had a role: the handler's `poll_ready` failed, or the runtime has ended.
    #[error("the peer at {path} ended before it had joined")]
    Ended {
        /// The path.
        path: SocketPath,
        /// The reason.
        source: DisconnectReason,
    },
}

/// The reason of the wait, if there is one.
fn because(why: Option<&Waiting>) -> String {
    why.map_or_else(String::new, |waiting| format!(": {}", waiting.why()))
}
