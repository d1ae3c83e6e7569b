//! The members of a kyneta path: `peer`, `listen`, `connect` and `exchange`.
//!
//! In: JSON lines on stdin, messages from peers. Out: events on stdout, messages to peers. Touches
//! the socket, and stdin and stdout by a thread of their own each, so that neither ever blocks the
//! connections for longer than the queues allow.

mod args;
mod command_line;
mod connect;
mod event_line;
mod event_text;
mod exchange;
#[cfg(target_os = "linux")]
mod handoff;
mod last_failure;
mod listen;
#[cfg(feature = "machines")]
mod machines;
mod message_summary;
mod peer;
mod recipients;
mod reporter;
mod run;
mod send;
mod settings;
mod status_socket;

#[cfg(feature = "machines")]
pub(crate) use args::SocketArgs;
pub(crate) use args::{ConnectArgs, ListenArgs, PeerArgs};
pub(crate) use connect::connect;
pub(crate) use exchange::{DocArgs, ExchangeArgs, doc, exchange};
#[cfg(target_os = "linux")]
pub(crate) use handoff::HandoffArgs;
pub(crate) use listen::listen;
#[cfg(feature = "machines")]
pub(crate) use machines::{MachineArgs, key};
pub(crate) use peer::peer;
