//! The size of a value as CBOR.
//!
//! In: a value that implements `Serialize`. Out: a number of bytes. Touches nothing.

use std::io::{self, Write};

use serde::Serialize;

/// The size of `value` as CBOR, bytes. It serializes the value once, without allocating. If the value cannot be
/// serialized, only the part before the error is counted (and sending it fails).
///
/// Use it for [`Message::size`](kyneta_uds_core::Message::size) of types that are mostly texts and bytes (small
/// values take less encoded than in memory):
///
/// ```
/// use kyneta_uds_cbor::encoded_size;
/// use kyneta_uds_core::Message;
///
/// #[derive(serde::Serialize)]
/// struct Said {
///     what: String,
/// }
/// impl Message for Said {
///     fn size(&self) -> usize {
///         encoded_size(self)
///     }
/// }
/// assert_eq!(Said { what: "x".repeat(1000) }.size(), 1 + 5 + 3 + 1000);
/// ```
pub fn encoded_size<T: Serialize + ?Sized>(value: &T) -> usize {
    let mut counter = Counter(0);
    // The sender of a value that cannot be serialized gets the error from the codec.
    let _ = ciborium::into_writer(value, &mut counter);
    counter.0
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
