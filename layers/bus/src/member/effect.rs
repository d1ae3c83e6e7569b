//! What goes into a member and what comes out.
//!
//! Values alone. Pure.

use std::ops::RangeInclusive;

use crate::{
    frame::{DownFrame, Message, Refusal, UpFrame},
    id::{MemberId, SeqNo},
    member::copies::Copies,
};

/// What happens to a member, beside the messages that it [accepts](super::Member::accept).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberEvent<B> {
    /// A connection to a hub is there. The one before, if it has not ended, is not read any more.
    Connected,
    /// The connection has ended.
    Disconnected,
    /// The hub says something.
    Frame(DownFrame<B>),
    /// It is time to acknowledge: at the end of a read turn, or by a timer.
    Acknowledge,
}

/// What a member does, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberEffect<B> {
    /// Send a frame to the hub, behind all before it.
    Send(UpFrame<B>),
    /// Send copies of kept messages to one receiver, behind all before it and ahead of all after it:
    /// [`Member::next_copy`](super::Member::next_copy) draws each as the connection takes it.
    SendCopies(Copies),
    /// Hand a message to the user.
    Deliver {
        /// Whose.
        sender: MemberId,
        /// What.
        message: Message<B>,
    },
    /// Messages of a sender will not come.
    Missed {
        /// The sender.
        sender: MemberId,
        /// How many, at most.
        count: u64,
    },
    /// Messages that were accepted, one for each of these numbers, are with all that they were owed to, but those that left
    /// before.
    Resolved {
        /// Their numbers. More than one only if no receiver left.
        numbers: RangeInclusive<SeqNo>,
        /// The receivers that left before they said that they have it.
        left: Vec<MemberId>,
    },
    /// A member is listed: what is accepted from now on is owed to it.
    Present(MemberId),
    /// A member is not listed any more.
    Absent(MemberId),
    /// The hub does not admit this member.
    Refused(Refusal),
}

/// Why a member does not accept a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAccepted {
    /// The receiver is not listed.
    #[error("no member {} is listed", .0.peer)]
    NotListed(MemberId),
    /// As much is kept as may be: receivers have to acknowledge first.
    #[error(
        "{messages} messages of {bytes} bytes wait for acknowledgements, the limit is {max_messages} messages or {max_bytes} bytes"
    )]
    WindowFull {
        /// How many messages are kept.
        messages: usize,
        /// Their size, bytes.
        bytes: usize,
        /// How many may be kept.
        max_messages: usize,
        /// The size that may be kept, bytes.
        max_bytes: usize,
    },
}
