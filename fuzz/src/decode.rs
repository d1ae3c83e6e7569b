//! Target `decode`: decodes any payload. Both decoders agree, and so does what is looked at; a decoded message can be encoded and decoded again,
//! equals what ciborium reads, and retains little more of the payload than it counts.
//!
//! Input: options (1 byte), then a payload, or several payloads, each after its length (2 bytes).

use std::ops::Range;

use bytes::Bytes;
use ciborium::Value;
use kyneta_uds_cbor::{ChannelCodec, Codec, DecodeLimits, Looked, SerdeCodec};
use kyneta_uds_core::{ChannelMsg, DocId, Message as _, Payload, Rejection, WireVersion, WriteBuf};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    normalize::{normalize, same},
    oracle,
};

/// Limits that an input can reach.
const TIGHT: DecodeLimits = DecodeLimits {
    max_aliases: 4,
    max_alias_bytes: 64,
    max_docs: 6,
    max_depth: 5,
    max_keys: 12,
};

/// A message type with serde.
#[derive(Debug, Serialize, Deserialize)]
enum Typed {
    Ping,
    Put {
        key: String,
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
    },
    Many(Vec<Option<f64>>),
}

pub fn decode(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else {
        return;
    };
    let read = Bytes::copy_from_slice(rest);
    match how >> 6 {
        0 => {
            if let Some((msg, again)) = of_serde::<Typed>(&read) {
                assert_eq!(format!("{again:?}"), format!("{msg:?}"));
            }
        }
        // Not compared: ciborium does not read some large numbers as it has written them.
        1 => drop(of_serde::<Value>(&read)),
        _ => of_channel(how, &read),
    }
}

fn of_channel(how: u8, read: &Bytes) {
    let wire = [
        None,
        Some(WireVersion::V2),
        Some(WireVersion::V3),
        Some(WireVersion::V3),
    ][usize::from(how & 3)];
    let tight = how & 4 != 0;
    let limits = if tight {
        TIGHT
    } else {
        DecodeLimits::default()
    };
    let (several, against_ciborium) = (how & 8 != 0, how & 16 != 0);

    let mut codec = ChannelCodec::new().limits(limits);
    let mut general = codec.clone();
    let mut looking = codec.clone();
    for range in payloads(read, several) {
        let payload = Payload::new(read, range);
        let decoded = codec.decode(on(payload, wire));
        assert_agree(&decoded, &look(&mut looking, on(payload, wire)));
        // With tight limits one more key may be too many.
        if !tight {
            let bytes = for_general_decoder(payload.as_slice());
            let whole = Payload::new(&bytes, 0..bytes.len());
            let again = general.decode(on(whole, wire));
            assert_agree(&decoded, &again);
            if let Ok(msg) = &again {
                assert_counted(msg, &bytes);
            }
        }
        if let Ok(msg) = decoded {
            assert_round_trip(&msg, wire);
            if against_ciborium {
                assert_equals_ciborium(&normalize(&msg, wire));
            }
        }
    }
}

fn on(payload: Payload<'_>, wire: Option<WireVersion>) -> Payload<'_> {
    match wire {
        Some(wire) => payload.on(wire),
        None => payload,
    }
}

/// The ranges of the payloads: the whole input, or each after its length.
fn payloads(read: &[u8], several: bool) -> impl Iterator<Item = Range<usize>> {
    let (end, mut at, mut done) = (read.len(), 0, false);
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        if !several {
            done = true;
            return Some(0..end);
        }
        let &[high, low] = read.get(at..)?.first_chunk()?;
        let start = at + 2;
        at = start + usize::from(u16::from_be_bytes([high, low]));
        Some(start..at.min(end))
    })
}

/// What a look is shown, by value, or what it is not shown.
fn look(codec: &mut ChannelCodec, payload: Payload<'_>) -> Result<ChannelMsg, Rejection> {
    let mut seen = None;
    match codec.look(payload, |msg| seen = Some(msg.to_message())) {
        Looked::Seen => Ok(seen.unwrap()),
        Looked::Decoded(decoded) => decoded,
    }
}

/// The same payload in a form that the `general` decoder reads, if possible.
fn for_general_decoder(payload: &[u8]) -> Bytes {
    let key = oracle::UNKNOWN_KEY;
    let has_it = payload.windows(key.len()).any(|window| window == key);
    let changed = oracle::with_unknown_key(payload).filter(|_| !has_it);
    changed.unwrap_or_else(|| Bytes::copy_from_slice(payload))
}

fn assert_agree(one: &Result<ChannelMsg, Rejection>, other: &Result<ChannelMsg, Rejection>) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert!(same(one, other), "{one:?}\n{other:?}"),
        (Err(one), Err(other)) => {
            assert_eq!((one.code(), one.sub()), (other.code(), other.sub()));
        }
        other => panic!("{other:?}"),
    }
}

/// A message holds at most twice what it counts. A document id, which is shared and does not count, may be half of
/// the payload.
fn assert_counted(msg: &ChannelMsg, payload: &Bytes) {
    let holds = if payload.is_unique() {
        0
    } else {
        payload.len()
    };
    let most = 2 * msg.size() + DocId::MAX;
    assert!(holds <= most, "{holds} bytes are held by {msg:?}");
}

/// A message that is encoded and decoded is the same, and encoded again has the same bytes.
fn assert_round_trip(msg: &ChannelMsg, wire: Option<WireVersion>) {
    let (bytes, normalized) = (encode(msg), normalize(msg, wire));
    let payload = Payload::new(&bytes, 0..bytes.len());
    let again = ChannelCodec::new().decode(on(payload, wire)).unwrap();
    assert!(same(&again, &normalized), "{again:?}\n{normalized:?}");
    if *msg == normalized {
        assert_eq!(encode(&again), bytes);
    }
}

fn encode(msg: &ChannelMsg) -> Bytes {
    let mut buf = WriteBuf::default();
    ChannelCodec::new().encode(msg, &mut buf.writer()).unwrap();
    drain(&mut buf)
}

fn assert_equals_ciborium(msg: &ChannelMsg) {
    // A message with NaN is not equal to itself, nor is its value.
    #[expect(clippy::eq_op)]
    if msg != msg {
        return;
    }
    let mut value = ciborium::from_reader(&encode(msg)[..]).unwrap();
    oracle::without_announcements(&mut value);
    assert_eq!(value, oracle::value(msg));
}

/// The codec of other types: what it has decoded it can encode and decode again.
fn of_serde<T: Serialize + DeserializeOwned>(read: &Bytes) -> Option<(T, T)> {
    let mut codec = SerdeCodec::<T>::new();
    let msg = codec.decode(Payload::new(read, 0..read.len())).ok()?;
    let mut buf = WriteBuf::default();
    codec.encode(&msg, &mut buf.writer()).unwrap();
    let bytes = drain(&mut buf);
    let again = codec.decode(Payload::new(&bytes, 0..bytes.len())).unwrap();
    Some((msg, again))
}

/// All bytes to be written.
fn drain(buf: &mut WriteBuf) -> Bytes {
    if buf.is_contiguous() {
        return Bytes::copy_from_slice(buf.front());
    }
    let mut bytes = Vec::with_capacity(buf.len());
    while !buf.is_empty() {
        let front = buf.front();
        bytes.extend_from_slice(front);
        buf.advance(front.len());
    }
    bytes.into()
}
