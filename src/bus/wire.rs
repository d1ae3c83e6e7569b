//! What goes over a connection of a bus: the frames of the machines, with members named by aliases.
//!
//! In and out: values. Touches nothing. [`codec`](super::codec) writes and reads them.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::trace::TraceParent;

/// The first and the last version of this protocol that this library speaks.
pub(crate) const VERSIONS: (u32, u32) = (1, 1);

/// A member on one connection: a number that the hub has given it there ([`Wire::Introduce`]).
pub(crate) type Alias = u64;

/// One payload.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
pub(crate) enum Wire {
    /// Down, and up if it does not come: the empty first frame, by which the listener admits the connection.
    Admission,
    /// Up, of a process that speaks kyneta's protocol: a message of that, and the id in it.
    Kyneta(Option<String>),
    /// Up: the first payload of a member's connection.
    Greet(Box<Greeting>),
    /// Up: the first payload of a connection that only looks on.
    Observe(Box<Observation>),
    /// Up: the member has made a place for a sender.
    Position {
        sender: Alias,
        session: u64,
        token: u64,
    },
    /// Up: what the member has of its senders. Down: what receivers have of the member.
    Acks(Vec<(Alias, u64)>),
    /// Up, with the receiver and its session; down, with the sender and session 0.
    Start {
        member: Alias,
        session: u64,
        from: u64,
    },
    /// Up: a message, to these members or to all.
    Send {
        to: Vec<Alias>,
        message: WireMessage,
    },
    /// Up: the member leaves.
    Bye,
    /// Down: the member is admitted.
    Welcome(Box<Welcome>),
    /// Down: the member is not admitted.
    Refuse(Box<Refused>),
    /// Down: from now on a member is named by this number.
    Introduce(Alias, Box<Introduction>),
    /// Down: a sender for which the hub knows no place.
    Joined { sender: Alias, session: u64 },
    /// Down: a receiver, and how far it has come with the member.
    Peer {
        receiver: Alias,
        session: u64,
        token: u64,
        k: u64,
        keeps_newest: bool,
    },
    /// Down: a member is gone for good.
    Left(Alias),
    /// Down: a message of a sender.
    Message { sender: Alias, message: WireMessage },
    /// Down: messages of a sender that were dropped.
    Missed {
        sender: Alias,
        upto: u64,
        count: u64,
    },
    /// Down, to an observer: the members that are present.
    Members(Vec<Introduction>),
    /// Down, to an observer: a message that has passed.
    Passed(Box<Passed>),
}

impl kyneta_uds_core::Message for Wire {
    fn size(&self) -> usize {
        match self {
            Self::Send { message, .. } | Self::Message { message, .. } => {
                message.body.data.len() + 32
            }
            _ => 64,
        }
    }
}

/// A message with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Serialize, Deserialize))]
pub(crate) struct WireMessage {
    pub(crate) n: u64,
    pub(crate) addressed: bool,
    pub(crate) body: Body,
}

/// What a message says. A clone shares the bytes; a hub does not look at them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(Serialize, Deserialize))]
pub(crate) struct Body {
    pub(crate) kind: Kind,
    /// Its receivers acknowledge it as soon as they have it.
    pub(crate) at_once: bool,
    /// The user's message as CBOR; of a failure, its text.
    #[cfg_attr(test, serde(with = "super::vectors::as_hex"))]
    pub(crate) data: Bytes,
    /// Which trace it belongs to. Behind a pointer: few messages have one.
    #[cfg_attr(
        test,
        serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "super::vectors::as_text"
        )
    )]
    pub(crate) trace: Option<Arc<TraceParent>>,
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
pub(crate) enum Kind {
    /// None of these.
    Plain,
    /// Several messages: so many, and the last one. See [`bundle`](super::bundle).
    Bundle(u32),
    /// It asks for an answer.
    Request,
    /// It answers the receiver's message of this number.
    Answer(u64),
    /// It says why there is no answer.
    Failure(u64),
    /// The answer to the sender's message of this number is not wanted any more.
    Cancel(u64),
}

/// The content of [`Wire::Greet`]. Unknown keys are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// `kyneta-bus`.
    pub(crate) bus: String,
    /// The lowest and the highest version.
    pub(crate) lo: u32,
    pub(crate) hi: u32,
    /// The protocols of the user's messages, the preferred one first.
    pub(crate) protocols: Vec<String>,
    pub(crate) me: Introduction,
    pub(crate) attempt: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hub: Option<(String, u64)>,
    /// 0: wait, 1: disconnect, 1 + n: keep the newest n.
    #[serde(default)]
    pub(crate) slow: u64,
    /// Id, incarnation, token, number.
    #[serde(default)]
    pub(crate) places: Vec<(String, u64, u64, u64)>,
    /// The same of senders on other machines, whose ids end with the names of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) far: Vec<(String, u64, u64, u64)>,
}

/// The content of [`Wire::Observe`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Observation {
    pub(crate) bus: String,
    pub(crate) lo: u32,
    pub(crate) hi: u32,
    /// Messages are wanted too, not the list of members alone.
    #[serde(default)]
    pub(crate) tap: bool,
}

/// The content of [`Wire::Welcome`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) version: u32,
    pub(crate) protocol: String,
    pub(crate) hub: (String, u64),
    pub(crate) present: u32,
}

/// The content of [`Wire::Refuse`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// A name for programs.
    pub(crate) code: String,
    /// A sentence.
    pub(crate) why: String,
}

/// A member, as the hub knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Introduction {
    pub(crate) id: String,
    pub(crate) inc: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) kind: String,
    /// The machine that it runs on, if that is another one. Then its id ends with `@` and this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u32>,
    /// How long it has been here, milliseconds; how many frames wait for it. Of a list of members alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits: Option<u64>,
}

/// The content of [`Wire::Passed`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(Serialize, Deserialize))]
pub(crate) struct Passed {
    pub(crate) from: String,
    /// To all if empty.
    pub(crate) to: Vec<String>,
    pub(crate) n: u64,
    /// How many messages were not shown since the last one.
    pub(crate) missed: u64,
    pub(crate) kind: Kind,
    #[cfg_attr(test, serde(with = "super::vectors::as_hex"))]
    pub(crate) data: Bytes,
}
