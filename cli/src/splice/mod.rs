//! `expose` and `reach`: a path of another machine, whose listener may be of any kind.
//!
//! In: connections at one end, each a stream of its own between the machines. Out: the same bytes at the other end, as
//! fast as that end takes them. May touch: a path, a UDP address, a key file.
//!
//! Before the bytes, `reach` writes one byte, and `expose` answers with one: whether it is connected to its path.

mod args;
mod expose;
mod line;
mod reach;

use std::net::SocketAddr;

pub(crate) use args::{ExposeArgs, ReachArgs};
pub(crate) use expose::expose;
use kyneta_uds_iroh::{IrohEngine, IrohSettings, SecretKey};
pub(crate) use reach::reach;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};

use self::{args::KeyArgs, line::Line};
use crate::{event_writer::EventWriter, failure::Failure};

/// What both sides call this in the handshake: no link is taken for a splice.
const PROTOCOL: &str = "kyneta-uds-splice/1";

/// The first byte of `reach`.
const OPEN: u8 = 1;

/// The answer of `expose` when it is connected to its path.
const CONNECTED: u8 = 1;

/// And when it cannot connect to it.
const NOT_CONNECTED: u8 = 2;

async fn engine(key: &KeyArgs, address: SocketAddr) -> Result<IrohEngine, Failure> {
    let secret = SecretKey::at(&key.machine_key)?;
    let settings = IrohSettings::default().protocol(PROTOCOL);
    Ok(IrohEngine::bind(&secret, address, settings).await?)
}

/// Passes bytes both ways until both ends have ended, and reports the end.
async fn pass<L, R>(mut local: L, mut remote: R, events: &EventWriter, machine: &str)
where
    L: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite + Unpin,
{
    events.put(&Line::splice(machine, "opened", None));
    let reason = copy_bidirectional(&mut local, &mut remote).await.err();
    let reason = reason.map(|error| error.to_string());
    events.put(&Line::splice(machine, "closed", reason));
}
