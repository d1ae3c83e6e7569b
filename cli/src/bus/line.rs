//! The events of a member of a bus: the JSON lines of stdout, and the lines for a person.
//!
//! In: what the bus reports, as the library has it. Out: one line for each. What other processes have said is escaped
//! in lines for a person. Touches stderr, in lines for a person.

#[cfg(feature = "links")]
use kyneta_uds::machines::LinkChange;
use kyneta_uds::{
    Role, Waiting,
    bus::{BusIncoming, MemberInfo},
};
use serde::Serialize;
use serde_json::Value;

#[cfg(feature = "links")]
use crate::event_fields::LinkFields;
use crate::{
    event_fields::{ErrorFields, WaitingFields},
    event_writer::EventText,
    logs::say,
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
        #[serde(skip_serializing_if = "Option::is_none")]
        machine: Option<&'a str>,
    },
    /// A link to another machine came up, or there is none.
    #[cfg(feature = "links")]
    Link(LinkFields<'a>),
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
    Waiting(WaitingFields),
    #[serde(rename = "handed-over")]
    HandedOver {
        pid: u32,
    },
    #[serde(rename = "took-over")]
    TookOver {
        pid: u32,
        connections: usize,
        pause_us: u64,
    },
    Error(ErrorFields<'a>),
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
            machine: member.machine.as_deref(),
        }
    }

    #[cfg(feature = "links")]
    pub(super) fn link(machine: &'a str, change: &LinkChange) -> Self {
        Self::Link(LinkFields::new(machine, change))
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
        Self::Waiting(waiting.into())
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
                    say(note);
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
            #[cfg(feature = "links")]
            Self::Link(LinkFields {
                machine,
                change,
                reason,
            }) => {
                let why = reason.as_deref().map(|why| format!(": {}", Escaped(why)));
                format!("* {machine} {change}{}", why.unwrap_or_default())
            }
            Self::Waiting(WaitingFields { why, for_ms }) => {
                format!("* waiting for {} s: {}", for_ms / 1000, Escaped(why))
            }
            Self::HandedOver { pid } => format!("* handed over to process {pid}"),
            Self::TookOver {
                pid,
                connections,
                pause_us,
            } => {
                format!(
                    "* took over from process {pid}: connections {connections}, pause {pause_us} us"
                )
            }
            Self::Error(ErrorFields { code, message, .. }) => {
                format!("! {} ({code})", Escaped(message))
            }
            _ => return None,
        })
    }
}
