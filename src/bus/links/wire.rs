//! What goes over a link between the hubs of two machines. Each side names its own members by numbers, which it gives.
//!
//! In and out: values. Touches nothing. [`codec`](super::codec) writes and reads them.

use serde::{Deserialize, Serialize};

use crate::bus::wire::{Alias, Introduction, WireMessage};

/// One payload. `mine` is a member of the side that sends it, `yours` one of the other side.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
pub(super) enum LinkWire {
    /// The first payload, from both sides.
    Hello(Box<LinkHello>),
    /// A member is connected to the hub that says it.
    Announce {
        mine: Alias,
        session: u64,
        keeps_newest: bool,
        introduction: Box<Introduction>,
    },
    /// A member is gone for good.
    Gone(Alias),
    /// How far a receiver has come with a sender.
    Peer {
        yours: Alias,
        yours_session: u64,
        mine: Alias,
        session: u64,
        token: u64,
        k: u64,
        keeps_newest: bool,
    },
    /// What receivers have of senders.
    Acks(Vec<LinkAck>),
    /// From here on a sender's messages come for a receiver.
    Start {
        mine: Alias,
        yours: Alias,
        yours_session: u64,
        from: u64,
    },
    /// A message, once for all members behind the link; to these or to all.
    Message {
        mine: Alias,
        to: Vec<Alias>,
        message: WireMessage,
    },
    /// Asks for a [`Pong`](Self::Pong) with the same number.
    Ping(u64),
    /// The answer.
    Pong(u64),
}

impl kyneta_uds_core::Message for LinkWire {
    fn size(&self) -> usize {
        match self {
            Self::Message { message, .. } => message.body.data.len() + 32,
            _ => 64,
        }
    }
}

/// A receiver `mine` has all that the sender `yours`, in this session, owes to it up to `k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Serialize, Deserialize))]
pub(super) struct LinkAck {
    pub(super) yours: Alias,
    pub(super) yours_session: u64,
    pub(super) mine: Alias,
    pub(super) k: u64,
}

/// The content of [`LinkWire::Hello`]. Unknown keys are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LinkHello {
    /// `kyneta-bus`.
    pub(super) bus: String,
    /// The lowest and the highest version.
    pub(super) lo: u32,
    pub(super) hi: u32,
    /// The protocols of the user's messages.
    pub(super) protocols: Vec<String>,
}
