//! The codec: between one message and one frame's payload. Pure: no I/O, no clock.

mod channel_msg;
mod serde;

use kyneta_uds_core::{Payload, PayloadWriter, Rejection};

use crate::EncodeError;

pub use self::{
    channel_msg::{ChannelCodec, DecodeLimits},
    serde::SerdeCodec,
};

/// Turns messages into payloads and back: the state of one connection, in both directions.
///
/// ```
/// use kyneta_uds_cbor::{Codec, EncodeError};
/// use kyneta_uds_core::{Payload, PayloadWriter, Rejection};
///
/// /// Payloads as they are.
/// #[derive(Clone, Default)]
/// struct Raw;
///
/// impl Codec for Raw {
///     type Message = Vec<u8>;
///     fn encode(&mut self, msg: &Vec<u8>, out: &mut PayloadWriter<'_>) -> Result<(), EncodeError> {
///         out.put_slice(msg);
///         Ok(())
///     }
///     fn decode(&mut self, payload: Payload<'_>) -> Result<Vec<u8>, Rejection> {
///         Ok(payload.as_slice().to_vec())
///     }
/// }
/// # let _ = kyneta_uds_cbor::CborLayer::with_codec(Raw);
/// ```
pub trait Codec {
    /// What is encoded and decoded.
    type Message;

    /// Appends one message.
    ///
    /// # Errors
    /// [`EncodeError`] when the message cannot be written; what was appended is taken back by the
    /// frame transport.
    fn encode(
        &mut self,
        msg: &Self::Message,
        out: &mut PayloadWriter<'_>,
    ) -> Result<(), EncodeError>;

    /// Reads one message.
    ///
    /// # Errors
    /// [`Rejection`] when the payload is none; the connection goes on.
    fn decode(&mut self, payload: Payload<'_>) -> Result<Self::Message, Rejection>;

    /// As [`decode`](Self::decode), and makes of the outcome what `done` does. A codec whose messages
    /// are large calls it for each kind apart: so a message is made where it goes, and not moved
    /// right after its fields were written, which costs more than reading them.
    #[inline(always)]
    fn decode_then<R>(
        &mut self,
        payload: Payload<'_>,
        done: impl Fn(Result<Self::Message, Rejection>) -> R,
    ) -> R {
        done(self.decode(payload))
    }

    /// The message that was encoded last did not go out: what encoding it has changed is undone.
    /// Does nothing unless a codec keeps state about what it has sent.
    fn not_sent(&mut self) {}
}
