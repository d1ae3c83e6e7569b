//! The trait that a stack is about: a duplex of typed messages over one connection.
//!
//! In: messages to send. Out: [`Inbound`] ones. What it may touch is the implementor's to say.

use std::task::{Context, Poll};

use futures_core::Stream;
use tower_service::Service;

use crate::{
    admission::Admission,
    disconnect::{BoxError, DisconnectReason},
    look::Look,
    message::{ByReference, SmallOffer},
    notice::Notice,
    rejection::Rejection,
    wire::{ConnectionInfo, WireVersion},
};

/// What a channel yields: `M` is its [`In`](Channel::In).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Inbound<M> {
    /// A message.
    Message(M),
    /// A frame or message that could not be passed on; the connection goes on.
    Rejected(Rejection),
    /// The stream of frames shows that something was lost or came twice; the connection goes on.
    Noticed(Notice),
}

impl<M> Inbound<M> {
    /// The same with another message: what a layer adds to it, in a channel with another
    /// [`In`](Channel::In).
    ///
    /// ```
    /// use kyneta_uds_core::Inbound;
    /// assert_eq!(Inbound::Message(7).map(|msg| ("billing", msg)), Inbound::Message(("billing", 7)));
    /// ```
    #[inline]
    pub fn map<N>(self, map: impl FnOnce(M) -> N) -> Inbound<N> {
        match self {
            Self::Message(msg) => Inbound::Message(map(msg)),
            Self::Rejected(rejection) => Inbound::Rejected(rejection),
            Self::Noticed(notice) => Inbound::Noticed(notice),
        }
    }
}

/// A duplex of typed messages over one connection: `Service<M, Response = ()>` out, a `Stream` in.
///
/// Polled, never spawned: one owner drives both halves.
///
/// * `poll_ready` is ready while there is room in the write buffer; `call` encodes into it. A
///   future of `call` that fails concerns its message alone: it was not sent. An error of
///   `poll_ready`, of any other `poll_*` here or of the stream is the end of the connection.
/// * Nothing reaches the kernel for certain until [`poll_flush`](Self::poll_flush) is ready.
/// * `None` from the stream is the peer's orderly end.
#[diagnostic::on_unimplemented(
    message = "this stack does not make channels: `{Self}` does not carry messages",
    label = "not a channel of `{M}`",
    note = "put a `CborLayer` above the `FramingLayer`: bytes become frames, frames become messages"
)]
pub trait Channel<M>:
    Service<M, Response = (), Error: Into<BoxError>>
    + Stream<Item = Result<Inbound<<Self as Channel<M>>::In>, <Self as Service<M>>::Error>>
    + Unpin
{
    /// What a message comes in as: `M` itself, or `M` with what a layer adds to it, such as its sender.
    type In;

    /// Ready when the kernel has taken all that was called. While the stream is not polled, this is polled
    /// even with nothing to flush, so that the channel's other work goes on.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Flushes, then ends this direction. The other one may still be read.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Bytes that were called and not yet taken by the kernel.
    fn buffered(&self) -> usize;

    /// The connection's wire version and credentials, as far as known.
    fn connection(&self) -> ConnectionInfo;

    /// Chooses the wire version to begin with. False, and without effect, when the version is
    /// fixed by configuration or settled by a frame.
    fn begin_with(&mut self, wire: WireVersion) -> bool;

    /// The admission frame of a connection without a handshake: connect(2) succeeds
    /// before anything is known of the listener, so the side that accepted writes an empty frame
    /// ([`Admission::Grant`], to be flushed), and the side that connected waits for that frame
    /// ([`Admission::Await`]) before it sends. Ready at once where a handshake below has shown the
    /// same. Asked for at most once on a connection, before anything else; without it the channel
    /// sends and expects no such frame. A wrapper passes it on.
    ///
    /// # Errors
    /// An [`AdmissionError`](crate::AdmissionError) among the sources, or the end of the connection.
    fn poll_admission(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), Self::Error>>;

    /// Bytes of the connection that the channel has worked on so far, whatever came of them. The
    /// difference between two calls bounds what one poll does: the size of what was yielded says
    /// little of the work. It starts over at 0 when another connection takes the place of one that is
    /// lost.
    fn worked(&self) -> u64;

    /// Takes the reason of a loss: the connection below has ended, another takes or will take its
    /// place, and what had been called and not flushed may or may not have been sent. Until a loss
    /// has been taken, `poll_ready` and `poll_flush` are pending. `None` for a channel over one
    /// connection, which ends with it. A wrapper returns what the inner channel returns: otherwise
    /// a channel that reconnects never becomes ready again.
    fn lost(&mut self) -> Option<DisconnectReason>;

    /// Gives up the connection below, because of `reason`, for another. False, and without effect,
    /// for a channel that has but one. A wrapper passes it on, as [`lost`](Self::lost).
    fn interrupt(&mut self, reason: DisconnectReason) -> bool;

    /// Puts what is inside aside, for its owner to hand it to another process; if the channel is polled after that, its owner
    /// waits until it is put aside again. Before that `call` may be made without `poll_ready`: what waits is part of what is handed
    /// over. False, and without effect, for a channel that cannot be handed over. Provided: a wrapper need not know it,
    /// if what puts it aside is above it.
    fn put_aside(&mut self) -> bool {
        false
    }

    /// Gives its owner the bytes that the stream has not taken, for another process to have them before this one
    /// [puts](Self::put_aside) the rest aside ([`Save::save_ahead`](crate::Save::save_ahead)); the channel goes on. Before
    /// that `call` may be made without `poll_ready`. False, and without effect, for a channel that cannot. Provided, as
    /// `put_aside`.
    fn put_ahead(&mut self) -> bool {
        false
    }

    /// Asks to keep the memory of large messages for the next ones, from now on. True while some is kept: then
    /// [`free_kept`](Self::free_kept) is to be called after a while, again and again. Called after each turn of reading.
    ///
    /// Provided: behind a layer that does not pass it on, each large message is read into memory of its own.
    #[inline]
    fn keep(&mut self) -> bool {
        false
    }

    /// Frees what is [kept](Self::keep) and was not needed since the last call. A layer that passes `keep` on passes this
    /// on, too.
    fn free_kept(&mut self) {}

    /// Calls with messages from the front of `run`, as many as there is room for, without a future each. To be
    /// called in place of `call`, after `poll_ready`. It may call with none: then `call` is to be used.
    ///
    /// Provided, unlike the other methods: a layer that does not know it sees each message in its `call`. A layer
    /// that looks at no message in its `call` passes this on, and saves its stack a seventh of the cost of a
    /// stream.
    ///
    /// # Errors
    /// Why the last message called with was not sent; it was not sent alone. The rest of the run still waits.
    #[inline]
    fn call_many<R: Run<M>>(&mut self, run: &mut R) -> Result<(), Self::Error>
    where
        Self: Sized,
    {
        let _ = run;
        Ok(())
    }

    /// Shows `look` what has arrived, by reference and in order, while it [wants more](Look::more). Stops at what
    /// cannot be shown so, and returns it, as the stream would have yielded it. Reads nothing: `None` when no more
    /// has arrived.
    ///
    /// Provided, as [`call_many`](Self::call_many): behind a layer that does not know it each message comes from the
    /// stream, by value. A layer that looks at no message may pass it on.
    #[inline]
    fn look<L: Look<Self::In>>(&mut self, look: &mut L) -> Option<Inbound<Self::In>>
    where
        Self: Sized,
        Self::In: ByReference,
    {
        let _ = look;
        None
    }
}

/// Messages that wait to be sent, in order: what [`Channel::call_many`] takes from.
///
/// ```
/// use std::collections::VecDeque;
///
/// use kyneta_uds_core::Run;
///
/// struct Waiting(VecDeque<String>);
///
/// impl Run<String> for Waiting {
///     fn front(&self) -> Option<&String> {
///         self.0.front()
///     }
///
///     fn called(&mut self) {
///         self.0.pop_front();
///     }
/// }
///
/// let mut run = Waiting(["a".to_owned(), "b".to_owned()].into());
/// let mut sent = String::new();
/// while let Some(msg) = run.front() {
///     sent.push_str(msg);
///     run.called();
/// }
/// assert_eq!(sent, "ab");
/// ```
pub trait Run<M> {
    /// The first message. `None` if it waits [by reference](Self::front_offer).
    fn front(&self) -> Option<&M>;

    /// The first message, if it is an offer that was queued by reference. A channel that does not ask is called with it
    /// by value. Provided: no message waits so.
    #[inline]
    fn front_offer(&self) -> Option<SmallOffer<'_>> {
        None
    }

    /// Removes the first message and drops it, where it stands: the channel was called with it.
    fn called(&mut self);
}
