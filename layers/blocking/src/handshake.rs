//! Connecting: the handshake, on the one wire version and then on the other.
//!
//! In: the settings. Out: a connection whose peer is known. May touch: sockets, the clock.

use std::time::Duration;

use kyneta_uds_core::{Establish, WireVersion};
use kyneta_uds_handshake::{HandshakeMachine, Reaction, Side, is_admission};

use crate::{builder::Builder, connection::Connection, deadline::Deadline, error::Error, socket};

/// Frames and messages that may come before `establish`.
const MAX_EARLY: u32 = 1000;

/// The shortest wait of an attempt: it grows from there, also where no wait is set.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

pub(crate) struct Greeted {
    pub(crate) connection: Connection,
    pub(crate) handshake: HandshakeMachine,
    pub(crate) peer: Establish,
}

/// Connects and greets; without an answer, again with the other wire version, until the time is over.
pub(crate) fn connect(settings: &Builder) -> Result<Greeted, Error> {
    let mut all = Deadline::after(Some(settings.timeout));
    let mut wire = WireVersion::V3;
    let mut fallback = settings.wire_fallback.max(SHORTEST_WAIT);
    let mut tried = Vec::new();
    loop {
        let Ok(Some(left)) = all.left() else {
            let waited = all.elapsed();
            return Err(Error::Unanswered { tried, waited });
        };
        let io = socket::connect(&settings.path, left)?;
        let mut connection = Connection::new(io, &settings.framing);
        let is_fixed = !connection.begin_with(wire);
        if is_fixed {
            wire = connection.info().wire.unwrap_or(wire);
        }
        if !tried.contains(&wire) {
            tried.push(wire);
        }
        let left = settings.timeout.saturating_sub(all.elapsed());
        let limit = if is_fixed { left } else { left.min(fallback) };
        match greet(&mut connection, settings, &mut Deadline::after(Some(limit))) {
            Ok((handshake, peer)) => {
                return Ok(Greeted {
                    connection,
                    handshake,
                    peer,
                });
            }
            Err(Error::TimedOut { .. }) => {}
            Err(error) => return Err(error),
        }
        wire = wire.other();
        if wire == WireVersion::V3 {
            fallback = fallback.saturating_mul(2);
        }
    }
}

fn greet(
    connection: &mut Connection,
    settings: &Builder,
    deadline: &mut Deadline,
) -> Result<(HandshakeMachine, Establish), Error> {
    let mut handshake = HandshakeMachine::new(Side::Connecting);
    connection.queue(&settings.establish.clone().into(), deadline)?;
    connection.flush(deadline)?;
    for early in 0..=MAX_EARLY {
        let msg = match connection.next(deadline) {
            Ok(msg) => msg,
            Err(Error::Rejected(rejection))
                if early == 0
                    && is_admission(&rejection, connection.worked(), connection.info().wire) =>
            {
                let path = settings.path.clone();
                return Err(Error::OtherProtocol { path });
            }
            Err(Error::Rejected(_)) => continue,
            Err(error) => return Err(error),
        };
        if let Reaction::Established { peer, .. } = handshake.received(msg) {
            return Ok((handshake, peer));
        }
    }
    Err(Error::TooManyEarlyMessages { limit: MAX_EARLY })
}
