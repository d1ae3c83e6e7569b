//! Payloads of a bus, as CBOR arrays that begin with their kind.
//!
//! In: values, payloads. Out: the other one. Touches nothing. What may grow later is a map whose unknown keys are
//! ignored; further items of an array are ignored too.

use kyneta_uds_cbor::{Codec, EncodeError};
use kyneta_uds_core::{Payload, PayloadWriter, Rejection};
use serde::{Serialize, de::DeserializeOwned};

use super::wire::{Body, Kind, Passed, Wire, WireMessage};

/// How deeply a map may be nested.
const MAX_DEPTH: usize = 16;

/// No list of a payload may have more items.
const MAX_ITEMS: u64 = 65_536;

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

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;

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
            head(out, ARRAY, 6);
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
            head(out, ARRAY, 6);
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

const ADDRESSED: u64 = 1;
const AT_ONCE: u64 = 2;

fn flags(message: &WireMessage) -> u64 {
    u64::from(message.addressed) * ADDRESSED + u64::from(message.body.at_once) * AT_ONCE
}

/// What the message is for and the number that it refers to, in one: 5 n + kind.
const fn what_for(kind: Kind) -> u64 {
    let (kind, of) = match kind {
        Kind::Plain => (0, 0),
        Kind::Request => (1, 0),
        Kind::Answer(of) => (2, of),
        Kind::Failure(of) => (3, of),
        Kind::Cancel(of) => (4, of),
    };
    of.saturating_mul(5).saturating_add(kind)
}

const fn kind_of(what_for: u64) -> Kind {
    let of = what_for / 5;
    match what_for % 5 {
        0 => Kind::Plain,
        1 => Kind::Request,
        2 => Kind::Answer(of),
        3 => Kind::Failure(of),
        _ => Kind::Cancel(of),
    }
}

fn body(out: &mut PayloadWriter<'_>, body: &Body) {
    numbers(out, [what_for(body.kind)]);
    bytes(out, &body.data);
}

fn list<const N: usize>(out: &mut PayloadWriter<'_>, items: [u64; N]) {
    head(out, ARRAY, N as u64);
    numbers(out, items);
}

fn numbers<const N: usize>(out: &mut PayloadWriter<'_>, items: [u64; N]) {
    items.into_iter().for_each(|item| head(out, UNSIGNED, item));
}

fn bytes(out: &mut PayloadWriter<'_>, bytes: &bytes::Bytes) {
    head(out, BYTES, bytes.len() as u64);
    out.put_bytes(bytes);
}

fn text(out: &mut PayloadWriter<'_>, text: &str) {
    head(out, TEXT, text.len() as u64);
    out.put_slice(text.as_bytes());
}

/// The first bytes of an item (RFC 8949, section 3).
fn head(out: &mut PayloadWriter<'_>, major: u8, value: u64) {
    let major = major << 5;
    let [.., e, f, g, h] = value.to_be_bytes();
    match value {
        0..24 => out.put_u8(major | h),
        24..0x100 => out.put_slice(&[major | 24, h]),
        0x100..0x1_0000 => out.put_slice(&[major | 25, g, h]),
        0x1_0000..0x1_0000_0000 => out.put_slice(&[major | 26, e, f, g, h]),
        _ => {
            out.put_u8(major | 27);
            out.put_slice(&value.to_be_bytes());
        }
    }
}

fn with_map(
    out: &mut PayloadWriter<'_>,
    kind: u64,
    content: &impl Serialize,
) -> Result<(), EncodeError> {
    head(out, ARRAY, 2);
    numbers(out, [kind]);
    map(out, content)
}

fn map(out: &mut PayloadWriter<'_>, content: &impl Serialize) -> Result<(), EncodeError> {
    let mut text = Vec::new();
    ciborium::into_writer(content, &mut text)
        .map_err(|error| EncodeError::Serialize(error.to_string().into()))?;
    out.put_slice(&text);
    Ok(())
}

/// Reads one payload.
struct Reader<'a> {
    payload: Payload<'a>,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(payload: Payload<'a>) -> Self {
        let rest = payload.as_slice();
        Self { payload, rest }
    }

    fn at(&self) -> usize {
        self.payload.as_slice().len() - self.rest.len()
    }

    fn fail(&self, what: &'static str) -> Rejection {
        let at = self.at();
        let what = what.into();
        Rejection::Decode { what, at }
    }

    fn wire(&mut self) -> Result<Wire, Rejection> {
        // A map is what kyneta's own messages are.
        if self.rest.first().is_some_and(|first| first >> 5 == 5) {
            return Err(self.fail("a message of kyneta's, and this is a bus of another protocol"));
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
                let message = self.message(n, flags)?;
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
                let message = self.message(n, flags)?;
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

    fn message(&mut self, n: u64, flags: u64) -> Result<WireMessage, Rejection> {
        let kind = kind_of(self.number()?);
        Ok(WireMessage {
            n,
            addressed: flags & ADDRESSED != 0,
            body: Body {
                kind,
                at_once: flags & AT_ONCE != 0,
                data: self.bytes()?,
            },
        })
    }

    fn passed(&mut self) -> Result<Passed, Rejection> {
        let (n, missed, from) = (self.number()?, self.number()?, self.text()?);
        let count = self.head(ARRAY)?;
        let mut to = Vec::with_capacity(self.capacity(count)?);
        for _ in 0..count {
            to.push(self.text()?);
        }
        Ok(Passed {
            n,
            missed,
            from,
            to,
            kind: kind_of(self.number()?),
            data: self.bytes()?,
        })
    }

    /// The number of items of a list, if there can be as many.
    fn capacity(&self, items: u64) -> Result<usize, Rejection> {
        let may_be = items <= MAX_ITEMS && items <= self.rest.len() as u64;
        match usize::try_from(items) {
            Ok(items) if may_be => Ok(items),
            _ => Err(self.fail("a list of more items than there are")),
        }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Rejection> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.fail("the payload ends within an item")),
        }
    }

    /// The value of the head of an item of this kind.
    fn head(&mut self, major: u8) -> Result<u64, Rejection> {
        let Some((first, rest)) = self.rest.split_first() else {
            return Err(self.fail("the payload ends within an item"));
        };
        if first >> 5 != major {
            return Err(self.fail("an item of another kind was expected"));
        }
        self.rest = rest;
        let length = match first & 31 {
            value @ 0..24 => return Ok(u64::from(value)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(self.fail("an item without a definite length")),
        };
        let bytes = self.take(length)?;
        Ok(bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn number(&mut self) -> Result<u64, Rejection> {
        self.head(UNSIGNED)
    }

    fn bytes(&mut self) -> Result<bytes::Bytes, Rejection> {
        let length = self.head(BYTES)?;
        let start = self.at();
        let taken = self.take(length)?;
        Ok(self.payload.slice(start..start + taken.len()))
    }

    fn text(&mut self) -> Result<String, Rejection> {
        let length = self.head(TEXT)?;
        let taken = self.take(length)?;
        let text = std::str::from_utf8(taken).map_err(|_| self.fail("a text that is no UTF-8"))?;
        Ok(text.to_owned())
    }

    fn map<T: DeserializeOwned>(&mut self) -> Result<T, Rejection> {
        ciborium::de::from_reader_with_recursion_limit(&mut self.rest, MAX_DEPTH).map_err(|error| {
            Rejection::Invalid {
                path: String::new(),
                what: error
                    .to_string()
                    .chars()
                    .take(256)
                    .collect::<String>()
                    .into(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kyneta_uds_core::WriteBuf;

    use super::{
        super::wire::{Greeting, Introduction},
        *,
    };

    fn encoded(wire: &Wire) -> Bytes {
        let mut buf = WriteBuf::default();
        BusCodec.encode(wire, &mut buf.writer()).unwrap();
        Bytes::copy_from_slice(buf.front())
    }

    fn decoded(bytes: &Bytes) -> Result<Wire, Rejection> {
        BusCodec.decode(Payload::new(bytes, 0..bytes.len()))
    }

    fn introduction() -> Introduction {
        Introduction {
            id: "till".into(),
            inc: u64::MAX,
            name: Some("Till".into()),
            kind: "service".into(),
            pid: Some(7),
            uid: None,
            since_ms: None,
            waits: Some(3),
        }
    }

    fn examples() -> Vec<Wire> {
        let message = |kind| WireMessage {
            n: 300,
            addressed: true,
            body: Body {
                kind,
                at_once: true,
                data: Bytes::from_static(b"data"),
            },
        };
        vec![
            Wire::Greet(Box::new(Greeting {
                bus: "kyneta-bus".into(),
                lo: 1,
                hi: 2,
                protocols: vec!["shop/1".into()],
                me: introduction(),
                attempt: 1,
                hub: Some(("shop".into(), 1)),
                slow: 5,
                places: vec![("stock".into(), 1, 2, 3)],
            })),
            Wire::Position {
                sender: 1,
                session: 70_000,
                token: 5_000_000_000,
            },
            Wire::Acks(vec![(1, 2), (3, 4)]),
            Wire::Start {
                member: 1,
                session: 0,
                from: 24,
            },
            Wire::Send {
                to: vec![1, 2],
                message: message(Kind::Request),
            },
            Wire::Bye,
            Wire::Introduce(3, Box::new(introduction())),
            Wire::Joined {
                sender: 1,
                session: 2,
            },
            Wire::Peer {
                receiver: 1,
                session: 2,
                token: 3,
                k: 255,
                keeps_newest: true,
            },
            Wire::Left(4),
            Wire::Message {
                sender: 9,
                message: message(Kind::Answer(4)),
            },
            Wire::Missed {
                sender: 1,
                upto: 2,
                count: 3,
            },
            Wire::Members(vec![introduction()]),
            Wire::Passed(Box::new(Passed {
                from: "a".into(),
                to: vec!["b".into()],
                n: 1,
                missed: 2,
                kind: Kind::Failure(9),
                data: Bytes::from_static(b"why"),
            })),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for wire in examples() {
            assert_eq!(decoded(&encoded(&wire)).unwrap(), wire);
        }
    }

    #[test]
    fn a_payload_that_is_cut_or_changed_is_refused_or_another_one() {
        for wire in examples() {
            let bytes = encoded(&wire);
            for end in 0..bytes.len() {
                assert!(decoded(&bytes.slice(..end)).is_err(), "{wire:?} {end}");
            }
            for at in 0..bytes.len() {
                for byte in [0x00, 0x1b, 0x5b, 0x9b, 0x9f, 0xbb, 0xff] {
                    let mut other = bytes.to_vec();
                    other[at] = byte;
                    let _ = decoded(&other.into());
                }
            }
        }
    }

    #[test]
    fn a_message_of_kyneta_s_is_named() {
        let establish = Bytes::from_static(b"\xa1\x61t\x01");
        let said = decoded(&establish).unwrap_err().to_string();
        assert!(said.contains("kyneta"), "{said}");
    }
}
