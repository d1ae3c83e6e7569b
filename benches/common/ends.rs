//! The codecs of the two ends of a connection.

use kyneta_uds::{Bytes, ChannelCodec, ChannelMsg, Codec, Payload, WriteBuf};

use super::{establish, present};

/// The codecs of two ends that have exchanged `establish` and announced their documents.
pub(crate) struct Ends {
    pub(crate) sender: ChannelCodec,
    pub(crate) receiver: ChannelCodec,
    pub(crate) buf: WriteBuf,
}

impl Ends {
    pub(crate) fn new(docs: usize) -> Self {
        let mut ends = Self {
            sender: ChannelCodec::new(),
            receiver: ChannelCodec::new(),
            buf: WriteBuf::default(),
        };
        let there = ends.encode(&establish());
        ends.decode(&there);
        std::mem::swap(&mut ends.sender, &mut ends.receiver);
        let back = ends.encode(&establish());
        ends.decode(&back);
        std::mem::swap(&mut ends.sender, &mut ends.receiver);
        let announced = ends.encode(&present(docs));
        ends.decode(&announced);
        ends
    }

    pub(crate) fn encode(&mut self, msg: &ChannelMsg) -> Bytes {
        self.sender.encode(msg, &mut self.buf.writer()).unwrap();
        let mut bytes = Vec::new();
        while !self.buf.is_empty() {
            let front = self.buf.front();
            bytes.extend_from_slice(front);
            let written = front.len();
            self.buf.advance(written);
        }
        bytes.into()
    }

    pub(crate) fn decode(&mut self, bytes: &Bytes) -> ChannelMsg {
        let payload = Payload::new(bytes, 0..bytes.len());
        self.receiver.decode(payload).unwrap()
    }
}
