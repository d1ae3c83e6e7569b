//! What an observer is told: an offer whose data is a payload of the bus's, `members` or `passed` (wire section 11).
//! Pure.
//!
//! In: members, messages. Out: offers; and the reverse.

use bytes::Bytes;
use kyneta_uds_cbor::{ChannelCodec, Codec, EncodeError};
use kyneta_uds_core::{ChannelMsg, Data, DocId, Offer, Payload, PayloadWriter, Version, WriteBuf};

use crate::bus::{BusCodec, Introduction, Wire, WirePassed};

/// The document of these offers. It is none: an observer has no documents.
const NAME: &str = "observed";

/// The members that are present.
pub(crate) fn members(members: Vec<Introduction>) -> Option<ChannelMsg> {
    offer(&Wire::Members(members))
}

/// A message that has passed.
pub(crate) fn passed(passed: WirePassed) -> Option<ChannelMsg> {
    offer(&Wire::Passed(Box::new(passed)))
}

/// A message as the payload of a frame, without aliases.
pub(crate) fn payload(msg: &ChannelMsg) -> Option<Bytes> {
    let mut codec = ChannelCodec::new();
    written(|out| codec.encode(msg, out))
}

/// What an offer reports; `None` if it is no report.
pub(crate) fn read(msg: ChannelMsg) -> Option<Wire> {
    let ChannelMsg::Offer(Offer {
        doc,
        data: Data::Bytes(data),
        ..
    }) = msg
    else {
        return None;
    };
    if doc.as_str() != NAME {
        return None;
    }
    BusCodec.decode(Payload::new(&data, 0..data.len())).ok()
}

fn offer(wire: &Wire) -> Option<ChannelMsg> {
    let data = written(|out| BusCodec.encode(wire, out))?;
    let (doc, version) = (DocId::new(NAME).ok()?, Version::new("1").ok()?);
    Some(Offer::binary(doc, version, data).into())
}

fn written(
    encode: impl FnOnce(&mut PayloadWriter<'_>) -> Result<(), EncodeError>,
) -> Option<Bytes> {
    let mut buf = WriteBuf::default();
    encode(&mut buf.writer()).ok()?;
    let mut whole = Vec::with_capacity(buf.len());
    while !buf.is_empty() {
        whole.extend_from_slice(buf.front());
        buf.advance(buf.front().len());
    }
    Some(whole.into())
}
