//! The channel: in, messages of the caller and frames of the peer; out, frames and messages.
//!
//! Nothing is buffered here: a message is encoded into the frame transport's write buffer and decoded from its
//! read buffer.

use std::{
    fmt,
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, AdmissionError, ByReference, Channel, ConnectionInfo, DisconnectReason, Frame,
    Frames, Inbound, Look, Rejection, Run, WireVersion,
};
use tower_service::Service;

use crate::{CborError, Codec, EncodeError, Looked};

/// A duplex of a codec's messages over a frame transport.
///
/// * `Service<M>`: `call` encodes immediately; its future is ready. It fails with [`CborError::Encode`] if the
///   message was not written; then no part of it was.
/// * `Stream`: messages and rejections; an error is final.
///
/// All `poll_*` are cancel safe.
pub struct CborChannel<F, C> {
    frames: F,
    codec: C,
}

impl<F, C> CborChannel<F, C> {
    /// A channel over a frame transport, with a new codec.
    pub const fn new(frames: F, codec: C) -> Self {
        Self { frames, codec }
    }

    /// The frame transport.
    pub const fn get_ref(&self) -> &F {
        &self.frames
    }

    /// The frame transport.
    pub const fn get_mut(&mut self) -> &mut F {
        &mut self.frames
    }

    pub(crate) const fn codec(&self) -> &C {
        &self.codec
    }

    /// The frame transport, without the codec's state.
    pub fn into_inner(self) -> F {
        self.frames
    }
}

/// Not structurally pinned: both fields are only used by `&mut`.
impl<F, C> Unpin for CborChannel<F, C> {}

impl<F: Frames, C: Codec> Service<C::Message> for CborChannel<F, C> {
    type Response = ();
    type Error = CborError;
    type Future = Ready<Result<(), CborError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CborError>> {
        self.frames.poll_ready(cx).map_err(transport)
    }

    #[inline]
    fn call(&mut self, msg: C::Message) -> Self::Future {
        ready(self.write(&msg))
    }
}

impl<F: Frames, C: Codec> CborChannel<F, C> {
    #[inline]
    fn write(&mut self, msg: &C::Message) -> Result<(), CborError> {
        let Self { frames, codec } = self;
        let written = frames.write_frame(
            |out| codec.encode(msg, out),
            |size, limit| EncodeError::TooLarge { size, limit },
        );
        if written.is_err() {
            codec.not_sent();
        }
        written.map_err(CborError::Encode)
    }
}

impl<F: Frames, C: Codec> Stream for CborChannel<F, C> {
    type Item = Result<Inbound<C::Message>, CborError>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { frames, codec } = self.get_mut();
        if let Some(payload) = frames.arrived() {
            return codec.decode_then(payload, |decoded| Poll::Ready(Some(Ok(inbound(decoded)))));
        }
        Poll::Ready(match ready!(frames.poll_frame(cx)) {
            Some(Ok(Frame::Payload(payload))) => Some(Ok(inbound(codec.decode(payload)))),
            Some(Ok(Frame::Skipped(fault))) => Some(Ok(Inbound::Rejected(fault.into()))),
            Some(Ok(Frame::Noticed(notice))) => Some(Ok(Inbound::Noticed(notice))),
            Some(Ok(_)) => {
                // A kind of frame that this version of the layer does not know.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Err(error)) => Some(Err(transport(error))),
            None => None,
        })
    }
}

#[inline(always)]
fn inbound<M>(decoded: Result<M, Rejection>) -> Inbound<M> {
    match decoded {
        Ok(msg) => Inbound::Message(msg),
        Err(rejection) => Inbound::Rejected(rejection),
    }
}

impl<F: Frames, C: Codec> Channel<C::Message> for CborChannel<F, C> {
    type In = C::Message;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CborError>> {
        self.frames.poll_flush(cx).map_err(transport)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CborError>> {
        self.frames.poll_close(cx).map_err(transport)
    }

    fn buffered(&self) -> usize {
        self.frames.buffered()
    }

    fn poll_admission(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), CborError>> {
        match admission {
            Admission::Grant => {
                ready!(self.frames.poll_ready(cx)).map_err(transport)?;
                let empty = self.frames.write_frame(
                    |_| Ok(()),
                    |size, limit| EncodeError::TooLarge { size, limit },
                );
                Poll::Ready(empty.map_err(CborError::Encode))
            }
            Admission::Await => loop {
                let fault = match ready!(self.frames.poll_frame(cx)) {
                    Some(Ok(Frame::Noticed(_))) => continue,
                    Some(Ok(Frame::Payload(payload))) if payload.as_slice().is_empty() => {
                        return Poll::Ready(Ok(()));
                    }
                    Some(Ok(Frame::Skipped(fault))) => fault,
                    Some(Ok(_)) => return Poll::Ready(Err(transport(AdmissionError::Foreign))),
                    Some(Err(error)) => return Poll::Ready(Err(transport(error))),
                    None => return Poll::Ready(Err(transport(AdmissionError::Closed))),
                };
                return Poll::Ready(match fault.is_admission(self.frames.worked()) {
                    true => Ok(()),
                    false => Err(transport(AdmissionError::Foreign)),
                });
            },
        }
    }

    #[inline]
    fn worked(&self) -> u64 {
        self.frames.worked()
    }

    fn connection(&self) -> ConnectionInfo {
        self.frames.connection()
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.frames.begin_with(wire)
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        None
    }

    fn interrupt(&mut self, _: DisconnectReason) -> bool {
        false
    }

    #[inline]
    fn keep(&mut self) -> bool {
        self.frames.keep()
    }

    fn free_kept(&mut self) {
        self.frames.free_kept();
    }

    #[inline]
    fn call_many<R: Run<C::Message>>(&mut self, run: &mut R) -> Result<(), CborError> {
        while self.frames.has_room() {
            let written = if let Some(msg) = run.front() {
                self.write(msg)
            } else if C::ENCODES_OFFERS
                && let Some(offer) = run.front_offer()
            {
                let (size, encode) = self.codec.encode_offer(&offer);
                let too_large = |size, limit| EncodeError::TooLarge { size, limit };
                let written = self.frames.write_sized(size, encode, too_large);
                written.map_err(CborError::Encode)
            } else {
                break;
            };
            run.called();
            written?;
        }
        Ok(())
    }

    /// Bounded also in bytes: what has arrived is some 64 KiB of frames and one large frame at most.
    #[inline]
    fn look<L: Look<C::Message>>(&mut self, look: &mut L) -> Option<Inbound<C::Message>>
    where
        C::Message: ByReference,
    {
        let Self { frames, codec } = self;
        while look.more()
            && let Some(payload) = frames.arrived()
        {
            match codec.look(payload, |msg| look.look(msg)) {
                Looked::Seen => {}
                Looked::Decoded(decoded) => return Some(inbound(decoded)),
            }
        }
        None
    }
}

fn transport(error: impl Into<kyneta_uds_core::BoxError>) -> CborError {
    CborError::Transport(error.into())
}

impl<F: fmt::Debug, C> fmt::Debug for CborChannel<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CborChannel")
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}
