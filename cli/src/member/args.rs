//! The options of `peer`, `listen` and `connect`, and those that `exchange` has too.
//!
//! In: the words of the command line. Out: the builders and settings of the three roles. Touches nothing.

use clap::{Args, ValueHint};
use kyneta_uds::{AccessPolicy, ListenerOptions, PeerType, SocketPath, WireMode};

use crate::option_values::{
    at_least_one, bytes, mode, not_empty, peer_type, socket_path, wire_mode,
};

#[derive(Debug, Args)]
pub(crate) struct PeerArgs {
    #[command(flatten)]
    pub(super) member: MemberArgs,

    /// Send each received offer back to its sender
    #[arg(long)]
    pub(super) echo: bool,

    #[command(flatten)]
    pub(super) socket: SocketArgs,

    #[command(flatten)]
    pub(super) relay: RelayArgs,

    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub(super) handoff: super::handoff::HandoffArgs,

    #[cfg(feature = "machines")]
    #[command(flatten)]
    pub(super) machines: super::machines::MachineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    pub(super) member: MemberArgs,

    /// Send each received offer back to its sender
    #[arg(long)]
    pub(super) echo: bool,

    #[command(flatten)]
    pub(super) socket: SocketArgs,

    #[command(flatten)]
    pub(super) relay: RelayArgs,

    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub(super) handoff: super::handoff::HandoffArgs,

    /// Fail if there is a stale socket file (no process listens on it), instead of removing it
    #[arg(long)]
    pub(super) no_cleanup: bool,
}

/// The options of a process that can be the listener.
#[derive(Debug, Args)]
pub(crate) struct SocketArgs {
    /// Permissions of the socket file, octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = mode)]
    mode: u32,

    /// Group of the socket file, by number: with --mode 660 its members can connect if their uid is
    /// allowed
    #[arg(long, value_name = "GID")]
    group: Option<u32>,

    /// Also accept processes of this user, by number; processes of our own user are always accepted
    /// (may be repeated)
    #[arg(long, value_name = "UID")]
    allow_uid: Vec<u32>,
}

/// Whether documents are passed on.
#[derive(Debug, Args)]
pub(super) struct RelayArgs {
    /// Do not pass documents between the members while this process listens; --echo implies it
    #[arg(long)]
    no_relay: bool,
}

impl SocketArgs {
    /// How the path is bound, and which processes are accepted.
    pub(crate) fn options(&self) -> ListenerOptions {
        let allow = AccessPolicy::same_uid().or(AccessPolicy::uids(self.allow_uid.iter().copied()));
        let options = ListenerOptions::new().mode(self.mode).allow(allow);
        match self.group {
            Some(gid) => options.group(gid),
            None => options,
        }
    }
}

impl RelayArgs {
    /// Whether documents are passed between the members.
    pub(super) const fn relays(&self, echo: bool) -> bool {
        !self.no_relay && !echo
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(super) member: MemberArgs,

    /// Send each received offer back to its sender
    #[arg(long)]
    pub(super) echo: bool,

    /// Give up after this many failed attempts in a row
    #[arg(long, value_name = "N", default_value = "10")]
    pub(super) retries: u32,

    /// Delay before the first attempt to reconnect, milliseconds; it doubles with each attempt, plus up
    /// to 20 % at random
    #[arg(long, value_name = "MS", default_value = "1000")]
    pub(super) base_delay: u64,

    /// The longest delay, milliseconds
    #[arg(long, value_name = "MS", default_value = "30000")]
    pub(super) max_delay: u64,

    /// Connect once: end if the connection cannot be made, and when it is lost
    #[arg(long, conflicts_with_all = ["retries", "base_delay", "max_delay"])]
    pub(super) no_reconnect: bool,
}

/// The options of all of them.
#[derive(Debug, Args)]
pub(super) struct MemberArgs {
    /// The socket: a file, or @name in Linux's abstract namespace
    #[arg(value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(super) path: SocketPath,

    /// The peer id of this process [default: the command and the process number, as peer-4711]
    #[arg(long, value_parser = not_empty)]
    pub(super) id: Option<String>,

    /// A name for display
    #[arg(long)]
    pub(super) name: Option<String>,

    /// The peer type: user, bot or service
    #[arg(long = "type", value_name = "TYPE", default_value = "service", value_parser = peer_type)]
    pub(super) peer_type: PeerType,

    /// The wire version: 2 (releases 1.x of the TypeScript package), 3 (its releases 2.x and 3.x), or that
    /// of the other side
    #[arg(long, default_value = "auto", value_parser = wire_mode())]
    pub(super) wire: WireMode,

    /// Do not use aliases, in either direction
    #[arg(long)]
    pub(super) no_alias: bool,

    /// Print each event as a JSON object on a line of its own
    #[arg(long)]
    pub(super) json: bool,

    /// Keep running when stdin ends; by default its end ends the command, unless nothing was read from it
    /// and it is not a terminal
    #[arg(long)]
    pub(super) stay: bool,

    /// Serve the status of this process on this socket: HTTP, for `kyneta-uds status` and curl
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(super) status: Option<SocketPath>,

    /// The largest frame, sent or received, bytes (64KiB and 64MiB are understood)
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = bytes)]
    pub(super) max_frame: u32,

    /// How many messages the queue of a peer holds
    #[arg(long, value_name = "MESSAGES", default_value = "1024", value_parser = at_least_one)]
    pub(super) max_queue: usize,

    /// Disconnect a peer whose queue has been full for this long, milliseconds
    #[arg(long, value_name = "MS", default_value = "5000")]
    pub(super) stall_limit: u64,
}
