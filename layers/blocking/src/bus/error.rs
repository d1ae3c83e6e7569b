//! What can go wrong with a member of a bus.
//!
//! In: errors of the connection, words of the hub, what the machine says of a message. Out: one error of a call, in
//! which stands whether its message is kept: if so, it arrives although the call has failed. Pure.

use kyneta_uds_cbor::EncodeError;
use kyneta_uds_core::{BoxError, PeerId};

use crate::error::Error;

/// Why a call of a [`BusMember`](crate::BusMember) failed. Only [`Connection`](Self::Connection), with an error that is no
/// [`TimedOut`](Error::TimedOut), and [`NotAdmitted`](Self::NotAdmitted) end the member: a lost connection is made again.
///
/// ```
/// let error = kyneta_uds_blocking::BusError::Unknown("till".into());
/// assert_eq!(error.to_string(), "no member \"till\" is on the bus");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// Time is over, or there is no way to the path. After [`Error::TimedOut`] the call's message is kept and arrives all
    /// the same.
    #[error(transparent)]
    Connection(#[from] Error),
    /// The listener does not admit this member.
    #[error("{why}")]
    NotAdmitted {
        /// A name for programs, as of `kyneta_uds::bus::NotAdmittedToBus`.
        code: String,
        /// A sentence of the listener's.
        why: String,
    },
    /// No such member is on the bus.
    #[error("no member {0:?} is on the bus")]
    Unknown(String),
    /// The message was not sent, and no part of it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// So many messages wait for [`recv`](crate::BusMember::recv): until it takes them nothing more is read. The call's
    /// message is kept and arrives all the same.
    #[error("{limit} messages wait for `recv`")]
    Unread {
        /// How many may wait.
        limit: usize,
    },
    /// The member that was asked says why it does not answer.
    #[error("{from} does not answer: {why}")]
    NotAnswered {
        /// Who.
        from: PeerId,
        /// What it says.
        why: String,
    },
    /// The member that was asked has left.
    #[error("{0} has left and has not answered")]
    Left(PeerId),
    /// A message or an answer is no `M`. An asker is told so.
    #[error("message {seq} of {from} is not understood")]
    NotUnderstood {
        /// Whose.
        from: PeerId,
        /// Its number among the messages of its sender.
        seq: u64,
        /// Why.
        source: BoxError,
    },
    /// Messages of a member will not come: this one was away for too long.
    #[error("{count} messages of {from} at most were missed")]
    Missed {
        /// Whose.
        from: PeerId,
        /// How many, at most.
        count: u64,
    },
}
