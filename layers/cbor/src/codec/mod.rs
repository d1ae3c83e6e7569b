//! The codec: converts between one message and one frame's payload. Pure: no I/O, no clock.

mod channel_msg;
mod serde;

use kyneta_uds_core::{ByReference, Payload, PayloadWriter, Rejection, SmallOffer};

use crate::EncodeError;

pub use self::{
    channel_msg::{ChannelCodec, DecodeLimits},
    serde::SerdeCodec,
};

/// Converts messages to payloads and back. Holds the state of one connection, in both directions.
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
    /// The type of the messages.
    type Message;

    /// Appends one message.
    ///
    /// # Errors
    /// [`EncodeError`] when the message cannot be written; the frame transport removes what was appended.
    fn encode(
        &mut self,
        msg: &Self::Message,
        out: &mut PayloadWriter<'_>,
    ) -> Result<(), EncodeError>;

    /// Whether [`encode_offer`](Self::encode_offer) is for use; `false` for a codec that does not say so.
    const ENCODES_OFFERS: bool = false;

    /// How many bytes a small offer that was queued by reference has, and what appends exactly as many: those of its message by
    /// value. Without [`ENCODES_OFFERS`](Self::ENCODES_OFFERS), [`encode`](Self::encode) gets that message instead.
    #[inline]
    fn encode_offer<'a>(
        &mut self,
        offer: &'a SmallOffer<'a>,
    ) -> (usize, impl FnOnce(&mut PayloadWriter<'_>) + use<'a, Self>) {
        let _ = offer;
        (0, |_: &mut PayloadWriter<'_>| ())
    }

    /// Reads one message.
    ///
    /// # Errors
    /// [`Rejection`] when the payload is not a message; the connection stays open.
    fn decode(&mut self, payload: Payload<'_>) -> Result<Self::Message, Rejection>;

    /// As [`decode`](Self::decode), and passes the result to `done`. A codec with large messages has a call of
    /// `done` for each kind of message, so that a message is built in place: moving it right after its fields
    /// were written costs more than reading them.
    #[inline(always)]
    fn decode_then<R>(
        &mut self,
        payload: Payload<'_>,
        done: impl Fn(Result<Self::Message, Rejection>) -> R,
    ) -> R {
        done(self.decode(payload))
    }

    /// As [`decode`](Self::decode), but shows the message to `look` where it is, if this codec can; else it is decoded.
    /// Provided: no message is shown.
    #[inline]
    fn look(
        &mut self,
        payload: Payload<'_>,
        look: impl FnOnce(<Self::Message as ByReference>::Ref<'_>),
    ) -> Looked<Self::Message>
    where
        Self::Message: ByReference,
    {
        let _ = look;
        Looked::Decoded(self.decode(payload))
    }

    /// The last encoded message was not sent: undoes what encoding it has changed. Does nothing for a codec
    /// without state about sent messages.
    fn not_sent(&mut self) {}
}

/// What came of [`Codec::look`].
#[derive(Debug)]
pub enum Looked<M> {
    /// The message was shown.
    Seen,
    /// The message was decoded, or rejected.
    Decoded(Result<M, Rejection>),
}
