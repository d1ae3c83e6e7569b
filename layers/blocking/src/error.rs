//! What can go wrong, and whether the connection goes on.
//!
//! In: errors of the socket, the frames and the codec. Out: one error, with what its reader can do: go on, repeat the
//! call, or connect again. Pure.

use std::{io, time::Duration};

use kyneta_uds_cbor::EncodeError;
use kyneta_uds_core::{Rejection, SocketPath, WireVersion};
use kyneta_uds_framing::FramingError;

/// Why a call of a [`Client`](crate::Client) failed. [`ends_connection`](Self::ends_connection) says whether the
/// client can still be used.
///
/// ```
/// use std::time::Duration;
/// use kyneta_uds_blocking::Error;
///
/// let error = Error::TimedOut { waited: Duration::from_millis(20) };
/// assert_eq!(error.to_string(), "the peer has not read or answered within 20ms");
/// assert!(!error.ends_connection());
/// assert!(Error::Closed.ends_connection());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection: no process listens, its backlog is full, or it may not be used. The source says which.
    #[error("cannot connect to {path}")]
    Connect {
        /// The path.
        path: SocketPath,
        /// The cause.
        source: io::Error,
    },
    /// There is a symbolic link at the end of the path. The user who made it would choose the process that we
    /// connect to.
    #[error("{path} is a symbolic link, which is not followed: connect to its target")]
    Symlink {
        /// The path.
        path: SocketPath,
    },
    /// A process has accepted the connection, but sent no `establish` in time.
    #[error("no answer to establish within {waited:?}, wire versions tried: {tried:?}")]
    Unanswered {
        /// The wire versions that were tried, in order.
        tried: Vec<WireVersion>,
        /// The total time waited.
        waited: Duration,
    },
    /// Of a [`Client`](crate::Client): the listener sends the empty frame that begins a connection without a handshake.
    #[error(
        "the listener at {path} does not speak kyneta's protocol: it is of a bus, or has messages of its own"
    )]
    OtherProtocol {
        /// The path.
        path: SocketPath,
    },
    /// The peer has sent more messages than allowed before its `establish`.
    #[error("the peer sent more than {limit} messages before establish")]
    TooManyEarlyMessages {
        /// The limit.
        limit: u32,
    },
    /// Time is over. Of `send` and `flush`: what is not written yet stays in the write buffer, and the next call
    /// continues with it.
    #[error("the peer has not read or answered within {waited:?}")]
    TimedOut {
        /// The time waited.
        waited: Duration,
    },
    /// The message was not sent, and no part of it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The peer has sent what is no message. It is skipped.
    #[error("the peer has sent what is no message: {0}")]
    Rejected(Rejection),
    /// While a request waited for its answer, too many other messages came. Those that came are yielded by `recv`, in
    /// order; the answer may still follow.
    #[error("{limit} other messages came before the answer")]
    NoAnswerAmong {
        /// How many are kept for `recv`.
        limit: usize,
    },
    /// Of a [`BusMember`](crate::BusMember): the listener's first frame is not that of a bus. It speaks kyneta's protocol, or
    /// is another program.
    #[error(
        "what listens at the path is no bus: it speaks kyneta's protocol, or is another program"
    )]
    NotAdmitted,
    /// The peer has ended the connection, in good order.
    #[error("the peer has closed the connection")]
    Closed,
    /// The connection has failed. The source has the details.
    #[error("the connection failed")]
    Framing(#[from] FramingError),
}

impl Error {
    /// True when the client is of no more use: the connection has ended.
    pub const fn ends_connection(&self) -> bool {
        !matches!(
            self,
            Self::TimedOut { .. }
                | Self::Encode(_)
                | Self::Rejected(_)
                | Self::NoAnswerAmong { .. }
        )
    }
}

/// What an error of the socket means.
pub(crate) fn of_socket(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Error::Closed,
        _ => Error::Framing(FramingError::Io(error)),
    }
}
