//! The events of a member, as text for a terminal.
//!
//! In: an event, whether colours are wanted. Out: a line. What other processes have said is escaped. Pure.

use std::{fmt, time::Duration};

use super::{
    event_line::{EventLine, PeerChanged, Reason, State},
    message_summary::Summary,
};
#[cfg(feature = "links")]
use crate::event_fields::LinkFields;
use crate::{
    event_fields::{ErrorFields, WaitingFields},
    event_writer::EventText,
    json::Msg,
    style::{Color, Escaped, Style},
};

impl EventText for EventLine<'_> {
    fn text(&self, style: Style) -> String {
        let line = |color, sign: &str, rest: fmt::Arguments<'_>| {
            format!("{} {rest}", style.paint(color, sign))
        };
        match self {
            Self::Listening { path } => line(
                Color::Good,
                "*",
                format_args!("listening on {path}; Ctrl-C ends it"),
            ),
            Self::Role { role } => {
                let color = match role.as_str() {
                    "listener" | "connector" => Color::Good,
                    _ => Color::Faint,
                };
                line(color, "*", format_args!("{role}"))
            }
            Self::State(state) => {
                let color = match state.state {
                    "connected" => Color::Good,
                    _ => Color::Faint,
                };
                line(color, "*", format_args!("{state}"))
            }
            Self::Peer(peer) => {
                let (color, sign) = match peer.change {
                    "established" | "reconnected" => (Color::Good, "+"),
                    _ => (Color::Bad, "-"),
                };
                line(color, sign, format_args!("{}", PeerLine { peer, style }))
            }
            Self::Message {
                peer,
                msg: Msg(msg),
            } => {
                let peer = style.paint(Color::Strong, Escaped(peer));
                line(Color::In, "<", format_args!("{peer}  {}", Summary(msg)))
            }
            Self::Error(ErrorFields {
                code,
                message,
                peer,
            }) => {
                let of = peer
                    .map(|peer| format!("{}  ", Escaped(peer)))
                    .unwrap_or_default();
                line(
                    Color::Bad,
                    "!",
                    format_args!("{of}{} ({code})", Escaped(message)),
                )
            }
            Self::Diagnostic { code, doc, peer } => {
                let of = peer
                    .map(|peer| format!("{}  ", Escaped(peer)))
                    .unwrap_or_default();
                let about = doc
                    .map(|doc| format!(" {}", Escaped(doc)))
                    .unwrap_or_default();
                line(Color::Faint, "?", format_args!("{of}{code}{about}"))
            }
            Self::Doc { doc, value, .. } => line(
                Color::In,
                "=",
                format_args!(
                    "{}  {}",
                    style.paint(Color::Strong, Escaped(doc)),
                    Escaped(&value.0.to_string())
                ),
            ),
            Self::Synced { doc, peer } => line(
                Color::Good,
                "*",
                format_args!("{} is in sync with {}", Escaped(doc), Escaped(peer)),
            ),
            Self::Stored { doc, version } => line(
                Color::Good,
                "*",
                format_args!("{} is stored at {}", Escaped(doc), Escaped(version)),
            ),
            Self::Disagreement {
                code,
                doc,
                peer,
                local,
                remote,
                local_schema,
                remote_schema,
            } => line(
                Color::Bad,
                "!",
                format_args!(
                    "{}  {code} {}: {}{} here, {}{} there",
                    Escaped(peer),
                    Escaped(doc),
                    Escaped(local),
                    schema(*local_schema),
                    Escaped(remote),
                    schema(*remote_schema)
                ),
            ),
            Self::HandedOver { pid } => format!("handed over to process {pid}"),
            Self::TookOver {
                pid,
                connections,
                pause_us,
            } => format!(
                "took over from process {pid}: connections {connections}, pause {pause_us} us"
            ),
            #[cfg(feature = "links")]
            Self::Link(LinkFields {
                machine,
                change,
                reason,
            }) => {
                let (color, sign) = match *change {
                    "up" => (Color::Good, "+"),
                    _ => (Color::Bad, "-"),
                };
                let why = reason
                    .as_ref()
                    .map(|reason| format!(": {}", Escaped(reason)))
                    .unwrap_or_default();
                line(
                    color,
                    sign,
                    format_args!("link to {} {change}{why}", Escaped(machine)),
                )
            }
            Self::Waiting(WaitingFields { why, for_ms }) => line(
                Color::Faint,
                "*",
                format_args!("waiting for {} s: {}", for_ms / 1000, Escaped(why)),
            ),
            Self::Sent { count: 0 } => line(Color::Bad, ">", format_args!("sent to no peer")),
            Self::Sent { count: 1 } => line(Color::Out, ">", format_args!("sent")),
            Self::Sent { count } => line(Color::Out, ">", format_args!("sent to {count} peers")),
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
        // The reason of the final state is printed on stderr.
        match &self.reason {
            Some(reason) if self.attempt.is_some() => f.write_str(&reason.suffix()),
            Some(reason) => write!(f, " ({})", reason.kind),
            None => Ok(()),
        }
    }
}

impl Reason {
    /// To be appended to a line.
    fn suffix(&self) -> String {
        match &self.message {
            Some(message) => format!(": {}", Escaped(message)),
            None => format!(" ({})", self.kind),
        }
    }
}

/// The text of a schema, to be appended to its hash.
fn schema(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(" {}", Escaped(text)))
}

struct PeerLine<'a> {
    peer: &'a PeerChanged<'a>,
    style: Style,
}

impl fmt::Display for PeerLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer;
        write!(f, "{}", self.style.paint(Color::Strong, Escaped(peer.peer)))?;
        if let Some(name) = peer.name {
            write!(f, " {name:?}")?;
        }
        write!(f, " {}", peer.change)?;
        if let Some(reason) = &peer.reason {
            // The cause of an error has a line of its own.
            return write!(f, " ({})", reason.kind);
        }
        let mut about = format!("{}, wire {}", peer.peer_type, peer.wire);
        if let Some(pid) = peer.pid {
            about.push_str(&format!(", pid {pid}"));
        }
        write!(
            f,
            " {}",
            self.style.paint(Color::Faint, format!("({about})"))
        )
    }
}
