//! The state that the files of the driver share: the phase of the connection, and what one poll has done.
//!
//! In: what the parts of one poll have done. Out: what the next part, and the end of the poll, need of it. Pure.

use std::ops::ControlFlow;

use kyneta_uds_core::DisconnectReason;

use crate::send_queue::Contention;

/// Goes on with a `T`, or ends the connection.
pub(super) type Step<T = ()> = ControlFlow<DisconnectReason, T>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Queued messages are sent; `peer`: the peer has ended its direction.
    Draining {
        peer: bool,
    },
    /// This direction is closed; we read up to the peer's end, so that it gets no reset.
    AwaitingEof,
    /// Writing has failed; what the peer has sent is still read.
    WriteFailed,
    Ended,
}

/// The reason of the end after writing has failed.
pub(super) fn write_error(reason: &Option<DisconnectReason>) -> DisconnectReason {
    reason.clone().unwrap_or(DisconnectReason::Closed)
}

/// What one poll has done so far.
pub(super) struct Turn {
    /// Something was read.
    pub(super) read: bool,
    /// Something was encoded.
    pub(super) encoded: bool,
    /// The kernel has taken something.
    pub(super) moved: bool,
    /// Messages that the next round of reading may hand over.
    pub(super) messages: usize,
    /// Inbound bytes that this poll may still work on.
    pub(super) bytes: u64,
}

/// How far one round of writing came.
#[derive(Default)]
pub(super) struct Wrote {
    /// Something was encoded.
    pub(super) encoded: bool,
    /// The kernel has taken something.
    pub(super) moved: bool,
    /// Nothing waits and the kernel has all.
    pub(super) done: bool,
    pub(super) closing: bool,
    /// The kernel has not taken all that was written.
    pub(super) unflushed: bool,
    /// Whether senders wait.
    pub(super) contention: Contention,
    /// Nothing waits, and there is memory to be given back.
    pub(super) reclaim: bool,
}
