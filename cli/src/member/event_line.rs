//! What is told on stdout: the events, for programs and for people.

use std::{fmt, time::Duration};

use kyneta_uds::{ChannelMsg, Credentials, DisconnectReason, Identity, Role, Waiting, WireVersion};
use serde::Serialize;

use super::message_summary::Summary;
use crate::{
    failure::Chain,
    json::Msg,
    style::{Ink, Plain, Style},
};

/// One line of stdout.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Report<'a> {
    /// The path is ours, and connections are accepted.
    Listening { path: String },
    /// What the peer is from now on.
    Role { role: String },
    /// Where the client stands from now on.
    State(State),
    /// A peer has come or gone.
    Peer(PeerChanged<'a>),
    /// A message has come in.
    Message { peer: &'a str, msg: Msg<'a> },
    /// Something went wrong; the bus goes on.
    Error {
        code: &'a str,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<&'a str>,
    },
    /// There is no connection, or no role.
    Waiting { why: String, for_ms: u64 },
    /// A message from stdin is with the kernels of so many peers.
    Sent { count: usize },
}

/// Where the client stands.
#[derive(Serialize)]
pub(super) struct State {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

/// Why there is no connection any more.
#[derive(Serialize)]
pub(super) struct Reason {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
}

/// A peer has come or gone.
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

impl<'a> Report<'a> {
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
        Self::Waiting {
            why: Chain(waiting.why().get_ref()).to_string(),
            for_ms: millis(waiting.elapsed()),
        }
    }

    pub(super) fn error(code: &'a str, message: impl ToString) -> Self {
        Self::Error {
            code,
            message: message.to_string(),
            peer: None,
        }
    }

    pub(super) fn error_of(peer: &'a str, code: &'a str, message: impl ToString) -> Self {
        Self::Error {
            code,
            message: message.to_string(),
            peer: Some(peer),
        }
    }

    /// The report for a person.
    pub(super) fn for_people(&self, style: Style) -> String {
        let line = |ink, sign: &str, rest: fmt::Arguments<'_>| {
            format!("{} {rest}", style.paint(ink, sign))
        };
        match self {
            Self::Listening { path } => line(
                Ink::Good,
                "*",
                format_args!("listening on {path}; Ctrl-C ends it"),
            ),
            Self::Role { role } => {
                let ink = match role.as_str() {
                    "listener" | "connector" => Ink::Good,
                    _ => Ink::Faint,
                };
                line(ink, "*", format_args!("{role}"))
            }
            Self::State(state) => {
                let ink = match state.state {
                    "connected" => Ink::Good,
                    _ => Ink::Faint,
                };
                line(ink, "*", format_args!("{state}"))
            }
            Self::Peer(peer) => {
                let (ink, sign) = match peer.change {
                    "established" | "reconnected" => (Ink::Good, "+"),
                    _ => (Ink::Bad, "-"),
                };
                line(ink, sign, format_args!("{}", PeerLine { peer, style }))
            }
            Self::Message {
                peer,
                msg: Msg(msg),
            } => {
                let peer = style.paint(Ink::Strong, Plain(peer));
                line(Ink::In, "<", format_args!("{peer}  {}", Summary(msg)))
            }
            Self::Error {
                code,
                message,
                peer,
            } => {
                let of = peer
                    .map(|peer| format!("{}  ", Plain(peer)))
                    .unwrap_or_default();
                line(
                    Ink::Bad,
                    "!",
                    format_args!("{of}{} ({code})", Plain(message)),
                )
            }
            Self::Waiting { why, for_ms } => line(
                Ink::Faint,
                "*",
                format_args!("waiting for {} s: {}", for_ms / 1000, Plain(why)),
            ),
            Self::Sent { count: 0 } => line(Ink::Bad, ">", format_args!("sent to nobody")),
            Self::Sent { count: 1 } => line(Ink::Out, ">", format_args!("sent")),
            Self::Sent { count } => line(Ink::Out, ">", format_args!("sent to {count} peers")),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state)?;
        if let Some(attempt) = self.attempt {
            write!(f, ", attempt {attempt}")?;
        }
        if let Some(delay) = self.delay_ms {
            write!(f, " in {:?}", Duration::from_millis(delay))?;
        }
        // What ends it for good stands on stderr.
        match &self.reason {
            Some(reason) if self.attempt.is_some() => f.write_str(&reason.aside()),
            Some(reason) => write!(f, " ({})", reason.kind),
            None => Ok(()),
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

    fn aside(&self) -> String {
        match &self.message {
            Some(message) => format!(": {}", Plain(message)),
            None => format!(" ({})", self.kind),
        }
    }
}

struct PeerLine<'a> {
    peer: &'a PeerChanged<'a>,
    style: Style,
}

impl fmt::Display for PeerLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer;
        write!(f, "{}", self.style.paint(Ink::Strong, Plain(peer.peer)))?;
        if let Some(name) = peer.name {
            write!(f, " {name:?}")?;
        }
        write!(f, " {}", peer.change)?;
        if let Some(reason) = &peer.reason {
            return f.write_str(&reason.aside());
        }
        let mut about = format!("{}, wire {}", peer.peer_type, peer.wire);
        if let Some(pid) = peer.pid {
            about.push_str(&format!(", pid {pid}"));
        }
        write!(f, " {}", self.style.paint(Ink::Faint, format!("({about})")))
    }
}
