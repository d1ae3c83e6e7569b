//! The payloads of a bus and of its links as data, in `tests/vectors`: what is written and read of each.
//!
//! A vector has the payload in hex and what it `means`; `also` are other payloads that mean the same. One without a
//! meaning is refused. With `KYNETA_RECORD` set, the payload of each meaning is written anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Only tests call these.

use std::{fmt::Debug, fs, path::PathBuf};

use bytes::Bytes;
use kyneta_uds_cbor::Codec;
use kyneta_uds_core::{Frame, PayloadWriter, WireVersion, WriteBuf};
use kyneta_uds_framing::{FrameParser, FrameWriter, WireMode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    codec::BusCodec,
    codec_checks::{decoded, encoded},
    usual,
    wire::{Body, Kind, Wire},
};

#[derive(Serialize, Deserialize)]
struct Vector {
    name: String,
    payload: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    means: Option<serde_json::Value>,
}

/// Bytes as hex.
pub(super) mod as_hex {
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::bus) fn serialize<S: Serializer>(of: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(of))
    }

    pub(in crate::bus) fn deserialize<'de, D: Deserializer<'de>>(of: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(of)?;
        hex::decode(text).map(Bytes::from).map_err(D::Error::custom)
    }
}

/// A trace context as text.
pub(super) mod as_text {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::bus::trace::TraceParent;

    type Trace = Option<Arc<TraceParent>>;

    pub(in crate::bus) fn serialize<S: Serializer>(of: &Trace, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&**of.as_ref().unwrap())
    }

    pub(in crate::bus) fn deserialize<'de, D: Deserializer<'de>>(of: D) -> Result<Trace, D::Error> {
        let parsed = String::deserialize(of)?.parse();
        parsed
            .map(|trace| Some(Arc::new(trace)))
            .map_err(D::Error::custom)
    }
}

fn payload(hex: &str) -> Bytes {
    hex::decode(hex).unwrap().into()
}

fn read(file: &str) -> Vec<Vector> {
    serde_json::from_str(&fs::read_to_string(path(file)).unwrap()).unwrap()
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file)
}

/// One vector a line.
fn record<C>(codec: C, file: &str)
where
    C: Codec<Message: DeserializeOwned> + Copy,
{
    let mut vectors = read(file);
    for vector in &mut vectors {
        if let Some(means) = &vector.means {
            let message = serde_json::from_value(means.clone()).unwrap();
            vector.payload = hex::encode(encoded(codec, &message));
        }
    }
    let lines: Vec<_> = vectors
        .iter()
        .map(|vector| serde_json::to_string(vector).unwrap())
        .collect();
    fs::write(path(file), format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
}

/// Each payload is what is written of its meaning, and is read as it; so are the others that mean the same. One that is cut,
/// and one without a meaning, is refused.
pub(super) fn each_is_written_and_read<C>(codec: C, file: &str)
where
    C: Codec<Message: DeserializeOwned + PartialEq + Debug> + Copy,
{
    if std::env::var_os("KYNETA_RECORD").is_some() {
        record(codec, file);
    }
    for Vector {
        name,
        payload: written,
        also,
        means,
    } in read(file)
    {
        let Some(means) = means else {
            let refused = decoded(codec, &payload(&written));
            assert!(refused.is_err(), "{name}: {refused:?}");
            continue;
        };
        let means: C::Message = serde_json::from_value(means).unwrap();
        assert_eq!(hex::encode(encoded(codec, &means)), written, "{name}");
        for hex in also.iter().chain([&written]) {
            let bytes = payload(hex);
            assert_eq!(decoded(codec, &bytes).unwrap(), means, "{name}: {hex}");
        }
        let bytes = payload(&written);
        for end in 1..bytes.len() {
            assert!(
                decoded(codec, &bytes.slice(..end)).is_err(),
                "{name}, cut at {end}"
            );
        }
    }
}

/// All payloads in frames, one after the other, are read the same however the bytes are cut.
pub(super) fn all_are_read_wherever_the_bytes_are_cut<C>(codec: C, file: &str)
where
    C: Codec<Message: DeserializeOwned + PartialEq + Debug> + Copy,
{
    let vectors = read(file);
    let written: Vec<_> = vectors
        .iter()
        .filter(|vector| vector.means.is_some())
        .flat_map(|vector| vector.also.iter().chain([&vector.payload]))
        .map(|hex| payload(hex))
        .collect();
    for wire in [WireVersion::V2, WireVersion::V3] {
        let (mut frames, mut buf) = (FrameWriter::new(1 << 20), WriteBuf::default());
        for bytes in &written {
            let put = |out: &mut PayloadWriter<'_>| {
                out.put_slice(bytes);
                Ok::<_, ()>(())
            };
            frames.write(wire, &mut buf, put, |_, _| ()).unwrap();
        }
        let stream = buf.to_vec();
        for seed in 1..=100_u64 {
            let mut random = seed;
            let mut parser = FrameParser::new(WireMode::default(), 1 << 20);
            let (mut rest, mut next) = (&*stream, written.iter());
            while !rest.is_empty() {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let cut = 1 + (random >> 33) as usize % 40;
                let (fed, after) = rest.split_at(cut.min(rest.len()));
                rest = after;
                parser.feed(fed);
                while let Some(frame) = parser.next_frame().unwrap() {
                    let Frame::Payload(lent) = frame else {
                        unreachable!("only payloads were written")
                    };
                    let expected = next.next().unwrap();
                    assert_eq!(lent.as_slice(), &**expected, "seed {seed}");
                    let mut codec = codec;
                    let read = codec.decode(lent).unwrap();
                    assert_eq!(read, decoded(codec, expected).unwrap(), "seed {seed}");
                }
            }
            assert_eq!(next.next(), None, "seed {seed}");
        }
    }
}

const FILE: &str = "bus-frames.json";

#[test]
fn each_payload_is_written_and_read() {
    each_is_written_and_read(BusCodec, FILE);
}

#[test]
fn all_payloads_are_read_wherever_the_bytes_are_cut() {
    all_are_read_wherever_the_bytes_are_cut(BusCodec, FILE);
}

#[test]
fn every_kind_of_payload_has_a_vector() {
    let named: Vec<_> = read(FILE)
        .into_iter()
        .filter_map(|vector| {
            let number = payload(&vector.payload).get(1..).map(<[u8]>::to_vec)?;
            vector.means.and(Some(number))
        })
        .map(|rest| match rest[..] {
            [24, kind, ..] => kind,
            [kind, ..] => kind,
            [] => 0,
        })
        .collect();
    for kind in (0..=6).chain(16..=25) {
        assert!(named.contains(&kind), "no vector of kind {kind}");
    }
}

/// A user's message is read by a fast reader of its usual form, else by ciborium.
#[test]
fn both_readers_of_a_user_s_message_agree_on_its_body() {
    let mut count = 0;
    for vector in read(FILE) {
        let Some(means) = vector.means else { continue };
        let body: Body = match serde_json::from_value(means).unwrap() {
            Wire::Send { message, .. } | Wire::Message { message, .. } => message.body,
            _ => continue,
        };
        if !matches!(body.kind, Kind::Plain | Kind::Request | Kind::Answer(_)) {
            continue;
        }
        let general: serde_json::Value = ciborium::from_reader(&*body.data).unwrap();
        assert_eq!(usual::read(&body.data), Some(general), "{}", vector.name);
        count += 1;
    }
    assert!(count > 5, "only {count} bodies");
}
