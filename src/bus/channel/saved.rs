//! An accepted connection as a value, and the same connection in another process.
//!
//! In: a connection that nothing polls, or its stream and its state. Out: the same, the other way round. May touch: the
//! state of the bus, where what is put aside is kept. No byte is read or written.

use std::{io, os::fd::AsFd as _, sync::Arc};

use kyneta_uds_bus::{ConnectionKey, MemberId};
use kyneta_uds_cbor::SaveCodec;
use kyneta_uds_core::{Channel, Inbound, Save, Saved, SavedError, SavedValue, SharedError};
use tokio::net::UnixStream;

use super::{BusChannel, Side, accepted::Accepted};
use crate::bus::{
    codec::BusCodec,
    event::BusEvent,
    outbox::DownBox,
    shared::{Aside, Shared},
    wire::{Alias, Wire},
};

/// The name of this layer's part.
const PART: &str = "bus";
const VERSION: u32 = 1;
const MEMBERS: &str = "members";

/// Gives the state of a channel, with a copy of its stream.
pub(crate) type SaveFn<C> = fn(&C) -> io::Result<Aside>;

pub(crate) fn save<C: Save<Io = UnixStream>>(channel: &C) -> io::Result<Aside> {
    let stream = channel.stream().as_fd().try_clone_to_owned()?;
    Ok((stream, channel.save(Saved::new(VERSION, 1))))
}

/// The codec has no state.
impl SaveCodec for BusCodec {
    fn save(&self) -> Saved {
        Saved::new(1, 1)
    }

    fn resume(&self, saved: &Saved) -> Result<Self, SavedError> {
        saved.check("the codec of a bus", 1..=1)?;
        Ok(*self)
    }
}

impl<C: Channel<Wire, In = Wire>> BusChannel<C> {
    /// Its state goes to the state of the bus. False for a connection that is ending, or that this side has made.
    pub(super) fn set_aside(&mut self) -> bool {
        match &self.next {
            None => {}
            Some(Some(Ok(Inbound::Rejected(rejection)))) => {
                let error = SharedError::new(rejection.clone());
                self.shared.events.send(BusEvent::Rejected { error });
                self.next = None;
            }
            Some(Some(Ok(_))) => self.next = None,
            Some(_) => return false,
        }
        match self.aside() {
            Ok(Some((key, aside))) => {
                self.shared.set_aside(key, aside);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, "the stream of a connection cannot be copied");
                false
            }
        }
    }

    fn aside(&mut self) -> io::Result<Option<(ConnectionKey, Aside)>> {
        let (Side::Accepted(Some(accepted)), Some(save)) = (&mut self.side, self.save) else {
            return Ok(None);
        };
        // What was taken from the outbox becomes bytes; the rest is saved as it is.
        while let Some(wire) = accepted.next_taken(&self.shared) {
            drop(self.inner.call(wire));
        }
        let mut not_shown = 0;
        for wire in accepted.outbox.take_own() {
            // A connection that looks on and is slow misses messages, here as ever.
            match (&wire, self.inner.buffered()) {
                (Wire::Passed(_), 1..) => not_shown += 1,
                _ => drop(self.inner.call(wire)),
            }
        }
        self.shared.not_shown(accepted.key, not_shown);
        let (stream, saved) = save(&self.inner)?;
        let saved = saved.with(PART, accepted.save());
        Ok(Some((accepted.key, (stream, saved))))
    }
}

impl<C: Channel<Wire>> BusChannel<C> {
    /// Goes on with a connection of another process, which has this key and this outbox here.
    pub(crate) fn resumed(
        inner: C,
        save: SaveFn<C>,
        shared: Arc<Shared>,
        key: ConnectionKey,
        outbox: Arc<DownBox>,
        saved: &Saved,
    ) -> Result<Self, SavedError> {
        let accepted = Accepted::resume(key, outbox, saved.part(PART)?)?;
        Ok(Self {
            inner,
            save: Some(save),
            shared,
            side: Side::Accepted(Some(accepted)),
            next: None,
        })
    }
}

impl Accepted {
    fn save(&self) -> Saved {
        let members = self.members();
        let members = members.map(|(alias, member)| {
            SavedValue::List(vec![SavedValue::from(alias), SavedValue::from(member)])
        });
        Saved::new(1, 1)
            .with("last-alias", self.last_alias())
            .with(MEMBERS, members.collect::<Vec<_>>())
    }

    fn resume(key: ConnectionKey, outbox: Arc<DownBox>, saved: &Saved) -> Result<Self, SavedError> {
        saved.check("a connection of a bus", 1..=1)?;
        let members = saved.list(MEMBERS)?.iter().map(named);
        let members = members.collect::<Result<Vec<_>, _>>()?;
        let last = saved.number("last-alias")?;
        if members.iter().any(|(alias, _)| *alias > last) {
            return Err(invalid("an alias is larger than the last one"));
        }
        Ok(Self::new(key, outbox).knowing(last, members))
    }
}

const fn invalid(why: &'static str) -> SavedError {
    SavedError::Value { name: MEMBERS, why }
}

fn named(value: &SavedValue) -> Result<(Alias, MemberId), SavedError> {
    match value {
        SavedValue::List(pair) => match pair.as_slice() {
            [SavedValue::Number(alias), member] => Ok((*alias, MemberId::try_from(member)?)),
            _ => Err(invalid("one is no alias with a member")),
        },
        _ => Err(invalid("one is no alias with a member")),
    }
}
