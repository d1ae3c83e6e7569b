//! What goes into a hub and what comes out.
//!
//! In: one event at a time. Out: effects in the order in which they have to be carried out; the order between
//! connections is part of the promise. Values alone.

use crate::{
    frame::{DownFrame, LinkFrame, UpFrame},
    id::{ConnectionKey, MachineId, MemberId},
};

/// What happens to a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubEvent<B> {
    /// A connection says something.
    Frame {
        /// Which connection.
        from: ConnectionKey,
        /// What.
        frame: UpFrame<B>,
    },
    /// A connection has ended.
    Ended(ConnectionKey),
    /// The time in which an [awaited](HubEffect::Awaited) member could come back is over. Nothing happens when it
    /// is back.
    WaitOver(MemberId),
    /// A member is to leave, connected or not: the shell's policy for slow members says so.
    Removed(MemberId),
    /// A link to the hub of another machine is there. The one before, if it has not ended, is not read any more.
    LinkUp(MachineId),
    /// A link has ended.
    LinkDown(MachineId),
    /// The hub of another machine says something.
    LinkFrame {
        /// Which machine.
        from: MachineId,
        /// What.
        frame: LinkFrame<B>,
    },
}

/// What a hub does, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubEffect<B> {
    /// Send a frame to a member, behind all before it.
    Send {
        /// On which connection.
        to: ConnectionKey,
        /// What.
        frame: DownFrame<B>,
    },
    /// Close a connection when what was sent is flushed. It is not read any more, and its end is not reported.
    Close(ConnectionKey),
    /// Send a frame to the hub of another machine, behind all before it.
    SendLink {
        /// Which machine.
        to: MachineId,
        /// What.
        frame: LinkFrame<B>,
    },
    /// A member is not connected and may come back. The shell starts a timer, or starts it anew, and reports
    /// [`HubEvent::WaitOver`].
    Awaited(MemberId),
    /// A member is now counted as left.
    Left(MemberId),
    /// A member of another machine is not known from now on: there are as many as [there may
    /// be](super::Hub::max_members). It is looked at anew with the next link.
    NotTaken(MemberId),
    /// A member of another machine is not known: a later incarnation of it is. What its announcement has said is to be
    /// forgotten.
    Outdated(MemberId),
}
