//! The events of a member of a bus: the JSON lines of stdout, and the lines for a person.

use std::time::Duration;

use kyneta_uds::{
    Role, Waiting,
    bus::{BusIncoming, MemberInfo},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    event_writer::EventText,
    failure::Chain,
    style::{Color, Escaped, Style},
};

/// One line of stdout.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Line<'a> {
    Role {
        role: String,
    },
    Member {
        id: &'a str,
        change: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
    },
    Message {
        from: &'a str,
        seq: u64,
        to: &'static str,
        msg: &'a Value,
    },
    Request {
        from: &'a str,
        id: u64,
        msg: &'a Value,
    },
    Answer {
        id: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        msg: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Delivered {
        seq: u64,
        missed: Vec<&'a str>,
    },
    Missed {
        from: &'a str,
        count: u64,
    },
    Waiting {
        why: String,
        for_ms: u64,
    },
    Error {
        code: &'a str,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<&'a str>,
    },
}

impl<'a> Line<'a> {
    pub(super) fn role(role: Role) -> Self {
        let role = role.to_string();
        Self::Role { role }
    }

    pub(super) fn member(member: &'a MemberInfo, change: &'static str) -> Self {
        Self::Member {
            id: member.id.as_str(),
            change,
            name: member.name.as_deref(),
            pid: member.pid,
            uid: member.uid,
        }
    }

    pub(super) fn message(incoming: &'a BusIncoming<Value>) -> Self {
        Self::Message {
            from: incoming.from.id.as_str(),
            seq: incoming.seq,
            to: if incoming.to_me { "me" } else { "all" },
            msg: &incoming.message,
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
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A value for a person: a text as it is, anything else as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => Escaped(text).to_string(),
        other => Escaped(&other.to_string()).to_string(),
    }
}

impl EventText for Line<'_> {
    /// Messages alone: what else happens goes to stderr.
    fn text(&self, style: Style) -> String {
        let of = |id: &str| style.paint(Color::Strong, Escaped(id)).to_string();
        match self {
            Self::Message { from, msg, .. } | Self::Request { from, msg, .. } => {
                format!("{}: {}", of(from), plain(msg))
            }
            _ => {
                if let Some(note) = self.note() {
                    eprintln!("{note}");
                }
                String::new()
            }
        }
    }
}

impl Line<'_> {
    /// What a person may want to know beside the messages.
    fn note(&self) -> Option<String> {
        Some(match self {
            Self::Role { role } if role != "negotiating" => format!("* {role}"),
            Self::Member { id, change, .. } => {
                let sign = if *change == "joined" { '+' } else { '-' };
                format!("{sign} {} {change}", Escaped(id))
            }
            Self::Delivered { missed, .. } if !missed.is_empty() => {
                let missed: Vec<_> = missed.iter().map(|id| Escaped(id).to_string()).collect();
                format!("! not delivered to {}, which left", missed.join(", "))
            }
            Self::Missed { from, count } => {
                format!("! missed at most {count} messages of {}", Escaped(from))
            }
            Self::Waiting { why, for_ms } => {
                format!("* waiting for {} s: {}", for_ms / 1000, Escaped(why))
            }
            Self::Error { code, message, .. } => format!("! {} ({code})", Escaped(message)),
            _ => return None,
        })
    }
}
