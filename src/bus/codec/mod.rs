//! Payloads of a bus, as CBOR arrays that begin with their kind.
//!
//! In: values, payloads. Out: the other one. Touches nothing. What may grow later is a map whose unknown keys are
//! ignored; further items of an array are ignored too.

pub(super) mod message;
pub(super) mod read;
pub(super) mod write;

use kyneta_uds_cbor::{Codec, EncodeError};
use kyneta_uds_core::{Payload, PayloadWriter, Rejection};
use serde::Deserialize;

use self::{
    message::{body, flags, what_for, with_trace},
    read::Reader,
    write::{ARRAY, MAP, bytes, head, list, map, numbers, text, with_map},
};
use super::wire::{Passed, Wire};

/// The codec of one connection: it has no state.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BusCodec;

mod kind {
    pub(super) const GREET: u64 = 0;
    pub(super) const POSITION: u64 = 1;
    pub(super) const ACKS: u64 = 2;
    pub(super) const START: u64 = 3;
    pub(super) const SEND: u64 = 4;
    pub(super) const BYE: u64 = 5;
    pub(super) const OBSERVE: u64 = 6;
    pub(super) const WELCOME: u64 = 16;
    pub(super) const REFUSE: u64 = 17;
    pub(super) const INTRODUCE: u64 = 18;
    pub(super) const JOINED: u64 = 19;
    pub(super) const PEER: u64 = 20;
    pub(super) const LEFT: u64 = 21;
    pub(super) const MESSAGE: u64 = 22;
    pub(super) const MISSED: u64 = 23;
    pub(super) const MEMBERS: u64 = 24;
    pub(super) const PASSED: u64 = 25;
}

impl Codec for BusCodec {
    type Message = Wire;

    fn encode(&mut self, msg: &Wire, out: &mut PayloadWriter<'_>) -> Result<(), EncodeError> {
        match msg {
            // A frame without content.
            Wire::Admission => Ok(()),
            Wire::Greet(greeting) => with_map(out, kind::GREET, &**greeting),
            Wire::Observe(observation) => with_map(out, kind::OBSERVE, &**observation),
            Wire::Welcome(welcome) => with_map(out, kind::WELCOME, &**welcome),
            Wire::Refuse(refused) => with_map(out, kind::REFUSE, &**refused),
            Wire::Members(members) => with_map(out, kind::MEMBERS, members),
            Wire::Introduce(alias, member) => {
                head(out, ARRAY, 3);
                numbers(out, [kind::INTRODUCE, *alias]);
                map(out, &**member)
            }
            _ => {
                encode_frame(msg, out);
                Ok(())
            }
        }
    }

    fn decode(&mut self, payload: Payload<'_>) -> Result<Wire, Rejection> {
        Reader::new(payload).wire()
    }
}

fn encode_frame(msg: &Wire, out: &mut PayloadWriter<'_>) {
    match msg {
        Wire::Position {
            sender,
            session,
            token,
        } => list(out, [kind::POSITION, *sender, *session, *token]),
        Wire::Acks(acks) => {
            head(out, ARRAY, 1 + 2 * acks.len() as u64);
            numbers(out, [kind::ACKS]);
            for (member, k) in acks {
                numbers(out, [*member, *k]);
            }
        }
        Wire::Start {
            member,
            session,
            from,
        } => list(out, [kind::START, *member, *session, *from]),
        Wire::Send { to, message } => {
            head(out, ARRAY, with_trace(6, &message.body));
            numbers(out, [kind::SEND, message.n, flags(message)]);
            head(out, ARRAY, to.len() as u64);
            to.iter().for_each(|alias| numbers(out, [*alias]));
            body(out, &message.body);
        }
        Wire::Bye => list(out, [kind::BYE]),
        Wire::Joined { sender, session } => list(out, [kind::JOINED, *sender, *session]),
        Wire::Peer {
            receiver,
            session,
            token,
            k,
            keeps_newest,
        } => list(
            out,
            [
                kind::PEER,
                *receiver,
                *session,
                *token,
                *k,
                u64::from(*keeps_newest),
            ],
        ),
        Wire::Left(member) => list(out, [kind::LEFT, *member]),
        Wire::Message { sender, message } => {
            head(out, ARRAY, with_trace(6, &message.body));
            numbers(out, [kind::MESSAGE, message.n, flags(message), *sender]);
            body(out, &message.body);
        }
        Wire::Missed {
            sender,
            upto,
            count,
        } => list(out, [kind::MISSED, *sender, *upto, *count]),
        Wire::Passed(passed) => {
            head(out, ARRAY, 7);
            numbers(out, [kind::PASSED, passed.n, passed.missed]);
            text(out, &passed.from);
            head(out, ARRAY, passed.to.len() as u64);
            passed.to.iter().for_each(|to| text(out, to));
            numbers(out, [what_for(passed.kind)]);
            bytes(out, &passed.data);
        }
        // Those with maps are written by `encode`.
        _ => {}
    }
}

/// What is read of a message of kyneta's: in `establish`, the id of the peer.
#[derive(Deserialize)]
struct KynetaMessage {
    id: Option<String>,
}

impl Reader<'_> {
    fn wire(&mut self) -> Result<Wire, Rejection> {
        if self.is_at_end() {
            return Ok(Wire::Admission);
        }
        // A map is what kyneta's own messages are.
        if self.next_is(MAP) {
            let message: KynetaMessage = self.map()?;
            return Ok(Wire::Kyneta(message.id));
        }
        let items = self.head(ARRAY)?;
        if items == 0 {
            return Err(self.fail("an array without a kind"));
        }
        Ok(match self.number()? {
            kind::GREET => Wire::Greet(Box::new(self.map()?)),
            kind::OBSERVE => Wire::Observe(Box::new(self.map()?)),
            kind::POSITION => Wire::Position {
                sender: self.number()?,
                session: self.number()?,
                token: self.number()?,
            },
            kind::ACKS => {
                let pairs = (items - 1) / 2;
                let mut acks = Vec::with_capacity(self.capacity(pairs)?);
                for _ in 0..pairs {
                    acks.push((self.number()?, self.number()?));
                }
                Wire::Acks(acks)
            }
            kind::START => Wire::Start {
                member: self.number()?,
                session: self.number()?,
                from: self.number()?,
            },
            kind::SEND => {
                let (n, flags) = (self.number()?, self.number()?);
                let count = self.head(ARRAY)?;
                let mut to = Vec::with_capacity(self.capacity(count)?);
                for _ in 0..count {
                    to.push(self.number()?);
                }
                let message = self.message(n, flags, items > 6)?;
                Wire::Send { to, message }
            }
            kind::BYE => Wire::Bye,
            kind::WELCOME => Wire::Welcome(Box::new(self.map()?)),
            kind::REFUSE => Wire::Refuse(Box::new(self.map()?)),
            kind::INTRODUCE => Wire::Introduce(self.number()?, Box::new(self.map()?)),
            kind::JOINED => Wire::Joined {
                sender: self.number()?,
                session: self.number()?,
            },
            kind::PEER => Wire::Peer {
                receiver: self.number()?,
                session: self.number()?,
                token: self.number()?,
                k: self.number()?,
                keeps_newest: self.number()? != 0,
            },
            kind::LEFT => Wire::Left(self.number()?),
            kind::MESSAGE => {
                let (n, flags, sender) = (self.number()?, self.number()?, self.number()?);
                let message = self.message(n, flags, items > 6)?;
                Wire::Message { sender, message }
            }
            kind::MISSED => Wire::Missed {
                sender: self.number()?,
                upto: self.number()?,
                count: self.number()?,
            },
            kind::MEMBERS => Wire::Members(self.map()?),
            kind::PASSED => Wire::Passed(Box::new(self.passed()?)),
            _ => return Err(self.fail("a kind of payload that this version does not know")),
        })
    }

    fn passed(&mut self) -> Result<Passed, Rejection> {
        let (n, missed, from) = (self.number()?, self.number()?, self.text()?);
        let count = self.head(ARRAY)?;
        let mut to = Vec::with_capacity(self.capacity(count)?);
        for _ in 0..count {
            to.push(self.text()?);
        }
        let (kind, data) = self.content(n, !to.is_empty())?;
        Ok(Passed {
            n,
            missed,
            from,
            to,
            kind,
            data,
        })
    }
}

#[cfg(test)]
mod tests;
