//! The size of a value as CBOR, without writing it anywhere.
//!
//! In: a value that serde can write. Out: a number of bytes. Touches nothing.

use std::io::{self, Write};

use serde::Serialize;

/// How many bytes `value` takes as CBOR. It writes the value once, into a counter: nothing is
/// allocated. Of a value that serde cannot write it counts what comes before the fault, and sending
/// it is refused.
///
/// [`Message::size`](kyneta_uds_core::Message::size) of a type of your own may say it, where texts and bytes make
/// up most of what is held (small values take less encoded than in memory):
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
    // The codec tells the sender of a value that cannot be written.
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
