//! Helpers: a codec's bytes, and ciborium's.

use bytes::Bytes;
use ciborium::Value;
use kyneta_uds_cbor::{ChannelCodec, Codec};
use kyneta_uds_core::{ChannelMsg, Establish, Features, Identity, Payload, Rejection, WriteBuf};

/// Miri is a thousand times slower.
pub(crate) const ROUNDS: usize = if cfg!(miri) { 100 } else { 4_000 };

pub(crate) fn encode(codec: &mut ChannelCodec, msg: &ChannelMsg) -> Bytes {
    let mut buf = WriteBuf::default();
    codec.encode(msg, &mut buf.writer()).unwrap();
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let filled = buf.slices(&mut slices);
    slices[..filled]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

pub(crate) fn decode(codec: &mut ChannelCodec, bytes: &Bytes) -> Result<ChannelMsg, Rejection> {
    codec.decode(Payload::new(bytes, 0..bytes.len()))
}

pub(crate) fn to_value(bytes: &[u8]) -> Value {
    ciborium::from_reader(bytes).unwrap()
}

pub(crate) fn to_bytes(value: &Value) -> Bytes {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes.into()
}

/// The codecs of both ends of a connection that uses aliases.
pub(crate) fn established() -> (ChannelCodec, ChannelCodec) {
    let (mut ours, mut theirs) = (ChannelCodec::new(), ChannelCodec::new());
    let establish = Establish::new(Identity::service("a").unwrap()).features(Features::aliasing());
    let msg = ChannelMsg::Establish(establish);
    let bytes = encode(&mut ours, &msg);
    assert_eq!(decode(&mut theirs, &bytes).unwrap(), msg);
    let bytes = encode(&mut theirs, &msg);
    assert_eq!(decode(&mut ours, &bytes).unwrap(), msg);
    (ours, theirs)
}
