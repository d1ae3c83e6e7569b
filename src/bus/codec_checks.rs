//! What the tests of both codecs of a bus check: that of its connections and that of its links.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Only tests call these.

use std::fmt::Debug;

use bytes::Bytes;
use kyneta_uds_cbor::Codec;
use kyneta_uds_core::{Payload, Rejection, WriteBuf};

pub(super) fn encoded<C: Codec>(mut codec: C, wire: &C::Message) -> Bytes {
    let mut buf = WriteBuf::default();
    codec.encode(wire, &mut buf.writer()).unwrap();
    buf.to_vec().into()
}

pub(super) fn decoded<C: Codec>(mut codec: C, bytes: &Bytes) -> Result<C::Message, Rejection> {
    codec.decode(Payload::new(bytes, 0..bytes.len()))
}

pub(super) fn what_is_written_is_read<C>(codec: C, examples: Vec<C::Message>)
where
    C: Codec<Message: Debug + PartialEq> + Copy,
{
    for wire in examples {
        assert_eq!(decoded(codec, &encoded(codec, &wire)).unwrap(), wire);
    }
}

pub(super) fn what_is_cut_or_changed_is_refused_or_another_one<C>(
    codec: C,
    examples: Vec<C::Message>,
) where
    C: Codec<Message: Debug> + Copy,
{
    for wire in examples {
        let bytes = encoded(codec, &wire);
        for end in 1..bytes.len() {
            assert!(
                decoded(codec, &bytes.slice(..end)).is_err(),
                "{wire:?} {end}"
            );
        }
        for at in 0..bytes.len() {
            for byte in [0x00, 0x1b, 0x5b, 0x9b, 0x9f, 0xbb, 0xff] {
                let mut other = bytes.to_vec();
                other[at] = byte;
                let _ = decoded(codec, &other.into());
            }
        }
    }
}
