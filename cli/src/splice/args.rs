//! The options of `expose` and `reach`.
//!
//! In: the command line, as clap has read it. Out: a path, this machine's key, the machines at the other end. Touches nothing.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueHint};
use kyneta_uds::{
    SocketPath,
    machines::{MachineKey, Remote},
};

use crate::{member::SocketArgs, option_values::socket_path};

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// The key file of this machine, made if there is none; see `kyneta-uds key`. No other process may use it at the same
    /// time
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) machine_key: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExposeArgs {
    /// The socket of the listener that other machines may reach: a file, or @name in Linux's abstract namespace
    #[arg(value_parser = socket_path, value_hint = ValueHint::FilePath)]
    pub(super) path: SocketPath,

    #[command(flatten)]
    pub(super) key: KeyArgs,

    /// The UDP address of this machine, for the others
    #[arg(long, value_name = "ADDR")]
    pub(super) machine_listen: SocketAddr,

    /// The public key of a machine that may reach the path (may be repeated). Its processes then have the rights of this
    /// one: the listener sees this process's user
    #[arg(long, value_name = "KEY", required = true)]
    pub(super) allow_key: Vec<MachineKey>,

    /// Print each event as a JSON object on a line of its own
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReachArgs {
    /// The machine that exposes a path: its public key, and its UDP address
    #[arg(value_name = "KEY@ADDR")]
    pub(super) machine: Remote<SocketAddr>,

    /// Where that path is to be here
    #[arg(value_parser = socket_path, value_hint = ValueHint::FilePath)]
    pub(super) path: SocketPath,

    #[command(flatten)]
    pub(super) key: KeyArgs,

    #[command(flatten)]
    pub(super) socket: SocketArgs,

    /// Print each event as a JSON object on a line of its own
    #[arg(long)]
    pub(super) json: bool,
}
