//! One connection of a member.
//!
//! In: frames, limits of time. Out: what the hub says. May touch: its socket, the clock.

use std::{collections::VecDeque, time::Duration};

use ciborium::Value;
use kyneta_uds_bus::{Copies, Member, UpFrame, max_frame};
use kyneta_uds_cbor::{EncodeError, SerdeCodec};
use kyneta_uds_core::WireVersion;
use kyneta_uds_framing::FramingConfig;

use super::{
    builder::BusBuilder,
    wire::{Body, Down, Names, greet},
};
use crate::{connection::Connection, deadline::Deadline, error::Error, socket};

pub(super) struct Link {
    connection: Connection<SerdeCodec<Value>>,
    names: Names,
    /// What waits to be written, in order.
    outbox: VecDeque<Up>,
}

/// What waits for a connection.
pub(super) enum Up {
    Frame(UpFrame<Body>),
    Copies(Copies),
}

impl Link {
    pub(super) fn connect<M>(
        settings: &BusBuilder<M>,
        deadline: &mut Deadline,
    ) -> Result<Self, Error> {
        let left = deadline.left()?.unwrap_or(settings.timeout);
        let io = socket::connect(&settings.path, left)?;
        let limit = max_frame(settings.max_message);
        let mut connection = Connection::new(io, &FramingConfig::new().max_frame(limit));
        connection.begin_with(WireVersion::V3);
        connection.admitted(deadline)?;
        Ok(Self {
            connection,
            names: Names::default(),
            outbox: VecDeque::new(),
        })
    }

    pub(super) fn push(&mut self, up: Up) {
        self.outbox.push_back(up);
    }

    /// Writes all that waits. What is left when time is over is written by the next call.
    pub(super) fn flush<M>(
        &mut self,
        member: &Member<Body>,
        settings: &BusBuilder<M>,
        deadline: &mut Deadline,
    ) -> Result<(), Error> {
        while let Some(up) = self.outbox.front() {
            let payload = match up {
                Up::Frame(UpFrame::Hello(hello)) => {
                    let greeting = greet(hello, &settings.identity, &settings.protocols);
                    let told = |error: ciborium::value::Error| error.to_string().into();
                    Some(greeting.map_err(|error| EncodeError::Serialize(told(error)))?)
                }
                Up::Frame(frame) => self.names.up(frame.clone()),
                Up::Copies(copies) => {
                    let mut next = copies.clone();
                    let frame = member.next_copy(&mut next);
                    if let Some(frame) = &frame
                        && let Some(payload) = self.names.up(frame.clone())
                    {
                        self.connection.queue(&payload, deadline)?;
                    }
                    match (frame, self.outbox.front_mut()) {
                        (Some(_), Some(up)) => *up = Up::Copies(next),
                        _ => drop(self.outbox.pop_front()),
                    }
                    continue;
                }
            };
            if let Some(payload) = payload {
                self.connection.queue(&payload, deadline)?;
            }
            self.outbox.pop_front();
        }
        self.connection.flush(deadline)
    }

    /// The next payload; waits for it.
    pub(super) fn next(&mut self, deadline: &mut Deadline) -> Result<Down, Error> {
        let payload = self.connection.next(deadline)?;
        self.names.down(payload).map_err(Error::Rejected)
    }

    /// What the hub has said first, if it does not admit this member: it may have ended before it read the greeting.
    pub(super) fn refusal(&mut self) -> Option<Down> {
        let first = self.next(&mut Deadline::after(Some(Duration::ZERO)));
        first.ok().filter(|of| matches!(of, Down::Refused(_)))
    }

    /// The next payload, if it has been read.
    pub(super) fn arrived(&mut self) -> Result<Option<Down>, Error> {
        let Some(payload) = self.connection.arrived()? else {
            return Ok(None);
        };
        let down = self.names.down(payload);
        down.map(Some).map_err(Error::Rejected)
    }

    /// Ends this side's direction, and waits for the hub's end.
    pub(super) fn end(mut self, deadline: &mut Deadline) -> Result<(), Error> {
        self.connection.shut_down()?;
        loop {
            match self.connection.next(deadline) {
                Ok(_) | Err(Error::Rejected(_)) => deadline.left().map(drop)?,
                Err(Error::Closed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
