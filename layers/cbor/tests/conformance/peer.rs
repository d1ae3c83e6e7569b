//! One side of a connection without a socket: a codec, a frame parser and a frame writer.
//!
//! In: messages, bytes. Out: bytes, results. Each message is looked at as well, which must not change a result.

use kyneta_uds_cbor::{ChannelCodec, Codec, EncodeError, Looked};
use kyneta_uds_core::{
    ChannelMsg, Frame, Payload, PayloadWriter, Rejection, WireVersion, WriteBuf,
};
use kyneta_uds_framing::{FrameParser, FrameWriter, WireMode};
use serde_json::Value;

use crate::json;

/// As in the reference: no limit but the header.
const MAX_FRAME: usize = u32::MAX as usize;

pub(crate) struct Peer {
    wire: WireVersion,
    codec: ChannelCodec,
    /// Decodes the same by reference.
    looking: ChannelCodec,
    writer: FrameWriter,
    parser: FrameParser,
}

impl Peer {
    pub(crate) fn new(wire: WireVersion) -> Self {
        Self {
            wire,
            codec: ChannelCodec::new(),
            looking: ChannelCodec::new(),
            writer: FrameWriter::new(MAX_FRAME),
            parser: FrameParser::new(WireMode::Fixed(wire), MAX_FRAME),
        }
    }

    /// The frame of a message.
    pub(crate) fn send(&mut self, msg: &ChannelMsg) -> Vec<u8> {
        let Self {
            wire,
            codec,
            writer,
            ..
        } = self;
        write(*wire, writer, |out| codec.encode(msg, out)).expect("every message can be encoded")
    }

    /// A message that our types cannot represent uses a sequence number, too.
    pub(crate) fn refuse(&mut self) {
        let refused = write(self.wire, &mut self.writer, |_| {
            Err(EncodeError::TooLarge { size: 0, limit: 0 })
        });
        assert!(refused.is_err());
    }

    /// The results of a chunk, in a form that can be compared.
    pub(crate) fn receive(&mut self, chunk: &[u8]) -> Vec<Value> {
        self.messages(chunk).iter().map(json::result).collect()
    }

    pub(crate) fn messages(&mut self, chunk: &[u8]) -> Vec<Result<ChannelMsg, Rejection>> {
        self.parser.feed(chunk);
        let mut messages = Vec::new();
        while let Some(frame) = self
            .parser
            .next_frame()
            .expect("no frame is over the limit")
        {
            messages.push(match frame {
                Frame::Payload(payload) => {
                    let decoded = self.codec.decode(payload);
                    let looked = look(&mut self.looking, payload);
                    if looked != decoded {
                        // As texts: not a number is no equal of itself.
                        assert_eq!(format!("{looked:?}"), format!("{decoded:?}"));
                    }
                    decoded
                }
                Frame::Skipped(fault) => Err(fault.into()),
                // The reference accepts any sequence number.
                _ => continue,
            });
        }
        messages
    }
}

/// What a look is shown, by value.
fn look(codec: &mut ChannelCodec, payload: Payload<'_>) -> Result<ChannelMsg, Rejection> {
    let mut seen = None;
    match codec.look(payload, |msg| seen = Some(msg.to_message())) {
        Looked::Seen => Ok(seen.expect("it was shown")),
        Looked::Decoded(decoded) => decoded,
    }
}

fn write(
    wire: WireVersion,
    writer: &mut FrameWriter,
    encode: impl FnOnce(&mut PayloadWriter<'_>) -> Result<(), EncodeError>,
) -> Result<Vec<u8>, EncodeError> {
    let mut buf = WriteBuf::default();
    writer.write(wire, &mut buf, encode, |size, limit| {
        EncodeError::TooLarge { size, limit }
    })?;
    let mut slices = [std::io::IoSlice::new(&[]); 16];
    let filled = buf.slices(&mut slices);
    Ok(slices[..filled]
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect())
}
