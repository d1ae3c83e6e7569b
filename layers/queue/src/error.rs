//! Why a message was not, or may not have been, sent.
//!
//! In: the state of a message when its queue ended. Out: errors that say whether its bytes may have left this
//! process. Pure.

use std::time::Duration;

use kyneta_uds_core::{DisconnectReason, SharedError};

/// Why a message was not, or may not have been, sent. Its text says the cause, too: like a
/// [`DisconnectReason`], it has no source.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The queue was full and its policy is to fail, or `call` came without a `poll_ready`.
    #[error("queue full: {messages} messages, {bytes} bytes wait")]
    Full {
        /// How many messages waited.
        messages: usize,
        /// How many bytes they held.
        bytes: usize,
    },
    /// The message could not be encoded.
    #[error("message refused: {0}")]
    Refused(SharedError),
    /// More than a thousand refused messages' futures have not been polled, so the outcome of this one is no
    /// longer known.
    #[error("whether the message was sent or refused is not known any more")]
    Forgotten,
    /// The connection ended first.
    #[error("connection ended{}: {reason}", if *maybe_sent { ", the message may have been sent" } else { "" })]
    Disconnected {
        /// Why it ended.
        reason: DisconnectReason,
        /// True when some of the message's bytes may have reached the kernel.
        maybe_sent: bool,
    },
}

impl SendError {
    /// True when the peer may have received the message in spite of the error: sending it again may repeat it.
    pub const fn may_have_been_sent(&self) -> bool {
        matches!(
            self,
            Self::Forgotten
                | Self::Disconnected {
                    maybe_sent: true,
                    ..
                }
        )
    }
}

/// A message that was not queued, and why.
///
/// ```
/// use kyneta_uds_queue::{NotQueued, SendError};
/// let error = SendError::Full { messages: 1024, bytes: 65_536 };
/// let not_queued = NotQueued { error, message: "hello".to_string() };
/// assert_eq!(not_queued.to_string(), "message not queued");
/// assert_eq!(not_queued.message, "hello");
/// ```
#[derive(Debug, thiserror::Error)]
#[error("message not queued")]
pub struct NotQueued<M> {
    /// Why.
    #[source]
    pub error: SendError,
    /// The message, to be sent later or elsewhere.
    pub message: M,
}

/// A message on which the user's service has panicked; the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the handler panicked: {message}")]
pub struct HandlerPanicked {
    /// What the panic said.
    pub message: String,
}

/// The peer did not read: the queue stayed full, or the kernel took no byte of what was written, for
/// the time that the configuration allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer does not read: {messages} messages, {bytes} bytes have waited for {after:?}")]
pub struct Stalled {
    /// For how long nothing went out.
    pub after: Duration,
    /// How many messages waited to be taken by the kernel.
    pub messages: usize,
    /// How many bytes they held: those not written yet by their size, the others as written.
    pub bytes: usize,
}

/// The peer has sent more that is no message than a minute's worth of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the peer has sent more than {limit} frames or messages in a minute that had to be rejected"
)]
pub struct TooManyErrors {
    /// How many a minute may be.
    pub limit: u32,
}

/// The connection was closed, and not all that waited could be sent within the drain timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("closed with {messages} messages not sent within {after:?}")]
pub struct DrainTimedOut {
    /// The drain timeout.
    pub after: Duration,
    /// How many messages had not been taken by the kernel.
    pub messages: u64,
}

/// The task that drove the connection was dropped, as when its runtime ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task that drove the connection was dropped")]
pub struct Ended;
