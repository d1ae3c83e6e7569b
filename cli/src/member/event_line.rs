//! The events of a member, as the JSON lines that go to stdout.
//!
//! In: what the library reports. Out: a value that serde writes as one line; absent fields are left out, never null.
//! Pure.

use std::time::Duration;

#[cfg(feature = "links")]
use kyneta_uds::machines::LinkChange;
use kyneta_uds::{ChannelMsg, Credentials, DisconnectReason, Identity, Role, Waiting, WireVersion};
use serde::Serialize;

#[cfg(feature = "links")]
use crate::event_fields::LinkFields;
use crate::{
    event_fields::{ErrorFields, WaitingFields, millis},
    failure::Chain,
    json::{Msg, Value},
};

/// One line of stdout.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum EventLine<'a> {
    /// The path is bound, and connections are accepted.
    Listening { path: String },
    /// The role of the peer from now on.
    Role { role: String },
    /// The state of the client from now on.
    State(State),
    /// A peer was connected or disconnected.
    Peer(PeerChanged<'a>),
    /// A message was received.
    Message { peer: &'a str, msg: Msg<'a> },
    /// An error that does not end the process.
    Error(ErrorFields<'a>),
    /// A message of a member, or a part of it, had no effect on documents.
    Diagnostic {
        code: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        doc: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<&'a str>,
    },
    /// A document after a change, or as asked for.
    Doc {
        doc: &'a str,
        value: Value<'a>,
        version: String,
    },
    /// All that a peer had of a document is here.
    Synced { doc: &'a str, peer: &'a str },
    /// A document is in the store up to a version.
    Stored { doc: &'a str, version: &'a str },
    /// A peer and this side do not agree on a document: what each of them says.
    #[serde(rename = "diagnostic")]
    Disagreement {
        code: &'a str,
        doc: &'a str,
        peer: &'a str,
        local: String,
        remote: String,
        /// The texts of both schemas, where schemas are what differs and as far as they are known here.
        #[serde(skip_serializing_if = "Option::is_none")]
        local_schema: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        remote_schema: Option<&'a str>,
    },
    /// A link to another machine came up, or there is none.
    #[cfg(feature = "links")]
    Link(LinkFields<'a>),
    /// Everything goes on in another process.
    #[serde(rename = "handed-over")]
    HandedOver { pid: u32 },
    /// This process goes on with everything of another one.
    #[serde(rename = "took-over")]
    TookOver {
        pid: u32,
        connections: usize,
        pause_us: u64,
    },
    /// There is no connection, or no role, and why.
    Waiting(WaitingFields),
    /// A message from stdin was taken by the kernels of this many peers.
    Sent { count: usize },
}

/// The state of the client.
#[derive(Serialize)]
pub(super) struct State {
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
}

/// Why a connection ended.
#[derive(Serialize)]
pub(super) struct Reason {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
}

/// A peer was connected or disconnected.
#[derive(Serialize)]
pub(super) struct PeerChanged<'a> {
    pub(super) peer: &'a str,
    pub(super) change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(rename = "type")]
    pub(super) peer_type: &'static str,
    pub(super) wire: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
}

impl<'a> PeerChanged<'a> {
    pub(super) fn new(
        change: &'static str,
        identity: &'a Identity,
        wire: WireVersion,
        credentials: Option<Credentials>,
    ) -> Self {
        Self {
            peer: identity.peer_id.as_str(),
            change,
            name: identity.name.as_deref(),
            peer_type: identity.peer_type.name(),
            wire: wire.byte(),
            pid: credentials.and_then(|credentials| credentials.pid),
            uid: credentials.map(|credentials| credentials.uid),
            reason: None,
        }
    }
}

impl<'a> EventLine<'a> {
    pub(super) fn role(role: Role) -> Self {
        let role = role.to_string();
        Self::Role { role }
    }

    pub(super) const fn connecting(attempt: u32) -> Self {
        let mut state = State::new("connecting");
        state.attempt = Some(attempt);
        Self::State(state)
    }

    pub(super) const fn connected() -> Self {
        Self::State(State::new("connected"))
    }

    pub(super) fn reconnecting(
        attempt: u32,
        delay: Option<Duration>,
        last: Option<&DisconnectReason>,
    ) -> Self {
        Self::State(State {
            attempt: Some(attempt),
            delay_ms: delay.map(millis),
            reason: last.map(Reason::of),
            ..State::new("reconnecting")
        })
    }

    pub(super) fn disconnected(reason: &DisconnectReason) -> Self {
        Self::State(State {
            reason: Some(Reason::of(reason)),
            ..State::new("disconnected")
        })
    }

    pub(super) fn message(peer: &'a str, msg: &'a ChannelMsg) -> Self {
        Self::Message {
            peer,
            msg: Msg(msg),
        }
    }

    pub(super) fn waiting(waiting: &Waiting) -> Self {
        Self::Waiting(waiting.into())
    }

    #[cfg(feature = "links")]
    pub(super) fn link(machine: &'a str, change: &LinkChange) -> Self {
        Self::Link(LinkFields::new(machine, change))
    }

    pub(super) fn error(code: &'a str, message: impl ToString) -> Self {
        Self::Error(ErrorFields {
            code,
            message: message.to_string(),
            peer: None,
        })
    }

    pub(super) fn error_of(peer: &'a str, code: &'a str, message: impl ToString) -> Self {
        Self::Error(ErrorFields {
            code,
            message: message.to_string(),
            peer: Some(peer),
        })
    }
}

impl State {
    const fn new(state: &'static str) -> Self {
        Self {
            state,
            attempt: None,
            delay_ms: None,
            reason: None,
        }
    }
}

impl Reason {
    pub(super) fn of(reason: &DisconnectReason) -> Self {
        let (message, attempts) = match reason {
            DisconnectReason::Error(error) => (Some(Chain(error.get_ref()).to_string()), None),
            DisconnectReason::MaxRetriesExceeded { attempts } => (None, Some(*attempts)),
            _ => (None, None),
        };
        Self {
            kind: reason.kind(),
            message,
            attempts,
        }
    }
}
