//! The codec for all other message types, with ciborium and serde.
//!
//! In: any `Serialize + DeserializeOwned`. Out: one CBOR item per payload, and nothing after it.

use std::{fmt, marker::PhantomData};

use ::serde::{Serialize, de::DeserializeOwned};
use ciborium::de::Error;
use kyneta_uds_core::{Payload, PayloadWriter, Rejection};

use super::Codec;
use crate::EncodeError;

/// How deeply an item may be nested. Each level costs a few hundred bytes of stack.
const MAX_DEPTH: usize = 128;

/// The most of serde's error text that is passed on, characters.
const MAX_TEXT: usize = 256;

/// A codec for any message type that implements serde's traits.
///
/// Memory is proportional to the payload, whatever lengths it declares. Byte strings are written as such only
/// with `serde_bytes` (or `bytes` with its serde feature); a plain `Vec<u8>` becomes an array of integers.
///
/// ```
/// use bytes::Bytes;
/// use kyneta_uds_cbor::{Codec, SerdeCodec};
/// use kyneta_uds_core::{Payload, WriteBuf};
///
/// let mut codec = SerdeCodec::<(u8, String)>::new();
/// let mut buf = WriteBuf::default();
/// codec.encode(&(7, "hi".into()), &mut buf.writer())?;
/// let wire = Bytes::copy_from_slice(buf.front());
/// assert_eq!(codec.decode(Payload::new(&wire, 0..wire.len()))?, (7, "hi".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SerdeCodec<T> {
    message: PhantomData<fn(T) -> T>,
}

impl<T> SerdeCodec<T> {
    /// A codec of `T`. It has no state.
    pub const fn new() -> Self {
        Self {
            message: PhantomData,
        }
    }
}

impl<T: Serialize + DeserializeOwned> Codec for SerdeCodec<T> {
    type Message = T;

    fn encode(&mut self, msg: &T, out: &mut PayloadWriter<'_>) -> Result<(), EncodeError> {
        ciborium::into_writer(msg, out)
            .map_err(|error| EncodeError::Serialize(error.to_string().into()))
    }

    fn decode(&mut self, payload: Payload<'_>) -> Result<T, Rejection> {
        let bytes = payload.as_slice();
        let mut rest = bytes;
        let read = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH);
        let at = bytes.len() - rest.len();
        let msg = read.map_err(|error| match error {
            Error::Io(_) => decode("the payload ends within an item", at),
            Error::Syntax(at) => decode("not well-formed", at),
            Error::RecursionLimitExceeded => {
                decode(format!("nested deeper than {MAX_DEPTH} levels"), at)
            }
            Error::Semantic(_, what) => Rejection::Invalid {
                path: String::new(),
                what: shortened(what).into(),
            },
        })?;
        if !rest.is_empty() {
            return Err(decode("bytes after the item", at));
        }
        Ok(msg)
    }
}

/// Serde's error text may quote the payload, so it is cut to a limited length.
fn shortened(what: String) -> String {
    if what.len() <= MAX_TEXT {
        return what;
    }
    what.chars().take(MAX_TEXT).chain(['…']).collect()
}

fn decode(what: impl Into<std::borrow::Cow<'static, str>>, at: usize) -> Rejection {
    Rejection::Decode {
        what: what.into(),
        at,
    }
}

impl<T> Clone for SerdeCodec<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T> Default for SerdeCodec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for SerdeCodec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerdeCodec").finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[derive(Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
    enum Known {
        Variant,
    }

    #[test]
    fn a_fault_quotes_little_of_the_payload() {
        let mut wire = vec![0x79, 0x0f, 0xa0];
        wire.extend(["é"; 2_000].concat().bytes());
        let wire = Bytes::from(wire);
        let decoded = SerdeCodec::<Known>::new().decode(Payload::new(&wire, 0..wire.len()));
        let said = decoded.unwrap_err().to_string();
        assert!(said.contains("unknown variant `éé"), "{said}");
        assert!(said.len() < 1_000, "{} bytes", said.len());
    }
}
