//! The options of `bus`, `send`, `who` and `tap`.
//!
//! In: the words of the command line. Out: the builder of a member, and what the commands do. Touches nothing but the
//! number of this process, for an id.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, ValueHint};
use kyneta_uds::{
    AccessPolicy, Bus, Identity, ListenerOptions, PeerId, PeerType, SocketPath, TextTooLong,
    bus::{BusBuilder, Delivery},
};
use serde_json::Value;

use crate::{
    failure::Failure,
    option_values::{mode, not_empty, socket_path},
};

#[derive(Debug, Args)]
pub(crate) struct BusArgs {
    #[command(flatten)]
    pub(super) joining: JoinArgs,

    /// Do not wait for the other members to have each message
    #[arg(long)]
    pub(super) fast: bool,

    /// What happens when this member is too slow: the others wait, it gets the newest N messages to all, or it is
    /// disconnected
    #[arg(long, value_name = "wait|newest:N|disconnect", default_value = "wait", value_parser = slow)]
    pub(super) slow: Slow,

    /// Serve the status of this process on this socket: HTTP, for `kyneta-uds status` and curl
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(super) status: Option<SocketPath>,

    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub(super) handoff: crate::member::HandoffArgs,

    #[cfg(feature = "machines")]
    #[command(flatten)]
    pub(super) machines: crate::member::MachineArgs,

    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(super) nats: super::nats::NatsArgs,

    /// Read and print JSON, one object on a line
    #[arg(long)]
    pub(super) json: bool,

    /// Keep running when stdin ends; by default its end ends the command, unless nothing was read from it
    /// and it is not a terminal
    #[arg(long)]
    pub(super) stay: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(super) joining: JoinArgs,

    /// The message, a text; @FILE for the content of a file, - for that of stdin
    #[arg(value_name = "TEXT|@FILE|-")]
    pub(super) text: String,

    /// Send it to this member alone
    #[arg(long, value_name = "ID", value_parser = not_empty)]
    pub(super) to: Option<String>,

    /// Ask the member, and print its answer
    #[arg(long, requires = "to")]
    pub(super) request: bool,

    /// How long all of it may take, milliseconds
    #[arg(long, value_name = "MS", default_value = "10000")]
    pub(super) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct WhoArgs {
    /// The socket of the bus, or of a kyneta listener
    #[arg(value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(super) path: SocketPath,

    /// Print a JSON object on a line for each member
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TapArgs {
    /// The socket of the bus, or of a kyneta listener
    #[arg(value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(super) path: SocketPath,

    /// Print a JSON object on a line for each message
    #[arg(long)]
    pub(super) json: bool,

    /// End after this many messages
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,

    /// Write what passes to this file, as frames for `wire decode --raw`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) raw: Option<PathBuf>,
}

/// How a bus is joined.
#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// The socket: a file, or @name in Linux's abstract namespace
    #[arg(value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(super) path: SocketPath,

    /// The id of this member [default: the command and the process number, as bus-4711; of `bus --take-over` that of
    /// the process that is replaced, if one is]
    #[arg(long, value_parser = not_empty)]
    id: Option<String>,

    /// A name for display
    #[arg(long)]
    name: Option<String>,

    /// The protocol of the messages: members with another one are refused
    #[arg(long, value_name = "TEXT", default_value = "json/1", value_parser = not_empty)]
    protocol: String,

    /// Permissions of the socket file, octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = mode)]
    mode: u32,

    /// Also accept processes of this user, by number; processes of our own user are always accepted
    /// (may be repeated)
    #[arg(long, value_name = "UID")]
    allow_uid: Vec<u32>,
}

impl JoinArgs {
    pub(super) fn builder(&self, command: &str) -> Result<BusBuilder<Value>, Failure> {
        let usage = |error: TextTooLong| Failure::Usage(error.to_string());
        let id = self.id.clone();
        let id = id.unwrap_or_else(|| format!("{command}-{}", std::process::id()));
        let mut identity = Identity::new(PeerId::new(id).map_err(usage)?, PeerType::Service);
        if let Some(name) = &self.name {
            identity = identity.named(name.clone()).map_err(usage)?;
        }
        Ok(self.unnamed().identity(identity))
    }

    /// With a generated id.
    fn unnamed(&self) -> BusBuilder<Value> {
        let allow = AccessPolicy::same_uid().or(AccessPolicy::uids(self.allow_uid.iter().copied()));
        let listener = ListenerOptions::new().mode(self.mode).allow(allow);
        Bus::builder(self.path.clone())
            .protocol(self.protocol.clone())
            .listener(listener)
    }
}

impl BusArgs {
    pub(super) fn builder(&self) -> Result<BusBuilder<Value>, Failure> {
        let builder = match self.takes_any_id() {
            true => self.joining.unnamed(),
            false => self.joining.builder("bus")?,
        };
        #[cfg(feature = "machines")]
        let builder = match self.machines.machines() {
            Some(machines) => builder.machines(machines),
            None => builder,
        };
        #[cfg(feature = "nats")]
        let builder = match self.nats.machines() {
            Some(machines) => builder.machines(machines),
            None => builder,
        };
        let builder = match self.slow {
            Slow::Wait => builder.when_slow_wait(),
            Slow::Newest(count) => builder.when_slow_keep_newest(count),
            Slow::Disconnect => builder.when_slow_disconnect(),
        };
        Ok(match self.fast {
            true => builder.delivery(Delivery::Fast),
            false => builder,
        })
    }
}

impl BusArgs {
    /// Without an id of its own it takes that of the process that it replaces.
    #[cfg(target_os = "linux")]
    const fn takes_any_id(&self) -> bool {
        let has_id = self.joining.id.is_some() || self.joining.name.is_some();
        self.handoff.takes_over() && !has_id
    }

    #[cfg(not(target_os = "linux"))]
    const fn takes_any_id(&self) -> bool {
        false
    }
}

impl SendArgs {
    pub(super) const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }
}

/// The values of `--slow`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slow {
    Wait,
    Newest(NonZeroU32),
    Disconnect,
}

fn slow(text: &str) -> Result<Slow, String> {
    let newest = |count: &str| count.parse().ok().map(Slow::Newest);
    match text {
        "wait" => Ok(Slow::Wait),
        "disconnect" => Ok(Slow::Disconnect),
        _ => text
            .strip_prefix("newest:")
            .and_then(newest)
            .ok_or_else(|| "expected wait, newest:N or disconnect".to_owned()),
    }
}
