//! A user's message as bytes. Encoded once, by its sender.
//!
//! In: a message by reference. Out: its bytes, shared with the block that they lie in. May touch: the block that it
//! keeps.

use bytes::{Bytes, BytesMut};
use kyneta_uds_cbor::EncodeError;
use serde::Serialize;

use super::usual;

/// Small messages share a block of memory. So much of it may be kept for one that is not acknowledged.
const BLOCK: usize = 4 << 10;

/// Writes messages as CBOR, small ones without an allocation for each.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    block: BytesMut,
}

impl Encoder {
    /// The message as CBOR.
    pub(crate) fn encode<M: Serialize>(
        &mut self,
        message: &M,
        limit: usize,
    ) -> Result<Bytes, EncodeError> {
        // If `Serialize` has panicked, what it had written stands here.
        self.block.clear();
        if self.block.capacity() == 0 {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        let written = usual::write(message, &mut self.block);
        let data = self.block.split();
        written.map_err(|error| EncodeError::Serialize(error.to_string().into()))?;
        let size = data.len();
        match size > limit {
            true => Err(EncodeError::TooLarge { size, limit }),
            false => Ok(data.freeze()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use serde::ser::{SerializeTuple as _, Serializer};

    use super::*;

    struct PanicsHalfway;

    impl Serialize for PanicsHalfway {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut tuple = serializer.serialize_tuple(2)?;
            tuple.serialize_element("one")?;
            panic!("no second element");
        }
    }

    #[test]
    fn what_a_panic_has_left_is_not_before_the_next_message() {
        let mut encoder = Encoder::default();
        encoder.encode(&"first", 100).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| encoder.encode(&PanicsHalfway, 100)));
        assert!(panicked.is_err());
        let next = encoder.encode(&"next", 100).unwrap();
        let read: String = ciborium::from_reader(&next[..]).unwrap();
        assert_eq!(read, "next");
    }
}
