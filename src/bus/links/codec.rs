//! Payloads of a link, as CBOR arrays that begin with their kind. No kind is one of the bus's own payloads.
//!
//! In: values, payloads. Out: the other one. Touches nothing.

use kyneta_uds_cbor::{Codec, EncodeError};
use kyneta_uds_core::{Payload, PayloadWriter, Rejection};

use super::wire::{LinkAck, LinkWire};
use crate::bus::codec::{
    message::{body, flags, with_trace},
    read::Reader,
    write::{ARRAY, head, list, map, numbers},
};

/// The codec of one link: it has no state.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkCodec;

mod kind {
    pub(super) const HELLO: u64 = 32;
    pub(super) const ANNOUNCE: u64 = 33;
    pub(super) const GONE: u64 = 34;
    pub(super) const PEER: u64 = 35;
    pub(super) const ACKS: u64 = 36;
    pub(super) const START: u64 = 37;
    pub(super) const MESSAGE: u64 = 38;
    pub(super) const PING: u64 = 39;
    pub(super) const PONG: u64 = 40;
}

impl Codec for LinkCodec {
    type Message = LinkWire;

    fn encode(&mut self, msg: &LinkWire, out: &mut PayloadWriter<'_>) -> Result<(), EncodeError> {
        match msg {
            LinkWire::Hello(hello) => {
                head(out, ARRAY, 2);
                numbers(out, [kind::HELLO]);
                return map(out, &**hello);
            }
            LinkWire::Announce {
                mine,
                session,
                keeps_newest,
                introduction,
            } => {
                head(out, ARRAY, 5);
                let newest = u64::from(*keeps_newest);
                numbers(out, [kind::ANNOUNCE, *mine, *session, newest]);
                return map(out, &**introduction);
            }
            LinkWire::Gone(mine) => list(out, [kind::GONE, *mine]),
            LinkWire::Peer {
                yours,
                yours_session,
                mine,
                session,
                token,
                k,
                keeps_newest,
            } => {
                let newest = u64::from(*keeps_newest);
                let (to, of) = ([*yours, *yours_session], [*mine, *session]);
                head(out, ARRAY, 8);
                numbers(out, [kind::PEER]);
                numbers(out, to);
                numbers(out, of);
                numbers(out, [*token, *k, newest]);
            }
            LinkWire::Acks(acks) => {
                head(out, ARRAY, 1 + 4 * acks.len() as u64);
                numbers(out, [kind::ACKS]);
                for ack in acks {
                    numbers(out, [ack.yours, ack.yours_session, ack.mine, ack.k]);
                }
            }
            LinkWire::Start {
                mine,
                yours,
                yours_session,
                from,
            } => list(out, [kind::START, *mine, *yours, *yours_session, *from]),
            LinkWire::Message { mine, to, message } => {
                head(out, ARRAY, with_trace(7, &message.body));
                numbers(out, [kind::MESSAGE, *mine]);
                head(out, ARRAY, to.len() as u64);
                to.iter().for_each(|alias| numbers(out, [*alias]));
                numbers(out, [message.n, flags(message)]);
                body(out, &message.body);
            }
            LinkWire::Ping(number) => list(out, [kind::PING, *number]),
            LinkWire::Pong(number) => list(out, [kind::PONG, *number]),
        }
        Ok(())
    }

    fn decode(&mut self, payload: Payload<'_>) -> Result<LinkWire, Rejection> {
        read(&mut Reader::new(payload))
    }
}

fn read(from: &mut Reader<'_>) -> Result<LinkWire, Rejection> {
    let items = from.head(ARRAY)?;
    if items == 0 {
        return Err(from.fail("an array without a kind"));
    }
    Ok(match from.number()? {
        kind::HELLO => LinkWire::Hello(Box::new(from.map()?)),
        kind::ANNOUNCE => LinkWire::Announce {
            mine: from.number()?,
            session: from.number()?,
            keeps_newest: from.number()? != 0,
            introduction: Box::new(from.map()?),
        },
        kind::GONE => LinkWire::Gone(from.number()?),
        kind::PEER => LinkWire::Peer {
            yours: from.number()?,
            yours_session: from.number()?,
            mine: from.number()?,
            session: from.number()?,
            token: from.number()?,
            k: from.number()?,
            keeps_newest: from.number()? != 0,
        },
        kind::ACKS => {
            let count = (items - 1) / 4;
            let mut acks = Vec::with_capacity(from.capacity(count)?);
            for _ in 0..count {
                acks.push(LinkAck {
                    yours: from.number()?,
                    yours_session: from.number()?,
                    mine: from.number()?,
                    k: from.number()?,
                });
            }
            LinkWire::Acks(acks)
        }
        kind::START => LinkWire::Start {
            mine: from.number()?,
            yours: from.number()?,
            yours_session: from.number()?,
            from: from.number()?,
        },
        kind::MESSAGE => {
            let mine = from.number()?;
            let count = from.head(ARRAY)?;
            let mut to = Vec::with_capacity(from.capacity(count)?);
            for _ in 0..count {
                to.push(from.number()?);
            }
            let (n, flags) = (from.number()?, from.number()?);
            let message = from.message(n, flags, items > 7)?;
            LinkWire::Message { mine, to, message }
        }
        kind::PING => LinkWire::Ping(from.number()?),
        kind::PONG => LinkWire::Pong(from.number()?),
        _ => return Err(from.fail("a kind of payload that this version does not know")),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bus::{
        codec_checks,
        links::wire::LinkHello,
        vectors,
        wire::{Body, Introduction, Kind, WireMessage},
    };

    fn examples() -> Vec<LinkWire> {
        let introduction = Introduction {
            id: "till".into(),
            inc: u64::MAX,
            name: None,
            kind: "service".into(),
            machine: None,
            pid: Some(7),
            uid: Some(0),
            since_ms: None,
            waits: None,
        };
        let ack = |k| LinkAck {
            yours: 1,
            yours_session: 300,
            mine: 2,
            k,
        };
        let message = WireMessage {
            n: 70_000,
            addressed: true,
            body: Body {
                kind: Kind::Answer(7),
                at_once: true,
                data: Bytes::from_static(b"data"),
                trace: None,
            },
        };
        vec![
            LinkWire::Hello(Box::new(LinkHello {
                bus: "kyneta-bus".into(),
                lo: 1,
                hi: 2,
                protocols: vec!["shop/1".into()],
            })),
            LinkWire::Announce {
                mine: 1,
                session: 5_000_000_000,
                keeps_newest: true,
                introduction: Box::new(introduction),
            },
            LinkWire::Gone(24),
            LinkWire::Peer {
                yours: 1,
                yours_session: 2,
                mine: 3,
                session: 4,
                token: 5,
                k: 6,
                keeps_newest: true,
            },
            LinkWire::Acks(vec![ack(1), ack(u64::MAX)]),
            LinkWire::Start {
                mine: 1,
                yours: 2,
                yours_session: 3,
                from: 4,
            },
            LinkWire::Message {
                mine: 1,
                to: vec![2, 300],
                message,
            },
            LinkWire::Ping(1),
            LinkWire::Pong(2),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        codec_checks::what_is_written_is_read(LinkCodec, examples());
    }

    #[test]
    fn a_payload_that_is_cut_or_changed_is_refused_or_another_one() {
        codec_checks::what_is_cut_or_changed_is_refused_or_another_one(LinkCodec, examples());
    }
    #[test]
    fn the_vectors_are_written_and_read_wherever_they_are_cut() {
        let file = "bus-link-frames.json";
        vectors::each_is_written_and_read(LinkCodec, file);
        vectors::all_are_read_wherever_the_bytes_are_cut(LinkCodec, file);
    }
}
