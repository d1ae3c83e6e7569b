//! What members, hubs and links say to each other.
//!
//! Values alone. Pure.

use std::num::NonZeroU32;

use crate::id::{Attempt, MemberId, SeqNo, Session, Token};

/// A message of a sender, with its number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Message<B> {
    /// Its number among all messages of its sender.
    pub n: SeqNo,
    /// False for a message to all members, also where a copy of it goes to one.
    pub addressed: bool,
    /// What it says. Encoded once, at the sender; a clone shares the bytes.
    pub body: B,
}

/// Which members a frame with a message goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recipients {
    /// All members that have met the sender on this hub.
    All,
    /// These, as far as they have met the sender on this hub.
    Listed(Vec<MemberId>),
}

impl Recipients {
    /// One member.
    pub fn one(member: MemberId) -> Self {
        Self::Listed(vec![member])
    }

    /// True when a member is one of them.
    pub fn include(&self, member: &MemberId) -> bool {
        match self {
            Self::All => true,
            Self::Listed(members) => members.contains(member),
        }
    }
}

/// How far a receiver has come with a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Names the place.
    pub token: Token,
    /// The last number that was delivered.
    pub k: SeqNo,
}

/// What a member wants to happen when it is too slow for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SlowPolicy {
    /// The senders wait for it, until the shell ends it.
    #[default]
    Wait,
    /// Of the messages to all that wait for it, only the newest are kept, and it is told how many it missed.
    Newest(NonZeroU32),
    /// It is ended.
    Disconnect,
}

impl SlowPolicy {
    /// True when messages to all may be dropped on their way to the member.
    pub const fn keeps_newest(self) -> bool {
        matches!(self, Self::Newest(_))
    }
}

/// The first frame of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hello {
    /// Who greets.
    pub member: MemberId,
    /// Which of its connections this is.
    pub attempt: Attempt,
    /// The hub of its last connection, which is dead if it is not connected here.
    pub last_hub: Option<MemberId>,
    /// What happens when it is too slow.
    pub slow: SlowPolicy,
    /// Its place for each sender that it knows.
    pub places: Vec<(MemberId, Place)>,
}

/// From a member to its hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpFrame<B> {
    /// Asks to be admitted.
    Hello(Hello),
    /// The member has made a place for a sender.
    Position {
        /// The sender.
        sender: MemberId,
        /// The sender's session, as the hub has said.
        session: Session,
        /// Names the place.
        token: Token,
    },
    /// The member has all messages of a sender that are owed to it, up to `k`.
    Ack {
        /// The sender.
        sender: MemberId,
        /// The last number.
        k: SeqNo,
    },
    /// From here on the member's messages go to a receiver too, first copies of what that one lacks.
    Start {
        /// The receiver.
        receiver: MemberId,
        /// The receiver's session, as the hub has said.
        session: Session,
        /// The first number that the receiver may expect.
        from: SeqNo,
    },
    /// A message.
    Msg {
        /// To which members.
        to: Recipients,
        /// What.
        message: Message<B>,
    },
    /// The member leaves.
    Bye,
}

/// From a hub to a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DownFrame<B> {
    /// The member is admitted.
    Welcome {
        /// The hub's own member.
        hub: MemberId,
        /// How many other members are connected.
        present: u32,
    },
    /// The member is not admitted.
    Refused(Refusal),
    /// A sender for which the hub knows no place of this member.
    Joined {
        /// The sender.
        sender: MemberId,
        /// Its session.
        session: Session,
    },
    /// A receiver, and how far it has come with this member.
    Peer(PeerPlace),
    /// A receiver has all messages of this member that are owed to it, up to `k`.
    Acked {
        /// The receiver.
        receiver: MemberId,
        /// The last number.
        k: SeqNo,
    },
    /// A member that is gone for good. If it lives, it comes back as a newcomer.
    Left(MemberId),
    /// From here on a sender's messages come.
    Start {
        /// The sender.
        sender: MemberId,
        /// The first number to expect.
        from: SeqNo,
    },
    /// A message.
    Msg {
        /// Whose.
        sender: MemberId,
        /// What.
        message: Message<B>,
    },
    /// The hub has dropped messages of a sender, as the member's [`SlowPolicy`] allows.
    Missed {
        /// The sender.
        sender: MemberId,
        /// The last number that was dropped.
        upto: SeqNo,
        /// How many.
        count: u64,
    },
}

/// A receiver, and how far it has come with the sender that is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerPlace {
    /// The receiver.
    pub receiver: MemberId,
    /// Its session at the hub that says it.
    pub session: Session,
    /// Its place for the sender.
    pub place: Place,
    /// True when messages to all may be dropped on their way to it, so that they are not owed.
    pub keeps_newest: bool,
}

/// Why a hub does not admit a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A later process has taken the id.
    #[error("a process that started later uses the same id on this bus")]
    Replaced,
    /// The hub has as many members as it may have.
    #[error("the bus has as many members as its hub allows")]
    Full,
    /// The member says that it runs on another machine than the hub.
    #[error("the member's id belongs to another machine than the hub's")]
    OtherMachine,
}

/// From a hub to the hub of another machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LinkFrame<B> {
    /// A member is connected to the hub that says it.
    Announce {
        /// The member.
        member: MemberId,
        /// Its session there.
        session: Session,
        /// True when messages to all may be dropped on their way to it.
        keeps_newest: bool,
    },
    /// A member of the hub that says it is gone for good.
    Gone(MemberId),
    /// A receiver of the hub that says it, and how far it has come with a member of the other.
    Peer {
        /// The member that is told.
        sender: MemberId,
        /// The session of that member at its own hub.
        sender_session: Session,
        /// The receiver.
        peer: PeerPlace,
    },
    /// A receiver of the hub that says it has all that a member of the other owes to it, up to `k`.
    Acked {
        /// The member that is told.
        sender: MemberId,
        /// The session of that member at its own hub.
        sender_session: Session,
        /// The receiver.
        receiver: MemberId,
        /// The last number.
        k: SeqNo,
    },
    /// From here on a sender's messages come for a receiver.
    Start {
        /// The sender.
        sender: MemberId,
        /// The receiver.
        receiver: MemberId,
        /// The session of the receiver at its own hub.
        receiver_session: Session,
        /// The first number to expect.
        from: SeqNo,
    },
    /// A message, once for all members behind the link.
    Msg {
        /// Whose.
        sender: MemberId,
        /// To which of them.
        to: Recipients,
        /// What.
        message: Message<B>,
    },
}
